"""Teachers with several arguments or outputs, or of other shapes, as functions of flat rows.

A format loads a teacher whose ``function`` takes the teacher's own arguments, and says its signature. ``arranged``
makes it a function from flat rows ``(N, D)`` to flat outputs ``(N, O)``, by a ``Layout``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.arguments import layout_of
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.layouts.row_form import RowForm
from dfkd_tune.layouts.signature import Argument, Signature, Unfit
from dfkd_tune.teachers.base import Teacher

OUTPUTS = "return real numbers with one row for each input row"
TRIED = 3
"""Rows with which the outputs of a teacher are found if they are unknown."""


@runtime_checkable
class ByName(Protocol):
    """A function of tensors that passes them on by the names of its arguments, and needs to know these."""

    def taking(self, signature: Signature) -> Callable[..., Any]:
        """The function for these arguments."""
        ...


class Arranged(nn.Module):
    """A teacher's own call as a function from flat rows ``(N, D)`` to flat outputs ``(N, O)``.

    Args:
        source: the teacher's source, for messages.
        inner: takes the teacher's own arguments.
        layout: how they lie in rows.
    """

    def __init__(self, source: str, inner: Callable[..., Any], layout: Layout) -> None:
        super().__init__()
        self.source, self.inner, self.layout = source, inner, layout
        self.training = False

    def forward(self, x: Tensor) -> Tensor:
        returned = self.layout.call(self.inner, x)
        try:
            return self.layout.from_outputs(returned, len(x))
        except Unfit as error:
            raise TeacherError(self.source, str(error), remedy=OUTPUTS) from None

    def train(self, mode: bool = True) -> Arranged:
        """Return the module, which stays in evaluation mode: a program of torch.export has no other."""
        return self


def arranged(teacher: Teacher, layout: Layout | None = None) -> Teacher:
    """The teacher as a function of flat rows; itself if it is one, or if its arguments' shapes are unknown.

    Args:
        teacher: a teacher whose function takes its own arguments, or one that is arranged already.
        layout: how they lie in rows; by default as its signature says.
    """
    if layout is None and (teacher.signature is None or not teacher.signature.complete):
        return teacher
    layout = layout or layout_of(teacher.signature, teacher.source)
    if layout is None:
        return teacher
    inner = teacher.function.inner if isinstance(teacher.function, Arranged) else teacher.function
    inner = inner.taking(layout.signature) if isinstance(inner, ByName) else inner
    return replace(
        teacher,
        function=Arranged(teacher.source, inner, layout),
        signature=layout.signature,
        layout=layout,
        dtype=layout.dtype,
        width=layout.width,
        chain=None,
        fast=None,
    )


def outputs_alone(teacher: Teacher) -> Teacher:
    """The same teacher as a black box: a function without weights, layers or gradients, each row of which is asked and counted."""
    function = teacher.function
    if isinstance(function, Arranged):
        function = Arranged(teacher.source, _detached(function.inner), function.layout)
    elif isinstance(function, nn.Module):
        function = _detached(function)
    return replace(teacher, function=function, chain=None, fast=None)


def _detached(function: Callable[..., Any]) -> Callable[..., Any]:
    """A module as a function without gradients."""
    if not isinstance(function, nn.Module):
        return function

    def answer(*given: Any, **named: Any) -> Any:
        with torch.no_grad():
            return function(*given, **named)

    return answer


def with_outputs(teacher: Teacher, inputs: Inputs) -> tuple[Teacher, Inputs]:
    """The teacher with its outputs, which are found by a call if they are unknown.

    Args:
        teacher: the teacher, arranged.
        inputs: its inputs.

    Raises:
        TeacherError: the call fails, or does not return tensors of numbers.
    """
    layout = teacher.layout
    if teacher.fast is not None or (teacher.estimator is not None and layout is None):
        return teacher, inputs
    known = teacher.signature if layout is None else layout.signature
    if known is not None and known.outputs is not None:
        return teacher, inputs
    x = inputs.raw(inputs.draw(TRIED, torch.Generator().manual_seed(0)), teacher.dtype)
    inner: Callable[..., Any] = teacher.function
    if isinstance(inner, Arranged):
        assert layout is not None  # ``arranged`` sets both
        own, inner = layout, inner.inner
        function = lambda rows: own.call(inner, rows)  # noqa: E731
    else:
        function = inner
    try:
        with torch.no_grad():
            returned = teacher.guard.once(teacher.source, function, x)
    except TeacherError as error:
        if layout is not None or not inputs.axes:
            raise
        remedy = f"if it takes no rows, name its argument: arguments: {{x: {{{inputs.axes[0].kind}: {{...}}}}}}"
        raise TeacherError(error.place, error.rule, remedy=remedy) from error.__cause__
    if layout is None:
        if isinstance(returned, Tensor) and returned.ndim <= 2:
            return teacher, inputs
        name = known.arguments[0].name if known is not None else "x"
        layout = Layout(Signature.positional([Argument(name, (len(inputs),), teacher.dtype)]))
    try:
        layout = layout.with_outputs(returned, len(x))
    except Unfit as error:
        raise TeacherError(teacher.source, str(error), remedy=OUTPUTS) from None
    return arranged(teacher, layout), inputs.laid_out(layout)


def with_form(teacher: Teacher, inputs: Inputs) -> Teacher:
    """The teacher with the form in which it takes and returns rows, if it is a network, or tells it.

    Args:
        teacher: the teacher of these rows.
        inputs: its inputs.

    Raises:
        TeacherError: the call fails.
    """
    if teacher.layout is not None:
        return teacher
    known = teacher.signature.outputs if teacher.signature is not None else None
    if known is not None and len(known) == 1:
        returns, vector = known[0].dtype, not known[0].shape
    elif isinstance(teacher.function, nn.Module):
        x = inputs.raw(inputs.draw(TRIED, torch.Generator().manual_seed(0)), teacher.dtype)
        with torch.no_grad():
            returned = teacher.guard.once(teacher.source, teacher.function, x)
        returns, vector = returned.dtype, returned.ndim == 1
    else:
        return teacher
    takes, returns = (dtype if dtype == torch.float64 else None for dtype in (teacher.dtype, returns))
    return replace(teacher, form=RowForm(takes, returns, vector))


def unknown_shapes(teacher: Teacher) -> TeacherError:
    """The error for a teacher whose signature lacks shapes, with the lines of a features file that give them."""
    assert teacher.signature is not None  # only a signature lacks something
    lines = ", ".join(f"{each.name}: {{shape: [...]}}" for each in teacher.signature.arguments if each.shape is None)
    return TeacherError(
        teacher.source,
        f"takes {teacher.signature}, and does not tell their shapes",
        remedy=f"give a features file with arguments: {{{lines}}}, shapes without the batch",
    )
