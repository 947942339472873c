"""Give a teacher a forward pass without autograd, if its layers can be read."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from dfkd_tune.teachers.base import FastForward, Teacher
from dfkd_tune.teachers.fused.exported_graph import read_program
from dfkd_tune.teachers.linear_chain import read_chain
from dfkd_tune.teachers.signatures.arranged import Arranged

COMPARED = 64
"""Rows on which the read layers and the teacher are compared."""


def with_fused_forward(teacher: Teacher) -> Teacher:
    """Return the teacher with a fused forward pass if its layers can be read and both give the same outputs and gradients.

    A teacher whose rows are counted is asked for each of them.
    """
    if not isinstance(teacher.function, nn.Module) or teacher.guard.meter is not None:
        return teacher
    chain = read_chain(teacher.function)
    if chain is not None:
        fast, width = chain.quick(), chain.layers[0][0].shape[1]
    else:
        width = teacher.width or 0
        fast = _program(teacher, width) if width else None
    if fast is None or not _alike(teacher, fast, width):
        return teacher
    return replace(teacher, chain=chain, fast=fast)


def _program(teacher: Teacher, width: int) -> FastForward | None:
    module = teacher.function.inner if isinstance(teacher.function, Arranged) else teacher.function
    if not isinstance(module, torch.fx.GraphModule):
        return None
    return read_program(module, width, teacher.dtype, teacher.layout)


def _alike(teacher: Teacher, fast: FastForward, width: int) -> bool:
    """Whether both give the same outputs and input gradients."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(COMPARED, width, generator=rng, dtype=torch.float64).to(teacher.dtype).requires_grad_()
    try:
        with torch.enable_grad():
            plain = teacher.function(x)
        found, pull = fast.vjp(x.detach())
        if not isinstance(plain, Tensor) or plain.numel() != found.numel() or not plain.numel():
            return False
        gradient = torch.ones_like(found)
        (pulled,) = torch.autograd.grad(plain, x, gradient.reshape(plain.shape))
        with torch.no_grad():
            pairs = [(fast(x.detach()), plain.detach()), (found, plain.detach()), (pull(gradient), pulled)]
    except Exception:
        return False  # the probe reports what is wrong
    return all(_close(ours, theirs.reshape(ours.shape)) for ours, theirs in pairs)


def _close(ours: Tensor, theirs: Tensor) -> bool:
    finite = bool(torch.isfinite(theirs).all())
    return finite and torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max() + 1e-30))
