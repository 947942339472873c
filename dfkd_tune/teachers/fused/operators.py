"""``OPERATORS``: for each operator of PyTorch's graphs that can be fused, a rule that adds its layers to a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from dfkd_tune.teachers.fused.activations import FUNCTIONS, Activation
from dfkd_tune.teachers.fused.arithmetic import Add, Affine, LayerNorm, Multiply
from dfkd_tune.teachers.fused.builder import Count, NotFused, ProgramBuilder, Value, Zeros
from dfkd_tune.teachers.fused.convolution import Convolution
from dfkd_tune.teachers.fused.gru import GRU
from dfkd_tune.teachers.fused.linear import Linear
from dfkd_tune.teachers.fused.lstm import LSTM
from dfkd_tune.teachers.fused.recurrent import Recurrent
from dfkd_tune.teachers.fused.views import Concatenate, Mean, Permute, Reshape, Select, Slice

Rule = Callable[..., Any]
"""``(builder, *arguments of the operator) -> Value``, a tuple of them, ``Count`` or ``Zeros``; raises ``NotFused``."""


def _rows_first(value: object) -> Value:
    """The value, whose rows come first in PyTorch's order; raises ``NotFused`` for any other."""
    if not isinstance(value, Value) or value.rows:
        raise NotFused
    return value


def _linear(builder: ProgramBuilder, x: Value, weight: Tensor, bias: Tensor | None = None) -> Value:
    return builder.add(Linear(weight, _column(bias, weight)), _rows_first(x))


def _column(bias: Tensor | None, weight: Tensor) -> Tensor:
    return weight.new_zeros(len(weight), 1) if bias is None else bias[:, None]


def _convolution(
    builder: ProgramBuilder,
    x: Value,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Value:
    depthwise = groups > 1
    if depthwise and not groups == len(weight) == x.shape[0]:
        raise NotFused
    taps = weight.permute(2, 0, 1).contiguous()
    (stride_,), (padding_,), (dilation_,) = stride, padding, dilation
    layer = Convolution(taps, _column(bias, weight), stride_, padding_, dilation_, depthwise)
    return builder.add(layer, _rows_first(x))


def _recurrent(kind: type[Recurrent]) -> Rule:
    def rule(
        builder: ProgramBuilder,
        x: Value,
        start: object,
        weights: Sequence[Tensor],
        biased: bool,
        layers: int,
        dropout: float,
        training: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Value | None, ...]:
        starts = start if isinstance(start, Sequence) else [start]
        zero = all(isinstance(each, Zeros) for each in starts)
        if not zero or training or bidirectional or not batch_first or not biased or len(weights) != 4 * layers:
            raise NotFused
        value, lasts = _rows_first(x), []
        for i in range(layers):
            steps = value.shape[0]
            value = builder.add(kind.of(weights[4 * i : 4 * i + 4], steps), value)
            lasts.append(builder.add(Slice(0, steps - 1, steps), value, rows=1))
        last = lasts[0] if layers == 1 else builder.add(Concatenate(0), *lasts, rows=1)
        return value, last, None  # an LSTM returns its cells as well, which no layer makes

    return rule


def _getitem(builder: ProgramBuilder, values: tuple[Value | None, ...], index: int) -> Value | None:
    return values[index]


def _activation(name: str) -> Rule:
    def rule(builder: ProgramBuilder, x: Value, *parameters: float) -> Value:
        if parameters != FUNCTIONS[name].parameters[: len(parameters)]:
            raise NotFused
        return builder.add(Activation(name), x, rows=x.rows)

    return rule


def _unchanged(builder: ProgramBuilder, x: Value, *args: object, **kwargs: object) -> Value:
    return x


def _dropout(builder: ProgramBuilder, x: Value, p: float, training: bool) -> Value:
    if training:
        raise NotFused
    return x


def _slice(
    builder: ProgramBuilder,
    x: Value,
    dimension: int = 0,
    start: int | None = None,
    stop: int | None = None,
    step: int = 1,
) -> Value:
    if dimension % x.example.dim() == x.rows:
        if start in (0, None) and (stop is None or stop >= 2**62) and step == 1:
            return x
        raise NotFused
    place = x.dimension(dimension)
    size = x.shape[place]
    first, last, by = slice(start, stop, step).indices(size)
    return x if (first, last, by) == (0, size, 1) else builder.add(Slice(place, first, last, by), x, rows=x.rows)


def _select(builder: ProgramBuilder, x: Value, dimension: int, index: int) -> Value:
    place = x.dimension(dimension)
    return builder.add(Select(place, index % x.shape[place]), x, rows=x.rows - (place < x.rows))


def _transpose(builder: ProgramBuilder, x: Value, first: int, second: int) -> Value:
    order = list(range(x.example.dim()))
    order[first], order[second] = order[second], order[first]
    return _permute(builder, x, order)


def _permute(builder: ProgramBuilder, x: Value, order: Sequence[int]) -> Value:
    order = [i % x.example.dim() for i in order]
    places = [x.dimension(i) for i in order if i != x.rows]
    return builder.add(Permute((*places, len(places))), x, rows=order.index(x.rows))


def _flatten(builder: ProgramBuilder, x: Value, first: int = 0, last: int = -1) -> Value:
    start, stop = _rows_first(x).dimension(first), x.dimension(last)
    return builder.add(Reshape((*x.shape[:start], -1, *x.shape[stop + 1 :])), x)


def _view(builder: ProgramBuilder, x: Value, shape: Sequence[object]) -> Value:
    rows, *rest = shape
    sizes = [size for size in rest if isinstance(size, int)]
    if not (isinstance(rows, Count) or rows == -1) or len(sizes) < len(rest) or (rows == -1 and -1 in sizes):
        raise NotFused
    found = builder.add(Reshape(tuple(sizes)), _rows_first(x))
    if found.example.shape[:-1].numel() != x.example.shape[:-1].numel():
        raise NotFused
    return found


def _squeeze(builder: ProgramBuilder, x: Value, dimension: int) -> Value:
    place = x.dimension(dimension)
    if x.shape[place] > 1:
        return x
    return builder.add(Select(place, 0), x, rows=x.rows - (place < x.rows))


def _unsqueeze(builder: ProgramBuilder, x: Value, dimension: int) -> Value:
    place = dimension % (_rows_first(x).example.dim() + 1)
    if place == 0:
        raise NotFused
    return builder.add(Reshape((*x.shape[: place - 1], 1, *x.shape[place - 1 :])), x)


def _mean(builder: ProgramBuilder, x: Value, dimensions: Sequence[int], keep: bool = False) -> Value:
    places = sorted((_rows_first(x).dimension(i) for i in dimensions), reverse=True)
    found = builder.add(Mean(tuple(places)), x)
    for place in () if keep else places:
        found = builder.add(Select(place, 0), found)
    return found


def _average(builder: ProgramBuilder, x: Value, size: Sequence[int]) -> Value:
    if list(size) != [1]:
        raise NotFused
    return _mean(builder, x, [-1], keep=True)


def _concatenate(builder: ProgramBuilder, values: Sequence[Value], dimension: int = 0) -> Value:
    return builder.add(Concatenate(_rows_first(values[0]).dimension(dimension)), *map(_rows_first, values))


def _aligned(constant: Tensor | float, x: Value) -> Tensor:
    """A constant as it meets the value: rows last, where it has the size 1."""
    tensor = torch.as_tensor(constant, dtype=x.example.dtype)
    if tensor.dim() > x.example.dim() or (tensor.dim() == x.example.dim() and len(tensor) > 1):
        raise NotFused
    sizes = tensor.shape[1:] if tensor.dim() == x.example.dim() else tensor.shape
    return tensor.reshape(*(1,) * (len(x.shape) - len(sizes)), *sizes, 1)


def _affine(builder: ProgramBuilder, x: Value, scale: Tensor | float = 1.0, shift: Tensor | float = 0.0) -> Value:
    found = builder.add(Affine(_aligned(scale, _rows_first(x)), _aligned(shift, x)), x)
    if found.shape != x.shape:
        raise NotFused
    return found


def _added(sign: float) -> Rule:
    def rule(builder: ProgramBuilder, x: object, y: object, *, alpha: float = 1.0) -> Value:
        factor = sign * alpha
        if isinstance(x, Value) and isinstance(y, Value):
            if _rows_first(x).shape != _rows_first(y).shape:
                raise NotFused
            return builder.add(Add(factor), x, y)
        if isinstance(x, Value):
            return _affine(builder, x, 1.0, factor * _number(y))
        return _affine(builder, _rows_first(y), factor, _number(x))

    return rule


def _subtracted_from(builder: ProgramBuilder, x: Value, y: object) -> Value:
    return _added(-1.0)(builder, y, x)


def _number(value: object) -> Tensor | float:
    if not isinstance(value, Tensor | int | float):
        raise NotFused
    return value


def _multiplied(builder: ProgramBuilder, x: object, y: object) -> Value:
    if isinstance(x, Value) and isinstance(y, Value):
        if _rows_first(x).shape != _rows_first(y).shape:
            raise NotFused
        return builder.add(Multiply(), x, y)
    value, constant = (x, y) if isinstance(x, Value) else (y, x)
    return _affine(builder, _rows_first(value), _number(constant))


def _divided(builder: ProgramBuilder, x: Value, y: object) -> Value:
    return _affine(builder, x, 1 / _number(y))


def _batch_norm(
    builder: ProgramBuilder,
    x: Value,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    fast: bool,
) -> Value:
    if training or mean is None or variance is None:
        raise NotFused
    scale = (variance + eps).rsqrt() * (1.0 if weight is None else weight)
    shift = (0.0 if bias is None else bias) - mean * scale
    sizes = (-1, *(1,) * (len(x.shape) - 1))  # channels come first
    return _affine(builder, x, scale.reshape(sizes), shift.reshape(sizes))


def _layer_norm(
    builder: ProgramBuilder,
    x: Value,
    shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    fast: bool = True,
) -> Value:
    if len(shape) > 1:
        raise NotFused
    found = builder.add(LayerNorm(eps), _rows_first(x))
    return _affine(builder, found, 1.0 if weight is None else weight, 0.0 if bias is None else bias)


def _count(builder: ProgramBuilder, x: Value, dimension: int) -> Count:
    if dimension != x.rows:
        raise NotFused
    return Count()


def _zeros(builder: ProgramBuilder, *args: object, **kwargs: object) -> Zeros:
    return Zeros()


OPERATORS: dict[str, Rule] = {
    "linear.default": _linear,
    "conv1d.default": _convolution,
    "gru.input": _recurrent(GRU),
    "lstm.input": _recurrent(LSTM),
    "getitem>": _getitem,
    "relu.default": _activation("relu"),
    "relu_.default": _activation("relu"),
    "sigmoid.default": _activation("sigmoid"),
    "tanh.default": _activation("tanh"),
    "silu.default": _activation("silu"),
    "silu_.default": _activation("silu"),
    "gelu.default": _activation("gelu"),
    "elu.default": _activation("elu"),
    "leaky_relu.default": _activation("leaky_relu"),
    "softplus.default": _activation("softplus"),
    "dropout.default": _dropout,
    "contiguous.default": _unchanged,
    "clone.default": _unchanged,
    "alias.default": _unchanged,
    "detach.default": _unchanged,
    "slice.Tensor": _slice,
    "select.int": _select,
    "transpose.int": _transpose,
    "permute.default": _permute,
    "flatten.using_ints": _flatten,
    "view.default": _view,
    "reshape.default": _view,
    "squeeze.dim": _squeeze,
    "unsqueeze.default": _unsqueeze,
    "mean.dim": _mean,
    "adaptive_avg_pool1d.default": _average,
    "cat.default": _concatenate,
    "add.Tensor": _added(1.0),
    "add_.Tensor": _added(1.0),
    "sub.Tensor": _added(-1.0),
    "rsub.Scalar": _subtracted_from,
    "mul.Tensor": _multiplied,
    "div.Tensor": _divided,
    "batch_norm.default": _batch_norm,
    "layer_norm.default": _layer_norm,
    "sym_size.int": _count,
    "zeros.default": _zeros,
}
"""Name of an operator without ``aten.`` -> its rule."""
