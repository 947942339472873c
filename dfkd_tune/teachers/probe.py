"""Probe a teacher before any trial depends on it: shapes, determinism, gradients, noise and speed."""

from __future__ import annotations

import inspect
import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.encoding import spacing
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.ops.batch_norm import moments_of
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.guarded import CALLS, SHAPE_REMEDY
from dfkd_tune.utils.object_reference import raised

PROBE_ROWS = 512
GAP_ROWS = 8
"""Rows with which it is found whether a teacher takes missing values."""
FEW_ROWS = 7
"""Rows of the call that tells how long a call takes whatever its rows."""
MORE = 2
"""Additional evaluations of the probe rows if the first two differ."""
NOISE = 1e-4
"""Largest root mean square difference of two evaluations, in standard deviations of the teacher's outputs."""
FARTHEST = 1e-3
"""Largest difference of two evaluations of any one row, in the same units."""
UNITS = 4
"""Largest difference of two answers to a row among other rows, in units of rounding, beyond ``FARTHEST``."""
CONSTANT = 4
"""Range of an output that is constant but for rounding, at most, in units of rounding of its largest value."""
NOTED = 1e-4
"""Rounding step of the outputs, in standard deviations, from which it is reported."""
BLURRED = 1e-2
"""Rounding step of a student's float32 outputs, in standard deviations, from which the teacher is refused."""
OFF = 0.01
"""Largest deviation of rounded outputs from a multiple of the step, as a share of the step."""
ROUNDED = math.sqrt(12)
"""A rounding step over this is the root mean square error of rounding."""
SMOOTH = ("tanh", "sigmoid", "silu")
"""Activations with continuous derivatives."""


@dataclass(frozen=True)
class Probe:
    """Measured properties of a teacher.

    Args:
        features: input width D.
        outputs: output width O.
        differentiable: whether input gradients exist, are finite and are not all 0.
        rows_per_second: forward throughput on a batch of 512 rows.
        call: seconds of a call of ``FEW_ROWS`` rows.
        neurons: units of its hidden layer, if it is a readable chain with one hidden layer of smooth units; 0 for any other teacher.
        noise: root mean square difference of two evaluations of a row, in standard deviations of the outputs; 0 if
            equal.
        resolution: rounding step of the outputs, in their units, for the output where it is coarsest; None if not
            detected.
        normalizes: whether it is a module with batch normalization in evaluation mode, whose moments can be read.
        takes_arrays: whether a Python function whose rows are counted takes arrays and not tensors; None for any other teacher.
    """

    features: int
    outputs: int
    differentiable: bool
    rows_per_second: float
    neurons: int = 0
    call: float = 0.0
    noise: float = 0.0
    resolution: float | None = None
    normalizes: bool = False
    takes_arrays: bool | None = None

    @property
    def kind(self) -> str:
        """``shallow``, ``black box`` without input gradients, or ``deep`` for any other teacher."""
        if not self.differentiable:
            return "black box"
        return "shallow" if self.neurons else "deep"

    @property
    def overhead(self) -> float:
        """Seconds of a call beyond those that its rows take."""
        return max(0.0, self.call - FEW_ROWS / self.rows_per_second)

    @property
    def limits(self) -> str:
        """Properties of the teacher that bound the error of any student, in words; empty if there are none."""
        words = []
        if self.resolution is not None:
            away = f"students are about {self.resolution / ROUNDED:.2g} away"
            words.append(f"answers in steps of {self.resolution:.4g}: {away}")
        if self.noise:
            words.append(f"two answers to a row differ by {self.noise:.1g} of its standard deviation")
        return "; ".join(words)


def probe(teacher: Teacher, inputs: Inputs, seed: int = 0, rows: int = PROBE_ROWS) -> Probe:
    """Check shapes, finiteness, determinism and free batch size; measure differentiability, noise and speed.

    A teacher whose rows are counted is a black box, as its gradients would be asked besides.

    Args:
        teacher, inputs: the teacher and its inputs.
        seed: seed of the rows.
        rows: number of rows, most of which are asked twice; at least 16.

    Raises:
        TeacherError: a property that distillation needs is missing; the message shows a row.
    """
    teacher = replace(teacher, kept=None)  # the same rows are asked again on purpose
    teacher.guard.names, teacher.guard.optional = inputs.names, inputs.optional
    CALLS.expect(None, calls=7)
    x = inputs.raw(inputs.draw(rows, torch.Generator().manual_seed(seed)), teacher.dtype)
    meter, some = teacher.guard.meter, tuple(range(rows - 4, rows - 4 - FEW_ROWS, -1))
    with nullcontext() if meter is None else meter.asking_again():
        return _probe(teacher, inputs, x, some)


def _probe(teacher: Teacher, inputs: Inputs, x: Tensor, some: tuple[int, ...]) -> Probe:
    """Probe with raw rows ``(N, D)``, of which ``some`` are asked again among fewer rows and in another order."""
    _take_gaps(teacher, inputs)
    few: dict[tuple[int, ...], Tensor] = {rows: _answer(teacher, x[[*rows]]) for rows in ((0, 1), (0,))}
    few[some], call = _timed(teacher, x[[*some]])
    full = _answer(teacher, x)
    _finite(teacher, x, full)
    _held(teacher, full)
    again, seconds = _timed(teacher, x)
    wide = full.double()  # in float32 the square of an output may overflow
    noise = _noise(teacher, x, wide, again.double())
    std = wide.std(0)
    for rows, answers in few.items():
        _independent(teacher, x, full, rows, answers)
    constant = wide.amax(0) - wide.amin(0) <= CONSTANT * torch.finfo(full.dtype).eps * wide.abs().amax(0)
    if constant.any():
        output = int(constant.nonzero()[0])
        raise TeacherError(
            teacher.source,
            f"output {teacher.output_names(len(std))[output]} is constant over the declared inputs, {full[0, output]:.6g}",
            remedy="check the units and ranges in the features file",
        )
    chain = teacher.chain
    shallow = chain is not None and [*chain.activations] in [[name] for name in SMOOTH]
    neurons = len(chain.layers[0][0]) if chain is not None and shallow else 0
    step = _resolution(teacher, full)
    differentiable = teacher.guard.meter is None and _differentiable(teacher, x[:16])
    normalizes = differentiable and _normalizes(teacher, x[:2])
    CALLS.expect(None)
    arrays = None if teacher.guard.meter is None else teacher.guard.meter.takes_arrays
    rate = len(x) / seconds
    return Probe(len(inputs), full.shape[1], differentiable, rate, neurons, call, noise, step, normalizes, arrays)


def _take_gaps(teacher: Teacher, inputs: Inputs) -> None:
    """Check that a teacher answers where a number is missing.

    Raises:
        TeacherError: it does not; the message names the feature.
    """
    if not inputs.gapped:
        return
    z = inputs.present(inputs.draw(GAP_ROWS, torch.Generator().manual_seed(0)))
    whole = inputs.raw(z, teacher.dtype)
    _answer(teacher, whole)  # what fails here has another cause
    what = _without(teacher, whole, inputs.gapped)
    if what is None:
        return
    columns, counted = inputs.gapped, teacher.guard.meter is not None
    for i in () if counted or len(columns) == 1 else columns:  # where rows are counted, it is not worth more of them
        if (why := _without(teacher, whole, [i])) is not None:
            columns, what = [i], why
            break
    gaps = (inputs.features[i] for i in columns)
    told = ", ".join(f"{feature.name} may be missing (missing: {feature.missing:g})" for feature in gaps)
    remedy = "leave missing out of the features file, or put an imputer before the model"
    raise TeacherError(teacher.source, f"takes no missing values, and {told}: {what}", remedy=remedy)


def _without(teacher: Teacher, x: Tensor, columns: list[int]) -> str | None:
    """What goes wrong when values of these columns are missing; None if nothing does."""
    rows = x.clone()
    rows[:, columns] = torch.nan
    try:
        y = _answer(teacher, rows)
    except TeacherError as error:
        return error.rule
    return None if bool(torch.isfinite(y).all()) else "it answers NaN"


def _timed(teacher: Teacher, x: Tensor) -> tuple[Tensor, float]:
    start = time.perf_counter()
    y = _answer(teacher, x)
    return y, max(time.perf_counter() - start, 1e-9)


def _finite(teacher: Teacher, x: Tensor, y: Tensor) -> None:
    bad = (~torch.isfinite(y)).any(1).nonzero().flatten()
    if len(bad):
        raise TeacherError(
            teacher.source,
            f"must answer finite numbers, {len(bad)} of {len(x)} probe rows gave NaN or infinity, one is "
            f"{teacher.guard.row(x[bad[0]])}",
            remedy="check the units and ranges in the features file",
        )


def _held(teacher: Teacher, y: Tensor) -> None:
    """Refuse outputs that a student cannot represent, because its outputs are float32."""
    single, wide = torch.finfo(torch.float32), y.double()
    most, apart = wide.abs().amax(0), wide.amax(0) - wide.amin(0)
    unfit = ((most > single.max / 2) | ((apart > 0) & (apart < single.tiny))).nonzero().flatten().tolist()
    if unfit:
        raise TeacherError(
            teacher.source,
            f"output {teacher.output_names(y.shape[1])[unfit[0]]} lies within {apart[unfit[0]]:.3g} and reaches {most[unfit[0]]:.3g}, which float32 cannot hold",
            remedy="scale its answers, by their standard deviation for example",
        )


def _independent(teacher: Teacher, x: Tensor, full: Tensor, rows: tuple[int, ...], few: Tensor) -> None:
    """Check that the answers to a few rows do not depend on the rows around them.

    Args:
        teacher: the teacher.
        x: ``(N, D)`` rows, answered with ``full`` ``(N, O)``.
        rows: indices of the few rows.
        few: ``(len(rows), O)`` answers to these alone.

    Raises:
        TeacherError: one differs by more than ``FARTHEST`` and rounding.
    """
    excess = (full.double()[[*rows]] - few.double()).abs() - tolerated(full)
    if bool((excess <= 0).all()):
        return
    row, output = divmod(int(excess.nan_to_num(torch.inf).argmax()), excess.shape[1])
    raise TeacherError(
        teacher.source,
        f"must answer each row by itself, the answer depends on the other rows: {teacher.guard.row(x[rows[row]])} got "
        f"{few[row, output]:.6g} among {len(rows):,} row{'s' * (len(rows) > 1)} and {full[rows[row], output]:.6g} among {len(x)}",
        remedy="save it in evaluation mode (batch norm frozen)"
        if isinstance(teacher.function, torch.nn.Module)
        else "let it compute an answer from its row alone: without a mean, an order or a rank of the rows that come with it",
    )


def tolerated(answers: Tensor) -> Tensor:
    """Largest difference ``(O,)`` of two answers to one row that is put down to rounding, from many answers ``(N, O)``."""
    wide = answers.double()
    rounding = torch.full_like(wide[0], torch.finfo(torch.float32).eps)  # of any student, and of many teachers
    for short in (torch.float16, torch.bfloat16):
        held = (answers.to(short).to(answers.dtype) == answers).all(0)
        rounding = torch.where(held, torch.finfo(short).eps, rounding)
    return FARTHEST * wide.std(0) + UNITS * rounding * wide.abs().amax(0)


def _noise(teacher: Teacher, x: Tensor, first: Tensor, second: Tensor) -> float:
    """Root mean square difference of outputs ``(N, O)`` for the same rows, in standard deviations of the outputs.

    Raises:
        TeacherError: it is larger than ``NOISE``, or larger than ``FARTHEST`` in one row.
    """
    if torch.equal(first, second):
        return 0.0
    answers = torch.stack([first, second, *(_answer(teacher, x).double() for _ in range(MORE))])
    apart = (answers.amax(0) - answers.amin(0)) / first.std(0).clamp(min=torch.finfo(torch.float64).tiny)
    noise = float((answers[1:] - answers[:1]).div(first.std(0)).square().mean((0, 1)).max().sqrt())
    if noise <= NOISE and bool((apart <= FARTHEST).all()):
        return noise
    row, output = divmod(int(apart.nan_to_num(torch.inf).argmax()), apart.shape[1])
    low, high = float(answers[:, row, output].min()), float(answers[:, row, output].max())
    raise TeacherError(
        teacher.source,
        f"must be deterministic, the same row got different answers: {teacher.guard.row(x[row])} got {low:.8g} and {high:.8g}, "
        f"{float(apart[row, output]):.2g} of its standard deviation apart ({NOISE:g} is tolerated)",
        remedy=_settled(teacher),
    )


def _settled(teacher: Teacher) -> str:
    """The remedy that makes such a teacher deterministic."""
    average = "average repeated answers or fix its seed"
    if isinstance(teacher.function, torch.nn.Module):
        return "save it in evaluation mode (dropout off, batch norm frozen)"
    if teacher.estimator is not None or not inspect.isfunction(teacher.function):
        return average
    return f"{average}; a network inside must be in evaluation mode (dropout off)"


def _resolution(teacher: Teacher, y: Tensor) -> float | None:
    """Rounding step of the coarsest output: of decimals, of a 16-bit float, or of the students' float32.

    Raises:
        TeacherError: float32 is too coarse for an output.
    """
    wide = y.double()
    std, largest = wide.std(0), wide.abs().amax(0)
    floats = torch.tensor([spacing(value, torch.float32) for value in largest.tolist()]).to(std)
    steps = torch.stack([_decimal(wide[:, i]) for i in range(len(std))])
    for short in (torch.float16, torch.bfloat16):
        held = (y.to(short).to(y.dtype) == y).all(0)
        steps = torch.where(held, torch.maximum(steps, torch.finfo(short).eps * wide.abs().mean(0)), steps)
    # Far from zero, a student's float32 outputs are coarser than the outputs of the teacher.
    share = torch.maximum(steps, floats) / std
    coarse = (floats / std > BLURRED).nonzero().flatten().tolist()
    if coarse:
        output = coarse[0]
        raise TeacherError(
            teacher.source,
            f"output {teacher.output_names(len(std))[output]} reaches {largest[output]:.6g} with a standard deviation of {std[output]:.3g}: a student answers "
            f"in float32, whose steps are {floats[output]:.2g} there",
            remedy=f"subtract its mean, {wide[:, output].mean():.6g}, from the answers",
        )
    worst = int(share.argmax())
    return float(share[worst] * std[worst]) if share[worst] > NOTED else None


def _decimal(y: Tensor) -> Tensor:
    """The largest power of ten of which all outputs ``(N,)`` are multiples; 0 if none of a relevant size is."""
    std, error = float(y.std()), float(y.abs().max()) * torch.finfo(torch.float32).eps
    if not math.isfinite(std) or std <= 0:
        return y.new_zeros(())
    for exponent in range(math.ceil(math.log10(4 * std)), math.floor(math.log10(NOTED * std)), -1):
        step = 10.0**exponent
        if error / step > OFF:
            break
        if bool(((y / step - (y / step).round()).abs() <= OFF).all()):
            return y.new_tensor(step)
    return y.new_zeros(())


def _answer(teacher: Teacher, x: Tensor) -> Tensor:
    rows = x.clone()
    try:
        with torch.no_grad():
            y = teacher(rows)
    except RuntimeError as error:  # a fused forward pass bypasses the guard
        rule = f"cannot answer {tuple(x.shape)} inputs: it {raised(error)}"
        raise TeacherError(teacher.source, rule, remedy=SHAPE_REMEDY) from None
    if not torch.allclose(rows, x, rtol=0, atol=0, equal_nan=True):  # a missing value is NaN
        remedy = "let it copy them before it changes them"
        raise TeacherError(teacher.source, "changes its input rows in place", remedy=remedy)
    return y.clone()  # a teacher may reuse the memory of its outputs


def _differentiable(teacher: Teacher, x: Tensor) -> bool:
    try:
        y, pull = teacher.vjp(x)
        gradient = pull(torch.ones_like(y))
    except TeacherError:
        return False
    return bool(torch.isfinite(gradient).all()) and bool((gradient != 0).any())


def _normalizes(teacher: Teacher, x: Tensor) -> bool:
    if not isinstance(teacher.function, torch.nn.Module):
        return False
    return bool(moments_of(partial(teacher.guard.once, teacher.source, teacher.function), x.to(teacher.dtype)))
