"""Submissions as text: twenty layers and losses as courses write them, each in five variants, and how to spoil them.

Each file stands on its own and defines one `Subject`; `$p` is what its variants differ in.
"""

from __future__ import annotations

from string import Template
from typing import NamedTuple


class Course(NamedTuple):
    """The body of a file after its imports, and the five values of `$p`."""

    body: str
    variants: tuple[object, ...]


IMPORTS = """import numpy as np
from oracles import Indices, Subject, Uniform


"""
LAYER = "\n\nSUBJECT = Subject('$id', forward, backward, ARGUMENTS, layer=True)\n"
LOSS = "\n\nSUBJECT = Subject('$id', loss, gradient, ARGUMENTS)\n"

LAYERS = {
    "affine": Course(
        """def forward(x, w, b):
    return x @ w + b, (x, w)


def backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


ARGUMENTS = [("N", $p), ($p, "M"), ("M",)]""",
        (1, 2, 3, 4, 5),
    ),
    "leaky_relu": Course(
        """def forward(x):
    return np.where(x > 0, x, $p * x), x


def backward(dout, x):
    dx = np.array(dout)
    dx[x <= 0] *= $p
    return dx


ARGUMENTS = [("N", 4)]""",
        (0.01, 0.05, 0.1, 0.2, 0.3),
    ),
    "elu": Course(
        """def forward(x):
    out = np.where(x > 0, x, $p * (np.exp(np.minimum(x, 0)) - 1))
    return out, (x, out)


def backward(dout, cache):
    x, out = cache
    return dout * np.where(x > 0, 1, out + $p)


ARGUMENTS = [("N", 3)]""",
        (0.5, 1.0, 1.5, 2.0, 0.1),
    ),
    "tanh": Course(
        """def forward(x):
    out = np.tanh($p * x)
    return out, out


def backward(dout, out):
    return $p * dout * (1 - out**2)


ARGUMENTS = [("N", "D")]""",
        (1, 2, 0.5, 1.7159, 0.25),
    ),
    "swish": Course(
        """def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def forward(x):
    s = sigmoid($p * x)
    return x * s, (x, s)


def backward(dout, cache):
    x, s = cache
    return dout * (s + $p * x * s * (1 - s))


ARGUMENTS = [("N", 2)]""",
        (1.0, 0.5, 1.5, 2.0, 1.702),
    ),
    "softmax": Course(
        """def forward(z):
    e = np.exp((z - z.max(axis=1, keepdims=True)) / $p)
    out = e / e.sum(axis=1, keepdims=True)
    return out, out


def backward(dout, out):
    inner = np.sum(dout * out, axis=1, keepdims=True)
    return out * (dout - inner) / $p


ARGUMENTS = [("N", "C")]""",
        (1, 2, 4, 0.5, 3),
    ),
    "batchnorm": Course(
        """def forward(x, gamma, beta):
    mu = x.mean(axis=0)
    std = np.sqrt(x.var(axis=0) + $p)
    xhat = (x - mu) / std
    return gamma * xhat + beta, (xhat, std, gamma)


def backward(dout, cache):
    xhat, std, gamma = cache
    N = dout.shape[0]
    dxhat = dout * gamma
    dx = (N * dxhat - dxhat.sum(axis=0) - xhat * (dxhat * xhat).sum(axis=0)) / (N * std)
    return dx, (dout * xhat).sum(axis=0), dout.sum(axis=0)


ARGUMENTS = [("N", 3), (3,), (3,)]""",
        (1e-5, 1e-3, 1e-8, 1e-2, 1e-6),
    ),
    "layernorm": Course(
        """def forward(x, gamma, beta):
    mu = x.mean(axis=1, keepdims=True)
    std = np.sqrt(((x - mu) ** 2).mean(axis=1, keepdims=True) + $p)
    xhat = (x - mu) / std
    return gamma * xhat + beta, (xhat, std, gamma)


def backward(dout, cache):
    xhat, std, gamma = cache
    d = dout * gamma
    dx = (d - d.mean(axis=1, keepdims=True) - xhat * (d * xhat).mean(axis=1, keepdims=True)) / std
    return dx, np.sum(dout * xhat, axis=0), np.sum(dout, axis=0)


ARGUMENTS = [("N", "D"), ("D",), ("D",)]""",
        (1e-5, 1e-3, 1e-8, 1e-2, 1e-6),
    ),
    "conv1d": Course(
        """def forward(x, w, b):
    N, C, L = x.shape
    F, _, K = w.shape
    out = np.zeros((N, F, (L - K) // $p + 1))
    for i in range(out.shape[2]):
        for f in range(F):
            out[:, f, i] = np.sum(x[:, :, i * $p : i * $p + K] * w[f], axis=(1, 2)) + b[f]
    return out, (x, w)


def backward(dout, cache):
    x, w = cache
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(w.shape[0])
    for i in range(dout.shape[2]):
        for f in range(w.shape[0]):
            piece = dout[:, f, i][:, None, None]
            dw[f] += np.sum(piece * x[:, :, i * $p : i * $p + w.shape[2]], axis=0)
            dx[:, :, i * $p : i * $p + w.shape[2]] += piece * w[f]
    return dx, dw, dout.sum(axis=(0, 2))


ARGUMENTS = [("N", 2, 7), (2, 2, 3), (2,)]""",
        (1, 2, 3, 4, 5),
    ),
    "maxpool": Course(
        """def forward(x):
    N, L = x.shape
    cut = x.reshape(N, L // $p, $p)
    return cut.max(axis=2), (cut, x.shape)


def backward(dout, cache):
    cut, shape = cache
    dx = np.zeros(cut.shape)
    for n in range(cut.shape[0]):
        for i in range(cut.shape[1]):
            dx[n, i, np.argmax(cut[n, i])] = dout[n, i]
    return dx.reshape(shape)


ARGUMENTS = [("N", 12)]""",
        (2, 3, 4, 6, 1),
    ),
    "embedding": Course(
        """def forward(table, ids):
    return table[ids], (table, ids)


def backward(dout, cache):
    table, ids = cache
    dtable = np.zeros_like(table)
    np.add.at(dtable, ids, dout)
    return dtable


ARGUMENTS = [($p, 2), Indices($p, ("N", "T"))]""",
        (2, 3, 4, 5, 6),
    ),
    "rnn": Course(
        """def forward(x, h0, wx, wh, b):
    h, steps = h0, []
    for t in range(x.shape[1]):
        last = h
        h = np.tanh(x[:, t] @ wx + last @ wh + b)
        steps.append((x[:, t], last, h))
    return h, (steps, wx, wh)


def backward(dh, cache):
    steps, wx, wh = cache
    dx = np.zeros((dh.shape[0], len(steps), wx.shape[0]))
    dwx, dwh, db = np.zeros_like(wx), np.zeros_like(wh), np.zeros(wh.shape[0])
    for t in range(len(steps) - 1, -1, -1):
        xt, last, h = steps[t]
        da = dh * (1 - h**2)
        dx[:, t] = da @ wx.T
        dwx += xt.T @ da
        dwh += last.T @ da
        db += da.sum(axis=0)
        dh = da @ wh.T
    return dx, dh, dwx, dwh, db


ARGUMENTS = [Uniform(-1, 1, ("N", $p, 2)), ("N", 3), Uniform(-1, 1, (2, 3)), Uniform(-1, 1, (3, 3)), (3,)]""",
        (1, 2, 3, 4, 5),
    ),
    "attention": Course(
        """def forward(q, k, v):
    s = q @ k.T / np.sqrt($p)
    e = np.exp(s - s.max(axis=1, keepdims=True))
    a = e / e.sum(axis=1, keepdims=True)
    return a @ v, (q, k, v, a)


def backward(dout, cache):
    q, k, v, a = cache
    da = dout @ v.T
    ds = a * (da - (da * a).sum(axis=1, keepdims=True)) / np.sqrt($p)
    return ds @ k, ds.T @ q, a.T @ dout


ARGUMENTS = [("T", $p), ("S", $p), ("S", 2)]""",
        (1, 2, 3, 4, 5),
    ),
    "dropout": Course(
        """def forward(x, kept):
    return x * kept / $p, kept


def backward(dout, kept):
    return dout * kept / $p


ARGUMENTS = [("N", "D"), Indices(2, ("N", "D"))]""",
        (0.5, 0.6, 0.75, 0.8, 0.9),
    ),
}
LOSSES = {
    "mse": Course(
        """def loss(w, x, y):
    return np.mean((x @ w - y) ** 2) + $p * np.sum(w**2)


def gradient(w, x, y):
    return 2 * x.T @ (x @ w - y) / len(y) + 2 * $p * w


ARGUMENTS = [(3,), ("N", 3), ("N",)]""",
        (0.0, 0.1, 0.01, 0.5, 1.0),
    ),
    "cross_entropy": Course(
        """def loss(w, x, y):
    z = x @ w
    z = z - z.max(axis=1, keepdims=True)
    return np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y])


def gradient(w, x, y):
    z = x @ w
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return x.T @ p / len(y)


ARGUMENTS = [(3, $p), ("N", 3), Indices($p, ("N",))]""",
        (2, 3, 4, 5, 6),
    ),
    "hinge": Course(
        """def loss(scores, y):
    margins = np.maximum(0, scores - scores[np.arange(len(y)), y][:, None] + $p)
    margins[np.arange(len(y)), y] = 0
    return np.sum(margins) / len(y)


def gradient(scores, y):
    active = scores - scores[np.arange(len(y)), y][:, None] + $p > 0
    d = active.astype(float)
    d[np.arange(len(y)), y] = 0
    d[np.arange(len(y)), y] = -d.sum(axis=1)
    return d / len(y)


ARGUMENTS = [("N", 4), Indices(4, ("N",))]""",
        (1, 2, 0.5, 1.5, 3),
    ),
    "huber": Course(
        """def loss(p, y):
    r = p - y
    return np.sum(np.where(np.abs(r) <= $p, 0.5 * r**2, $p * (np.abs(r) - 0.5 * $p)))


def gradient(p, y):
    r = p - y
    return np.where(np.abs(r) <= $p, r, $p * np.sign(r))


ARGUMENTS = [("N",), ("N",)]""",
        (1.0, 0.5, 1.5, 2.0, 1.35),
    ),
    "logistic": Course(
        """def loss(w, x, y):
    z = x @ w
    return np.sum(np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - y * z) / $p


def gradient(w, x, y):
    z = x @ w
    return x.T @ (1 / (1 + np.exp(-z)) - y) / $p


ARGUMENTS = [(2,), ("N", 2), Uniform(0, 1, ("N",))]""",
        (1, 2, 4, 8, 10),
    ),
    "product": Course(
        """def loss(x):
    return np.prod(x) * $p


def gradient(x):
    dx = np.ones_like(x)
    for i in range(len(x)):
        for j in range(len(x)):
            if i != j:
                dx[i] = dx[i] * x[j]
    return dx * $p


ARGUMENTS = [("n",)]""",
        (1, 2, 3, 0.5, 0.1),
    ),
}


def right_files() -> dict[str, str]:
    """Name to text of the hundred files, twenty kinds in five variants each, every one of them right."""
    return {
        f"{kind}{i}": Template(IMPORTS + course.body + ending).substitute(p=value, id=f"{kind}{i}")
        for courses, ending in ((LAYERS, LAYER), (LOSSES, LOSS))
        for kind, course in courses.items()
        for i, value in enumerate(course.variants)
    }
