"""Distill students from start to end, and evaluate them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from dfkd_tune.generators.base import BlockGenerator
from dfkd_tune.recipes.base import Batch, Fit
from dfkd_tune.recipes.mixing import Mix
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.students.latency import latency
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.banks import Fidelity, pooled
from dfkd_tune.training.cohort import Cohort
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population, fidelity
from dfkd_tune.training.problem import Problem
from dfkd_tune.training.raw_evaluation import ExportedStudent, outputs_of
from dfkd_tune.training.stress_rows import stress_policy
from dfkd_tune.utils.seeding import derive

SHOWN_ROWS = 256
"""Synthetic rows of a distillation that are stored for inspection."""


@dataclass(frozen=True)
class Outcome:
    """The result of a distillation. Divergence is a result too, not an exception.

    Args:
        recipe: recipe of the student.
        seed: seed of the member's random stream.
        weights: the weights that the recipe's checkpoint keeps.
        selection: errors on the selection bank; None if it failed.
        stress: errors on the stress bank; None if there is no such bank.
        folds: the same errors over all folds, where the trial trained a student for each; None otherwise.
        held_out: whether the banks are few rows held out of training, so that the errors' uncertainty counts.
        stress_weight: weight of the stress bank in the objective ``robust`` (see ``training.stress_rows``).
        curve: points ``(step, rmse)`` on the pruning bank.
        parameters: number of the student's parameters.
        compression: the teacher's number of parameters over the student's; None if the teacher's cannot be counted.
        seconds: seconds of computation; members of a population share its time.
        teacher_rows: teacher rows queried for this student alone.
        answered_rows: answered rows that all students shared when it began; None where that number does not grow.
        synthesis: gap quantiles and fractions of active bounds of the generator at the last rung.
        failure: why there is no result; None if there is one.
        latency: microseconds that the student takes for one row; None if it failed.
        gaps: largest differences between the model as its file loads and in training: ``exactness/teacher``, ``exactness/student``.
        synthetic: standardized rows ``(SHOWN_ROWS, D)`` made against the final student; None if the recipe makes none.
    """

    recipe: Recipe
    seed: int
    weights: list[Tensor] = field(repr=False)
    selection: Fidelity | None
    stress: Fidelity | None
    stress_weight: float
    curve: list[tuple[int, float]]
    parameters: int
    compression: float | None
    seconds: float
    teacher_rows: int
    synthesis: dict[str, float]
    failure: str | None
    latency: float | None = None
    synthetic: Tensor | None = field(default=None, repr=False)
    gaps: dict[str, float] = field(default_factory=dict)
    folds: tuple[Fidelity | None, Fidelity | None] = (None, None)
    held_out: bool = False
    answered_rows: int | None = None

    @property
    def robust(self) -> float:
        """Weighted geometric mean of the normalized RMSE on selection and stress bank, a study's default objective."""
        selection, stress = self.folds[0] or self.selection, self.folds[1] or self.stress
        assert selection is not None and stress is not None  # only called for a result on both banks
        return selection.nrmse ** (1 - self.stress_weight) * stress.nrmse**self.stress_weight

    def objective(self, name: str) -> float:
        """Value of an objective: ``robust``, or ``rmse`` or ``nrmse`` on the selection bank; over all folds where there are some."""
        return self.robust if name == metric.ROBUST else float(getattr(self.folds[0] or self.selection, name))

    def errors(self) -> dict[str, float]:
        """Standard errors of the objectives over the held-out rows, by their metrics; ``robust`` by the delta method."""
        selection, stress = self.folds[0] or self.selection, self.folds[1] or self.stress
        if not self.held_out or selection is None:
            return {}
        found = {metric.NRMSE_ERROR: selection.error}
        if stress is not None and selection.nrmse > 0 and stress.nrmse > 0:
            shares = ((1 - self.stress_weight, selection), (self.stress_weight, stress))
            apart = math.hypot(*(weight * each.error / each.nrmse for weight, each in shares))
            found[metric.ROBUST_ERROR] = self.robust * apart
        return found

    def metrics(self) -> dict[str, float]:
        """All metrics of the student by name, as logged to MLflow (see ``training.metrics``)."""
        values: dict[str, float] = {
            metric.PARAMETERS: self.parameters,
            metric.SECONDS: self.seconds,
            metric.TEACHER_ROWS: self.teacher_rows,
        }
        if self.answered_rows is not None:
            values[metric.ANSWERED_ROWS] = self.answered_rows
        if self.selection is not None:
            values |= {metric.RMSE: self.selection.rmse, metric.NRMSE: self.selection.nrmse}
            if len(self.selection.by_output) > 1:
                values |= {metric.OUTPUT_RMSE.format(o): value for o, value in enumerate(self.selection.by_output)}
        if self.stress is not None:
            values |= {metric.STRESS_RMSE: self.stress.rmse, metric.STRESS_NRMSE: self.stress.nrmse}
            values[metric.ROBUST] = self.robust
        if self.compression is not None:
            values[metric.COMPRESSION] = self.compression
        if self.latency is not None:
            values[metric.LATENCY] = self.latency
        return values | self.errors() | self.synthesis | self.gaps


def conclude(problem: Problem, member: Member, seconds: float, refine: bool = True) -> Outcome:
    """Evaluate a member that has left its population; its refiner runs first unless ``refine`` is false."""
    start = time.perf_counter()
    everyone = [member, *member.companions]
    for each in everyone if refine else ():
        if each.failure is None:
            polish(problem, each)
    parameters = member.recipe.student.parameters(problem.columns, problem.outputs)
    counted = problem.teacher.parameters
    failure = next((each.failure for each in everyone if each.failure), None)
    names = [name for name in ("selection", "stress") if name in problem.banks and not failure]
    every = {
        name: [fidelity(problem, member.recipe, each.result(), problem.bank(name, each.fold)) for each in everyone]
        for name in names
    }
    for name, found in ((name, one) for name, each in every.items() for one in each):
        if not math.isfinite(found.nrmse):
            failure = f"diverged: the RMSE is {found.rmse} on the {name} bank"
    judged = {name: found[0] for name, found in every.items()}
    folds = {name: pooled(found) for name, found in every.items()} if len(everyone) > 1 and not failure else {}
    took = seconds + time.perf_counter() - start
    if failure:
        judged = {}
    whole = refine and failure is None
    if whole:
        problem.remember(str(member.key), [each.result() for each in everyone])
    module = problem.module(member.recipe.student, member.result()) if whole else None
    row = problem.inputs.raw(problem.sample.z[:1], problem.encoder.encoding.torch_dtype)
    return Outcome(
        recipe=member.recipe,
        seed=member.seed,
        weights=member.result(),
        selection=judged.get("selection"),
        stress=judged.get("stress"),
        folds=(folds.get("selection"), folds.get("stress")),
        held_out=not problem.asks,
        answered_rows=member.answered_rows,
        stress_weight=stress_policy(problem.probe, problem.inputs).weight,
        curve=member.curve,
        parameters=parameters,
        compression=counted / parameters if counted else None,
        seconds=took,
        teacher_rows=member.teacher_rows,
        synthesis=member.synthesis,
        failure=failure,
        latency=latency(module, row) if module is not None else None,
        synthetic=_synthetic(problem, member) if whole else None,
        gaps=_gaps(problem, member, module) if module is not None else {},
    )


def _gaps(problem: Problem, member: Member, module: nn.Module) -> dict[str, float]:
    """Largest differences between teacher and student as their files load and in training, in the teacher's standard deviations."""
    sample = problem.sample
    shipped = outputs_of(ExportedStudent.of(module, problem.encoder.encoding.torch_dtype), problem.inputs, sample.z)
    weights = [w.unsqueeze(0) for w in member.result()]
    z = sample.z.to(problem.device)
    with torch.no_grad():
        trained = member.recipe.student.answer(weights, problem.encoder.rows(z[None]), problem.columns)[0].double()
    apart = (shipped.to(z.device) - problem.shift.double()) / problem.spread.double() - trained
    return {metric.TEACHER_EXACTNESS: sample.teacher_gap, metric.STUDENT_EXACTNESS: float(apart.abs().max())}


def _synthetic(problem: Problem, member: Member) -> Tensor | None:
    """Rows that a member's generator makes against the final student; their teacher queries do not count for the student."""
    if Mix.of(member.recipe.alpha) == Mix.PRIOR:
        return None
    final = replace(member, weights=member.result())
    generator = member.recipe.generator
    if isinstance(generator, BlockGenerator):
        final.engine = generator.engine(problem.features, derive(member.seed, "shown"))
    return Cohort(problem, [final]).draw(SHOWN_ROWS).cpu()


def polish(problem: Problem, member: Member) -> None:
    """Run a member's refiner; the recipe's checkpoint says whether the new weights are kept."""
    recipe = member.recipe
    if not recipe.refiner.refines:
        return

    def encoded(gradients: Tensor | None) -> Tensor | None:
        return None if gradients is None else problem.encoder.gradients(gradients)

    def draw(weights: Sequence[Tensor], easy: int, hard: int) -> Batch:
        cost = problem.label_rows if recipe.loss.gradients else 1
        payable = member.affordable(hard, cost) if problem.asks else 0
        easy, hard = easy + hard - payable, payable  # outputs at prior rows are known already
        taught = member.lesson_share(easy)
        easy -= taught
        index = problem.drawn((easy,), member.fold, member.rng).to(problem.device)
        if recipe.loss.gradients:
            z, values, gradients = problem.known(index)
            member.teacher_rows += 0 if problem.pool.gradients is not None else easy * cost
        else:
            z, values, gradients = problem.pool.z[index], problem.pool.values[index], None
        if member.lesson is not None:
            at, lesson = member.lesson_rows(taught), member.lesson
            z, values = torch.cat([z, lesson.z[at]]), torch.cat([values, lesson.values[at]])
            if gradients is not None and lesson.gradients is not None:
                gradients = torch.cat([gradients, lesson.gradients[at]])
        if not hard:
            return problem.encoder.rows(z), values, encoded(gradients)
        member.weights = list(weights)
        far = Cohort(problem, [member]).draw(hard)
        member.teacher_rows += hard * cost
        answers, far_gradients = problem.labels(far) if recipe.loss.gradients else (problem.answer_in_chunks(far), None)
        joined = None if gradients is None or far_gradients is None else torch.cat([gradients, far_gradients])
        return (
            problem.encoder.rows(torch.cat([z, far])),
            torch.cat([values, answers]),
            encoded(joined),
        )

    begun = member.result()
    found = recipe.refiner.refine(
        Fit(recipe.student, problem.columns, recipe.loss.gradient_weight, problem.matched),
        begun,
        draw,
        recipe.steps * recipe.batch,
        member.prepaid,
    )
    bank = problem.bank("pruning", member.fold)
    reached = fidelity(problem, recipe, found, bank)
    member.curve.append((recipe.steps, reached.rmse))
    if recipe.checkpoint.replaces(reached.nrmse, fidelity(problem, recipe, begun, bank).nrmse):
        member.kept = (reached.nrmse, found)


def distill(problem: Problem, recipe: Recipe, seed: int, progress: Callable[[Member], None] | None = None) -> Outcome:
    """Distill one student.

    Args:
        problem: teacher, prior and banks.
        recipe: recipe of the student.
        seed: seed of the member's random stream.
        progress: called with the member at every rung.
    """
    return distill_all(problem, [Member("solo", recipe, seed)], progress)[0]


@dataclass(frozen=True)
class Beside:
    """Members of someone else that train in the same population.

    Args:
        population: where they train.
        reached: called after every step with those of them that reached a rung, and the seconds of the step for each member.
    """

    population: Population
    reached: Callable[[Sequence[Member], float], None]


def distill_all(
    problem: Problem,
    members: Sequence[Member],
    progress: Callable[[Member], None] | None = None,
    beside: Beside | None = None,
) -> list[Outcome]:
    """Distill several students at once; each result is the same as if distilled alone.

    Args:
        problem: teacher, prior and banks.
        members: new members with distinct keys.
        progress: called with the member at every rung.
        beside: members of someone else to train with; None for a population of their own.
    """
    population = Population(problem) if beside is None else beside.population
    seconds, outcomes = dict.fromkeys((member.key for member in members), 0.0), dict[Hashable, Outcome]()
    for member in members:
        population.admit(member)
    while len(outcomes) < len(members):
        start = time.perf_counter()
        due = population.advance()
        took = (time.perf_counter() - start) / len(population)
        for key in seconds.keys() - outcomes.keys():
            seconds[key] += took
        for member in due:
            if member.key not in seconds:
                continue
            if progress is not None:
                progress(member)
            if member.finished:
                outcomes[member.key] = conclude(problem, population.release(member.key), seconds[member.key])
        if beside is not None:
            beside.reached([member for member in due if member.key not in seconds], took)
    return [outcomes[member.key] for member in members]
