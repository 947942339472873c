"""Ask a teacher a few questions before any trial depends on the answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from ..errors import TeacherError
from ..imports import one_line
from ..inputs import Inputs
from .base import Teacher

SMOOTH = ("tanh", "sigmoid", "silu")
"""Activations with continuous derivatives."""


@dataclass(frozen=True)
class Probe:
    """What a teacher turned out to be.

    Args:
        features: input width D.
        outputs: output width O.
        differentiable: whether input gradients flow and are finite.
        rows_per_second: forward passes on a batch of 512.
        shallow: whether its layers could be read, and are one hidden layer of smooth units.
    """

    features: int
    outputs: int
    differentiable: bool
    rows_per_second: float
    shallow: bool = False

    @property
    def kind(self) -> str:
        """``shallow``; ``deep``, any other teacher with input gradients; ``black box``."""
        if not self.differentiable:
            return "black box"
        return "shallow" if self.shallow else "deep"


def probe(teacher: Teacher, inputs: Inputs, seed: int = 0) -> Probe:
    """Check width, output shape, finiteness, determinism and free batch size; measure differentiability and speed.

    Raises:
        TeacherError: on the first property that distillation cannot do without.
    """
    rng = torch.Generator().manual_seed(seed)
    z = inputs.draw(512, rng)
    x = inputs.raw(z, teacher.dtype)
    y = _answer(teacher, x[:2])
    if y.ndim != 2 or y.shape[0] != 2:
        raise TeacherError(
            teacher.source, f"must answer (2, {len(inputs)}) with (2, outputs), answered {tuple(y.shape)}"
        )
    for rows in (1, 7, 512):
        try:
            shape = tuple(_answer(teacher, x[:rows]).shape)
        except TeacherError as error:
            raise TeacherError(
                teacher.source,
                f"takes only a fixed batch size: {rows} rows failed ({error.rule})",
                remedy="export it with a dynamic batch dimension",
            ) from None
        if shape != (rows, y.shape[1]):
            raise TeacherError(
                teacher.source, f"answered {rows} rows with shape {shape}, expected {(rows, y.shape[1])}"
            )
    full = _answer(teacher, x)
    finite = torch.isfinite(full)
    if not finite.all():
        bad = int((~finite).any(1).sum())
        raise TeacherError(
            teacher.source,
            f"must answer finite numbers, {bad} of 512 probe rows gave NaN or infinity",
            remedy="check the units and ranges in the features file",
        )
    if not torch.equal(full, _answer(teacher, x)):
        raise TeacherError(
            teacher.source,
            "must be deterministic, the same rows got different answers",
            remedy="save it in evaluation mode (dropout off, batch norm frozen)",
        )
    wide = full.double()  # the square of a finite answer may be none
    if not torch.allclose(full[:7], _answer(teacher, x[:7]), rtol=1e-3, atol=1e-3 * float(wide.std() + 1e-30)):
        raise TeacherError(
            teacher.source,
            "must answer each row by itself, the answer depends on the other rows",
            remedy="save it in evaluation mode (batch norm frozen)",
        )
    constant = wide.std(0) <= torch.finfo(full.dtype).eps * wide.abs().mean(0)
    if constant.any():
        raise TeacherError(
            teacher.source,
            f"output {int(constant.nonzero()[0])} is constant over the declared inputs",
            remedy="check the units and ranges in the features file",
        )
    start = time.perf_counter()
    _answer(teacher, x)
    seconds = max(time.perf_counter() - start, 1e-9)
    shallow = teacher.chain is not None and [*teacher.chain.activations] in [[name] for name in SMOOTH]
    return Probe(len(inputs), y.shape[1], _differentiable(teacher, x[:16]), 512 / seconds, shallow)


def infer_width(teacher: Teacher) -> int:
    """The number of features of a teacher that came without a features file, found from its first weight or by trying.

    Raises:
        TeacherError: when no width from 1 to 4096 is accepted, or, tried without a weight to go by, several are.
    """
    if teacher.width is not None:
        return teacher.width
    weights = getattr(teacher.function, "parameters", lambda: ())()
    guesses = [p.shape[1] for p in weights if p.ndim == 2]
    for width in guesses:
        if _accepts(teacher, width):
            return width
    widths = list(islice((width for width in range(1, 4097) if _accepts(teacher, width)), 2))
    if len(widths) == 1 or (guesses and not widths):
        return (widths or guesses)[0]  # where nothing is accepted the width is not to blame, and the probe says what is
    found = f"both {widths[0]} and {widths[1]} are accepted" if widths else "no number up to 4096 is accepted"
    raise TeacherError(
        teacher.source, f"its number of features cannot be found: {found}", remedy="give a features file"
    )


def _accepts(teacher: Teacher, width: int) -> bool:
    try:
        with torch.no_grad():
            teacher.function(torch.zeros(2, width, dtype=teacher.dtype))
    except Exception:
        return False
    return True


def _answer(teacher: Teacher, x: Tensor) -> Tensor:
    try:
        with torch.no_grad():
            return teacher(x)
    except TeacherError:
        raise
    except Exception as error:
        raise TeacherError(
            teacher.source,
            f"cannot answer {tuple(x.shape)} inputs: {one_line(error)}",
            remedy="check the number of features, and that any number of rows is taken",
        ) from None


def _differentiable(teacher: Teacher, x: Tensor) -> bool:
    x = x.clone().requires_grad_()
    try:
        gradient = torch.autograd.grad(teacher(x).sum(), x)[0]
    except Exception:
        return False
    return bool(torch.isfinite(gradient).all()) and bool((gradient != 0).any())
