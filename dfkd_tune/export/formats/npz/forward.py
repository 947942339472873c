"""Outputs of a student from its .npz file, by NumPy alone: ``forward(numpy.load("student.npz"), rows)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]


def forward(student: Arrays, rows: np.ndarray) -> np.ndarray:
    """Raw outputs (N, O) of raw rows (N, D), whose columns are in the order of ``student["features"]``."""
    student = {
        name: each * student[f"{name}_step"] if each.dtype == np.int8 else each for name, each in student.items()
    }
    value = np.asarray(rows, student["center"].dtype)[:, student["column"]]
    number = (value - student["center"]) / student["scale"]
    number = np.where(np.isnan(value) & student["filled"], 0, number)
    hot = (value > student["above"]) & (value <= student["upto"]) | np.isnan(value) & student["missing"]
    x = np.where(student["hot"], hot, number).astype(np.float32)
    return KINDS[str(student["kind"])](student, x.reshape(-1, *student["shape"]))


def mlp(student: Arrays, h: np.ndarray) -> np.ndarray:
    """Layers and an activation between them, of rows (N, E)."""
    activation, layers = ACTIVATIONS[str(student["activation"])], int(student["layers"])
    for i in range(layers):
        z = h @ student[f"weight_{i}"].T + student[f"bias_{i}"]
        h = activation(z) if i < layers - 1 else z
    return h


def rbf(student: Arrays, x: np.ndarray) -> np.ndarray:
    """Gaussian bumps of rows (N, E)."""
    square = np.square(x[:, None] - student["centers"]).sum(-1)
    return out(student, np.exp(-square * np.exp(-2 * student["log_widths"]) / (2 * x.shape[1])))


def gru(student: Arrays, x: np.ndarray) -> np.ndarray:
    """Gated recurrent units over windows (N, steps, channels)."""
    h = np.zeros((len(x), student["weight_hh"].shape[1]), np.float32)
    for t in range(x.shape[1]):
        a = np.split(x[:, t] @ student["weight_ih"].T + student["bias_ih"], 3, axis=1)
        b = np.split(h @ student["weight_hh"].T + student["bias_hh"], 3, axis=1)
        reset, keep = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
        fresh = np.tanh(a[2] + reset * b[2])
        h = fresh + keep * (h - fresh)
    return out(student, h)


def conv1d(student: Arrays, x: np.ndarray) -> np.ndarray:
    """Causal layers at every second step of windows (N, steps, channels)."""
    h = x @ student["first_weight"].T + student["first_bias"]
    for i in range(int(student["layers"])):
        taps = student[f"layers_{i}_depth_weight"][:, 0]
        start, count, kernel = (h.shape[1] - 1) % 2, (h.shape[1] + 1) // 2, taps.shape[1]
        around = np.pad(h, ((0, 0), (kernel - 1 - start, 0), (0, 0)))
        z = sum(around[:, k : k + 2 * count : 2][:, :count] * taps[:, k] for k in range(kernel))
        h = h[:, start::2] + silu(z @ student[f"layers_{i}_point_weight"][..., 0].T + student[f"layers_{i}_point_bias"])
    return out(student, h[:, -1])


def conv2d(student: Arrays, x: np.ndarray) -> np.ndarray:
    """Layers at every second pixel of grids (N, height, width, channels)."""
    first = student["first_weight"]
    h = silu(strided(x, first.shape[-1], lambda part, k, m: part @ first[:, :, k, m].T) + student["first_bias"])
    for i in range(int(student["layers"])):
        taps, point = student[f"layers_{i}_depth_weight"][:, 0], student[f"layers_{i}_point_weight"][..., 0, 0]
        z = strided(h, taps.shape[-1], lambda part, k, m, taps=taps: part * taps[:, k, m])
        h = h[:, ::2, ::2] + silu(z @ point.T + student[f"layers_{i}_point_bias"])
    return out(student, h.transpose(0, 3, 1, 2).reshape(len(h), -1))


def strided(x: np.ndarray, kernel: int, tap: Callable[..., np.ndarray]) -> np.ndarray:
    """A convolution around every second pixel of (N, height, width, C); ``tap`` is what one place of the kernel adds."""
    height, width = (x.shape[1] + 1) // 2, (x.shape[2] + 1) // 2
    side = ((kernel - 1) // 2, kernel // 2 + 1)
    x = np.pad(x, ((0, 0), side, side, (0, 0)))
    places = [(k, m) for k in range(kernel) for m in range(kernel)]
    return np.sum([tap(x[:, k::2, m::2][:, :height, :width], k, m) for k, m in places], axis=0)


def out(student: Arrays, h: np.ndarray) -> np.ndarray:
    """The last linear layer."""
    return h @ student["out_weight"].T + student["out_bias"]


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def silu(x: np.ndarray) -> np.ndarray:
    """x sigmoid(x)."""
    return x * sigmoid(x)


def gelu(x: np.ndarray) -> np.ndarray:
    """x times the normal distribution function at x."""
    from math import erfc

    return 0.5 * x * np.vectorize(erfc, otypes=[np.float32])(-x / np.sqrt(2))


ACTIVATIONS = {
    "": lambda x: x,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "silu": silu,
    "gelu": gelu,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
}
KINDS = {"mlp": mlp, "rbf": rbf, "gru": gru, "conv1d": conv1d, "conv2d": conv2d}
