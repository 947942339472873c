"""Conformance tests of student architectures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.students.base import SobolevTarget, Student, ValueTarget
from dfkd_tune.students.kinds import STUDENTS
from dfkd_tune.students.sobolev import loss_and_gradients
from dfkd_tune.testing.laws import check_laws
from dfkd_tune.testing.problems import FEATURES, variants
from dfkd_tune.testing.strategies import check_strategy

OUTPUTS = 2
COLUMNS = {
    None: [Columns(FEATURES)],
    "window": [
        Columns(FEATURES),
        Columns(FEATURES, "window", [4, 1]),
        Columns(FEATURES, "window", [3, 2], [1, 3, 0, 3, 2, 3]),
    ],
    "grid": [
        Columns(FEATURES),
        Columns(FEATURES, "grid", [2, 2, 1]),
        Columns(FEATURES, "grid", [3, 1, 2], [1, 3, 0, 3, 2, 3]),
    ],
}
"""What a student takes -> arrangements of the columns that it is tested with."""


def check_student(kind: str) -> None:
    """Check every law of a student, given its name, including the laws of any strategy."""
    check_strategy("student", kind)
    check_laws(LAWS, kind)


def _sizes(kind: str) -> Iterator[tuple[Student, Columns]]:
    """Every variant of a student, also narrow and deep ones if it has such fields, with arrangements of columns."""
    for item in variants(STUDENTS[kind]):
        known = {field.name for field in dataclasses.fields(item)}
        for changes in ({"width": 5}, {"width": 3, "depth": 3}):
            student = dataclasses.replace(item, **{name: value for name, value in changes.items() if name in known})
            yield from ((student, columns) for columns in COLUMNS[student.takes])


def _made(kind: str) -> Iterator[tuple[Student, Columns, list[Tensor], Tensor]]:
    """Students, arrangements of columns, the stacked weights of three members, and rows."""
    rng = torch.Generator().manual_seed(0)
    for student, columns in _sizes(kind):
        every = [student.init_params(columns, OUTPUTS, rng, torch.float64) for _ in range(3)]
        assert [tuple(w.shape) for w in every[0]] == student.shapes(columns, OUTPUTS)
        assert sum(w.numel() for w in every[0]) == student.parameters(columns, OUTPUTS)
        weights = [torch.stack(layer).requires_grad_() for layer in zip(*every, strict=True)]
        yield student, columns, weights, torch.randn(3, 7, FEATURES, generator=rng, dtype=torch.float64)


def gradients_are_those_of_autograd(kind: str) -> None:
    """Gradients in the weights and in the inputs equal those of autograd."""
    for student, columns, weights, x in _made(kind):
        x.requires_grad_()
        outputs = student.answer(weights, x, columns)
        gradient = torch.cos(outputs).detach()
        expected = torch.autograd.grad((gradient * outputs).sum(), [*weights, x])
        plain = [w.detach() for w in weights]
        recorded, tape = student.forward_with_tape(plain, x.detach(), columns)
        torch.testing.assert_close(recorded, outputs.detach(), rtol=1e-12, atol=1e-12)
        found = [*student.weight_gradients(plain, tape, gradient), student.input_gradients(plain, tape, gradient)]
        for mine, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def input_gradients_can_be_trained_on(kind: str) -> None:
    """``outputs_and_gradients`` returns the input gradients, and autograd differentiates both results in the weights."""
    for student, columns, weights, x in _made(kind):
        x.requires_grad_()
        expected = student.answer(weights, x, columns)
        rows = [torch.autograd.grad(expected[..., o].sum(), x, create_graph=True)[0] for o in range(2)]
        outputs, gradients = student.outputs_and_gradients(weights, x.detach(), columns)
        torch.testing.assert_close(outputs, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradients, torch.stack(rows, dim=2), rtol=1e-10, atol=1e-12)
        losses = (outputs.sin().sum() + gradients.cos().sum(), expected.sin().sum() + torch.stack(rows).cos().sum())
        for mine, theirs in zip(*(torch.autograd.grad(loss, weights) for loss in losses), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)


def the_loss_has_the_right_gradient(kind: str) -> None:
    """The loss has the right gradient with and without input gradients, when every row and member has another weight."""
    for matched in (False, True):
        rng = torch.Generator().manual_seed(8)
        for student, columns, weights, x in _made(kind):
            outputs, found = student.outputs_and_gradients(weights, x.detach(), columns)
            values, gradients = (torch.randn(part.shape, generator=rng, dtype=part.dtype) for part in (outputs, found))
            share = torch.rand(*x.shape[:2], 1, generator=rng, dtype=x.dtype)
            weight = torch.tensor([0.0, 0.7, 2.0], dtype=x.dtype).view(-1, 1, 1)
            rows = (outputs - values).square().mean(-1, True)
            if matched:
                rows = rows + weight * (found - gradients).square().sum(-1).mean(-1, True)
            expected = (rows * share).sum((1, 2))
            plain = [w.detach() for w in weights]
            target = SobolevTarget(values, gradients, share, weight) if matched else ValueTarget(values, share)
            mine = loss_and_gradients(student, plain, x.detach(), columns, target)
            torch.testing.assert_close(mine.answers, outputs.detach(), rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(mine.loss(), expected.detach(), rtol=1e-10, atol=1e-12)
            for ours, theirs in zip(mine.gradients, torch.autograd.grad(expected.sum(), weights), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def members_answer_for_themselves(kind: str) -> None:
    """A member's outputs do not depend on its companions."""
    for student, columns, weights, x in _made(kind):
        alone = [student.answer([w[k : k + 1] for w in weights], x[k : k + 1], columns) for k in range(3)]
        torch.testing.assert_close(student.answer(weights, x, columns), torch.cat(alone), rtol=1e-12, atol=1e-12)


def the_module_answers_like_the_member(kind: str) -> None:
    """The float32 module from raw rows to raw outputs equals the member and has as many trained values."""
    units = ([1.0, -2.0, 0.0, 9.0], [2.0, 0.5, 1.0, 3.0], [7.0, -1.0], [0.1, 40.0])
    center, scale, shift, spread = (torch.tensor(unit, dtype=torch.float64) for unit in units)
    encoding = Encoding(*units[:2])
    for student, columns, weights, x in _made(kind):
        module = student.module([w[0].detach() for w in weights], columns, encoding, shift, spread)
        assert sum(p.numel() for p in module.parameters()) == student.parameters(columns, OUTPUTS)
        expected = shift + spread * student.answer(weights, x, columns)[0]
        outputs = module((center + scale * x[0]).float())
        torch.testing.assert_close(outputs.detach(), expected.detach().float(), rtol=1e-4, atol=1e-4)


def weights_are_drawn_from_the_stream(kind: str) -> None:
    """``init_params`` draws from the random stream that is given: the same one gives the same weights, another one gives others."""
    for student, columns in _sizes(kind):
        streams = (torch.Generator().manual_seed(seed) for seed in (1, 1, 2))
        first, again, other = (
            torch.cat([w.flatten() for w in student.init_params(columns, OUTPUTS, stream, torch.float64)])
            for stream in streams
        )
        assert torch.equal(first, again), f"{kind} draws from another stream than the one it is given"
        assert not torch.equal(first, other), f"{kind} ignores the stream it is given: all members would start alike"


def widest_is_the_most_that_fits(kind: str) -> None:
    """``widest`` stays within a limit on parameters, and the next wider student does not."""
    for item, columns in _sizes(kind):
        for limit in (1, 57, 1151, 9999):
            width = item.widest(columns, OUTPUTS, limit)
            student = item
            if item.has_width:
                assert item.with_width(width + 1).parameters(columns, OUTPUTS) > limit
                student = item.with_width(max(1, width))
            assert (student.parameters(columns, OUTPUTS) <= limit) == (width >= 1)


LAWS: tuple[Callable[[str], None], ...] = (
    weights_are_drawn_from_the_stream,
    gradients_are_those_of_autograd,
    input_gradients_can_be_trained_on,
    the_loss_has_the_right_gradient,
    members_answer_for_themselves,
    the_module_answers_like_the_member,
    widest_is_the_most_that_fits,
)
