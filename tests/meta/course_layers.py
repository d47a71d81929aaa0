"""Layers and losses as courses and tutorials write them in NumPy: the right ones.

A certificate has to run such code unchanged, so the idioms are the ones found there: `np.zeros` buffers
filled in loops, boolean masks, fancy indexing, `np.add.at`, parameter dicts, scalars such as `1.0 / m`.
Only the idioms are borrowed; the code is written from the mathematics. It is deliberately not in the style
of the house.

Conventions
- A layer has `forward(*args) -> (out, cache)` and `backward(dout, cache) -> gradients`, one gradient per
  position in `wrt`.
- A loss is one function, `function(*args) -> (loss, gradients)`.
- One gradient comes bare, several as a tuple, those of a dict of parameters as a dict with the same keys;
  `leaves` flattens all three in one fixed order.
- `draw(rng)` returns fresh arguments, small enough to be run on balls. Sizes are not square, strides and
  padding vary, sequences have several steps, indices repeat. Ties and kinks have probability zero.
"""

# Courses name a gradient before they return it, and so do these.
# ruff: noqa: RET504

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any  # a NumPy array or a duck array of balls
Forward = Callable[..., tuple[Any, Any]]
Backward = Callable[[Any, Any], Any]
Draw = Callable[[np.random.Generator], tuple[Any, ...]]


@dataclass(frozen=True)
class Layer:
    """A forward and its hand-written backward; `wrt` are the positions in args it answers for."""

    id: str
    forward: Forward
    backward: Backward
    draw: Draw
    wrt: tuple[int, ...]


@dataclass(frozen=True)
class Loss:
    """A function returning a scalar loss and its gradients with respect to the positions `wrt` in args."""

    id: str
    function: Forward
    draw: Draw
    wrt: tuple[int, ...]


def leaves(tree: Any) -> list[Array]:
    """Return the arrays of a gradient in a fixed order: tuples and lists as given, dicts by sorted key."""
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in leaves(tree[key])]
    if isinstance(tree, tuple | list):
        return [leaf for item in tree for leaf in leaves(item)]
    return [tree]


# Affine and element-wise layers


def affine_forward(x: Array, w: Array, b: Array) -> tuple[Array, Any]:
    """Fully connected layer: x (N, d1, ..., dk), w (D, M) with D the product of the d, b (M,); out (N, M)."""
    N = x.shape[0]
    out = x.reshape(N, -1).dot(w) + b
    return out, (x, w, b)


def affine_backward(dout: Array, cache: Any) -> Any:
    """Gradients dx, dw, db of `affine_forward`."""
    x, w, _ = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db


def draw_affine(rng: np.random.Generator) -> tuple[Any, ...]:
    """Four samples of shape (2, 3), five outputs."""
    return rng.normal(size=(4, 2, 3)), rng.normal(size=(6, 5)), rng.normal(size=5)


def scale_shift_forward(x: Array, gamma: Array, beta: Array) -> tuple[Array, Any]:
    """Scale and shift of the channels of x (N, C, L) by gamma and beta (C,)."""
    out = gamma[np.newaxis, :, np.newaxis] * x + beta.reshape(1, -1, 1)
    return out, (x, gamma)


def scale_shift_backward(dout: Array, cache: Any) -> Any:
    """Gradients dx, dgamma, dbeta of `scale_shift_forward`."""
    x, gamma = cache
    dx = dout * gamma[None, :, None]
    dgamma = (dout * x).sum(axis=2).sum(axis=0)
    dbeta = dout.sum(axis=(0, 2))
    return dx, dgamma, dbeta


def draw_scale_shift(rng: np.random.Generator) -> tuple[Any, ...]:
    """Two samples, three channels, four places."""
    return rng.normal(size=(2, 3, 4)), rng.normal(size=3), rng.normal(size=3)


def relu_forward(x: Array) -> tuple[Array, Any]:
    """Rectifier max(0, x), any shape."""
    out = np.maximum(0, x)
    return out, x


def relu_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `relu_forward`: a copy of dout with the closed places set to zero."""
    x = cache
    dx = dout.copy()
    dx[x <= 0] = 0
    return dx


def relu_product_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `relu_forward`: dout times the boolean gate."""
    x = cache
    return dout * (x > 0)


def leaky_relu_forward(x: Array, alpha: float) -> tuple[Array, Any]:
    """Leaky rectifier: x where x > 0, alpha x elsewhere."""
    out = np.where(x > 0, x, alpha * x)
    return out, (x, alpha)


def leaky_relu_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `leaky_relu_forward`."""
    x, alpha = cache
    dx = np.where(x > 0, dout, alpha * dout)
    return dx


def elu_forward(x: Array, alpha: float) -> tuple[Array, Any]:
    """Exponential linear unit: x where x > 0, alpha (exp(x) - 1) elsewhere."""
    out = np.where(x > 0, x, alpha * (np.exp(x) - 1))
    return out, (x, out, alpha)


def elu_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `elu_forward`; alpha exp(x) is out + alpha."""
    x, out, alpha = cache
    dx = dout * np.where(x > 0, 1, out + alpha)
    return dx


def sigmoid_forward(x: Array) -> tuple[Array, Any]:
    """Logistic function 1 / (1 + exp(-x))."""
    out = 1 / (1 + np.exp(-x))
    return out, out


def sigmoid_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `sigmoid_forward` and `sigmoid_branches_forward` from the saved output."""
    out = cache
    return dout * out * (1 - out)


def sigmoid(x: Array) -> Array:
    """Logistic function in two branches, so that neither exponential overflows."""
    pos_mask = x >= 0
    z = np.zeros_like(x)
    z[pos_mask] = np.exp(-x[pos_mask])
    z[~pos_mask] = np.exp(x[~pos_mask])
    top = np.ones_like(x)
    top[~pos_mask] = z[~pos_mask]
    return top / (1 + z)


def sigmoid_branches_forward(x: Array) -> tuple[Array, Any]:
    """Logistic function by boolean masks, see `sigmoid`."""
    out = sigmoid(x)
    return out, out


def tanh_forward(x: Array) -> tuple[Array, Any]:
    """Hyperbolic tangent."""
    out = np.tanh(x)
    return out, out


def tanh_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `tanh_forward` from the saved output."""
    out = cache
    return (1 - out**2) * dout


def gelu_forward(x: Array) -> tuple[Array, Any]:
    """GELU in the tanh form of Hendrycks and Gimpel (2016)."""
    u = np.sqrt(2 / np.pi) * (x + 0.044715 * np.power(x, 3))
    t = np.tanh(u)
    out = 0.5 * x * (1 + t)
    return out, (x, t)


def gelu_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `gelu_forward` by the product rule."""
    x, t = cache
    du = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
    dx = dout * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * du)
    return dx


def softplus_forward(x: Array) -> tuple[Array, Any]:
    """log(1 + exp(x)), written so that exp does not overflow."""
    out = np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)
    return out, x


def softplus_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `softplus_forward`: the logistic function."""
    x = cache
    return dout / (1.0 + np.exp(-x))


def swish_forward(x: Array) -> tuple[Array, Any]:
    """x times its own logistic function."""
    s = 1.0 / (1.0 + np.exp(-x))
    out = x * s
    return out, (x, s)


def swish_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `swish_forward` by the product rule."""
    x, s = cache
    return dout * (s + x * s * (1.0 - s))


def draw_elementwise(rng: np.random.Generator) -> tuple[Any, ...]:
    """One array (4, 5) on both sides of zero."""
    return (1.5 * rng.normal(size=(4, 5)),)


def draw_leaky(rng: np.random.Generator) -> tuple[Any, ...]:
    """One array (4, 5) and a slope for its negative side."""
    return rng.normal(size=(4, 5)), float(rng.choice([0.01, 0.1, 0.3]))


def draw_elu(rng: np.random.Generator) -> tuple[Any, ...]:
    """One array (4, 5) and a scale that is not 1, so that it cannot hide."""
    return rng.normal(size=(4, 5)), float(rng.choice([0.5, 1.7]))


def dropout_forward(x: Array, mask: Array, keep_prob: float) -> tuple[Array, Any]:
    """Inverted dropout of x (N, D) with a given 0/1 mask (N, D)."""
    scale = mask / keep_prob
    out = x * scale
    return out, (mask, keep_prob, scale)


def dropout_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `dropout_forward`."""
    _, _, scale = cache
    return dout * scale


def draw_dropout(rng: np.random.Generator) -> tuple[Any, ...]:
    """An array (4, 6), a mask with both values, a keep probability."""
    keep_prob = float(rng.choice([0.5, 0.6, 0.8]))
    mask = (rng.random(size=(4, 6)) < keep_prob).astype(float)
    mask[0, 0], mask[0, 1] = 0.0, 1.0
    return rng.normal(size=(4, 6)), mask, keep_prob


# Normalisation


def batchnorm_forward(x: Array, gamma: Array, beta: Array, bn_param: dict[str, Any]) -> tuple[Array, Any]:
    """Batch normalisation of x (N, D) with gamma and beta (D,); Ioffe and Szegedy (2015).

    bn_param holds mode ('train' or 'test'), eps, momentum, and the running mean and variance (D,), which are
    read in test mode and updated in train mode. Raises ValueError on any other mode.
    """
    mode = bn_param["mode"]
    eps = bn_param.get("eps", 1e-5)
    momentum = bn_param.get("momentum", 0.9)
    D = x.shape[1]
    running_mean = bn_param.get("running_mean", np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get("running_var", np.zeros(D, dtype=x.dtype))

    if mode == "train":
        mean = np.mean(x, axis=0)
        var = np.var(x, axis=0)
        centred = x - mean
        std = np.sqrt(var + eps)
        xhat = centred / std
        out = gamma * xhat + beta
        cache = (x, centred, var, std, xhat, gamma, eps)
        bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mean
        bn_param["running_var"] = momentum * running_var + (1 - momentum) * var
    elif mode == "test":
        centred = x - running_mean
        std = np.sqrt(running_var + eps)
        xhat = centred / std
        out = gamma * xhat + beta
        cache = (x, centred, running_var, std, xhat, gamma, eps)
    else:
        raise ValueError(f"bn_param['mode'] must be 'train' or 'test', got {mode!r}; set one of the two")
    return out, cache


def batchnorm_staged_backward(dout: Array, cache: Any) -> Any:
    """Gradients dx, dgamma, dbeta in train mode, one stage of the graph at a time."""
    _, centred, var, std, xhat, gamma, eps = cache
    N, D = dout.shape
    # out = gamma * xhat + beta
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    # xhat = centred * inv, inv = 1 / std
    dcentred = dxhat * (1.0 / std)
    dinv = np.sum(dxhat * centred, axis=0)
    dstd = -1.0 / (std**2) * dinv
    # std = sqrt(var + eps), var = mean of centred^2
    dvar = 0.5 * 1.0 / np.sqrt(var + eps) * dstd
    dsquare = 1.0 / N * np.ones((N, D)) * dvar
    dcentred += 2 * centred * dsquare
    # centred = x - mean
    dx1 = dcentred
    dmean = -1 * np.sum(dcentred, axis=0)
    dx2 = 1.0 / N * np.ones((N, D)) * dmean
    dx = dx1 + dx2
    return dx, dgamma, dbeta


def batchnorm_simplified_backward(dout: Array, cache: Any) -> Any:
    """Gradients dx, dgamma, dbeta in train mode, after the stages are simplified on paper."""
    _, _, _, std, xhat, gamma, _ = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xhat).sum(axis=0)
    dxhat = dout * gamma
    dx = (1.0 / N) / std * (N * dxhat - dxhat.sum(axis=0) - xhat * (dxhat * xhat).sum(axis=0))
    return dx, dgamma, dbeta


def batchnorm_test_backward(dout: Array, cache: Any) -> Any:
    """Gradients dx, dgamma, dbeta in test mode, where mean and variance are constants."""
    _, _, _, std, xhat, gamma, _ = cache
    dx = dout * gamma / std
    dgamma = np.sum(dout * xhat, axis=0)
    dbeta = np.sum(dout, axis=0)
    return dx, dgamma, dbeta


def draw_batchnorm_train(rng: np.random.Generator) -> tuple[Any, ...]:
    """Five samples of four features, off centre and of unequal scale."""
    x = rng.normal(size=(5, 4)) * np.array([0.5, 1.0, 2.0, 3.0]) + rng.normal(size=4)
    return x, rng.normal(size=4), rng.normal(size=4), {"mode": "train", "eps": 1e-5, "momentum": 0.9}


def draw_batchnorm_test(rng: np.random.Generator) -> tuple[Any, ...]:
    """The same with running statistics that are not those of the batch."""
    x, gamma, beta, _ = draw_batchnorm_train(rng)
    running = {"running_mean": rng.normal(size=4), "running_var": rng.uniform(0.5, 2.0, size=4)}
    return x, gamma, beta, {"mode": "test", "eps": 1e-5, "momentum": 0.9, **running}


def layernorm_forward(x: Array, gamma: Array, beta: Array, ln_param: dict[str, Any]) -> tuple[Array, Any]:
    """Layer normalisation of the rows of x (N, D) with gamma and beta (D,); Ba, Kiros and Hinton (2016)."""
    eps = ln_param.get("eps", 1e-5)
    mu = x.mean(axis=1, keepdims=True)
    var = ((x - mu) ** 2).mean(axis=1, keepdims=True)
    istd = 1 / np.sqrt(var + eps)
    xhat = (x - mu) * istd
    out = gamma * xhat + beta
    return out, (x, xhat, istd, gamma)


def layernorm_backward(dout: Array, cache: Any) -> Any:
    """Gradients dx, dgamma, dbeta of `layernorm_forward`."""
    _, xhat, istd, gamma = cache
    D = dout.shape[1]
    dgamma = np.sum(dout * xhat, axis=0)
    dbeta = np.sum(dout, axis=0)
    dxhat = dout * gamma
    s1 = np.sum(dxhat, axis=1, keepdims=True)
    s2 = np.sum(dxhat * xhat, axis=1, keepdims=True)
    dx = istd / D * (D * dxhat - s1 - xhat * s2)
    return dx, dgamma, dbeta


def draw_layernorm(rng: np.random.Generator) -> tuple[Any, ...]:
    """Three rows of five features."""
    return 2 * rng.normal(size=(3, 5)) + 1, rng.normal(size=5), rng.normal(size=5), {"eps": 1e-5}


def rmsnorm_forward(x: Array, gain: Array, eps: float) -> tuple[Array, Any]:
    """Rows of x (N, D) over their root mean square, times gain (D,); Zhang and Sennrich (2019)."""
    rms = np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + eps)
    out = x / rms * gain
    return out, (x, gain, rms)


def rmsnorm_backward(dout: Array, cache: Any) -> Any:
    """Gradients dx, dgain of `rmsnorm_forward`."""
    x, gain, rms = cache
    D = x.shape[-1]
    dgain = (dout * x / rms).sum(axis=0)
    dnorm = dout * gain
    drms = -(dnorm * x).sum(axis=-1, keepdims=True) / rms**2
    dx = dnorm / rms + drms * x / (D * rms)
    return dx, dgain


def draw_rmsnorm(rng: np.random.Generator) -> tuple[Any, ...]:
    """Three rows of five features."""
    return rng.normal(size=(3, 5)), rng.normal(size=5), 1e-6


def groupnorm_forward(x: Array, gamma: Array, beta: Array, G: int, eps: float) -> tuple[Array, Any]:
    """Group normalisation of x (N, C, H, W) in G groups, gamma and beta (1, C, 1, 1); Wu and He (2018)."""
    N, C, H, W = x.shape
    xg = np.reshape(x, (N, G, C // G * H * W))
    mean = np.mean(xg, axis=2, keepdims=True)
    std = np.sqrt(np.var(xg, axis=2, keepdims=True) + eps)
    xhat = ((xg - mean) / std).reshape(N, C, H, W)
    out = gamma * xhat + beta
    return out, (xhat, std, gamma, G)


def groupnorm_backward(dout: Array, cache: Any) -> Any:
    """Gradients dx, dgamma, dbeta of `groupnorm_forward`."""
    xhat, std, gamma, G = cache
    N, C, H, W = dout.shape
    dgamma = np.sum(dout * xhat, axis=(0, 2, 3), keepdims=True)
    dbeta = np.sum(dout, axis=(0, 2, 3), keepdims=True)
    size = C // G * H * W
    dxhat = (dout * gamma).reshape(N, G, size)
    xg = xhat.reshape(N, G, size)
    total = dxhat.sum(axis=2, keepdims=True)
    along = (dxhat * xg).sum(axis=2, keepdims=True)
    dx = (dxhat - total / size - xg * along / size) / std
    return dx.reshape(N, C, H, W), dgamma, dbeta


def draw_groupnorm(rng: np.random.Generator) -> tuple[Any, ...]:
    """Two samples of six channels in two or three groups, 2 by 3 places."""
    G = int(rng.choice([2, 3]))
    gamma, beta = rng.normal(size=(2, 1, 6, 1, 1))
    return rng.normal(size=(2, 6, 2, 3)), gamma, beta, G, 1e-5


def l2_normalise_forward(x: Array) -> tuple[Array, Any]:
    """Rows of x (N, D) over their Euclidean length."""
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    out = x / norm
    return out, (x, out, norm)


def l2_normalise_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `l2_normalise_forward`: what is left of dout across the row, over its length."""
    _, out, norm = cache
    dx = (dout - out * np.sum(dout * out, axis=1, keepdims=True)) / norm
    return dx


def draw_rows(rng: np.random.Generator) -> tuple[Any, ...]:
    """Three rows of four."""
    return (rng.normal(size=(3, 4)),)


# Convolution and pooling


def conv_loops_forward(x: Array, w: Array, b: Array, conv_param: dict[str, int]) -> tuple[Array, Any]:
    """Cross-correlation of x (N, C, H, W) with w (F, C, HH, WW) plus b (F,), by four loops.

    conv_param holds stride and pad; out is (N, F, H', W') with H' = 1 + (H + 2 pad - HH) // stride.
    """
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, _, H, W = x.shape
    F, _, HH, WW = w.shape
    H_out = int(1 + (H + 2 * pad - HH) / stride)
    W_out = int(1 + (W + 2 * pad - WW) / stride)
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="constant")
    out = np.zeros((N, F, H_out, W_out))
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    patch = x_pad[n, :, i * stride : i * stride + HH, j * stride : j * stride + WW]
                    out[n, f, i, j] = np.sum(patch * w[f]) + b[f]
    return out, (x, w, b, conv_param)


def conv_loops_backward(dout: Array, cache: Any) -> Any:
    """Gradients dx, dw, db of `conv_loops_forward`: each output hands its share back to its patch."""
    x, w, b, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, F, H_out, W_out = dout.shape
    _, _, HH, WW = w.shape
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="constant")
    dx_pad = np.zeros_like(x_pad)
    dw = np.zeros_like(w)
    db = np.zeros_like(b)
    for n in range(N):
        for f in range(F):
            db[f] += np.sum(dout[n, f])
            for i in range(H_out):
                for j in range(W_out):
                    rows = slice(i * stride, i * stride + HH)
                    columns = slice(j * stride, j * stride + WW)
                    dw[f] += x_pad[n, :, rows, columns] * dout[n, f, i, j]
                    dx_pad[n, :, rows, columns] += w[f] * dout[n, f, i, j]
    dx = dx_pad[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]]
    return dx, dw, db


def patch_indices(C: int, H: int, W: int, HH: int, WW: int, stride: int, pad: int) -> Any:
    """Index arrays k (K, 1), i and j (K, L) of the L patches of K = C HH WW entries of a padded image."""
    H_out = (H + 2 * pad - HH) // stride + 1
    W_out = (W + 2 * pad - WW) // stride + 1
    k = np.repeat(np.arange(C), HH * WW).reshape(-1, 1)
    i_in_patch = np.tile(np.repeat(np.arange(HH), WW), C)
    j_in_patch = np.tile(np.arange(WW), C * HH)
    i = i_in_patch.reshape(-1, 1) + stride * np.repeat(np.arange(H_out), W_out).reshape(1, -1)
    j = j_in_patch.reshape(-1, 1) + stride * np.tile(np.arange(W_out), H_out).reshape(1, -1)
    return k, i, j


def im2col(x: Array, HH: int, WW: int, stride: int, pad: int) -> Array:
    """Patches of x (N, C, H, W) as columns, (C HH WW, N L)."""
    N, C, H, W = x.shape
    k, i, j = patch_indices(C, H, W, HH, WW, stride, pad)
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    cols = x_pad[:, k, i, j]
    return cols.transpose(1, 0, 2).reshape(C * HH * WW, N * i.shape[1])


def col2im(cols: Array, x_shape: Any, HH: int, WW: int, stride: int, pad: int) -> Array:
    """Transpose of `im2col`: columns are added back where they came from, the padding is cut off."""
    N, C, H, W = x_shape
    k, i, j = patch_indices(C, H, W, HH, WW, stride, pad)
    x_pad = np.zeros((N, C, H + 2 * pad, W + 2 * pad), dtype=cols.dtype)
    patches = cols.reshape(C * HH * WW, N, -1).transpose(1, 0, 2)
    where: Any = (slice(None), k, i, j)  # NumPy's own stub knows integer indices only
    np.add.at(x_pad, where, patches)
    if pad > 0:
        return x_pad[:, :, pad:-pad, pad:-pad]
    return x_pad


def conv_im2col_forward(x: Array, w: Array, b: Array, conv_param: dict[str, int]) -> tuple[Array, Any]:
    """The function of `conv_loops_forward` as one matrix product over patches."""
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, _, H, W = x.shape
    F, _, HH, WW = w.shape
    H_out = (H + 2 * pad - HH) // stride + 1
    W_out = (W + 2 * pad - WW) // stride + 1
    cols = im2col(x, HH, WW, stride, pad)
    out = w.reshape(F, -1).dot(cols) + b.reshape(-1, 1)
    out = out.reshape(F, N, H_out, W_out).transpose(1, 0, 2, 3)
    return out, (x, w, cols, conv_param)


def conv_im2col_backward(dout: Array, cache: Any) -> Any:
    """Gradients dx, dw, db of `conv_im2col_forward`."""
    x, w, cols, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    F, _, HH, WW = w.shape
    db = np.sum(dout, axis=(0, 2, 3))
    dflat = dout.transpose(1, 0, 2, 3).reshape(F, -1)
    dw = dflat.dot(cols.T).reshape(w.shape)
    dcols = w.reshape(F, -1).T.dot(dflat)
    dx = col2im(dcols, x.shape, HH, WW, stride, pad)
    return dx, dw, db


# (H, W, HH, WW, stride, pad): overlap, stride, padding, a remainder the stride leaves over, nothing square.
CONV_SHAPES = [(5, 4, 3, 2, 1, 1), (6, 5, 3, 2, 2, 1), (5, 7, 2, 3, 2, 0), (4, 6, 3, 2, 1, 0)]


def draw_conv(rng: np.random.Generator) -> tuple[Any, ...]:
    """Two images of two channels, two or three filters, one of `CONV_SHAPES`."""
    H, W, HH, WW, stride, pad = CONV_SHAPES[int(rng.integers(len(CONV_SHAPES)))]
    F = int(rng.integers(2, 4))
    x, w, b = rng.normal(size=(2, 2, H, W)), rng.normal(size=(F, 2, HH, WW)), rng.normal(size=F)
    return x, w, b, {"stride": stride, "pad": pad}


def maxpool_loops_forward(x: Array, pool_param: dict[str, int]) -> tuple[Array, Any]:
    """Maxima over the windows of x (N, C, H, W); pool_param holds pool_height, pool_width and stride."""
    N, C, H, W = x.shape
    ph, pw, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    H_out = int(1 + (H - ph) / stride)
    W_out = int(1 + (W - pw) / stride)
    out = np.zeros((N, C, H_out, W_out))
    for n in range(N):
        for c in range(C):
            for i in range(H_out):
                for j in range(W_out):
                    out[n, c, i, j] = np.max(x[n, c, i * stride : i * stride + ph, j * stride : j * stride + pw])
    return out, (x, pool_param)


def maxpool_loops_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `maxpool_loops_forward`: a mask of the places that equal the maximum."""
    x, pool_param = cache
    ph, pw, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C, H_out, W_out = dout.shape
    dx = np.zeros_like(x)
    for n in range(N):
        for c in range(C):
            for i in range(H_out):
                for j in range(W_out):
                    rows = slice(i * stride, i * stride + ph)
                    columns = slice(j * stride, j * stride + pw)
                    x_window = x[n, c, rows, columns]
                    mask = x_window == np.max(x_window)
                    dx[n, c, rows, columns] += mask * dout[n, c, i, j]
    return dx


def maxpool_argmax_forward(x: Array, pool_param: dict[str, int]) -> tuple[Array, Any]:
    """The function of `maxpool_loops_forward`, the place of every maximum being saved."""
    N, C, H, W = x.shape
    ph, pw, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    H_out = 1 + (H - ph) // stride
    W_out = 1 + (W - pw) // stride
    out = np.empty((N, C, H_out, W_out), dtype=x.dtype)
    where = np.zeros((N, C, H_out, W_out), dtype=int)
    for i in range(H_out):
        for j in range(W_out):
            window = x[:, :, i * stride : i * stride + ph, j * stride : j * stride + pw].reshape(N, C, -1)
            where[:, :, i, j] = np.argmax(window, axis=2)
            out[:, :, i, j] = window.max(axis=2)
    return out, (x, where, pool_param)


def maxpool_argmax_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `maxpool_argmax_forward`: dout goes to the saved places."""
    x, where, pool_param = cache
    pw, stride = pool_param["pool_width"], pool_param["stride"]
    N, C, H_out, W_out = dout.shape
    n = np.arange(N)[:, None]
    c = np.arange(C)[None, :]
    dx = np.zeros(x.shape)
    for i in range(H_out):
        for j in range(W_out):
            row, column = where[:, :, i, j] // pw, where[:, :, i, j] % pw
            dx[n, c, i * stride + row, j * stride + column] += dout[:, :, i, j]
    return dx


def avgpool_forward(x: Array, pool_param: dict[str, int]) -> tuple[Array, Any]:
    """Means over the windows of x (N, C, H, W); pool_param as in `maxpool_loops_forward`."""
    N, C, H, W = x.shape
    ph, pw, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    H_out = 1 + (H - ph) // stride
    W_out = 1 + (W - pw) // stride
    out = np.zeros((N, C, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            window = x[:, :, i * stride : i * stride + ph, j * stride : j * stride + pw]
            out[:, :, i, j] = np.mean(window, axis=(2, 3))
    return out, (x.shape, pool_param)


def avgpool_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `avgpool_forward`: every place of a window gets an equal share."""
    shape, pool_param = cache
    ph, pw, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    _, _, H_out, W_out = dout.shape
    dx = np.zeros(shape)
    for i in range(H_out):
        for j in range(W_out):
            share = dout[:, :, i, j] / (ph * pw)
            dx[:, :, i * stride : i * stride + ph, j * stride : j * stride + pw] += share[:, :, None, None]
    return dx


# (H, W, pool_height, pool_width, stride): overlapping, side by side, with gaps and left-over places.
POOL_SHAPES = [(4, 5, 2, 3, 1), (5, 7, 3, 2, 2), (6, 4, 3, 2, 3), (5, 6, 2, 4, 2)]


def draw_pool(rng: np.random.Generator) -> tuple[Any, ...]:
    """Two images of two channels, one of `POOL_SHAPES`."""
    H, W, ph, pw, stride = POOL_SHAPES[int(rng.integers(len(POOL_SHAPES)))]
    return rng.normal(size=(2, 2, H, W)), {"pool_height": ph, "pool_width": pw, "stride": stride}


# Lookup, reductions and products


def embedding_forward(W: Array, idx: Array) -> tuple[Array, Any]:
    """Rows of W (V, D) at the integers idx (N, T); out (N, T, D)."""
    out = W[idx]
    return out, (W, idx)


def embedding_backward(dout: Array, cache: Any) -> Any:
    """Gradient dW of `embedding_forward`: rows that are looked up twice collect twice."""
    W, idx = cache
    dW = np.zeros_like(W)
    np.add.at(dW, idx, dout)
    return dW


def draw_embedding(rng: np.random.Generator) -> tuple[Any, ...]:
    """Twelve lookups in five rows, so that some repeat."""
    return rng.normal(size=(5, 3)), rng.integers(5, size=(3, 4))


def cumsum_forward(x: Array) -> tuple[Array, Any]:
    """Running sums along the rows of x (N, D)."""
    out = np.cumsum(x, axis=1)
    return out, None


def cumsum_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `cumsum_forward`: running sums from the other end."""
    dx = np.cumsum(dout[:, ::-1], axis=1)[:, ::-1]
    return dx


def prod_forward(x: Array) -> tuple[Array, Any]:
    """Products of the rows of x (N, D); out (N,)."""
    out = np.prod(x, axis=1)
    return out, (x, out)


def prod_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `prod_forward`: the product of the other factors, without a division."""
    x, _ = cache
    N, D = x.shape
    dx = np.zeros((N, D))
    for d in range(D):
        others = np.ones(N)
        for e in range(D):
            if e != d:
                others = others * x[:, e]
        dx[:, d] = dout * others
    return dx


def draw_prod(rng: np.random.Generator) -> tuple[Any, ...]:
    """Four rows of three factors; one factor is exactly zero, where the product is as smooth as anywhere."""
    x = rng.choice([-1.0, 1.0], size=(4, 3)) * rng.uniform(0.5, 1.5, size=(4, 3))
    x[int(rng.integers(4)), int(rng.integers(3))] = 0.0
    return (x,)


def gram_forward(x: Array) -> tuple[Array, Any]:
    """All inner products of the rows of x (N, D); out (N, N)."""
    out = np.dot(x, x.T)
    return out, x


def gram_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `gram_forward`: x is used twice, so two terms."""
    x = cache
    return np.dot(dout, x) + np.dot(dout.T, x)


def softmax(x: Array) -> Array:
    """Softmax along the last axis, shifted by the largest entry."""
    shifted = x - np.max(x, axis=-1, keepdims=True)
    e = np.exp(shifted)
    return e / np.sum(e, axis=-1, keepdims=True)


def softmax_forward(x: Array) -> tuple[Array, Any]:
    """Softmax of the rows of x (N, D)."""
    out = softmax(x)
    return out, out


def softmax_backward(dout: Array, cache: Any) -> Any:
    """Gradient dx of `softmax_forward`, one Jacobian per row as it is first taught."""
    p = cache
    dx = np.empty_like(p)
    for n in range(p.shape[0]):
        column = p[n].reshape(-1, 1)
        jacobian = np.diagflat(column) - np.dot(column, column.T)
        dx[n] = np.dot(jacobian, dout[n])
    return dx


def residual_forward(x: Array, W1: Array, b1: Array, W2: Array, b2: Array) -> tuple[Array, Any]:
    """x + relu(x W1 + b1) W2 + b2 for x (N, D), W1 (D, H), W2 (H, D)."""
    hidden, cache1 = affine_forward(x, W1, b1)
    active, cache2 = relu_forward(hidden)
    branch, cache3 = affine_forward(active, W2, b2)
    out = x + branch
    return out, (cache1, cache2, cache3)


def residual_backward(dout: Array, cache: Any) -> Any:
    """Gradients dx, dW1, db1, dW2, db2 of `residual_forward`."""
    cache1, cache2, cache3 = cache
    dactive, dW2, db2 = affine_backward(dout, cache3)
    dhidden = relu_backward(dactive, cache2)
    dx, dW1, db1 = affine_backward(dhidden, cache1)
    dx += dout
    return dx, dW1, db1, dW2, db2


def draw_residual(rng: np.random.Generator) -> tuple[Any, ...]:
    """Four samples of three features, five hidden units."""
    W1, b1 = rng.normal(size=(3, 5)), rng.normal(size=5)
    W2, b2 = rng.normal(size=(5, 3)), rng.normal(size=3)
    return rng.normal(size=(4, 3)), W1, b1, W2, b2


# Recurrent layers


def rnn_step_forward(x: Array, prev_h: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Any]:
    """One step of a vanilla RNN: tanh(x Wx + prev_h Wh + b), x (N, D), prev_h (N, H)."""
    next_h = np.tanh(np.dot(x, Wx) + np.dot(prev_h, Wh) + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_step_backward(dnext_h: Array, cache: Any) -> Any:
    """Gradients dx, dprev_h, dWx, dWh, db of `rnn_step_forward`."""
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h * next_h)
    dx = np.dot(da, Wx.T)
    dprev_h = np.dot(da, Wh.T)
    dWx = np.dot(x.T, da)
    dWh = np.dot(prev_h.T, da)
    db = np.sum(da, axis=0)
    return dx, dprev_h, dWx, dWh, db


def draw_rnn_step(rng: np.random.Generator) -> tuple[Any, ...]:
    """Three samples, two features, four hidden units."""
    x, prev_h = rng.normal(size=(3, 2)), np.tanh(rng.normal(size=(3, 4)))
    return x, prev_h, rng.normal(size=(2, 4)), 0.5 * rng.normal(size=(4, 4)), rng.normal(size=4)


def rnn_forward(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Any]:
    """A vanilla RNN over x (N, T, D) from h0 (N, H); out (N, T, H)."""
    N, T, _ = x.shape
    h = np.zeros((N, T, h0.shape[1]))
    caches = []
    prev_h = h0
    for t in range(T):
        prev_h, step_cache = rnn_step_forward(x[:, t, :], prev_h, Wx, Wh, b)
        h[:, t, :] = prev_h
        caches.append(step_cache)
    return h, (caches, x.shape)


def rnn_backward(dh: Array, cache: Any) -> Any:
    """Gradients dx, dh0, dWx, dWh, db of `rnn_forward`, back through time."""
    caches, (N, T, D) = cache
    H = dh.shape[2]
    dx = np.zeros((N, T, D))
    dWx, dWh, db = np.zeros((D, H)), np.zeros((H, H)), np.zeros(H)
    dprev_h = np.zeros((N, H))
    for t in reversed(range(T)):
        dx[:, t, :], dprev_h, dWx_t, dWh_t, db_t = rnn_step_backward(dh[:, t, :] + dprev_h, caches[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dprev_h, dWx, dWh, db


def draw_rnn(rng: np.random.Generator) -> tuple[Any, ...]:
    """Two samples, three steps, three features, four hidden units."""
    x, h0 = rng.normal(size=(2, 3, 3)), np.tanh(rng.normal(size=(2, 4)))
    return x, h0, 0.7 * rng.normal(size=(3, 4)), 0.5 * rng.normal(size=(4, 4)), 0.5 * rng.normal(size=4)


def lstm_step_forward(x: Array, prev_h: Array, prev_c: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Any]:
    """One step of an LSTM, x (N, D), prev_h and prev_c (N, H), Wx (D, 4H), Wh (H, 4H), b (4H,).

    The four blocks are input gate, forget gate, output gate and candidate; out (2, N, H) is hidden and cell
    state. Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000).
    """
    H = prev_h.shape[1]
    a = x.dot(Wx) + prev_h.dot(Wh) + b
    i = sigmoid(a[:, :H])
    f = sigmoid(a[:, H : 2 * H])
    o = sigmoid(a[:, 2 * H : 3 * H])
    g = np.tanh(a[:, 3 * H :])
    next_c = f * prev_c + i * g
    tanh_c = np.tanh(next_c)
    next_h = o * tanh_c
    cache = (x, prev_h, prev_c, Wx, Wh, i, f, o, g, tanh_c)
    return np.stack((next_h, next_c)), cache


def lstm_step_backward(dout: Array, cache: Any) -> Any:
    """Gradients dx, dprev_h, dprev_c, dWx, dWh, db of `lstm_step_forward`; dout (2, N, H)."""
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, tanh_c = cache
    dnext_h, dnext_c = dout[0], dout[1]
    dc = dnext_c + dnext_h * o * (1 - tanh_c**2)
    di = dc * g * i * (1 - i)
    df = dc * prev_c * f * (1 - f)
    do = dnext_h * tanh_c * o * (1 - o)
    dg = dc * i * (1 - g**2)
    da = np.hstack((di, df, do, dg))
    dx = da.dot(Wx.T)
    dprev_h = da.dot(Wh.T)
    dprev_c = dc * f
    dWx = x.T.dot(da)
    dWh = prev_h.T.dot(da)
    db = da.sum(axis=0)
    return dx, dprev_h, dprev_c, dWx, dWh, db


def draw_lstm_step(rng: np.random.Generator) -> tuple[Any, ...]:
    """Three samples, two features, three hidden units."""
    x, prev_h, prev_c = rng.normal(size=(3, 2)), np.tanh(rng.normal(size=(3, 3))), rng.normal(size=(3, 3))
    return x, prev_h, prev_c, rng.normal(size=(2, 12)), 0.6 * rng.normal(size=(3, 12)), rng.normal(size=12)


def lstm_forward(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Any]:
    """An LSTM over x (N, T, D) from h0 (N, H) and a cell state of zeros; out (N, T, H)."""
    N, T, _ = x.shape
    H = h0.shape[1]
    h = np.zeros((N, T, H))
    prev_h, prev_c = h0, np.zeros((N, H))
    caches = []
    for t in range(T):
        state, step_cache = lstm_step_forward(x[:, t], prev_h, prev_c, Wx, Wh, b)
        prev_h, prev_c = state
        h[:, t] = prev_h
        caches.append(step_cache)
    return h, caches


def lstm_backward(dh: Array, cache: Any) -> Any:
    """Gradients dx, dh0, dWx, dWh, db of `lstm_forward`, back through time along h and along c."""
    N, T, H = dh.shape
    x, _, _, Wx, Wh = cache[0][:5]
    dx = np.zeros((N, T, x.shape[1]))
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(4 * H)
    dprev_h, dprev_c = np.zeros((N, H)), np.zeros((N, H))
    for t in range(T - 1, -1, -1):
        dstate = np.stack((dh[:, t] + dprev_h, dprev_c))
        dx[:, t], dprev_h, dprev_c, dWx_t, dWh_t, db_t = lstm_step_backward(dstate, cache[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dprev_h, dWx, dWh, db


def draw_lstm(rng: np.random.Generator) -> tuple[Any, ...]:
    """Two samples, three steps, two features, three hidden units."""
    x, h0 = rng.normal(size=(2, 3, 2)), np.tanh(rng.normal(size=(2, 3)))
    return x, h0, rng.normal(size=(2, 12)), 0.6 * rng.normal(size=(3, 12)), rng.normal(size=12)


def gru_step_forward(x: Array, prev_h: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Any]:
    """One step of a GRU, x (N, D), prev_h (N, H), Wx (D, 3H), Wh (H, 3H), b (3H,); Cho et al. (2014).

    The three blocks are reset gate, update gate and candidate; the reset gate acts on prev_h Wh.
    """
    H = prev_h.shape[1]
    from_x = x @ Wx + b
    from_h = prev_h @ Wh
    r = sigmoid(from_x[:, :H] + from_h[:, :H])
    z = sigmoid(from_x[:, H : 2 * H] + from_h[:, H : 2 * H])
    n = np.tanh(from_x[:, 2 * H :] + r * from_h[:, 2 * H :])
    next_h = (1 - z) * n + z * prev_h
    return next_h, (x, prev_h, Wx, Wh, r, z, n, from_h[:, 2 * H :])


def gru_step_backward(dnext_h: Array, cache: Any) -> Any:
    """Gradients dx, dprev_h, dWx, dWh, db of `gru_step_forward`."""
    x, prev_h, Wx, Wh, r, z, n, recurrent = cache
    N, H = prev_h.shape
    dn = dnext_h * (1 - z) * (1 - n * n)
    dz = dnext_h * (prev_h - n) * z * (1 - z)
    dr = dn * recurrent * r * (1 - r)
    dfrom_x = np.zeros((N, 3 * H))
    dfrom_x[:, :H] = dr
    dfrom_x[:, H : 2 * H] = dz
    dfrom_x[:, 2 * H :] = dn
    dfrom_h = dfrom_x.copy()
    dfrom_h[:, 2 * H :] *= r
    dx = dfrom_x @ Wx.T
    dprev_h = dnext_h * z + dfrom_h @ Wh.T
    dWx = x.T @ dfrom_x
    dWh = prev_h.T @ dfrom_h
    db = dfrom_x.sum(0)
    return dx, dprev_h, dWx, dWh, db


def draw_gru_step(rng: np.random.Generator) -> tuple[Any, ...]:
    """Three samples, two features, four hidden units."""
    x, prev_h = rng.normal(size=(3, 2)), np.tanh(rng.normal(size=(3, 4)))
    return x, prev_h, rng.normal(size=(2, 12)), 0.6 * rng.normal(size=(4, 12)), rng.normal(size=12)


# Attention, Vaswani et al. (2017)


def attention_forward(q: Array, k: Array, v: Array) -> tuple[Array, Any]:
    """softmax(q k^T / sqrt(d)) v for q (B, T, d), k (B, S, d), v (B, S, e); out (B, T, e)."""
    d_k = q.shape[-1]
    scores = np.matmul(q, k.transpose(0, 2, 1)) / np.sqrt(d_k)
    p = softmax(scores)
    out = np.matmul(p, v)
    return out, (q, k, v, p)


def attention_backward(dout: Array, cache: Any) -> Any:
    """Gradients dq, dk, dv of `attention_forward` and of its causal forms, where p is 0 at what is hidden."""
    q, k, v, p = cache
    d_k = q.shape[-1]
    dv = p.swapaxes(1, 2) @ dout
    dp = dout @ v.swapaxes(1, 2)
    dscores = p * (dp - np.sum(dp * p, axis=-1, keepdims=True))
    dscores = dscores / np.sqrt(d_k)
    dq = dscores @ k
    dk = dscores.swapaxes(1, 2) @ q
    return dq, dk, dv


def draw_attention(rng: np.random.Generator) -> tuple[Any, ...]:
    """Two batches, three queries, four keys of length five, values of length two."""
    return rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 4, 5)), rng.normal(size=(2, 4, 2))


def causal_additive_forward(q: Array, k: Array, v: Array) -> tuple[Array, Any]:
    """Causal attention for q, k (B, T, d), v (B, T, e): -1e9 is added to the scores of what comes later."""
    T, d_k = q.shape[1], q.shape[2]
    mask = np.triu(np.ones((T, T)), k=1)
    scores = q @ k.swapaxes(-2, -1) / np.sqrt(d_k)
    scores = scores + mask * -1e9
    p = softmax(scores)
    out = p @ v
    return out, (q, k, v, p)


def causal_infinite_forward(q: Array, k: Array, v: Array) -> tuple[Array, Any]:
    """Causal attention for q, k (B, T, d), v (B, T, e): the scores of what comes later are set to -inf."""
    T, d_k = q.shape[1], q.shape[2]
    hidden = np.triu(np.ones((T, T), dtype=bool), k=1)
    scores = q @ k.swapaxes(-2, -1) / np.sqrt(d_k)
    scores[:, hidden] = -np.inf
    p = softmax(scores)
    out = p @ v
    return out, (q, k, v, p)


def draw_causal(rng: np.random.Generator) -> tuple[Any, ...]:
    """Two batches, four places, queries and keys of length three, values of length two."""
    return rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 2))


def attention_einsum_forward(q: Array, k: Array, v: Array) -> tuple[Array, Any]:
    """Attention of h heads by einsum: q (B, T, h, d), k and v (B, S, h, d); out (B, T, h, d)."""
    scale = 1 / np.sqrt(q.shape[-1])
    scores = np.einsum("bthd,bshd->bhts", q, k) * scale
    p = softmax(scores)
    out = np.einsum("bhts,bshd->bthd", p, v)
    return out, (q, k, v, p, scale)


def attention_einsum_backward(dout: Array, cache: Any) -> Any:
    """Gradients dq, dk, dv of `attention_einsum_forward`."""
    q, k, v, p, scale = cache
    dv = np.einsum("bhts,bthd->bshd", p, dout)
    dp = np.einsum("bthd,bshd->bhts", dout, v)
    dscores = p * (dp - (p * dp).sum(axis=-1, keepdims=True)) * scale
    dq = np.einsum("bhts,bshd->bthd", dscores, k)
    dk = np.einsum("bhts,bthd->bshd", dscores, q)
    return dq, dk, dv


def draw_attention_einsum(rng: np.random.Generator) -> tuple[Any, ...]:
    """One batch, three queries, four keys, two heads of length three."""
    return rng.normal(size=(1, 3, 2, 3)), rng.normal(size=(1, 4, 2, 3)), rng.normal(size=(1, 4, 2, 3))


def self_attention_forward(x: Array, Wq: Array, Wk: Array, Wv: Array) -> tuple[Array, Any]:
    """Causal self-attention of x (B, T, D), Wq and Wk (D, d), Wv (D, e); hidden scores become -1e9."""
    q, k, v = np.dot(x, Wq), np.dot(x, Wk), np.dot(x, Wv)
    T, d_k = q.shape[1], q.shape[2]
    visible = np.tril(np.ones((T, T))) == 1
    scores = np.matmul(q, np.transpose(k, (0, 2, 1))) / np.sqrt(d_k)
    p = softmax(np.where(visible, scores, -1e9))
    out = p @ v
    return out, (x, Wq, Wk, Wv, q, k, v, p, visible)


def self_attention_backward(dout: Array, cache: Any) -> Any:
    """Gradients dx, dWq, dWk, dWv of `self_attention_forward`; x is reached through q, k and v."""
    x, Wq, Wk, Wv, q, k, v, p, visible = cache
    B, T, D = x.shape
    dv = p.swapaxes(1, 2) @ dout
    dp = dout @ v.swapaxes(1, 2)
    dscores = p * (dp - np.sum(dp * p, axis=2, keepdims=True))
    dscores = np.where(visible, dscores, 0) / np.sqrt(q.shape[2])
    dq = dscores @ k
    dk = dscores.swapaxes(1, 2) @ q
    dx = np.zeros((B, T, D))
    dx += dq @ Wq.T
    dx += dk @ Wk.T
    dx += dv @ Wv.T
    flat = x.reshape(B * T, D).T
    dWq = flat @ dq.reshape(B * T, -1)
    dWk = flat @ dk.reshape(B * T, -1)
    dWv = flat @ dv.reshape(B * T, -1)
    return dx, dWq, dWk, dWv


def draw_self_attention(rng: np.random.Generator) -> tuple[Any, ...]:
    """Two batches, three places, four features, queries and keys of length three, values of length two."""
    x = rng.normal(size=(2, 3, 4))
    return x, rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.normal(size=(4, 2))


# Losses


def softmax_loss(x: Array, y: Array) -> tuple[Array, Any]:
    """Mean cross-entropy of the scores x (N, C) and the labels y (N,); gradient dx."""
    N = x.shape[0]
    shifted = x - np.max(x, axis=1, keepdims=True)
    log_probs = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    probs = np.exp(log_probs)
    loss = -np.sum(log_probs[np.arange(N), y]) / N
    dx = probs.copy()
    dx[np.arange(N), y] -= 1
    dx /= N
    return loss, dx


def svm_loss(x: Array, y: Array) -> tuple[Array, Any]:
    """Mean multiclass hinge loss of scores x (N, C) and labels y (N,), Weston and Watkins (1999); dx."""
    N = x.shape[0]
    correct = x[np.arange(N), y]
    margins = np.maximum(0, x - correct[:, np.newaxis] + 1.0)
    margins[np.arange(N), y] = 0
    loss = np.sum(margins) / N
    num_pos = np.sum(margins > 0, axis=1)
    dx = np.zeros_like(x)
    dx[margins > 0] = 1
    dx[np.arange(N), y] -= num_pos
    dx /= N
    return loss, dx


def svm_astype_loss(x: Array, y: Array) -> tuple[Array, Any]:
    """The function of `svm_loss` with the mask turned into floats."""
    N, C = x.shape
    right = np.eye(C)[y].astype(bool)
    margins = np.maximum(0, x - x[right].reshape(N, 1) + 1)
    margins[right] = 0
    loss = margins.sum() / N
    mask = (margins > 0).astype(float)
    mask[np.arange(N), y] = -mask.sum(axis=1)
    dx = mask / N
    return loss, dx


def draw_scores(rng: np.random.Generator) -> tuple[Any, ...]:
    """Five rows of four scores, labels that repeat."""
    return rng.normal(size=(5, 4)), rng.integers(4, size=5)


def svm_loops_loss(W: Array, X: Array, y: Array, reg: float) -> tuple[Array, Any]:
    """Regularised multiclass hinge loss of a linear classifier, X (N, D), W (D, C), by loops; gradient dW."""
    dW = np.zeros(W.shape)
    num_train, num_classes = X.shape[0], W.shape[1]
    loss = 0.0
    for i in range(num_train):
        scores = X[i].dot(W)
        for j in range(num_classes):
            if j == y[i]:
                continue
            margin = scores[j] - scores[y[i]] + 1
            if margin > 0:
                loss += margin
                dW[:, j] += X[i]
                dW[:, y[i]] -= X[i]
    loss /= num_train
    dW /= num_train
    loss += 0.5 * reg * np.sum(W * W)
    dW += reg * W
    return loss, dW


def draw_svm_loops(rng: np.random.Generator) -> tuple[Any, ...]:
    """Five samples of three features, four classes."""
    return rng.normal(size=(3, 4)), rng.normal(size=(5, 3)), rng.integers(4, size=5), 0.1


def mse_loss(y_hat: Array, y: Array) -> tuple[Array, Any]:
    """Mean over the m rows of the squared distance of y_hat and y (m, K); gradient dy_hat."""
    m = y.shape[0]
    diff = y_hat - y
    loss = (1.0 / m) * np.sum(diff**2)
    dy_hat = (2.0 / m) * diff
    return loss, dy_hat


def draw_mse(rng: np.random.Generator) -> tuple[Any, ...]:
    """Predictions and targets (7, 3)."""
    return rng.normal(size=(7, 3)), rng.normal(size=(7, 3))


def bce_loss(z: Array, y: Array) -> tuple[Array, Any]:
    """Mean binary cross-entropy of logits z and targets y, both (1, m), by clipped probabilities; dz."""
    m = y.shape[1]
    a = 1 / (1 + np.exp(-z))
    a = np.clip(a, 1e-7, 1 - 1e-7)
    loss = -1.0 / m * np.sum(y * np.log(a) + (1 - y) * np.log(1 - a))
    dz = 1.0 / m * (a - y)
    return loss, dz


def draw_bce(rng: np.random.Generator) -> tuple[Any, ...]:
    """Six logits that stay clear of the clip, targets of both kinds."""
    return 2 * rng.normal(size=(1, 6)), rng.permutation(np.array([[0.0, 1.0, 0.0, 1.0, 1.0, 0.0]]), axis=1)


def bce_probabilities_loss(a: Array, y: Array) -> tuple[Array, Any]:
    """Mean binary cross-entropy of the probabilities a and the targets y, both (m, 1); gradient da."""
    m = a.shape[0]
    p = np.clip(a, 1e-7, 1.0 - 1e-7)
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    da = -(np.divide(y, p) - np.divide(1 - y, 1 - p)) / m
    return loss, da


def draw_bce_probabilities(rng: np.random.Generator) -> tuple[Any, ...]:
    """Seven probabilities inside the clip, targets of both kinds."""
    y = rng.permutation(np.array([0, 1, 0, 1, 1, 0, 1])).reshape(7, 1)
    return rng.uniform(0.05, 0.95, size=(7, 1)), y


def huber_loss(y_hat: Array, y: Array, delta: float) -> tuple[Array, Any]:
    """Mean Huber loss of y_hat and y (N,) with its corner at delta; gradient dy_hat."""
    r = y_hat - y
    small = np.abs(r) <= delta
    loss = np.mean(np.where(small, 0.5 * r**2, delta * (np.abs(r) - 0.5 * delta)))
    dy_hat = np.where(small, r, delta * np.sign(r)) / r.size
    return loss, dy_hat


def draw_huber(rng: np.random.Generator) -> tuple[Any, ...]:
    """Nine residuals, some on either side of the corner."""
    residuals = np.array([0.1, -0.2, 0.3, 2.0, -2.5, 3.0, 0.05, -1.9, 1.5]) * rng.uniform(0.8, 1.2, size=9)
    y = rng.normal(size=9)
    return y + residuals, y, 0.75


def two_layer_loss(params: dict[str, Array], X: Array, y: Array, reg: float) -> tuple[Array, Any]:
    """Cross-entropy of a two-layer ReLU network plus weight decay; X (N, D), y (N,) labels.

    params holds W1 (D, H), b1 (H,), W2 (H, C), b2 (C,); the gradients come in a dict with the same keys.
    """
    W1, b1, W2, b2 = params["W1"], params["b1"], params["W2"], params["b2"]
    N = X.shape[0]
    hidden = np.maximum(0, X.dot(W1) + b1)
    scores = hidden.dot(W2) + b2
    e = np.exp(scores - np.max(scores, axis=1, keepdims=True))
    probs = e / np.sum(e, axis=1, keepdims=True)
    loss = np.sum(-np.log(probs[range(N), y])) / N
    loss += 0.5 * reg * (np.sum(W1 * W1) + np.sum(W2 * W2))

    grads = {}
    dscores = probs
    dscores[range(N), y] -= 1
    dscores /= N
    grads["W2"] = hidden.T.dot(dscores) + reg * W2
    grads["b2"] = np.sum(dscores, axis=0)
    dhidden = dscores.dot(W2.T)
    dhidden[hidden <= 0] = 0
    grads["W1"] = X.T.dot(dhidden) + reg * W1
    grads["b1"] = np.sum(dhidden, axis=0)
    return loss, grads


def draw_two_layer(rng: np.random.Generator) -> tuple[Any, ...]:
    """Five samples of four features, six hidden units, three classes."""
    params = {
        "W1": rng.normal(size=(4, 6)),
        "b1": rng.normal(size=6),
        "W2": rng.normal(size=(6, 3)),
        "b2": rng.normal(size=3),
    }
    return params, rng.normal(size=(5, 4)), rng.integers(3, size=5), 0.05


def logistic_loss(w: Array, b: Array, X: Array, Y: Array) -> tuple[Array, Any]:
    """Logistic regression with samples as columns: X (n, m), Y (1, m), w (n, 1), b (); gradients dw, db."""
    m = X.shape[1]
    A = sigmoid(np.dot(w.T, X) + b)
    cost = (-1 / m) * np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A))
    dw = (1 / m) * np.dot(X, (A - Y).T)
    db = (1 / m) * np.sum(A - Y)
    return np.squeeze(cost), (dw, db)


def draw_logistic(rng: np.random.Generator) -> tuple[Any, ...]:
    """Seven samples of three features."""
    Y = (rng.random(size=(1, 7)) < 0.5).astype(int)
    return rng.normal(size=(3, 1)), np.asarray(rng.normal()), rng.normal(size=(3, 7)), Y


def shallow_loss(W1: Array, b1: Array, W2: Array, b2: Array, X: Array, Y: Array) -> tuple[Array, Any]:
    """Binary cross-entropy of a tanh network, samples as columns; gradients dW1, db1, dW2, db2.

    X (n, m), Y (1, m), W1 (h, n), b1 (h, 1), W2 (1, h), b2 (1, 1).
    """
    m = X.shape[1]
    A1 = np.tanh(np.dot(W1, X) + b1)
    A2 = 1 / (1 + np.exp(-(np.dot(W2, A1) + b2)))
    cost = -np.sum(np.multiply(np.log(A2), Y) + np.multiply(np.log(1 - A2), 1 - Y)) / m
    dZ2 = A2 - Y
    dW2 = np.dot(dZ2, A1.T) / m
    db2 = np.sum(dZ2, axis=1, keepdims=True) / m
    dZ1 = np.multiply(np.dot(W2.T, dZ2), 1 - np.power(A1, 2))
    dW1 = np.dot(dZ1, X.T) / m
    db1 = np.sum(dZ1, axis=1, keepdims=True) / m
    return cost, (dW1, db1, dW2, db2)


def draw_shallow(rng: np.random.Generator) -> tuple[Any, ...]:
    """Six samples of two features, four hidden units."""
    W1, b1, W2, b2 = (rng.normal(size=shape) for shape in [(4, 2), (4, 1), (1, 4), (1, 1)])
    Y = (rng.random(size=(1, 6)) < 0.5).astype(int)
    return W1, b1, W2, b2, rng.normal(size=(2, 6)), Y


def kl_loss(logits: Array, target: Array) -> tuple[Array, Any]:
    """Mean divergence KL(target || softmax(logits)) over the rows, both (N, C); gradient dlogits."""
    N = logits.shape[0]
    q = softmax(logits)
    loss = np.sum(target * (np.log(target) - np.log(q))) / N
    dlogits = (q - target) / N
    return loss, dlogits


def draw_kl(rng: np.random.Generator) -> tuple[Any, ...]:
    """Four rows of five logits, targets in multiples of 1/16 so that each row sums to exactly one."""
    target = np.array([rng.permutation(np.array([1, 2, 3, 4, 6])) for _ in range(4)]) / 16
    return rng.normal(size=(4, 5)), target


def hinge_loss(w: Array, b: Array, X: Array, y: Array, C: float) -> tuple[Array, Any]:
    """Soft margin w.w / 2 + C sum max(0, 1 - y (X w + b)), X (N, D), y (N,) of -1 and 1; dw, db."""
    margin = 1 - y * (X @ w + b)
    active = margin > 0
    loss = 0.5 * np.dot(w, w) + C * np.sum(margin[active])
    dw = w - C * np.dot(X[active].T, y[active])
    db = -C * np.sum(y[active])
    return loss, (dw, db)


def draw_hinge(rng: np.random.Generator) -> tuple[Any, ...]:
    """Seven samples of three features, of both labels on both sides of the hinge."""
    y = np.array([1, 1, -1, 1, 1, 1, -1])
    scores = y * np.array([-0.8, 0.3, 0.6, 0.1, 1.7, 2.4, 1.3]) * rng.uniform(0.9, 1.1, size=7)
    w, b, X = rng.normal(size=3), np.asarray(rng.normal()), rng.normal(size=(7, 3))
    X = X + np.outer(scores - b - X @ w, w) / np.dot(w, w)
    order = rng.permutation(7)
    return w, b, X[order], y[order], 0.7


def negative_sampling_loss(v: Array, U: Array, target: int, negatives: Array) -> tuple[Array, Any]:
    """Skip-gram with negative sampling, Mikolov et al. (2013): v (D,), U (V, D), ids may repeat; dv, dU."""
    dv = np.zeros(v.shape)
    dU = np.zeros(U.shape)
    score = sigmoid(np.dot(U, v))
    loss = -np.log(score[target])
    dv += (score[target] - 1) * U[target]
    dU[target] += (score[target] - 1) * v
    for k in negatives:
        loss -= np.log(1 - score[k])
        dv += score[k] * U[k]
        dU[k] += score[k] * v
    return loss, (dv, dU)


def draw_negative_sampling(rng: np.random.Generator) -> tuple[Any, ...]:
    """Six words, one target, seven negatives among the other five, so that some repeat."""
    return rng.normal(size=4), rng.normal(size=(6, 4)), 2, rng.choice(np.array([0, 1, 3, 4, 5]), size=7)


def cosine_loss(a: Array, b: Array) -> tuple[Array, Any]:
    """Mean of 1 - cos(a, b) over the rows, both (N, D); gradients da, db."""
    N = a.shape[0]
    na = np.sqrt(np.sum(a**2, axis=1, keepdims=True))
    nb = np.sqrt(np.sum(b**2, axis=1, keepdims=True))
    cos = np.sum(a * b, axis=1, keepdims=True) / (na * nb)
    loss = np.mean(1 - cos)
    da = -(b / (na * nb) - cos * a / na**2) / N
    db = -(a / (na * nb) - cos * b / nb**2) / N
    return loss, (da, db)


def draw_cosine(rng: np.random.Generator) -> tuple[Any, ...]:
    """Three pairs of rows of four."""
    return rng.normal(size=(3, 4)), rng.normal(size=(3, 4))


def center_loss(x: Array, centers: Array, y: Array) -> tuple[Array, Any]:
    """Half the mean squared distance of x (N, D) to the center (K, D) of its label; dx, dcenters."""
    N = len(x)
    diff = x - centers[y]
    loss = 0.5 / N * np.sum(np.square(diff))
    dx = diff / N
    dcenters = np.zeros_like(centers)
    np.subtract.at(dcenters, y, diff / N)
    return loss, (dx, dcenters)


def draw_center(rng: np.random.Generator) -> tuple[Any, ...]:
    """Five samples, three centers, so that some labels repeat."""
    return rng.normal(size=(5, 3)), rng.normal(size=(3, 3)), rng.integers(3, size=5)


LAYERS: list[Layer] = [
    Layer("affine", affine_forward, affine_backward, draw_affine, (0, 1, 2)),
    Layer("scale-shift", scale_shift_forward, scale_shift_backward, draw_scale_shift, (0, 1, 2)),
    Layer("relu", relu_forward, relu_backward, draw_elementwise, (0,)),
    Layer("relu-product", relu_forward, relu_product_backward, draw_elementwise, (0,)),
    Layer("leaky-relu", leaky_relu_forward, leaky_relu_backward, draw_leaky, (0,)),
    Layer("elu", elu_forward, elu_backward, draw_elu, (0,)),
    Layer("sigmoid", sigmoid_forward, sigmoid_backward, draw_elementwise, (0,)),
    Layer("sigmoid-branches", sigmoid_branches_forward, sigmoid_backward, draw_elementwise, (0,)),
    Layer("tanh", tanh_forward, tanh_backward, draw_elementwise, (0,)),
    Layer("gelu-tanh", gelu_forward, gelu_backward, draw_elementwise, (0,)),
    Layer("softplus", softplus_forward, softplus_backward, draw_elementwise, (0,)),
    Layer("swish", swish_forward, swish_backward, draw_elementwise, (0,)),
    Layer("dropout", dropout_forward, dropout_backward, draw_dropout, (0,)),
    Layer("batchnorm-staged", batchnorm_forward, batchnorm_staged_backward, draw_batchnorm_train, (0, 1, 2)),
    Layer(
        "batchnorm-simplified",
        batchnorm_forward,
        batchnorm_simplified_backward,
        draw_batchnorm_train,
        (0, 1, 2),
    ),
    Layer("batchnorm-test", batchnorm_forward, batchnorm_test_backward, draw_batchnorm_test, (0, 1, 2)),
    Layer("layernorm", layernorm_forward, layernorm_backward, draw_layernorm, (0, 1, 2)),
    Layer("rmsnorm", rmsnorm_forward, rmsnorm_backward, draw_rmsnorm, (0, 1)),
    Layer("groupnorm", groupnorm_forward, groupnorm_backward, draw_groupnorm, (0, 1, 2)),
    Layer("l2-normalise", l2_normalise_forward, l2_normalise_backward, draw_rows, (0,)),
    Layer("conv-loops", conv_loops_forward, conv_loops_backward, draw_conv, (0, 1, 2)),
    Layer("conv-im2col", conv_im2col_forward, conv_im2col_backward, draw_conv, (0, 1, 2)),
    Layer("maxpool-loops", maxpool_loops_forward, maxpool_loops_backward, draw_pool, (0,)),
    Layer("maxpool-argmax", maxpool_argmax_forward, maxpool_argmax_backward, draw_pool, (0,)),
    Layer("avgpool", avgpool_forward, avgpool_backward, draw_pool, (0,)),
    Layer("embedding", embedding_forward, embedding_backward, draw_embedding, (0,)),
    Layer("cumsum", cumsum_forward, cumsum_backward, draw_rows, (0,)),
    Layer("prod", prod_forward, prod_backward, draw_prod, (0,)),
    Layer("gram", gram_forward, gram_backward, draw_rows, (0,)),
    Layer("softmax", softmax_forward, softmax_backward, draw_rows, (0,)),
    Layer("residual", residual_forward, residual_backward, draw_residual, (0, 1, 2, 3, 4)),
    Layer("rnn-step", rnn_step_forward, rnn_step_backward, draw_rnn_step, (0, 1, 2, 3, 4)),
    Layer("rnn-sequence", rnn_forward, rnn_backward, draw_rnn, (0, 1, 2, 3, 4)),
    Layer("lstm-step", lstm_step_forward, lstm_step_backward, draw_lstm_step, (0, 1, 2, 3, 4, 5)),
    Layer("lstm-sequence", lstm_forward, lstm_backward, draw_lstm, (0, 1, 2, 3, 4)),
    Layer("gru-step", gru_step_forward, gru_step_backward, draw_gru_step, (0, 1, 2, 3, 4)),
    Layer("attention", attention_forward, attention_backward, draw_attention, (0, 1, 2)),
    Layer("attention-causal-additive", causal_additive_forward, attention_backward, draw_causal, (0, 1, 2)),
    Layer("attention-causal-infinite", causal_infinite_forward, attention_backward, draw_causal, (0, 1, 2)),
    Layer(
        "attention-einsum",
        attention_einsum_forward,
        attention_einsum_backward,
        draw_attention_einsum,
        (0, 1, 2),
    ),
    Layer("self-attention", self_attention_forward, self_attention_backward, draw_self_attention, (0, 1, 2, 3)),
]

LOSSES: list[Loss] = [
    Loss("softmax-cross-entropy", softmax_loss, draw_scores, (0,)),
    Loss("svm", svm_loss, draw_scores, (0,)),
    Loss("svm-astype", svm_astype_loss, draw_scores, (0,)),
    Loss("svm-loops", svm_loops_loss, draw_svm_loops, (0,)),
    Loss("mse", mse_loss, draw_mse, (0,)),
    Loss("bce", bce_loss, draw_bce, (0,)),
    Loss("bce-probabilities", bce_probabilities_loss, draw_bce_probabilities, (0,)),
    Loss("huber", huber_loss, draw_huber, (0,)),
    Loss("two-layer-network", two_layer_loss, draw_two_layer, (0,)),
    Loss("logistic-columns", logistic_loss, draw_logistic, (0, 1)),
    Loss("shallow-network-columns", shallow_loss, draw_shallow, (0, 1, 2, 3)),
    Loss("kl-divergence", kl_loss, draw_kl, (0,)),
    Loss("hinge-binary", hinge_loss, draw_hinge, (0, 1)),
    Loss("negative-sampling", negative_sampling_loss, draw_negative_sampling, (0, 1)),
    Loss("cosine", cosine_loss, draw_cosine, (0, 1)),
    Loss("center", center_loss, draw_center, (0, 1)),
]

SUBJECTS: list[Layer | Loss] = [*LAYERS, *LOSSES]
BY_ID: dict[str, Layer | Loss] = {subject.id: subject for subject in SUBJECTS}
