"""Wrong gradients as people write them, for the layers of `course_layers`, and right ones that look wrong.

The mistakes are those that issue threads and a survey of hand-written NumPy backprop show: a missing path,
`=` for `+=`, a mean for a sum, a broadcast that is not summed back, a wrong saved value, a wrong axis, stride or
gate, a missing factor, a sign, an upstream gradient that is ignored. One row per mistake, in four lists:

- FAULTS     wrong by more than 1e-4 of the largest entry, in the gradients named and in no other;
- SUBTLE     wrong by less than 1e-3 of the largest entry, where the usual float64 comparison sees nothing;
- MUTATIONS  right values, but an argument, dout or the cache (that is the kind) is changed on the way;
- CONTROLS   right, though they look wrong or differ from the textbook: a checker has to stay green.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.meta import course_layers as course
from tests.meta.course_layers import Array, sigmoid, softmax


@dataclass(frozen=True)
class Fault:
    """A gradient to be tried in place of the right one of a layer or loss.

    layer_id    the id of the layer or of the loss
    candidate   for a layer its backward, for a loss the whole function
    wrong       indices of the wrong gradients among the leaves, see `course_layers.leaves`; empty: all right
    kind        the class of the mistake, or what makes a control look wrong
    when        the configuration that shows it; empty: every draw does
    forward     the forward that goes with it, where that is not the layer's own
    """

    id: str
    layer_id: str
    candidate: Callable[..., Any]
    wrong: tuple[int, ...]
    kind: str
    when: str = ""
    forward: Callable[..., tuple[Any, Any]] | None = None


# Faults: affine and element-wise layers


def affine_bias_mean(dout: Array, cache: Any) -> Any:
    """The bias gradient is averaged over the batch."""
    x, w, _ = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.mean(dout, axis=0)
    return dx, dw, db


def affine_bias_not_reduced(dout: Array, cache: Any) -> Any:
    """The bias was broadcast over the batch; its gradient is not summed back."""
    x, w, _ = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = dout
    return dx, dw, db


def affine_weight_over_batch(dout: Array, cache: Any) -> Any:
    """The weight gradient is divided by the batch size, which the loss has done already."""
    x, w, _ = cache
    N = x.shape[0]
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(N, -1).T.dot(dout) / N
    db = np.sum(dout, axis=0)
    return dx, dw, db


def affine_weight_ignores_dout(dout: Array, cache: Any) -> Any:
    """The weight gradient is that of the sum of the outputs."""
    x, w, _ = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(np.ones_like(dout))
    db = np.sum(dout, axis=0)
    return dx, dw, db


def scale_shift_wrong_axis(dout: Array, cache: Any) -> Any:
    """The scale gradient is summed over the batch and read at the first place, not summed over places."""
    x, gamma = cache
    dx = dout * gamma[None, :, None]
    dgamma = (dout * x).sum(axis=0)[:, 0]
    dbeta = dout.sum(axis=(0, 2))
    return dx, dgamma, dbeta


def scale_shift_not_reduced(dout: Array, cache: Any) -> Any:
    """The shift was broadcast over the batch and over places; only the batch is summed."""
    x, gamma = cache
    dx = dout * gamma[None, :, None]
    dgamma = (dout * x).sum(axis=(0, 2))
    dbeta = dout.sum(axis=0)
    return dx, dgamma, dbeta


def relu_gate_on_dout(dout: Array, cache: Any) -> Any:
    """The gate looks at the sign of the gradient instead of the input."""
    dx = dout.copy()
    dx[dout <= 0] = 0
    return dx


def relu_gate_reversed(dout: Array, cache: Any) -> Any:
    """The gate closes where it should open."""
    x = cache
    dx = dout.copy()
    dx[x >= 0] = 0
    return dx


def relu_ignores_dout(dout: Array, cache: Any) -> Any:
    """The local derivative is returned without the chain rule."""
    x = cache
    return (x > 0).astype(float)


def relu_returns_value(dout: Array, cache: Any) -> Any:
    """The function itself stands where its derivative belongs."""
    x = cache
    return dout * np.maximum(0, x)


def leaky_relu_no_slope(dout: Array, cache: Any) -> Any:
    """The negative side is treated as in the plain rectifier."""
    x, _ = cache
    return np.where(x > 0, dout, 0)


def leaky_relu_sides_swapped(dout: Array, cache: Any) -> Any:
    """The slope is on the wrong side."""
    x, alpha = cache
    return np.where(x > 0, alpha * dout, dout)


def leaky_relu_half_chain_rule(dout: Array, cache: Any) -> Any:
    """The upstream gradient is missing on one side."""
    x, alpha = cache
    return np.where(x > 0, dout, alpha)


def elu_without_alpha(dout: Array, cache: Any) -> Any:
    """The output is taken for alpha exp(x); it is alpha less."""
    x, out, _ = cache
    return dout * np.where(x > 0, 1, out)


def elu_scale_dropped(dout: Array, cache: Any) -> Any:
    """The negative side is exp(x), as if alpha were 1."""
    x, _, _ = cache
    return dout * np.where(x > 0, 1, np.exp(x))


def sigmoid_input_forward(x: Array) -> tuple[Array, Any]:
    """The logistic function with its input saved."""
    return 1 / (1 + np.exp(-x)), x


def sigmoid_input_for_output(dout: Array, cache: Any) -> Any:
    """s (1 - s) with the saved input in the place of the output."""
    s = cache
    return dout * s * (1 - s)


def sigmoid_ignores_dout(dout: Array, cache: Any) -> Any:
    """The local derivative is returned without the chain rule."""
    out = cache
    return out * (1 - out)


def sigmoid_half_derivative(dout: Array, cache: Any) -> Any:
    """The factor 1 - s is missing."""
    out = cache
    return dout * out


def sigmoid_twice(dout: Array, cache: Any) -> Any:
    """The saved output is put through the logistic function again."""
    s = sigmoid(cache)
    return dout * s * (1 - s)


def tanh_not_squared(dout: Array, cache: Any) -> Any:
    """1 - t in the place of 1 - t^2."""
    out = cache
    return (1 - out) * dout


def tanh_input_forward(x: Array) -> tuple[Array, Any]:
    """The hyperbolic tangent with its input saved."""
    return np.tanh(x), x


def tanh_input_for_output(dout: Array, cache: Any) -> Any:
    """1 - t^2 with the saved input in the place of the output."""
    t = cache
    return (1 - t**2) * dout


def gelu_inner_factor(dout: Array, cache: Any) -> Any:
    """The factor 3 of the derivative of the cube is missing."""
    x, t = cache
    du = np.sqrt(2 / np.pi) * (1 + 0.044715 * x**2)
    return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * du)


def gelu_by_logistic(dout: Array, cache: Any) -> Any:
    """The derivative of another approximation, x times the logistic function of 1.702 x."""
    x, _ = cache
    s = 1 / (1 + np.exp(-1.702 * x))
    return dout * (s + 1.702 * x * s * (1 - s))


def gelu_missing_path(dout: Array, cache: Any) -> Any:
    """The product rule stops after the first term."""
    _, t = cache
    return dout * 0.5 * (1 + t)


def softplus_sign(dout: Array, cache: Any) -> Any:
    """The logistic function of the wrong sign."""
    x = cache
    return dout / (1.0 + np.exp(x))


def softplus_second_derivative(dout: Array, cache: Any) -> Any:
    """The derivative of the logistic function in the place of the function."""
    x = cache
    s = 1.0 / (1.0 + np.exp(-x))
    return dout * s * (1 - s)


def swish_missing_path(dout: Array, cache: Any) -> Any:
    """The gate is taken for a constant."""
    _, s = cache
    return dout * s


def swish_without_input(dout: Array, cache: Any) -> Any:
    """The second term of the product rule lacks its x."""
    _, s = cache
    return dout * (s + s * (1.0 - s))


def dropout_unscaled(dout: Array, cache: Any) -> Any:
    """The division by the keep probability is forgotten."""
    mask, _, _ = cache
    return dout * mask


def dropout_scaled_twice(dout: Array, cache: Any) -> Any:
    """The division by the keep probability is done twice."""
    _, keep_prob, scale = cache
    return dout * scale / keep_prob


def dropout_without_mask(dout: Array, cache: Any) -> Any:
    """The gradient flows through what was dropped."""
    _, keep_prob, _ = cache
    return dout / keep_prob


# Faults: normalisation


def batchnorm_without_variance(dout: Array, cache: Any) -> Any:
    """The path through the variance is missing."""
    _, _, _, std, xhat, gamma, _ = cache
    N = dout.shape[0]
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dcentred = dout * gamma / std
    dx = dcentred - np.sum(dcentred, axis=0) / N
    return dx, dgamma, dbeta


def batchnorm_without_mean(dout: Array, cache: Any) -> Any:
    """The path through the mean is missing."""
    _, _, _, std, xhat, gamma, _ = cache
    N = dout.shape[0]
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    dx = (dxhat - xhat * np.sum(dxhat * xhat, axis=0) / N) / std
    return dx, dgamma, dbeta


def batchnorm_mean_summed(dout: Array, cache: Any) -> Any:
    """The mean hands back its whole gradient to every sample."""
    _, centred, var, std, xhat, gamma, eps = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    dvar = -0.5 * np.sum(dxhat * centred, axis=0) * (var + eps) ** -1.5
    dcentred = dxhat / std + 2 * centred * dvar / N
    dx = dcentred - np.ones((N, D)) * np.sum(dcentred, axis=0)
    return dx, dgamma, dbeta


def batchnorm_variance_sign(dout: Array, cache: Any) -> Any:
    """The minus of the derivative of 1 / std is lost."""
    _, centred, var, std, xhat, gamma, eps = cache
    N = dout.shape[0]
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    dvar = 0.5 * np.sum(dxhat * centred, axis=0) * (var + eps) ** -1.5
    dcentred = dxhat / std + 2 * centred * dvar / N
    dx = dcentred - np.sum(dcentred, axis=0) / N
    return dx, dgamma, dbeta


def batchnorm_overwritten(dout: Array, cache: Any) -> Any:
    """The second path into the centred input replaces the first."""
    _, centred, var, std, xhat, gamma, eps = cache
    N = dout.shape[0]
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    dcentred = dxhat / std
    dvar = -0.5 * np.sum(dxhat * centred, axis=0) * (var + eps) ** -1.5
    dcentred = 2 * centred * dvar / N
    dx = dcentred - np.sum(dcentred, axis=0) / N
    return dx, dgamma, dbeta


def batchnorm_unbiased(dout: Array, cache: Any) -> Any:
    """N - 1 in the gradient of a variance that divides by N."""
    _, _, _, std, xhat, gamma, _ = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xhat).sum(axis=0)
    dxhat = dout * gamma
    dx = (dxhat - dxhat.mean(axis=0) - xhat * (dxhat * xhat).sum(axis=0) / (N - 1)) / std
    return dx, dgamma, dbeta


def batchnorm_without_gamma(dout: Array, cache: Any) -> Any:
    """The scale is missing on the way to the input."""
    _, _, _, std, xhat, _, _ = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xhat).sum(axis=0)
    dx = (1.0 / N) / std * (N * dout - dout.sum(axis=0) - xhat * (dout * xhat).sum(axis=0))
    return dx, dgamma, dbeta


def batchnorm_gamma_from_input(dout: Array, cache: Any) -> Any:
    """The scale gradient uses the input where the normalised input belongs."""
    x, _, _, std, xhat, gamma, _ = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * x).sum(axis=0)
    dxhat = dout * gamma
    dx = (1.0 / N) / std * (N * dxhat - dxhat.sum(axis=0) - xhat * (dxhat * xhat).sum(axis=0))
    return dx, dgamma, dbeta


def batchnorm_parameters_swapped(dout: Array, cache: Any) -> Any:
    """The gradients of scale and shift come back in the wrong order."""
    dx, dgamma, dbeta = course.batchnorm_simplified_backward(dout, cache)
    return dx, dbeta, dgamma


def layernorm_wrong_axis(dout: Array, cache: Any) -> Any:
    """The statistics are taken along the batch, as in batch normalisation."""
    _, xhat, istd, gamma = cache
    N = dout.shape[0]
    dgamma = np.sum(dout * xhat, axis=0)
    dbeta = np.sum(dout, axis=0)
    dxhat = dout * gamma
    s1 = np.sum(dxhat, axis=0)
    s2 = np.sum(dxhat * xhat, axis=0)
    dx = istd / N * (N * dxhat - s1 - xhat * s2)
    return dx, dgamma, dbeta


def layernorm_batch_for_features(dout: Array, cache: Any) -> Any:
    """The right sums over the wrong count."""
    _, xhat, istd, gamma = cache
    N = dout.shape[0]
    dgamma = np.sum(dout * xhat, axis=0)
    dbeta = np.sum(dout, axis=0)
    dxhat = dout * gamma
    s1 = np.sum(dxhat, axis=1, keepdims=True)
    s2 = np.sum(dxhat * xhat, axis=1, keepdims=True)
    dx = istd / N * (N * dxhat - s1 - xhat * s2)
    return dx, dgamma, dbeta


def layernorm_parameters_over_features(dout: Array, cache: Any) -> Any:
    """The gradients of scale and shift are summed along the features instead of the batch."""
    dx, _, _ = course.layernorm_backward(dout, cache)
    xhat = cache[1]
    return dx, np.sum(dout * xhat, axis=1), np.sum(dout, axis=1)


def rmsnorm_missing_path(dout: Array, cache: Any) -> Any:
    """The root mean square is taken for a constant."""
    x, gain, rms = cache
    return dout * gain / rms, (dout * x / rms).sum(axis=0)


def rmsnorm_sum_for_mean(dout: Array, cache: Any) -> Any:
    """The mean of the squares hands back its gradient without the division by the number of features."""
    x, gain, rms = cache
    dnorm = dout * gain
    drms = -(dnorm * x).sum(axis=-1, keepdims=True) / rms**2
    return dnorm / rms + drms * x / rms, (dout * x / rms).sum(axis=0)


def rmsnorm_gain_unnormalised(dout: Array, cache: Any) -> Any:
    """The gain gradient uses the input where the normalised input belongs."""
    dx, _ = course.rmsnorm_backward(dout, cache)
    return dx, (dout * cache[0]).sum(axis=0)


def groupnorm_counts_all_channels(dout: Array, cache: Any) -> Any:
    """The sums over a group are divided by the size of the whole sample."""
    xhat, std, gamma, G = cache
    N, C, H, W = dout.shape
    dgamma = np.sum(dout * xhat, axis=(0, 2, 3), keepdims=True)
    dbeta = np.sum(dout, axis=(0, 2, 3), keepdims=True)
    dxhat = (dout * gamma).reshape(N, G, -1)
    xg = xhat.reshape(N, G, -1)
    size = C * H * W
    total = dxhat.sum(axis=2, keepdims=True)
    along = (dxhat * xg).sum(axis=2, keepdims=True)
    dx = (dxhat - total / size - xg * along / size) / std
    return dx.reshape(N, C, H, W), dgamma, dbeta


def groupnorm_scale_not_reduced(dout: Array, cache: Any) -> Any:
    """The scale gradient is not summed over the batch."""
    dx, _, dbeta = course.groupnorm_backward(dout, cache)
    dgamma = np.sum(dout * cache[0], axis=(2, 3), keepdims=True)
    return dx, dgamma, dbeta


def l2_normalise_missing_path(dout: Array, cache: Any) -> Any:
    """The length is taken for a constant."""
    _, _, norm = cache
    return dout / norm


def l2_normalise_wrong_axis(dout: Array, cache: Any) -> Any:
    """The inner products are taken down the columns."""
    _, out, norm = cache
    return (dout - out * np.sum(dout * out, axis=0, keepdims=True)) / norm


def l2_normalise_input_for_output(dout: Array, cache: Any) -> Any:
    """The projection uses the input where the unit row belongs."""
    x, _, norm = cache
    return (dout - x * np.sum(dout * x, axis=1, keepdims=True)) / norm


# Faults: convolution and pooling


def conv_shares(dout: Array, cache: Any, step: int) -> Any:
    """Return the padded input and, for each output, its place and its patch, patches being `step` apart."""
    x, w, _, conv_param = cache
    pad = conv_param["pad"]
    N, F, H_out, W_out = dout.shape
    _, _, HH, WW = w.shape
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="constant")
    places = []
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    rows, columns = slice(i * step, i * step + HH), slice(j * step, j * step + WW)
                    places.append((n, f, i, j, rows, columns))
    return x_pad, places


def crop(dx_pad: Array, x: Array, pad: int) -> Array:
    """Cut the padding off."""
    return dx_pad[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]]


def conv_stride_ignored(dout: Array, cache: Any) -> Any:
    """The backward walks the patches one place apart, whatever the stride."""
    x, w, _, conv_param = cache
    x_pad, places = conv_shares(dout, cache, 1)
    dx_pad, dw = np.zeros_like(x_pad), np.zeros_like(w)
    for n, f, i, j, rows, columns in places:
        dw[f] += x_pad[n, :, rows, columns] * dout[n, f, i, j]
        dx_pad[n, :, rows, columns] += w[f] * dout[n, f, i, j]
    return crop(dx_pad, x, conv_param["pad"]), dw, np.sum(dout, axis=(0, 2, 3))


def conv_weight_overwritten(dout: Array, cache: Any) -> Any:
    """The filter gradient keeps the last patch only."""
    x, w, _, conv_param = cache
    x_pad, places = conv_shares(dout, cache, conv_param["stride"])
    dx_pad, dw = np.zeros_like(x_pad), np.zeros_like(w)
    for n, f, i, j, rows, columns in places:
        dw[f] = x_pad[n, :, rows, columns] * dout[n, f, i, j]
        dx_pad[n, :, rows, columns] += w[f] * dout[n, f, i, j]
    return crop(dx_pad, x, conv_param["pad"]), dw, np.sum(dout, axis=(0, 2, 3))


def conv_input_overwritten(dout: Array, cache: Any) -> Any:
    """Every patch replaces what the patches and filters before it gave."""
    x, w, _, conv_param = cache
    x_pad, places = conv_shares(dout, cache, conv_param["stride"])
    dx_pad, dw = np.zeros_like(x_pad), np.zeros_like(w)
    for n, f, i, j, rows, columns in places:
        dw[f] += x_pad[n, :, rows, columns] * dout[n, f, i, j]
        dx_pad[n, :, rows, columns] = w[f] * dout[n, f, i, j]
    return crop(dx_pad, x, conv_param["pad"]), dw, np.sum(dout, axis=(0, 2, 3))


def conv_filter_flipped(dout: Array, cache: Any) -> Any:
    """The filter is turned round for the input gradient, as in a convolution and not in a correlation."""
    x, w, _, conv_param = cache
    x_pad, places = conv_shares(dout, cache, conv_param["stride"])
    dx_pad, dw = np.zeros_like(x_pad), np.zeros_like(w)
    for n, f, i, j, rows, columns in places:
        dw[f] += x_pad[n, :, rows, columns] * dout[n, f, i, j]
        dx_pad[n, :, rows, columns] += w[f, :, ::-1, ::-1] * dout[n, f, i, j]
    return crop(dx_pad, x, conv_param["pad"]), dw, np.sum(dout, axis=(0, 2, 3))


def conv_padding_not_cut(dout: Array, cache: Any) -> Any:
    """The padding is cut off at the far ends only."""
    x, w, _, conv_param = cache
    x_pad, places = conv_shares(dout, cache, conv_param["stride"])
    dx_pad, dw = np.zeros_like(x_pad), np.zeros_like(w)
    for n, f, i, j, rows, columns in places:
        dw[f] += x_pad[n, :, rows, columns] * dout[n, f, i, j]
        dx_pad[n, :, rows, columns] += w[f] * dout[n, f, i, j]
    return dx_pad[:, :, : x.shape[2], : x.shape[3]], dw, np.sum(dout, axis=(0, 2, 3))


def conv_bias_mean(dout: Array, cache: Any) -> Any:
    """The bias gradient is averaged over the batch and summed over places."""
    dx, dw, _ = course.conv_loops_backward(dout, cache)
    return dx, dw, np.sum(np.mean(dout, axis=0), axis=(1, 2))


def conv_bias_last_sample(dout: Array, cache: Any) -> Any:
    """The bias gradient of the last sample replaces those before it."""
    dx, dw, db = course.conv_loops_backward(dout, cache)
    for n in range(dout.shape[0]):
        for f in range(dout.shape[1]):
            db[f] = np.sum(dout[n, f])
    return dx, dw, db


def im2col_repeats_lost(dout: Array, cache: Any) -> Any:
    """`+=` with index arrays: a place that several patches share is added to once."""
    x, w, cols, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    db = np.sum(dout, axis=(0, 2, 3))
    dflat = dout.transpose(1, 0, 2, 3).reshape(F, -1)
    dw = dflat.dot(cols.T).reshape(w.shape)
    dcols = w.reshape(F, -1).T.dot(dflat)
    k, i, j = course.patch_indices(C, H, W, HH, WW, stride, pad)
    dx_pad = np.zeros((N, C, H + 2 * pad, W + 2 * pad))
    dx_pad[:, k, i, j] += dcols.reshape(C * HH * WW, N, -1).transpose(1, 0, 2)
    return crop(dx_pad, x, pad), dw, db


def im2col_batch_not_transposed(dout: Array, cache: Any) -> Any:
    """dout is reshaped to (F, N L) without first bringing the filters to the front."""
    x, w, cols, conv_param = cache
    F, _, HH, WW = w.shape
    db = np.sum(dout, axis=(0, 2, 3))
    dflat = dout.reshape(F, -1)
    dw = dflat.dot(cols.T).reshape(w.shape)
    dcols = w.reshape(F, -1).T.dot(dflat)
    dx = course.col2im(dcols, x.shape, HH, WW, conv_param["stride"], conv_param["pad"])
    return dx, dw, db


def im2col_columns_transposed(dout: Array, cache: Any) -> Any:
    """The columns are put back as if they were ordered patch first, batch second."""
    x, w, cols, conv_param = cache
    N = x.shape[0]
    F, _, HH, WW = w.shape
    db = np.sum(dout, axis=(0, 2, 3))
    dflat = dout.transpose(1, 0, 2, 3).reshape(F, -1)
    dw = dflat.dot(cols.T).reshape(w.shape)
    dcols = w.reshape(F, -1).T.dot(dflat)
    K, L = dcols.shape[0], dcols.shape[1] // N
    shuffled = dcols.reshape(K, L, N).transpose(0, 2, 1).reshape(K, N * L)
    dx = course.col2im(shuffled, x.shape, HH, WW, conv_param["stride"], conv_param["pad"])
    return dx, dw, db


def maxpool_overwritten(dout: Array, cache: Any) -> Any:
    """A window replaces what an overlapping window gave."""
    x, pool_param = cache
    ph, pw, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C, H_out, W_out = dout.shape
    dx = np.zeros_like(x)
    for n in range(N):
        for c in range(C):
            for i in range(H_out):
                for j in range(W_out):
                    rows, columns = slice(i * stride, i * stride + ph), slice(j * stride, j * stride + pw)
                    x_window = x[n, c, rows, columns]
                    mask = x_window == np.max(x_window)
                    dx[n, c, rows, columns] = mask * dout[n, c, i, j]
    return dx


def maxpool_spread(dout: Array, cache: Any) -> Any:
    """The gradient is shared out over the window, as in average pooling."""
    x, pool_param = cache
    return course.avgpool_backward(dout, (x.shape, pool_param))


def maxpool_value_times_mask(dout: Array, cache: Any) -> Any:
    """The maximum itself is sent back, and dout is not."""
    x, pool_param = cache
    maxima, _ = course.maxpool_loops_forward(x, pool_param)
    return course.maxpool_loops_backward(maxima, cache)


def maxpool_height_for_width(dout: Array, cache: Any) -> Any:
    """The flat place in the window is unravelled with the height of the window, and clipped into it."""
    x, where, pool_param = cache
    ph, pw, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C, H_out, W_out = dout.shape
    n, c = np.arange(N)[:, None], np.arange(C)[None, :]
    dx = np.zeros(x.shape)
    for i in range(H_out):
        for j in range(W_out):
            row = np.minimum(where[:, :, i, j] // ph, ph - 1)
            column = np.minimum(where[:, :, i, j] % ph, pw - 1)
            dx[n, c, i * stride + row, j * stride + column] += dout[:, :, i, j]
    return dx


def maxpool_stride_ignored(dout: Array, cache: Any) -> Any:
    """The windows are taken to be one place apart, whatever the stride."""
    x, where, pool_param = cache
    return course.maxpool_argmax_backward(dout, (x, where, {**pool_param, "stride": 1}))


def avgpool_not_divided(dout: Array, cache: Any) -> Any:
    """Every place of a window gets the whole gradient."""
    _, pool_param = cache
    dx = course.avgpool_backward(dout, cache)
    return dx * (pool_param["pool_height"] * pool_param["pool_width"])


def avgpool_square_window(dout: Array, cache: Any) -> Any:
    """The share is one over the height squared."""
    shape, pool_param = cache
    ph, pw, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    _, _, H_out, W_out = dout.shape
    dx = np.zeros(shape)
    for i in range(H_out):
        for j in range(W_out):
            share = dout[:, :, i, j] / (ph * ph)
            dx[:, :, i * stride : i * stride + ph, j * stride : j * stride + pw] += share[:, :, None, None]
    return dx


# Faults: lookup, reductions and products


def embedding_repeats_lost(dout: Array, cache: Any) -> Any:
    """`+=` with an index array: a row that is looked up several times is added to once."""
    W, idx = cache
    dW = np.zeros_like(W)
    dW[idx] += dout
    return dW


def embedding_averaged(dout: Array, cache: Any) -> Any:
    """A row that is looked up several times gets the mean."""
    W, idx = cache
    dW = np.zeros_like(W)
    np.add.at(dW, idx, dout)
    counts = np.bincount(idx.ravel(), minlength=W.shape[0])
    return dW / np.maximum(counts, 1)[:, None]


def cumsum_not_reversed(dout: Array, cache: Any) -> Any:
    """The forward is taken for its own transpose."""
    return np.cumsum(dout, axis=1)


def prod_by_division(dout: Array, cache: Any) -> Any:
    """The product over each factor, made safe by an epsilon: 0 where a factor is 0 and the truth is not."""
    x, out = cache
    return dout[:, None] * out[:, None] / (x + 1e-12)


def prod_of_all(dout: Array, cache: Any) -> Any:
    """The factor itself is not left out."""
    x, out = cache
    return dout[:, None] * out[:, None] * np.ones_like(x)


def gram_missing_path(dout: Array, cache: Any) -> Any:
    """x is used twice; the use as x^T is forgotten."""
    x = cache
    return np.dot(dout, x)


def gram_doubled(dout: Array, cache: Any) -> Any:
    """The two uses are taken to be equal, which holds for a symmetric dout only."""
    x = cache
    return 2 * np.dot(dout, x)


def softmax_diagonal(dout: Array, cache: Any) -> Any:
    """The Jacobian is taken to be diagonal, as for the logistic function."""
    p = cache
    return dout * p * (1 - p)


def softmax_wrong_axis(dout: Array, cache: Any) -> Any:
    """The inner product is taken down the columns."""
    p = cache
    return p * (dout - np.sum(dout * p, axis=0, keepdims=True))


def residual_missing_skip(dout: Array, cache: Any) -> Any:
    """The gradient of the skip connection is not added."""
    cache1, cache2, cache3 = cache
    dactive, dW2, db2 = course.affine_backward(dout, cache3)
    dx, dW1, db1 = course.affine_backward(course.relu_backward(dactive, cache2), cache1)
    return dx, dW1, db1, dW2, db2


def residual_skip_only(dout: Array, cache: Any) -> Any:
    """The gradient of the skip connection replaces that of the branch."""
    _, dW1, db1, dW2, db2 = course.residual_backward(dout, cache)
    return dout.copy(), dW1, db1, dW2, db2


def residual_gate_missing(dout: Array, cache: Any) -> Any:
    """The backward of the rectifier is left out."""
    cache1, _, cache3 = cache
    dactive, dW2, db2 = course.affine_backward(dout, cache3)
    dx, dW1, db1 = course.affine_backward(dactive, cache1)
    return dx + dout, dW1, db1, dW2, db2


# Faults: recurrent layers


def rnn_step_without_tanh(dnext_h: Array, cache: Any) -> Any:
    """The derivative of tanh is left out."""
    x, prev_h, Wx, Wh, _ = cache
    da = dnext_h
    return da.dot(Wx.T), da.dot(Wh.T), x.T.dot(da), prev_h.T.dot(da), da.sum(axis=0)


def rnn_step_next_for_previous(dnext_h: Array, cache: Any) -> Any:
    """The recurrent weights meet the new hidden state, one time step late."""
    x, _, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h**2)
    return da.dot(Wx.T), da.dot(Wh.T), x.T.dot(da), next_h.T.dot(da), da.sum(axis=0)


def rnn_step_not_transposed(dnext_h: Array, cache: Any) -> Any:
    """The recurrent weights are square, so a missing transpose raises nothing."""
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h**2)
    return da.dot(Wx.T), da.dot(Wh), x.T.dot(da), prev_h.T.dot(da), da.sum(axis=0)


def rnn_step_bias_mean(dnext_h: Array, cache: Any) -> Any:
    """The bias gradient is averaged over the batch."""
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h**2)
    return da.dot(Wx.T), da.dot(Wh.T), x.T.dot(da), prev_h.T.dot(da), da.mean(axis=0)


def rnn_no_path_through_time(dh: Array, cache: Any) -> Any:
    """Each step sees its own upstream gradient only."""
    caches, (N, T, D) = cache
    H = dh.shape[2]
    dx, dWx, dWh, db = np.zeros((N, T, D)), np.zeros((D, H)), np.zeros((H, H)), np.zeros(H)
    dprev_h = np.zeros((N, H))
    for t in reversed(range(T)):
        dx[:, t, :], dprev_h, dWx_t, dWh_t, db_t = course.rnn_step_backward(dh[:, t, :], caches[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dprev_h, dWx, dWh, db


def rnn_weights_overwritten(dh: Array, cache: Any) -> Any:
    """The weights are shared by all steps; their gradients keep the first step only."""
    caches, (N, T, D) = cache
    H = dh.shape[2]
    dx = np.zeros((N, T, D))
    dprev_h = np.zeros((N, H))
    for t in reversed(range(T)):
        dx[:, t, :], dprev_h, dWx, dWh, db = course.rnn_step_backward(dh[:, t, :] + dprev_h, caches[t])
    return dx, dprev_h, dWx, dWh, db


def rnn_tanh_skipped_between_steps(dh: Array, cache: Any) -> Any:
    """The hidden gradient goes back through Wh without the derivative of tanh."""
    caches, (N, T, D) = cache
    H = dh.shape[2]
    dx, dWx, dWh, db = np.zeros((N, T, D)), np.zeros((D, H)), np.zeros((H, H)), np.zeros(H)
    dprev_h = np.zeros((N, H))
    for t in reversed(range(T)):
        dnext_h = dh[:, t, :] + dprev_h
        dx[:, t, :], _, dWx_t, dWh_t, db_t = course.rnn_step_backward(dnext_h, caches[t])
        dprev_h = dnext_h.dot(caches[t][3].T)
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dprev_h, dWx, dWh, db


def rnn_forward_in_time(dh: Array, cache: Any) -> Any:
    """The loop runs from the first step to the last."""
    caches, (N, T, D) = cache
    H = dh.shape[2]
    dx, dWx, dWh, db = np.zeros((N, T, D)), np.zeros((D, H)), np.zeros((H, H)), np.zeros(H)
    dprev_h = np.zeros((N, H))
    for t in range(T):
        dx[:, t, :], dprev_h, dWx_t, dWh_t, db_t = course.rnn_step_backward(dh[:, t, :] + dprev_h, caches[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dprev_h, dWx, dWh, db


def lstm_step_with(dout: Array, cache: Any, dc: Array, order: tuple[int, ...] = (0, 1, 2, 3)) -> Any:
    """The LSTM step backward from a given gradient of the cell state, the gates stacked in a given order."""
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, tanh_c = cache
    di = dc * g * i * (1 - i)
    df = dc * prev_c * f * (1 - f)
    do = dout[0] * tanh_c * o * (1 - o)
    dg = dc * i * (1 - g**2)
    gates = (di, df, do, dg)
    da = np.hstack([gates[place] for place in order])
    return da.dot(Wx.T), da.dot(Wh.T), dc * f, x.T.dot(da), prev_h.T.dot(da), da.sum(axis=0)


def lstm_step_hidden_path_missing(dout: Array, cache: Any) -> Any:
    """The cell state is reached by its own upstream gradient only, not through the hidden state."""
    return lstm_step_with(dout, cache, dout[1])


def lstm_step_cell_path_missing(dout: Array, cache: Any) -> Any:
    """The upstream gradient of the cell state is forgotten."""
    o, tanh_c = cache[7], cache[9]
    return lstm_step_with(dout, cache, dout[0] * o * (1 - tanh_c**2))


def lstm_step_tanh_of_tanh(dout: Array, cache: Any) -> Any:
    """tanh is applied to what is already tanh of the cell state."""
    o, tanh_c = cache[7], cache[9]
    return lstm_step_with(dout, cache, dout[1] + dout[0] * o * (1 - np.tanh(tanh_c) ** 2))


def lstm_step_gates_swapped(dout: Array, cache: Any) -> Any:
    """Input and forget gate are stacked in the other order."""
    o, tanh_c = cache[7], cache[9]
    dc = dout[1] + dout[0] * o * (1 - tanh_c**2)
    return lstm_step_with(dout, cache, dc, order=(1, 0, 2, 3))


def lstm_step_forget_gate_missing(dout: Array, cache: Any) -> Any:
    """The cell gradient goes back without the forget gate."""
    o, tanh_c = cache[7], cache[9]
    dc = dout[1] + dout[0] * o * (1 - tanh_c**2)
    dx, dprev_h, _, dWx, dWh, db = lstm_step_with(dout, cache, dc)
    return dx, dprev_h, dc, dWx, dWh, db


def lstm_cell_path_dropped(dh: Array, cache: Any) -> Any:
    """The gradient of the cell state starts from zero at every step."""
    N, T, H = dh.shape
    x, _, _, Wx, Wh = cache[0][:5]
    dx = np.zeros((N, T, x.shape[1]))
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(4 * H)
    dprev_h = np.zeros((N, H))
    for t in range(T - 1, -1, -1):
        dstate = np.stack((dh[:, t] + dprev_h, np.zeros((N, H))))
        dx[:, t], dprev_h, _, dWx_t, dWh_t, db_t = course.lstm_step_backward(dstate, cache[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dprev_h, dWx, dWh, db


def lstm_stale_cache(dh: Array, cache: Any) -> Any:
    """Every step is given the cache of the last one."""
    return course.lstm_backward(dh, [*cache[:1], *[cache[-1]] * (len(cache) - 1)])


def lstm_bias_overwritten(dh: Array, cache: Any) -> Any:
    """The bias gradient keeps the first step only."""
    dx, dh0, dWx, dWh, _ = course.lstm_backward(dh, cache)
    N, T, H = dh.shape
    dprev_h, dprev_c = np.zeros((N, H)), np.zeros((N, H))
    for t in reversed(range(T)):
        dstate = np.stack((dh[:, t] + dprev_h, dprev_c))
        _, dprev_h, dprev_c, _, _, db = course.lstm_step_backward(dstate, cache[t])
    return dx, dh0, dWx, dWh, db


def gru_direct_path_missing(dnext_h: Array, cache: Any) -> Any:
    """The share of the old state that the update gate lets through is forgotten."""
    dx, dprev_h, dWx, dWh, db = course.gru_step_backward(dnext_h, cache)
    z = cache[5]
    return dx, dprev_h - dnext_h * z, dWx, dWh, db


def gru_with(dnext_h: Array, cache: Any, dz: Array, recurrent_gate: Array) -> Any:
    """The GRU step backward from a given update-gate gradient and gate on the recurrent candidate."""
    x, prev_h, Wx, Wh, r, z, n, recurrent = cache
    dn = dnext_h * (1 - z) * (1 - n * n)
    dr = dn * recurrent * r * (1 - r)
    dfrom_x = np.concatenate((dr, dz, dn), axis=1)
    dfrom_h = np.concatenate((dr, dz, dn * recurrent_gate), axis=1)
    dprev_h = dnext_h * z + dfrom_h @ Wh.T
    return dfrom_x @ Wx.T, dprev_h, x.T @ dfrom_x, prev_h.T @ dfrom_h, dfrom_x.sum(0)


def gru_update_sign(dnext_h: Array, cache: Any) -> Any:
    """n - h where h - n belongs: the update gate is read the other way round."""
    _, prev_h, _, _, r, z, n, _ = cache
    return gru_with(dnext_h, cache, dnext_h * (n - prev_h) * z * (1 - z), r)


def gru_reset_not_applied(dnext_h: Array, cache: Any) -> Any:
    """The recurrent candidate is reached without the reset gate."""
    _, prev_h, _, _, r, z, n, _ = cache
    return gru_with(dnext_h, cache, dnext_h * (prev_h - n) * z * (1 - z), np.ones_like(r))


# Faults: attention


def attention_unscaled(dout: Array, cache: Any) -> Any:
    """The division by sqrt(d) is missing on the way back."""
    q, k, v, p = cache
    dv = p.swapaxes(1, 2) @ dout
    dp = dout @ v.swapaxes(1, 2)
    dscores = p * (dp - np.sum(dp * p, axis=-1, keepdims=True))
    return dscores @ k, dscores.swapaxes(1, 2) @ q, dv


def attention_scaled_by_d(dout: Array, cache: Any) -> Any:
    """The division is by d, not by its root."""
    q, k, v, p = cache
    dv = p.swapaxes(1, 2) @ dout
    dp = dout @ v.swapaxes(1, 2)
    dscores = p * (dp - np.sum(dp * p, axis=-1, keepdims=True)) / q.shape[-1]
    return dscores @ k, dscores.swapaxes(1, 2) @ q, dv


def attention_softmax_term_missing(dout: Array, cache: Any) -> Any:
    """The softmax is taken for an element-wise exponential."""
    q, k, v, p = cache
    dv = p.swapaxes(1, 2) @ dout
    dscores = p * (dout @ v.swapaxes(1, 2)) / np.sqrt(q.shape[-1])
    return dscores @ k, dscores.swapaxes(1, 2) @ q, dv


def attention_softmax_wrong_axis(dout: Array, cache: Any) -> Any:
    """The inner product of the softmax is taken over the queries."""
    q, k, v, p = cache
    dv = p.swapaxes(1, 2) @ dout
    dp = dout @ v.swapaxes(1, 2)
    dscores = p * (dp - np.sum(dp * p, axis=1, keepdims=True)) / np.sqrt(q.shape[-1])
    return dscores @ k, dscores.swapaxes(1, 2) @ q, dv


def attention_value_ignores_weights(dout: Array, cache: Any) -> Any:
    """Every value gets the sum of the upstream gradients, whatever its weight."""
    dq, dk, _ = course.attention_backward(dout, cache)
    p = cache[3]
    return dq, dk, np.ones_like(p).swapaxes(1, 2) @ dout


def causal_mask_forgotten(dout: Array, cache: Any) -> Any:
    """The weights are computed again in the backward, without the mask."""
    q, k, v, _ = cache
    p = softmax(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1]))
    return course.attention_backward(dout, (q, k, v, p))


def causal_not_transposed(dout: Array, cache: Any) -> Any:
    """The scores are square, so a missing transpose raises nothing."""
    q, k, v, p = cache
    dv = p @ dout
    dp = dout @ v.swapaxes(1, 2)
    dscores = p * (dp - np.sum(dp * p, axis=-1, keepdims=True)) / np.sqrt(q.shape[-1])
    return dscores @ k, dscores @ q, dv


def einsum_heads_mixed(dout: Array, cache: Any) -> Any:
    """A wrong letter sums the keys over all heads."""
    q, k, v, p, scale = cache
    dv = np.einsum("bhts,bthd->bshd", p, dout)
    dp = np.einsum("bthd,bshd->bhts", dout, v)
    dscores = p * (dp - (p * dp).sum(axis=-1, keepdims=True)) * scale
    dq = np.einsum("bhts,bsgd->bthd", dscores, k)
    dk = np.einsum("bhts,bthd->bshd", dscores, q)
    return dq, dk, dv


def einsum_values_in_wrong_order(dout: Array, cache: Any) -> Any:
    """The axes of the value gradient are left in the order of the heads."""
    dq, dk, _ = course.attention_einsum_backward(dout, cache)
    dv = np.einsum("bhts,bthd->bhsd", cache[3], dout)
    return dq, dk, dv


def self_attention_with(dout: Array, cache: Any, paths: str) -> Any:
    """The self-attention backward with x reached through the projections named only."""
    _, dWq, dWk, dWv = course.self_attention_backward(dout, cache)
    x, Wq, Wk, Wv, q, k, v, p, visible = cache
    dv = p.swapaxes(1, 2) @ dout
    dp = dout @ v.swapaxes(1, 2)
    dscores = p * (dp - np.sum(dp * p, axis=2, keepdims=True))
    dscores = np.where(visible, dscores, 0) / np.sqrt(q.shape[2])
    dx = np.zeros(x.shape)
    if "q" in paths:
        dx += dscores @ k @ Wq.T
    if "k" in paths:
        dx += dscores.swapaxes(1, 2) @ q @ Wk.T
    if "v" in paths:
        dx += dv @ Wv.T
    return dx, dWq, dWk, dWv


def self_attention_values_missing(dout: Array, cache: Any) -> Any:
    """The path through the values is forgotten."""
    return self_attention_with(dout, cache, "qk")


def self_attention_overwritten(dout: Array, cache: Any) -> Any:
    """`=` for `+=`: the last of the three paths replaces the others."""
    return self_attention_with(dout, cache, "v")


# Faults: losses


def softmax_loss_not_averaged(x: Array, y: Array) -> Any:
    """The loss is a mean, its gradient a sum."""
    N = x.shape[0]
    probs = softmax(x)
    loss = -np.sum(np.log(probs[np.arange(N), y])) / N
    dx = probs.copy()
    dx[np.arange(N), y] -= 1
    return loss, dx


def softmax_loss_divided_first(x: Array, y: Array) -> Any:
    """The 1 is subtracted after the division by the batch size."""
    N = x.shape[0]
    probs = softmax(x)
    loss = -np.sum(np.log(probs[np.arange(N), y])) / N
    dx = probs / N
    dx[np.arange(N), y] -= 1
    return loss, dx


def softmax_loss_whole_columns(x: Array, y: Array) -> Any:
    """The 1 is subtracted in whole columns, not at one place per row."""
    N = x.shape[0]
    probs = softmax(x)
    loss = -np.sum(np.log(probs[np.arange(N), y])) / N
    dx = probs.copy()
    dx[:, y] -= 1
    return loss, dx / N


def svm_right_class_once(x: Array, y: Array) -> Any:
    """The right class is pulled once, not once per violated margin."""
    N = x.shape[0]
    margins = np.maximum(0, x - x[np.arange(N), y][:, np.newaxis] + 1.0)
    margins[np.arange(N), y] = 0
    loss = np.sum(margins) / N
    dx = np.zeros_like(x)
    dx[margins > 0] = 1
    dx[np.arange(N), y] -= 1
    dx /= N
    return loss, dx


def svm_not_averaged(x: Array, y: Array) -> Any:
    """The loss is a mean, its gradient a sum."""
    N = x.shape[0]
    margins = np.maximum(0, x - x[np.arange(N), y][:, np.newaxis] + 1.0)
    margins[np.arange(N), y] = 0
    loss = np.sum(margins) / N
    dx = np.zeros_like(x)
    dx[margins > 0] = 1
    dx[np.arange(N), y] -= np.sum(margins > 0, axis=1)
    return loss, dx


def svm_right_class_forgotten(x: Array, y: Array) -> Any:
    """The path through the score of the right class is missing."""
    N = x.shape[0]
    margins = np.maximum(0, x - x[np.arange(N), y].reshape(N, 1) + 1)
    margins[np.arange(N), y] = 0
    loss = margins.sum() / N
    mask = (margins > 0).astype(float)
    return loss, mask / N


def svm_margins_for_mask(x: Array, y: Array) -> Any:
    """The margins stand where their 0/1 mask belongs, the gradient of a squared hinge."""
    N = x.shape[0]
    margins = np.maximum(0, x - x[np.arange(N), y].reshape(N, 1) + 1)
    margins[np.arange(N), y] = 0
    loss = margins.sum() / N
    dx = margins.copy()
    dx[np.arange(N), y] = -margins.sum(axis=1)
    return loss, dx / N


def svm_loops_right_column_forgotten(W: Array, X: Array, y: Array, reg: float) -> Any:
    """The column of the right class is never touched."""
    dW = np.zeros(W.shape)
    loss = 0.0
    for i in range(X.shape[0]):
        scores = X[i].dot(W)
        for j in range(W.shape[1]):
            margin = scores[j] - scores[y[i]] + 1
            if j != y[i] and margin > 0:
                loss += margin
                dW[:, j] += X[i]
    loss = loss / X.shape[0] + 0.5 * reg * np.sum(W * W)
    return loss, dW / X.shape[0] + reg * W


def svm_loops_decay_averaged(W: Array, X: Array, y: Array, reg: float) -> Any:
    """The division by the number of samples comes after the weight decay is added."""
    loss, dW = course.svm_loops_loss(W, X, y, reg)
    data = dW - reg * W
    return loss, data + reg * W / X.shape[0]


def mse_missing_two(y_hat: Array, y: Array) -> Any:
    """The 2 of the square is forgotten."""
    m = y.shape[0]
    diff = y_hat - y
    return (1.0 / m) * np.sum(diff**2), (1.0 / m) * diff


def mse_wrong_count(y_hat: Array, y: Array) -> Any:
    """The loss divides by the rows, the gradient by the entries."""
    diff = y_hat - y
    return (1.0 / y.shape[0]) * np.sum(diff**2), 2.0 * diff / diff.size


def mse_sign(y_hat: Array, y: Array) -> Any:
    """The difference is taken the other way round, which the square hides."""
    m = y.shape[0]
    diff = y - y_hat
    return (1.0 / m) * np.sum(diff**2), (2.0 / m) * diff


def bce_sign(z: Array, y: Array) -> Any:
    """The difference is taken the other way round."""
    loss, dz = course.bce_loss(z, y)
    return loss, -dz


def bce_not_averaged(z: Array, y: Array) -> Any:
    """The loss is a mean, its gradient a sum."""
    m = y.shape[1]
    a = np.clip(1 / (1 + np.exp(-z)), 1e-7, 1 - 1e-7)
    loss = -1.0 / m * np.sum(y * np.log(a) + (1 - y) * np.log(1 - a))
    return loss, a - y


def bce_logistic_twice(z: Array, y: Array) -> Any:
    """The derivative of the logistic function, which has cancelled already, is multiplied in once more."""
    m = y.shape[1]
    a = np.clip(1 / (1 + np.exp(-z)), 1e-7, 1 - 1e-7)
    loss = -1.0 / m * np.sum(y * np.log(a) + (1 - y) * np.log(1 - a))
    return loss, 1.0 / m * (a - y) * a * (1 - a)


def bce_logits_for_probabilities(a: Array, y: Array) -> Any:
    """The gradient with respect to the logits is returned for the probabilities."""
    m = a.shape[0]
    loss, _ = course.bce_probabilities_loss(a, y)
    return loss, (a - y) / m


def bce_negative_class_sign(a: Array, y: Array) -> Any:
    """The inner derivative of 1 - p is forgotten."""
    m = a.shape[0]
    loss, _ = course.bce_probabilities_loss(a, y)
    return loss, -(y / a + (1 - y) / (1 - a)) / m


def huber_delta_missing(y_hat: Array, y: Array, delta: float) -> Any:
    """The linear side has slope 1, as if delta were 1."""
    loss, _ = course.huber_loss(y_hat, y, delta)
    r = y_hat - y
    return loss, np.where(np.abs(r) <= delta, r, np.sign(r)) / r.size


def huber_sign_missing(y_hat: Array, y: Array, delta: float) -> Any:
    """The linear side always rises."""
    loss, _ = course.huber_loss(y_hat, y, delta)
    r = y_hat - y
    return loss, np.where(np.abs(r) <= delta, r, delta) / r.size


def huber_one_sided(y_hat: Array, y: Array, delta: float) -> Any:
    """The test for the quadratic side lacks the absolute value, so that large negative residuals pass."""
    loss, _ = course.huber_loss(y_hat, y, delta)
    r = y_hat - y
    return loss, np.where(r <= delta, r, delta * np.sign(r)) / r.size


def two_layer_no_decay(params: dict[str, Array], X: Array, y: Array, reg: float) -> Any:
    """The weight decay is in the loss and not in the gradient."""
    loss, grads = course.two_layer_loss(params, X, y, reg)
    return loss, {name: g - reg * params[name] if name in ("W1", "W2") else g for name, g in grads.items()}


def two_layer_decay_doubled(params: dict[str, Array], X: Array, y: Array, reg: float) -> Any:
    """The gradient is that of reg W^2, the loss has half of it."""
    loss, grads = course.two_layer_loss(params, X, y, reg)
    grads["W1"] += reg * params["W1"]
    grads["W2"] += reg * params["W2"]
    return loss, grads


def two_layer_decay_on_bias(params: dict[str, Array], X: Array, y: Array, reg: float) -> Any:
    """The biases decay in the gradient and not in the loss."""
    loss, grads = course.two_layer_loss(params, X, y, reg)
    for name in params:
        if name.startswith("b"):
            grads[name] = grads[name] + reg * params[name]
    return loss, grads


def two_layer_parts(params: dict[str, Array], X: Array, y: Array) -> Any:
    """Return the hidden activations and the gradient of the scores."""
    N = X.shape[0]
    hidden = np.maximum(0, X.dot(params["W1"]) + params["b1"])
    dscores = softmax(hidden.dot(params["W2"]) + params["b2"])
    dscores[range(N), y] -= 1
    return hidden, dscores / N


def two_layer_gate_missing(params: dict[str, Array], X: Array, y: Array, reg: float) -> Any:
    """The backward of the rectifier is left out."""
    loss, grads = course.two_layer_loss(params, X, y, reg)
    _, dscores = two_layer_parts(params, X, y)
    dhidden = dscores.dot(params["W2"].T)
    grads["W1"] = X.T.dot(dhidden) + reg * params["W1"]
    grads["b1"] = np.sum(dhidden, axis=0)
    return loss, grads


def two_layer_input_for_hidden(params: dict[str, Array], X: Array, y: Array, reg: float) -> Any:
    """The second layer's gradient uses what came before the rectifier."""
    loss, grads = course.two_layer_loss(params, X, y, reg)
    _, dscores = two_layer_parts(params, X, y)
    before = X.dot(params["W1"]) + params["b1"]
    grads["W2"] = before.T.dot(dscores) + reg * params["W2"]
    return loss, grads


def logistic_weight_not_averaged(w: Array, b: Array, X: Array, Y: Array) -> Any:
    """The cost is a mean, the weight gradient a sum."""
    cost, (_, db) = course.logistic_loss(w, b, X, Y)
    A = sigmoid(np.dot(w.T, X) + b)
    return cost, (np.dot(X, (A - Y).T), db)


def logistic_bias_summed(w: Array, b: Array, X: Array, Y: Array) -> Any:
    """The cost is a mean, the bias gradient a sum."""
    cost, (dw, _) = course.logistic_loss(w, b, X, Y)
    A = sigmoid(np.dot(w.T, X) + b)
    return cost, (dw, np.sum(A - Y))


def logistic_bias_left_out(w: Array, b: Array, X: Array, Y: Array) -> Any:
    """The activations are computed again without the bias."""
    m = X.shape[1]
    cost, _ = course.logistic_loss(w, b, X, Y)
    A = sigmoid(np.dot(w.T, X))
    return cost, ((1 / m) * np.dot(X, (A - Y).T), (1 / m) * np.sum(A - Y))


def shallow_with(W1: Array, b1: Array, W2: Array, b2: Array, X: Array, Y: Array, slope: Any) -> Any:
    """The shallow network with a given derivative of tanh, as a function of the activation."""
    m = X.shape[1]
    cost, (_, _, dW2, db2) = course.shallow_loss(W1, b1, W2, b2, X, Y)
    A1 = np.tanh(np.dot(W1, X) + b1)
    dZ2 = 1 / (1 + np.exp(-(np.dot(W2, A1) + b2))) - Y
    dZ1 = np.dot(W2.T, dZ2) * slope(A1)
    return cost, (np.dot(dZ1, X.T) / m, np.sum(dZ1, axis=1, keepdims=True) / m, dW2, db2)


def shallow_not_squared(W1: Array, b1: Array, W2: Array, b2: Array, X: Array, Y: Array) -> Any:
    """1 - A in the place of 1 - A^2."""
    return shallow_with(W1, b1, W2, b2, X, Y, lambda A1: 1 - A1)


def shallow_logistic_for_tanh(W1: Array, b1: Array, W2: Array, b2: Array, X: Array, Y: Array) -> Any:
    """The derivative of the logistic function for a hidden layer of tanh."""
    return shallow_with(W1, b1, W2, b2, X, Y, lambda A1: A1 * (1 - A1))


def shallow_extra_two(W1: Array, b1: Array, W2: Array, b2: Array, X: Array, Y: Array) -> Any:
    """A 2 from the squared error is left in the gradient of the cross-entropy."""
    cost, (dW1, db1, dW2, db2) = course.shallow_loss(W1, b1, W2, b2, X, Y)
    return cost, (dW1, db1, dW2 * 2, db2)


def shallow_bias_flat(W1: Array, b1: Array, W2: Array, b2: Array, X: Array, Y: Array) -> Any:
    """The sum over the samples loses an axis, and (h, 1) becomes (h,)."""
    cost, (dW1, db1, dW2, db2) = course.shallow_loss(W1, b1, W2, b2, X, Y)
    return cost, (dW1, np.sum(db1, axis=1), dW2, db2)


def kl_sign(logits: Array, target: Array) -> Any:
    """The difference is taken the other way round."""
    loss, _ = course.kl_loss(logits, target)
    return loss, (target - softmax(logits)) / logits.shape[0]


def kl_extra_weight(logits: Array, target: Array) -> Any:
    """The difference is weighted by the target once more."""
    loss, _ = course.kl_loss(logits, target)
    return loss, target * (softmax(logits) - target) / logits.shape[0]


def kl_wrong_input(logits: Array, target: Array) -> Any:
    """The gradient with respect to the probabilities is returned for the logits."""
    loss, _ = course.kl_loss(logits, target)
    return loss, -target / softmax(logits) / logits.shape[0]


def hinge_label_missing(w: Array, b: Array, X: Array, y: Array, C: float) -> Any:
    """The labels are forgotten in both gradients."""
    loss, _ = course.hinge_loss(w, b, X, y, C)
    active = 1 - y * (X @ w + b) > 0
    return loss, (w - C * np.sum(X[active], axis=0), -C * np.sum(active))


def hinge_mask_missing(w: Array, b: Array, X: Array, y: Array, C: float) -> Any:
    """Samples beyond the margin pull as well."""
    loss, _ = course.hinge_loss(w, b, X, y, C)
    return loss, (w - C * np.dot(X.T, y), -C * np.sum(y))


def hinge_penalty_missing(w: Array, b: Array, X: Array, y: Array, C: float) -> Any:
    """The gradient of w.w / 2 is forgotten."""
    loss, (dw, db) = course.hinge_loss(w, b, X, y, C)
    return loss, (dw - w, db)


def negative_sampling_repeats_lost(v: Array, U: Array, target: int, negatives: Array) -> Any:
    """`+=` with an index array: a negative that is drawn several times counts once."""
    loss, (dv, _) = course.negative_sampling_loss(v, U, target, negatives)
    score = sigmoid(np.dot(U, v))
    dU = np.zeros(U.shape)
    dU[target] += (score[target] - 1) * v
    dU[negatives] += score[negatives][:, None] * v
    return loss, (dv, dU)


def negative_sampling_sign(v: Array, U: Array, target: int, negatives: Array) -> Any:
    """The negatives are pushed as if they were targets."""
    loss, _ = course.negative_sampling_loss(v, U, target, negatives)
    dv, dU = np.zeros(v.shape), np.zeros(U.shape)
    score = sigmoid(np.dot(U, v))
    for k in [target, *negatives]:
        dv += (score[k] - 1) * U[k]
        dU[k] += (score[k] - 1) * v
    return loss, (dv, dU)


def negative_sampling_center_from_target(v: Array, U: Array, target: int, negatives: Array) -> Any:
    """The center word is reached through the target only."""
    loss, (_, dU) = course.negative_sampling_loss(v, U, target, negatives)
    return loss, ((sigmoid(np.dot(U[target], v)[None])[0] - 1) * U[target], dU)


def cosine_missing_path(a: Array, b: Array) -> Any:
    """The lengths are taken for constants."""
    loss, _ = course.cosine_loss(a, b)
    na = np.linalg.norm(a, axis=1, keepdims=True)
    nb = np.linalg.norm(b, axis=1, keepdims=True)
    return loss, (-b / (na * nb) / len(a), -a / (na * nb) / len(a))


def cosine_length_not_squared(a: Array, b: Array) -> Any:
    """The projection is divided by the length where its square belongs."""
    loss, (_, db) = course.cosine_loss(a, b)
    na = np.linalg.norm(a, axis=1, keepdims=True)
    nb = np.linalg.norm(b, axis=1, keepdims=True)
    cos = np.sum(a * b, axis=1, keepdims=True) / (na * nb)
    return loss, (-(b / (na * nb) - cos * a / na) / len(a), db)


def cosine_swapped(a: Array, b: Array) -> Any:
    """The two gradients come back in the wrong order."""
    loss, (da, db) = course.cosine_loss(a, b)
    return loss, (db, da)


def center_not_averaged(x: Array, centers: Array, y: Array) -> Any:
    """The loss is averaged over the batch, neither gradient is."""
    loss, (dx, dcenters) = course.center_loss(x, centers, y)
    return loss, (dx * len(x), dcenters * len(x))


def center_repeats_lost(x: Array, centers: Array, y: Array) -> Any:
    """`-=` with an index array: a center with several samples moves for one of them."""
    loss, (dx, _) = course.center_loss(x, centers, y)
    dcenters = np.zeros_like(centers)
    dcenters[y] -= dx
    return loss, (dx, dcenters)


# Subtle faults


def batchnorm_without_eps(dout: Array, cache: Any) -> Any:
    """The backward divides by sqrt(var), the forward by sqrt(var + eps)."""
    _, centred, var, _, xhat, gamma, _ = cache
    N = dout.shape[0]
    dxhat = dout * gamma
    inv = 1 / np.sqrt(var)
    dvar = np.sum(dxhat * centred * -0.5 * inv**3, axis=0)
    dmean = np.sum(-dxhat * inv, axis=0)
    dx = dxhat * inv + dvar * 2 * centred / N + dmean / N
    return dx, np.sum(dout * xhat, axis=0), np.sum(dout, axis=0)


def batchnorm_eps_outside_root(dout: Array, cache: Any) -> Any:
    """The backward divides by sqrt(var) + eps, the forward by sqrt(var + eps)."""
    x, centred, var, _, xhat, gamma, eps = cache
    return course.batchnorm_simplified_backward(dout, (x, centred, var, np.sqrt(var) + eps, xhat, gamma, eps))


def rmsnorm_without_eps(dout: Array, cache: Any) -> Any:
    """The root mean square is computed again without its epsilon."""
    x, gain, _ = cache
    rms = np.sqrt(np.mean(x**2, axis=-1, keepdims=True))
    return course.rmsnorm_backward(dout, (x, gain, rms))


def l2_normalise_with_eps(dout: Array, cache: Any) -> Any:
    """An epsilon protects the division in the backward only."""
    _, out, norm = cache
    return (dout - out * np.sum(dout * out, axis=1, keepdims=True)) / (norm + 1e-6)


def gelu_rounded_root(dout: Array, cache: Any) -> Any:
    """sqrt(2 / pi) is typed in with five digits."""
    x, t = cache
    du = 0.79788 * (1 + 3 * 0.044715 * x**2)
    return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * du)


def gelu_rounded_coefficient(dout: Array, cache: Any) -> Any:
    """0.044715 is typed in with three digits."""
    x, t = cache
    du = np.sqrt(2 / np.pi) * (1 + 3 * 0.0447 * x**2)
    return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * du)


def softplus_by_differences(dout: Array, cache: Any) -> Any:
    """A one-sided difference stands in for the derivative."""
    x = cache
    h = 1e-5
    above, _ = course.softplus_forward(x + h)
    here, _ = course.softplus_forward(x)
    return dout * (above - here) / h


def softmax_loss_epsilon(x: Array, y: Array) -> Any:
    """An epsilon in the logarithm of the loss is not in its gradient."""
    N = x.shape[0]
    probs = softmax(x)
    loss = -np.sum(np.log(probs[np.arange(N), y] + 1e-6)) / N
    dx = probs.copy()
    dx[np.arange(N), y] -= 1
    return loss, dx / N


def bce_epsilon(z: Array, y: Array) -> Any:
    """An epsilon in the logarithms of the loss is not in its gradient."""
    m = y.shape[1]
    a = 1 / (1 + np.exp(-z))
    loss = -1.0 / m * np.sum(y * np.log(a + 1e-6) + (1 - y) * np.log(1 - a + 1e-6))
    return loss, 1.0 / m * (a - y)


def cosine_epsilon(a: Array, b: Array) -> Any:
    """An epsilon in the denominator of the loss is not in its gradients."""
    na = np.linalg.norm(a, axis=1)
    nb = np.linalg.norm(b, axis=1)
    loss = np.mean(1 - np.sum(a * b, axis=1) / (na * nb + 1e-5))
    _, gradients = course.cosine_loss(a, b)
    return loss, gradients


# Mutations


def relu_in_dout(dout: Array, cache: Any) -> Any:
    """The gate is applied to dout itself."""
    x = cache
    dout[x <= 0] = 0
    return dout


def relu_in_place_forward(x: Array) -> tuple[Array, Any]:
    """The rectifier overwrites its input."""
    x[x < 0] = 0
    return x, x


def batchnorm_scales_dout(dout: Array, cache: Any) -> Any:
    """dout is multiplied by gamma in place."""
    _, _, _, std, xhat, gamma, _ = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xhat).sum(axis=0)
    dout *= gamma
    dx = (1.0 / N) / std * (N * dout - dout.sum(axis=0) - xhat * (dout * xhat).sum(axis=0))
    return dx, dgamma, dbeta


def dropout_in_place_forward(x: Array, mask: Array, keep_prob: float) -> tuple[Array, Any]:
    """The caller's mask is scaled in place: the second call scales it again."""
    mask /= keep_prob
    return x * mask, (mask, keep_prob, mask)


def residual_adds_to_dout(dout: Array, cache: Any) -> Any:
    """The branch is added to dout itself."""
    cache1, cache2, cache3 = cache
    dactive, dW2, db2 = course.affine_backward(dout, cache3)
    dx, dW1, db1 = course.affine_backward(course.relu_backward(dactive, cache2), cache1)
    dout += dx
    return dout, dW1, db1, dW2, db2


def rnn_accumulates_in_dout(dh: Array, cache: Any) -> Any:
    """The gradient that comes back through time is added to dh itself."""
    caches, (N, T, D) = cache
    H = dh.shape[2]
    dx, dWx, dWh, db = np.zeros((N, T, D)), np.zeros((D, H)), np.zeros((H, H)), np.zeros(H)
    for t in reversed(range(T)):
        dx[:, t, :], dprev_h, dWx_t, dWh_t, db_t = course.rnn_step_backward(dh[:, t, :], caches[t])
        if t > 0:
            dh[:, t - 1, :] += dprev_h
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dprev_h, dWx, dWh, db


def attention_overwrites_weights(dout: Array, cache: Any) -> Any:
    """The saved weights are reused as a buffer: the second call is wrong."""
    q, k, v, p = cache
    dv = p.swapaxes(1, 2) @ dout
    dp = dout @ v.swapaxes(1, 2)
    dp -= np.sum(dp * p, axis=-1, keepdims=True)
    p *= dp
    p /= np.sqrt(q.shape[-1])
    return p @ k, p.swapaxes(1, 2) @ q, dv


def softmax_loss_shifts_scores(x: Array, y: Array) -> Any:
    """The caller's scores are shifted in place."""
    N = x.shape[0]
    x -= np.max(x, axis=1, keepdims=True)
    probs = np.exp(x) / np.sum(np.exp(x), axis=1, keepdims=True)
    loss = -np.sum(np.log(probs[np.arange(N), y])) / N
    probs[np.arange(N), y] -= 1
    return loss, probs / N


def mse_subtracts_in_place(y_hat: Array, y: Array) -> Any:
    """The caller's predictions become residuals."""
    m = y.shape[0]
    y_hat -= y
    return (1.0 / m) * np.sum(y_hat**2), (2.0 / m) * y_hat


def two_layer_shares_dict(params: dict[str, Array], X: Array, y: Array, reg: float) -> Any:
    """The gradients are written into the caller's dict of parameters."""
    loss, grads = course.two_layer_loss(params, X, y, reg)
    for name in params:
        params[name] = grads[name]
    return loss, params


# Controls


def affine_by_samples(dout: Array, cache: Any) -> Any:
    """The matrix products as sums of outer products, sample by sample."""
    x, w, b = cache
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros_like(b)
    for n in range(x.shape[0]):
        dx[n] = np.dot(w, dout[n]).reshape(x.shape[1:])
        dw += np.outer(x[n], dout[n])
        db += dout[n]
    return dx, dw, db


def relu_output_forward(x: Array) -> tuple[Array, Any]:
    """The rectifier with its output saved."""
    out = x * (x > 0)
    return out, out


def relu_gate_from_output(dout: Array, cache: Any) -> Any:
    """The output is positive exactly where the input is."""
    out = cache
    return dout * (out > 0)


def elu_by_exponential(dout: Array, cache: Any) -> Any:
    """alpha exp(x) computed again, and only where it cannot overflow."""
    x, _, alpha = cache
    return dout * np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0)))


def sigmoid_from_input(dout: Array, cache: Any) -> Any:
    """e^-x / (1 + e^-x)^2 from the saved input."""
    e = np.exp(-cache)
    return dout * e / (1 + e) ** 2


def tanh_by_cosh(dout: Array, cache: Any) -> Any:
    """1 / cosh^2 from the saved input."""
    return dout / np.cosh(cache) ** 2


def gelu_by_cosh(dout: Array, cache: Any) -> Any:
    """1 / cosh^2 in the place of 1 - tanh^2, the terms collected differently."""
    x, _ = cache
    c = np.sqrt(2 / np.pi)
    u = c * x * (1 + 0.044715 * x * x)
    return 0.5 * dout * (1 + np.tanh(u) + x / np.cosh(u) ** 2 * c * (1 + 0.134145 * x * x))


def swish_from_output(dout: Array, cache: Any) -> Any:
    """out + s (1 - out)."""
    x, s = cache
    out = x * s
    return dout * (out + s * (1 - out))


def dropout_divides_again(dout: Array, cache: Any) -> Any:
    """The mask divides after the product, the forward before it: one rounding differs."""
    mask, keep_prob, _ = cache
    return dout * mask / keep_prob


def batchnorm_without_mean_in_variance(dout: Array, cache: Any) -> Any:
    """The mean's path through the variance is left out; the centred inputs sum to zero, and so does it."""
    _, centred, var, std, xhat, gamma, eps = cache
    N = dout.shape[0]
    dxhat = dout * gamma
    dvar = np.sum(dxhat * centred, axis=0) * -0.5 * (var + eps) ** -1.5
    dmean = -np.sum(dxhat / std, axis=0)
    dx = dxhat / std + dvar * 2 * centred / N + dmean / N
    return dx, np.sum(dout * xhat, axis=0), np.sum(dout, axis=0)


def batchnorm_in_means(dout: Array, cache: Any) -> Any:
    """No sums and no variance: what is left of dxhat after its mean and its share along xhat."""
    _, _, _, std, xhat, gamma, _ = cache
    dxhat = dout * gamma
    dx = (dxhat - dxhat.mean(axis=0) - (dxhat * xhat).mean(axis=0) * xhat) / std
    return dx, (dout * xhat).sum(axis=0), dout.sum(axis=0)


def batchnorm_by_jacobian(dout: Array, cache: Any) -> Any:
    """One (N, N) Jacobian per feature."""
    _, _, _, std, xhat, gamma, _ = cache
    N, D = dout.shape
    dx = np.zeros((N, D))
    for d in range(D):
        jacobian = (np.eye(N) - 1 / N - np.outer(xhat[:, d], xhat[:, d]) / N) / std[d]
        dx[:, d] = gamma[d] * jacobian.dot(dout[:, d])
    return dx, np.einsum("nd,nd->d", dout, xhat), dout.sum(axis=0)


def batchnorm_test_by_reciprocal(dout: Array, cache: Any) -> Any:
    """A product with the reciprocal where the forward divides: one rounding differs."""
    _, _, _, std, xhat, gamma, _ = cache
    return dout * gamma * (1.0 / std), (dout * xhat).sum(axis=0), dout.sum(axis=0)


def layernorm_in_means(dout: Array, cache: Any) -> Any:
    """Means in the place of sums over D."""
    _, xhat, istd, gamma = cache
    g = dout * gamma
    dx = istd * (g - g.mean(-1, keepdims=True) - xhat * (g * xhat).mean(-1, keepdims=True))
    return dx, np.sum(dout * xhat, axis=0), np.sum(dout, axis=0)


def rmsnorm_projected(dout: Array, cache: Any) -> Any:
    """The normalised input takes its own share out of the gradient."""
    x, gain, rms = cache
    unit = x / rms
    g = dout * gain
    return (g - unit * np.mean(g * unit, axis=-1, keepdims=True)) / rms, np.sum(dout * unit, axis=0)


def l2_normalise_one_fraction(dout: Array, cache: Any) -> Any:
    """(|x|^2 dout - x (x . dout)) / |x|^3."""
    x, _, _ = cache
    square = np.sum(x * x, axis=1, keepdims=True)
    return (square * dout - x * np.sum(x * dout, axis=1, keepdims=True)) / square**1.5


def conv_by_offsets(dout: Array, cache: Any) -> Any:
    """Loops over the places in the filter, strided slices over the places in the image."""
    x, w, _, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    _, _, HH, WW = w.shape
    H_out, W_out = dout.shape[2:]
    x_pad = np.pad(x, ((0,), (0,), (pad,), (pad,)))
    dx_pad, dw = np.zeros_like(x_pad), np.zeros_like(w)
    for i in range(HH):
        for j in range(WW):
            rows = slice(i, i + stride * H_out, stride)
            columns = slice(j, j + stride * W_out, stride)
            dw[:, :, i, j] = np.einsum("nfhw,nchw->fc", dout, x_pad[:, :, rows, columns])
            dx_pad[:, :, rows, columns] += np.einsum("nfhw,fc->nchw", dout, w[:, :, i, j])
    return crop(dx_pad, x, pad), dw, dout.sum(axis=(0, 2, 3))


def im2col_weight_by_tensordot(dout: Array, cache: Any) -> Any:
    """The filter gradient by tensordot over batch and patches."""
    x, w, cols, conv_param = cache
    N, F, _, _ = dout.shape
    K = cols.shape[0]
    patches = cols.reshape(K, N, -1)
    dflat = dout.reshape(N, F, -1)
    dw = np.tensordot(dflat, patches, axes=([0, 2], [1, 2])).reshape(w.shape)
    dcols = np.tensordot(w.reshape(F, K), dflat, axes=([0], [1])).reshape(K, -1)
    dx = course.col2im(dcols, x.shape, w.shape[2], w.shape[3], conv_param["stride"], conv_param["pad"])
    return dx, dw, dflat.sum(axis=2).sum(axis=0)


def maxpool_by_comparison(dout: Array, cache: Any) -> Any:
    """Every place of the window at once: it gets dout where it equals the maximum."""
    x, pool_param = cache
    ph, pw, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    out, _ = course.maxpool_loops_forward(x, pool_param)
    H_out, W_out = dout.shape[2:]
    dx = np.zeros(x.shape)
    for i in range(ph):
        for j in range(pw):
            rows = slice(i, i + stride * (H_out - 1) + 1, stride)
            columns = slice(j, j + stride * (W_out - 1) + 1, stride)
            dx[:, :, rows, columns] += np.where(x[:, :, rows, columns] == out, dout, 0)
    return dx


def maxpool_flat(dout: Array, cache: Any) -> Any:
    """The saved places as flat indices, added with `np.add.at`."""
    x, where, pool_param = cache
    pw, stride = pool_param["pool_width"], pool_param["stride"]
    N, C, H, W = x.shape
    H_out, W_out = dout.shape[2:]
    row = np.arange(H_out).reshape(-1, 1) * stride + where // pw
    column = np.arange(W_out).reshape(1, -1) * stride + where % pw
    image = np.arange(N * C).reshape(N, C, 1, 1)
    dx = np.zeros(N * C * H * W)
    np.add.at(dx, ((image * H + row) * W + column).ravel(), dout.ravel())
    return dx.reshape(x.shape)


def avgpool_by_reciprocal(dout: Array, cache: Any) -> Any:
    """A product with 1 / (ph pw) where the forward takes a mean: one rounding differs."""
    shape, pool_param = cache
    ph, pw, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    dx = np.zeros(shape)
    scale = 1.0 / (ph * pw)
    for i, j in np.ndindex(*dout.shape[2:]):
        window = dx[:, :, i * stride : i * stride + ph, j * stride : j * stride + pw]
        window += scale * dout[:, :, i : i + 1, j : j + 1]
    return dx


def embedding_by_one_hot(dout: Array, cache: Any) -> Any:
    """A lookup is a product with a one-hot matrix."""
    W, idx = cache
    one_hot = np.eye(W.shape[0])[idx.reshape(-1)]
    return one_hot.T.dot(dout.reshape(-1, W.shape[1]))


def cumsum_from_total(dout: Array, cache: Any) -> Any:
    """The total less what came before."""
    return dout.sum(axis=1, keepdims=True) - np.cumsum(dout, axis=1) + dout


def prod_from_both_ends(dout: Array, cache: Any) -> Any:
    """The product of all factors before times the product of all factors after."""
    x, _ = cache
    ones = np.ones((x.shape[0], 1))
    before = np.cumprod(np.concatenate((ones, x[:, :-1]), axis=1), axis=1)
    after = np.cumprod(np.concatenate((ones, x[:, :0:-1]), axis=1), axis=1)[:, ::-1]
    return dout.reshape(-1, 1) * before * after


def gram_symmetric(dout: Array, cache: Any) -> Any:
    """Both uses of x at once."""
    return (dout + dout.T).dot(cache)


def softmax_without_jacobian(dout: Array, cache: Any) -> Any:
    """p (dout - p . dout)."""
    p = cache
    return p * (dout - np.sum(p * dout, axis=-1, keepdims=True))


def rnn_weights_at_the_end(dh: Array, cache: Any) -> Any:
    """The loop keeps the pre-activation gradients; the weights are summed over batch and time afterwards."""
    caches, (N, T, _) = cache
    H = dh.shape[2]
    da = np.zeros((N, T, H))
    dprev_h = np.zeros((N, H))
    for t in range(T)[::-1]:
        next_h = caches[t][4]
        da[:, t] = (dh[:, t] + dprev_h) * (1 - next_h) * (1 + next_h)
        dprev_h = da[:, t] @ caches[t][3].T
    x = np.stack([step[0] for step in caches], axis=1)
    h = np.stack([step[1] for step in caches], axis=1)
    Wx = caches[0][2]
    dWx = np.einsum("ntd,nth->dh", x, da)
    dWh = np.einsum("nti,ntj->ij", h, da)
    return da @ Wx.T, dprev_h, dWx, dWh, da.sum(axis=(0, 1))


def lstm_step_factored(dout: Array, cache: Any) -> Any:
    """(1 - t) (1 + t) for 1 - t^2, s - s^2 for s (1 - s), and products into slices of one buffer."""
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, tanh_c = cache
    N, H = prev_h.shape
    dc = dout[1] + dout[0] * o * (1 - tanh_c) * (1 + tanh_c)
    da = np.empty((N, 4 * H))
    da[:, 0 * H : 1 * H] = dc * g * (i - i * i)
    da[:, 1 * H : 2 * H] = dc * prev_c * (f - f * f)
    da[:, 2 * H : 3 * H] = dout[0] * tanh_c * (o - o * o)
    da[:, 3 * H : 4 * H] = dc * i * (1 - g) * (1 + g)
    return np.dot(da, Wx.T), np.dot(da, Wh.T), f * dc, np.dot(x.T, da), np.dot(prev_h.T, da), np.sum(da, 0)


def attention_through_maximum(dout: Array, cache: Any) -> Any:
    """The shift by the largest score is differentiated too; what it gets sums to zero."""
    q, k, v, p = cache
    dv = p.swapaxes(1, 2) @ dout
    dp = dout @ v.swapaxes(1, 2)
    dscores = p * (dp - np.sum(dp * p, axis=-1, keepdims=True))
    dmaximum = -np.sum(dscores, axis=-1, keepdims=True)
    largest = np.argmax(p, axis=-1)[..., None] == np.arange(p.shape[-1])
    dscores = (dscores + largest * dmaximum) / np.sqrt(q.shape[-1])
    return dscores @ k, dscores.swapaxes(1, 2) @ q, dv


def attention_scaled_by_power(dout: Array, cache: Any) -> Any:
    """A product with d ** -0.5 where the forward divides by sqrt(d): one rounding differs."""
    q, k, v, p = cache
    dv = p.swapaxes(1, 2) @ dout
    dp = dout @ v.swapaxes(1, 2)
    dscores = p * (dp - np.sum(dp * p, axis=-1, keepdims=True)) * q.shape[-1] ** -0.5
    return dscores @ k, dscores.swapaxes(1, 2) @ q, dv


def self_attention_mask_left_to_zeros(dout: Array, cache: Any) -> Any:
    """The hidden places are not masked again: their weights are 0 in float64, 10^-434294482 in truth."""
    x, Wq, Wk, Wv, q, k, v, p, _ = cache
    everything = np.ones_like(p) > 0
    return course.self_attention_backward(dout, (x, Wq, Wk, Wv, q, k, v, p, everything))


def softmax_loss_one_hot(x: Array, y: Array) -> Any:
    """Unshifted probabilities less one-hot labels."""
    N, C = x.shape
    one_hot = np.eye(C)[y]
    probs = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    loss = -np.mean(np.sum(one_hot * np.log(probs), axis=1))
    return loss, (probs - one_hot) / N


def svm_right_class_counted(x: Array, y: Array) -> Any:
    """The right class has margin 1 and is counted as violated, once in the mask and once in the count."""
    N = x.shape[0]
    margins = np.maximum(0, x - x[np.arange(N), y][:, None] + 1.0)
    loss = np.sum(margins) / N - 1
    dx = np.zeros_like(x)
    dx[margins > 0] = 1
    dx[np.arange(N), y] -= np.sum(margins > 0, axis=1)
    dx /= N
    return loss, dx


def svm_loops_in_matrices(W: Array, X: Array, y: Array, reg: float) -> Any:
    """The loops as one matrix product."""
    scores = X.dot(W)
    loss, dscores = course.svm_loss(scores, y)
    return loss + 0.5 * reg * np.sum(W**2), X.T.dot(dscores) + reg * W


def mse_two_over_m(y_hat: Array, y: Array) -> Any:
    """2 (1 / m) diff, the mean taken by numpy in the loss: one rounding differs."""
    m = y.shape[0]
    diff = y_hat - y
    loss = np.mean(np.sum(np.square(diff), axis=1))
    return loss, 2 * (1.0 / m) * diff


def bce_by_chain_rule(z: Array, y: Array) -> Any:
    """Through the probabilities, without the cancellation on paper."""
    m = y.shape[1]
    a = 1 / (1 + np.exp(-z))
    loss = -np.sum(y * np.log(a) + (1 - y) * np.log(1 - a)) / m
    da = -(np.divide(y, a) - np.divide(1 - y, 1 - a)) / m
    return loss, da * a * (1 - a)


def huber_by_clip(y_hat: Array, y: Array, delta: float) -> Any:
    """The gradient of the Huber loss is its residual, clipped."""
    loss, _ = course.huber_loss(y_hat, y, delta)
    return loss, np.clip(y_hat - y, -delta, delta) / len(y)


def two_layer_gate_by_product(params: dict[str, Array], X: Array, y: Array, reg: float) -> Any:
    """The gate as a product with a boolean array taken before the rectifier."""
    loss, grads = course.two_layer_loss(params, X, y, reg)
    _, dscores = two_layer_parts(params, X, y)
    gate = X.dot(params["W1"]) + params["b1"] > 0
    dhidden = np.dot(dscores, params["W2"].T) * gate
    grads["W1"] = np.dot(X.T, dhidden) + params["W1"] * reg
    grads["b1"] = dhidden.sum(axis=0)
    return loss, grads


def logistic_by_samples(w: Array, b: Array, X: Array, Y: Array) -> Any:
    """A loop over the samples, divided once at the end."""
    m = X.shape[1]
    cost, dw, db = 0.0, np.zeros((X.shape[0], 1)), 0.0
    for i in range(m):
        z = np.dot(w[:, 0], X[:, i]) + b
        a = 1 / (1 + np.exp(-z))
        cost += -(Y[0, i] * np.log(a) + (1 - Y[0, i]) * np.log(1 - a))
        dw[:, 0] += X[:, i] * (a - Y[0, i])
        db += a - Y[0, i]
    return cost / m, (dw / m, db / m)


def kl_general_target(logits: Array, target: Array) -> Any:
    """The form for targets that need not sum to one."""
    q = softmax(logits)
    loss = np.mean(np.sum(target * np.log(target / q), axis=1))
    return loss, (q * target.sum(axis=1, keepdims=True) - target) / logits.shape[0]


def hinge_by_product(w: Array, b: Array, X: Array, y: Array, C: float) -> Any:
    """The mask as a product, the sign carried by the labels."""
    loss, _ = course.hinge_loss(w, b, X, y, C)
    pull = np.where(y * (X.dot(w) + b) < 1, -C * y, 0)
    return loss, (w + pull.dot(X), pull.sum())


def negative_sampling_at_once(v: Array, U: Array, target: int, negatives: Array) -> Any:
    """All words in one array with their labels."""
    words = np.concatenate(([target], negatives))
    labels = (np.arange(len(words)) == 0).astype(float)
    score = 1 / (1 + np.exp(-U[words].dot(v)))
    loss = -np.sum(np.log(np.abs(1 - labels - score)))
    dscore = score - labels
    dU = np.zeros_like(U)
    np.add.at(dU, words, np.outer(dscore, v))
    return loss, (dscore.dot(U[words]), dU)


def cosine_by_units(a: Array, b: Array) -> Any:
    """Through the unit rows."""
    ua, cache_a = course.l2_normalise_forward(a)
    ub, cache_b = course.l2_normalise_forward(b)
    loss = 1 - np.mean(np.sum(ua * ub, axis=1))
    da = course.l2_normalise_backward(-ub / len(a), cache_a)
    db = course.l2_normalise_backward(-ua / len(a), cache_b)
    return loss, (da, db)


def center_by_classes(x: Array, centers: Array, y: Array) -> Any:
    """A loop over the classes with boolean masks."""
    N = x.shape[0]
    loss, (dx, _) = course.center_loss(x, centers, y)
    dcenters = np.zeros_like(centers)
    for c in range(centers.shape[0]):
        mine = y == c
        dcenters[c] = (np.sum(mine) * centers[c] - x[mine].sum(axis=0)) / N
    return loss, (dx, dcenters)


FAULTS: list[Fault] = [
    Fault("affine-bias-mean", "affine", affine_bias_mean, (2,), "mean for sum"),
    Fault("affine-bias-not-reduced", "affine", affine_bias_not_reduced, (2,), "broadcasting"),
    Fault("affine-weight-over-batch", "affine", affine_weight_over_batch, (1,), "mean for sum"),
    Fault("affine-weight-ignores-dout", "affine", affine_weight_ignores_dout, (1,), "dout ignored"),
    Fault("scale-shift-wrong-axis", "scale-shift", scale_shift_wrong_axis, (1,), "index or axis"),
    Fault("scale-shift-not-reduced", "scale-shift", scale_shift_not_reduced, (2,), "broadcasting"),
    Fault("relu-gate-on-dout", "relu", relu_gate_on_dout, (0,), "wrong saved value"),
    Fault("relu-gate-reversed", "relu", relu_gate_reversed, (0,), "sign"),
    Fault("relu-ignores-dout", "relu", relu_ignores_dout, (0,), "dout ignored"),
    Fault("relu-returns-value", "relu-product", relu_returns_value, (0,), "wrong formula"),
    Fault("leaky-relu-no-slope", "leaky-relu", leaky_relu_no_slope, (0,), "factor"),
    Fault("leaky-relu-sides-swapped", "leaky-relu", leaky_relu_sides_swapped, (0,), "swapped"),
    Fault("leaky-relu-half-chain-rule", "leaky-relu", leaky_relu_half_chain_rule, (0,), "dout ignored"),
    Fault("elu-without-alpha", "elu", elu_without_alpha, (0,), "wrong formula"),
    Fault("elu-scale-dropped", "elu", elu_scale_dropped, (0,), "factor"),
    Fault(
        "sigmoid-input-for-output",
        "sigmoid",
        sigmoid_input_for_output,
        (0,),
        "wrong saved value",
        forward=sigmoid_input_forward,
    ),
    Fault("sigmoid-ignores-dout", "sigmoid", sigmoid_ignores_dout, (0,), "dout ignored"),
    Fault("sigmoid-half-derivative", "sigmoid-branches", sigmoid_half_derivative, (0,), "factor"),
    Fault("sigmoid-twice", "sigmoid-branches", sigmoid_twice, (0,), "wrong saved value"),
    Fault("tanh-not-squared", "tanh", tanh_not_squared, (0,), "wrong formula"),
    Fault(
        "tanh-input-for-output",
        "tanh",
        tanh_input_for_output,
        (0,),
        "wrong saved value",
        forward=tanh_input_forward,
    ),
    Fault("gelu-inner-factor", "gelu-tanh", gelu_inner_factor, (0,), "factor"),
    Fault("gelu-by-logistic", "gelu-tanh", gelu_by_logistic, (0,), "wrong formula"),
    Fault("gelu-missing-path", "gelu-tanh", gelu_missing_path, (0,), "missing path"),
    Fault("softplus-sign", "softplus", softplus_sign, (0,), "sign"),
    Fault("softplus-second-derivative", "softplus", softplus_second_derivative, (0,), "wrong formula"),
    Fault("swish-missing-path", "swish", swish_missing_path, (0,), "missing path"),
    Fault("swish-without-input", "swish", swish_without_input, (0,), "factor"),
    Fault("dropout-unscaled", "dropout", dropout_unscaled, (0,), "factor"),
    Fault("dropout-scaled-twice", "dropout", dropout_scaled_twice, (0,), "factor"),
    Fault("dropout-without-mask", "dropout", dropout_without_mask, (0,), "factor"),
    Fault("batchnorm-without-variance", "batchnorm-staged", batchnorm_without_variance, (0,), "missing path"),
    Fault("batchnorm-without-mean", "batchnorm-staged", batchnorm_without_mean, (0,), "missing path"),
    Fault("batchnorm-mean-summed", "batchnorm-staged", batchnorm_mean_summed, (0,), "mean for sum"),
    Fault("batchnorm-variance-sign", "batchnorm-staged", batchnorm_variance_sign, (0,), "sign"),
    Fault("batchnorm-overwritten", "batchnorm-staged", batchnorm_overwritten, (0,), "= for +="),
    Fault("batchnorm-unbiased", "batchnorm-simplified", batchnorm_unbiased, (0,), "factor"),
    Fault("batchnorm-without-gamma", "batchnorm-simplified", batchnorm_without_gamma, (0,), "factor"),
    Fault(
        "batchnorm-gamma-from-input",
        "batchnorm-simplified",
        batchnorm_gamma_from_input,
        (1,),
        "wrong saved value",
    ),
    Fault(
        "batchnorm-parameters-swapped",
        "batchnorm-simplified",
        batchnorm_parameters_swapped,
        (1, 2),
        "swapped",
    ),
    Fault(
        "batchnorm-train-backward-in-test-mode",
        "batchnorm-test",
        course.batchnorm_simplified_backward,
        (0,),
        "wrong saved value",
    ),
    Fault(
        "batchnorm-test-gamma-from-input",
        "batchnorm-test",
        batchnorm_gamma_from_input,
        (0, 1),
        "wrong saved value",
    ),
    Fault(
        "batchnorm-test-backward-in-train-mode",
        "batchnorm-staged",
        course.batchnorm_test_backward,
        (0,),
        "missing path",
    ),
    Fault("layernorm-wrong-axis", "layernorm", layernorm_wrong_axis, (0,), "index or axis"),
    Fault("layernorm-batch-for-features", "layernorm", layernorm_batch_for_features, (0,), "factor"),
    Fault(
        "layernorm-parameters-over-features",
        "layernorm",
        layernorm_parameters_over_features,
        (1, 2),
        "broadcasting",
    ),
    Fault("rmsnorm-missing-path", "rmsnorm", rmsnorm_missing_path, (0,), "missing path"),
    Fault("rmsnorm-sum-for-mean", "rmsnorm", rmsnorm_sum_for_mean, (0,), "mean for sum"),
    Fault("rmsnorm-gain-unnormalised", "rmsnorm", rmsnorm_gain_unnormalised, (1,), "wrong saved value"),
    Fault("groupnorm-counts-all-channels", "groupnorm", groupnorm_counts_all_channels, (0,), "factor"),
    Fault("groupnorm-scale-not-reduced", "groupnorm", groupnorm_scale_not_reduced, (1,), "broadcasting"),
    Fault("l2-normalise-missing-path", "l2-normalise", l2_normalise_missing_path, (0,), "missing path"),
    Fault("l2-normalise-wrong-axis", "l2-normalise", l2_normalise_wrong_axis, (0,), "index or axis"),
    Fault(
        "l2-normalise-input-for-output",
        "l2-normalise",
        l2_normalise_input_for_output,
        (0,),
        "wrong saved value",
    ),
    Fault("conv-stride-ignored", "conv-loops", conv_stride_ignored, (0, 1), "index or axis", "stride > 1"),
    Fault("conv-weight-overwritten", "conv-loops", conv_weight_overwritten, (1,), "= for +="),
    Fault("conv-input-overwritten", "conv-loops", conv_input_overwritten, (0,), "= for +="),
    Fault("conv-filter-flipped", "conv-loops", conv_filter_flipped, (0,), "index or axis"),
    Fault("conv-padding-not-cut", "conv-loops", conv_padding_not_cut, (0,), "index or axis", "pad > 0"),
    Fault("conv-bias-mean", "conv-loops", conv_bias_mean, (2,), "mean for sum"),
    Fault("conv-bias-last-sample", "conv-loops", conv_bias_last_sample, (2,), "= for +="),
    Fault("im2col-repeats-lost", "conv-im2col", im2col_repeats_lost, (0,), "= for +="),
    Fault("im2col-batch-not-transposed", "conv-im2col", im2col_batch_not_transposed, (0, 1), "index or axis"),
    Fault("im2col-columns-transposed", "conv-im2col", im2col_columns_transposed, (0,), "index or axis"),
    Fault("maxpool-overwritten", "maxpool-loops", maxpool_overwritten, (0,), "= for +=", "windows overlap"),
    Fault("maxpool-spread", "maxpool-loops", maxpool_spread, (0,), "wrong formula"),
    Fault("maxpool-value-times-mask", "maxpool-loops", maxpool_value_times_mask, (0,), "dout ignored"),
    Fault("maxpool-height-for-width", "maxpool-argmax", maxpool_height_for_width, (0,), "index or axis"),
    Fault(
        "maxpool-stride-ignored",
        "maxpool-argmax",
        maxpool_stride_ignored,
        (0,),
        "index or axis",
        "stride > 1",
    ),
    Fault("avgpool-not-divided", "avgpool", avgpool_not_divided, (0,), "mean for sum"),
    Fault("avgpool-square-window", "avgpool", avgpool_square_window, (0,), "factor"),
    Fault("embedding-repeats-lost", "embedding", embedding_repeats_lost, (0,), "= for +="),
    Fault("embedding-averaged", "embedding", embedding_averaged, (0,), "mean for sum"),
    Fault("cumsum-not-reversed", "cumsum", cumsum_not_reversed, (0,), "index or axis"),
    Fault("prod-by-division", "prod", prod_by_division, (0,), "epsilon"),
    Fault("prod-of-all", "prod", prod_of_all, (0,), "wrong formula"),
    Fault("gram-missing-path", "gram", gram_missing_path, (0,), "missing path"),
    Fault("gram-doubled", "gram", gram_doubled, (0,), "missing path"),
    Fault("softmax-diagonal", "softmax", softmax_diagonal, (0,), "missing path"),
    Fault("softmax-wrong-axis", "softmax", softmax_wrong_axis, (0,), "index or axis"),
    Fault("residual-missing-skip", "residual", residual_missing_skip, (0,), "missing path"),
    Fault("residual-skip-only", "residual", residual_skip_only, (0,), "= for +="),
    Fault("residual-gate-missing", "residual", residual_gate_missing, (0, 1, 2), "factor"),
    Fault("rnn-step-without-tanh", "rnn-step", rnn_step_without_tanh, (0, 1, 2, 3, 4), "factor"),
    Fault("rnn-step-next-for-previous", "rnn-step", rnn_step_next_for_previous, (3,), "wrong saved value"),
    Fault("rnn-step-not-transposed", "rnn-step", rnn_step_not_transposed, (1,), "index or axis"),
    Fault("rnn-step-bias-mean", "rnn-step", rnn_step_bias_mean, (4,), "mean for sum"),
    Fault("rnn-no-path-through-time", "rnn-sequence", rnn_no_path_through_time, (0, 1, 2, 3, 4), "missing path"),
    Fault("rnn-weights-overwritten", "rnn-sequence", rnn_weights_overwritten, (2, 3, 4), "= for +="),
    Fault(
        "rnn-tanh-skipped-between-steps",
        "rnn-sequence",
        rnn_tanh_skipped_between_steps,
        (0, 1, 2, 3, 4),
        "factor",
    ),
    Fault("rnn-forward-in-time", "rnn-sequence", rnn_forward_in_time, (0, 1, 2, 3, 4), "index or axis"),
    Fault(
        "lstm-step-hidden-path-missing",
        "lstm-step",
        lstm_step_hidden_path_missing,
        (0, 1, 2, 3, 4, 5),
        "missing path",
    ),
    Fault(
        "lstm-step-cell-path-missing",
        "lstm-step",
        lstm_step_cell_path_missing,
        (0, 1, 2, 3, 4, 5),
        "missing path",
    ),
    Fault("lstm-step-tanh-of-tanh", "lstm-step", lstm_step_tanh_of_tanh, (0, 1, 2, 3, 4, 5), "wrong saved value"),
    Fault("lstm-step-gates-swapped", "lstm-step", lstm_step_gates_swapped, (0, 1, 3, 4, 5), "swapped"),
    Fault("lstm-step-forget-gate-missing", "lstm-step", lstm_step_forget_gate_missing, (2,), "factor"),
    Fault("lstm-cell-path-dropped", "lstm-sequence", lstm_cell_path_dropped, (0, 1, 2, 3, 4), "missing path"),
    Fault("lstm-stale-cache", "lstm-sequence", lstm_stale_cache, (0, 1, 2, 3, 4), "wrong saved value"),
    Fault("lstm-bias-overwritten", "lstm-sequence", lstm_bias_overwritten, (4,), "= for +="),
    Fault("gru-direct-path-missing", "gru-step", gru_direct_path_missing, (1,), "missing path"),
    Fault("gru-update-sign", "gru-step", gru_update_sign, (0, 1, 2, 3, 4), "sign"),
    Fault("gru-reset-not-applied", "gru-step", gru_reset_not_applied, (1, 3), "factor"),
    Fault("attention-unscaled", "attention", attention_unscaled, (0, 1), "factor"),
    Fault("attention-scaled-by-d", "attention", attention_scaled_by_d, (0, 1), "factor"),
    Fault("attention-softmax-term-missing", "attention", attention_softmax_term_missing, (0, 1), "missing path"),
    Fault("attention-softmax-wrong-axis", "attention", attention_softmax_wrong_axis, (0, 1), "index or axis"),
    Fault("attention-value-ignores-weights", "attention", attention_value_ignores_weights, (2,), "factor"),
    Fault(
        "causal-mask-forgotten",
        "attention-causal-additive",
        causal_mask_forgotten,
        (0, 1, 2),
        "wrong saved value",
    ),
    Fault(
        "causal-not-transposed",
        "attention-causal-infinite",
        causal_not_transposed,
        (1, 2),
        "index or axis",
    ),
    Fault("einsum-heads-mixed", "attention-einsum", einsum_heads_mixed, (0,), "index or axis"),
    Fault(
        "einsum-values-in-wrong-order",
        "attention-einsum",
        einsum_values_in_wrong_order,
        (2,),
        "index or axis",
    ),
    Fault("self-attention-values-missing", "self-attention", self_attention_values_missing, (0,), "missing path"),
    Fault("self-attention-overwritten", "self-attention", self_attention_overwritten, (0,), "= for +="),
    Fault("softmax-loss-not-averaged", "softmax-cross-entropy", softmax_loss_not_averaged, (0,), "mean for sum"),
    Fault("softmax-loss-divided-first", "softmax-cross-entropy", softmax_loss_divided_first, (0,), "factor"),
    Fault(
        "softmax-loss-whole-columns",
        "softmax-cross-entropy",
        softmax_loss_whole_columns,
        (0,),
        "index or axis",
    ),
    Fault("svm-right-class-once", "svm", svm_right_class_once, (0,), "missing path"),
    Fault("svm-not-averaged", "svm", svm_not_averaged, (0,), "mean for sum"),
    Fault("svm-right-class-forgotten", "svm-astype", svm_right_class_forgotten, (0,), "missing path"),
    Fault("svm-margins-for-mask", "svm-astype", svm_margins_for_mask, (0,), "wrong formula"),
    Fault(
        "svm-loops-right-column-forgotten",
        "svm-loops",
        svm_loops_right_column_forgotten,
        (0,),
        "missing path",
    ),
    Fault("svm-loops-decay-averaged", "svm-loops", svm_loops_decay_averaged, (0,), "mean for sum"),
    Fault("mse-missing-two", "mse", mse_missing_two, (0,), "factor"),
    Fault("mse-wrong-count", "mse", mse_wrong_count, (0,), "mean for sum"),
    Fault("mse-sign", "mse", mse_sign, (0,), "sign"),
    Fault("bce-sign", "bce", bce_sign, (0,), "sign"),
    Fault("bce-not-averaged", "bce", bce_not_averaged, (0,), "mean for sum"),
    Fault("bce-logistic-twice", "bce", bce_logistic_twice, (0,), "factor"),
    Fault(
        "bce-logits-for-probabilities",
        "bce-probabilities",
        bce_logits_for_probabilities,
        (0,),
        "wrong formula",
    ),
    Fault("bce-negative-class-sign", "bce-probabilities", bce_negative_class_sign, (0,), "sign"),
    Fault("huber-delta-missing", "huber", huber_delta_missing, (0,), "factor"),
    Fault("huber-sign-missing", "huber", huber_sign_missing, (0,), "sign"),
    Fault("huber-one-sided", "huber", huber_one_sided, (0,), "wrong formula"),
    Fault("two-layer-no-decay", "two-layer-network", two_layer_no_decay, (0, 1), "missing path"),
    Fault("two-layer-decay-doubled", "two-layer-network", two_layer_decay_doubled, (0, 1), "factor"),
    Fault("two-layer-decay-on-bias", "two-layer-network", two_layer_decay_on_bias, (2, 3), "wrong formula"),
    Fault("two-layer-gate-missing", "two-layer-network", two_layer_gate_missing, (0, 2), "factor"),
    Fault(
        "two-layer-input-for-hidden",
        "two-layer-network",
        two_layer_input_for_hidden,
        (1,),
        "wrong saved value",
    ),
    Fault(
        "logistic-weight-not-averaged",
        "logistic-columns",
        logistic_weight_not_averaged,
        (0,),
        "mean for sum",
    ),
    Fault("logistic-bias-summed", "logistic-columns", logistic_bias_summed, (1,), "mean for sum"),
    Fault(
        "logistic-bias-left-out",
        "logistic-columns",
        logistic_bias_left_out,
        (0, 1),
        "wrong saved value",
    ),
    Fault("shallow-not-squared", "shallow-network-columns", shallow_not_squared, (0, 1), "wrong formula"),
    Fault(
        "shallow-logistic-for-tanh",
        "shallow-network-columns",
        shallow_logistic_for_tanh,
        (0, 1),
        "wrong formula",
    ),
    Fault("shallow-extra-two", "shallow-network-columns", shallow_extra_two, (2,), "factor"),
    Fault("shallow-bias-flat", "shallow-network-columns", shallow_bias_flat, (1,), "broadcasting"),
    Fault("kl-sign", "kl-divergence", kl_sign, (0,), "sign"),
    Fault("kl-extra-weight", "kl-divergence", kl_extra_weight, (0,), "factor"),
    Fault("kl-wrong-input", "kl-divergence", kl_wrong_input, (0,), "wrong formula"),
    Fault("hinge-label-missing", "hinge-binary", hinge_label_missing, (0, 1), "factor"),
    Fault("hinge-mask-missing", "hinge-binary", hinge_mask_missing, (0, 1), "factor"),
    Fault("hinge-penalty-missing", "hinge-binary", hinge_penalty_missing, (0,), "missing path"),
    Fault(
        "negative-sampling-repeats-lost",
        "negative-sampling",
        negative_sampling_repeats_lost,
        (1,),
        "= for +=",
    ),
    Fault("negative-sampling-sign", "negative-sampling", negative_sampling_sign, (0, 1), "sign"),
    Fault(
        "negative-sampling-center-from-target",
        "negative-sampling",
        negative_sampling_center_from_target,
        (0,),
        "missing path",
    ),
    Fault("cosine-missing-path", "cosine", cosine_missing_path, (0, 1), "missing path"),
    Fault("cosine-length-not-squared", "cosine", cosine_length_not_squared, (0,), "wrong formula"),
    Fault("cosine-swapped", "cosine", cosine_swapped, (0, 1), "swapped"),
    Fault("center-not-averaged", "center", center_not_averaged, (0, 1), "mean for sum"),
    Fault("center-repeats-lost", "center", center_repeats_lost, (1,), "= for +="),
]

SUBTLE: list[Fault] = [
    Fault("batchnorm-without-eps", "batchnorm-staged", batchnorm_without_eps, (0,), "epsilon"),
    Fault("batchnorm-eps-outside-root", "batchnorm-simplified", batchnorm_eps_outside_root, (0,), "epsilon"),
    Fault("rmsnorm-without-eps", "rmsnorm", rmsnorm_without_eps, (0, 1), "epsilon"),
    Fault("l2-normalise-with-eps", "l2-normalise", l2_normalise_with_eps, (0,), "epsilon"),
    Fault("gelu-rounded-root", "gelu-tanh", gelu_rounded_root, (0,), "wrong formula"),
    Fault("gelu-rounded-coefficient", "gelu-tanh", gelu_rounded_coefficient, (0,), "wrong formula"),
    Fault("softplus-by-differences", "softplus", softplus_by_differences, (0,), "wrong formula"),
    Fault("softmax-loss-epsilon", "softmax-cross-entropy", softmax_loss_epsilon, (0,), "epsilon"),
    Fault("bce-epsilon", "bce", bce_epsilon, (0,), "epsilon"),
    Fault("cosine-epsilon", "cosine", cosine_epsilon, (0, 1), "epsilon"),
]

MUTATIONS: list[Fault] = [
    Fault("relu-in-dout", "relu", relu_in_dout, (), "dout"),
    Fault(
        "relu-in-place-forward",
        "relu",
        course.relu_backward,
        (),
        "argument",
        forward=relu_in_place_forward,
    ),
    Fault("batchnorm-scales-dout", "batchnorm-simplified", batchnorm_scales_dout, (), "dout"),
    Fault(
        "dropout-in-place-forward",
        "dropout",
        course.dropout_backward,
        (),
        "argument",
        forward=dropout_in_place_forward,
    ),
    Fault("residual-adds-to-dout", "residual", residual_adds_to_dout, (), "dout"),
    Fault("rnn-accumulates-in-dout", "rnn-sequence", rnn_accumulates_in_dout, (), "dout"),
    Fault("attention-overwrites-weights", "attention", attention_overwrites_weights, (), "cache"),
    Fault("softmax-loss-shifts-scores", "softmax-cross-entropy", softmax_loss_shifts_scores, (), "argument"),
    Fault("mse-subtracts-in-place", "mse", mse_subtracts_in_place, (), "argument"),
    Fault("two-layer-shares-dict", "two-layer-network", two_layer_shares_dict, (), "argument"),
]

CONTROLS: list[Fault] = [
    Fault("affine-by-samples", "affine", affine_by_samples, (), "another order"),
    Fault(
        "relu-gate-from-output",
        "relu",
        relu_gate_from_output,
        (),
        "another saved value",
        forward=relu_output_forward,
    ),
    Fault("elu-by-exponential", "elu", elu_by_exponential, (), "another form"),
    Fault(
        "sigmoid-from-input",
        "sigmoid",
        sigmoid_from_input,
        (),
        "another saved value",
        forward=sigmoid_input_forward,
    ),
    Fault("tanh-by-cosh", "tanh", tanh_by_cosh, (), "another saved value", forward=tanh_input_forward),
    Fault("gelu-by-cosh", "gelu-tanh", gelu_by_cosh, (), "another form"),
    Fault("swish-from-output", "swish", swish_from_output, (), "another form"),
    Fault("dropout-divides-again", "dropout", dropout_divides_again, (), "rounded constant"),
    Fault(
        "batchnorm-without-mean-in-variance",
        "batchnorm-staged",
        batchnorm_without_mean_in_variance,
        (),
        "a term that sums to zero",
    ),
    Fault("batchnorm-in-means", "batchnorm-staged", batchnorm_in_means, (), "another form"),
    Fault("batchnorm-by-jacobian", "batchnorm-simplified", batchnorm_by_jacobian, (), "another form"),
    Fault(
        "batchnorm-test-by-reciprocal",
        "batchnorm-test",
        batchnorm_test_by_reciprocal,
        (),
        "rounded constant",
    ),
    Fault("layernorm-in-means", "layernorm", layernorm_in_means, (), "another form"),
    Fault("rmsnorm-projected", "rmsnorm", rmsnorm_projected, (), "another form"),
    Fault("l2-normalise-one-fraction", "l2-normalise", l2_normalise_one_fraction, (), "another form"),
    Fault("conv-by-offsets", "conv-loops", conv_by_offsets, (), "another order"),
    Fault("im2col-weight-by-tensordot", "conv-im2col", im2col_weight_by_tensordot, (), "another order"),
    Fault("maxpool-by-comparison", "maxpool-loops", maxpool_by_comparison, (), "another order"),
    Fault("maxpool-flat", "maxpool-argmax", maxpool_flat, (), "another order"),
    Fault("avgpool-by-reciprocal", "avgpool", avgpool_by_reciprocal, (), "rounded constant"),
    Fault("embedding-by-one-hot", "embedding", embedding_by_one_hot, (), "another form"),
    Fault("cumsum-from-total", "cumsum", cumsum_from_total, (), "another form"),
    Fault("prod-from-both-ends", "prod", prod_from_both_ends, (), "another form"),
    Fault("gram-symmetric", "gram", gram_symmetric, (), "another form"),
    Fault("softmax-without-jacobian", "softmax", softmax_without_jacobian, (), "another form"),
    Fault("rnn-weights-at-the-end", "rnn-sequence", rnn_weights_at_the_end, (), "another order"),
    Fault("lstm-step-factored", "lstm-step", lstm_step_factored, (), "another form"),
    Fault("attention-through-maximum", "attention", attention_through_maximum, (), "a term that sums to zero"),
    Fault("attention-scaled-by-power", "attention", attention_scaled_by_power, (), "rounded constant"),
    Fault(
        "self-attention-mask-left-to-zeros",
        "self-attention",
        self_attention_mask_left_to_zeros,
        (),
        "wrong by 10^-434294482",
    ),
    Fault("softmax-loss-one-hot", "softmax-cross-entropy", softmax_loss_one_hot, (), "another form"),
    Fault("svm-right-class-counted", "svm", svm_right_class_counted, (), "two mistakes that cancel"),
    Fault("svm-loops-in-matrices", "svm-loops", svm_loops_in_matrices, (), "another order"),
    Fault("mse-two-over-m", "mse", mse_two_over_m, (), "rounded constant"),
    Fault("bce-by-chain-rule", "bce", bce_by_chain_rule, (), "another form"),
    Fault("huber-by-clip", "huber", huber_by_clip, (), "another form"),
    Fault("two-layer-gate-by-product", "two-layer-network", two_layer_gate_by_product, (), "another form"),
    Fault("logistic-by-samples", "logistic-columns", logistic_by_samples, (), "another order"),
    Fault("kl-general-target", "kl-divergence", kl_general_target, (), "another form"),
    Fault("hinge-by-product", "hinge-binary", hinge_by_product, (), "another form"),
    Fault("negative-sampling-at-once", "negative-sampling", negative_sampling_at_once, (), "another order"),
    Fault("cosine-by-units", "cosine", cosine_by_units, (), "another form"),
    Fault("center-by-classes", "center", center_by_classes, (), "another order"),
]
