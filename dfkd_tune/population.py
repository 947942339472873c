"""The distillation loop, over K members at once; a solo run is K = 1.

Floats may differ between members, everything else is structure: members whose students share depth and activation form a
``Cohort`` and one batched pass (weights stacked ``(K, P)``, narrower students padded with zeros). Within it, members whose
generators share a structure are drawn for together. Each member has its own clock and its own random stream, and losses
are summed over members, so that a result does not depend on companions and a NaN stays in its own row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from .generators import Contest, Sampled
from .losses import Mix
from .optimizers import rate_at, update
from .probes import Bank, Fidelity, measure
from .problem import Problem
from .recipe import Recipe
from .seeds import derive
from .strategy import Stacked, structure

BLOCK = 100
"""Steps whose prior rows a member draws from its stream at a time."""
MEMORY = 0.99
"""Of the running RMSE on prior rows that adaptive thresholds are measured in."""
RUNGS = 20
"""Evaluations on the pruning bank a run."""


@dataclass
class Member:
    """One distillation under way.

    Args:
        key: what its owner calls it.
        recipe: its choices.
        seed: of its own random stream.
        rungs: evaluations on the pruning bank over its run.
    """

    key: Hashable
    recipe: Recipe
    seed: int
    rungs: int = RUNGS
    clock: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    failure: str | None = None
    teacher_rows: int = 0
    level: float = 1.0
    synthesis: dict[str, float] = field(default_factory=dict)
    weights: list[Tensor] = field(default_factory=list, repr=False)
    first: list[Tensor] = field(default_factory=list, repr=False)
    second: list[Tensor] = field(default_factory=list, repr=False)
    state: dict[str, Tensor] = field(default_factory=dict, repr=False)
    best: tuple[float, list[Tensor]] | None = field(default=None, repr=False)
    rng: torch.Generator = field(default_factory=torch.Generator, repr=False)
    block: Tensor | None = field(default=None, repr=False)
    engine: Any = field(default=None, repr=False)
    sampled: tuple[Tensor, Tensor] | None = field(default=None, repr=False)

    def begin(self, problem: Problem) -> None:
        self.rng.manual_seed(derive(self.seed, "member"))
        size = (problem.features, problem.outputs)
        begun = self.recipe.start.begin(self.recipe.student, problem, self.rng)
        self.weights = [w.to(problem.device) for w in begun]
        self.first = [torch.zeros_like(w) for w in self.weights]
        self.second = [torch.zeros_like(w) for w in self.weights]
        state = self.recipe.generator.start(*size, self.rng, problem.dtype)
        self.state = {name: value.to(problem.device) for name, value in state.items()}
        if isinstance(self.recipe.generator, Sampled):
            self.engine = self.recipe.generator.engine(problem.features, derive(self.seed, "engine"))

    def draw_block(self, problem: Problem) -> None:
        """Choose the pool rows of the next ``BLOCK`` steps, and draw and label what a sampler makes of them."""
        self.block = torch.randint(len(problem.pool), (BLOCK, self.recipe.batch), generator=self.rng)
        rows = synthetic_rows(self.recipe)
        if self.engine is not None and rows:
            z = self.recipe.generator.block(problem.inputs, BLOCK, rows, self.engine).to(problem.device, problem.dtype)
            values = problem.answer_in_chunks(z.view(-1, problem.features)).view(BLOCK, rows, -1)
            self.teacher_rows += BLOCK * rows
            self.sampled = (z, values)

    @property
    def steps(self) -> int:
        """Student steps before the finish."""
        return max(1, round(self.recipe.steps * self.recipe.finish.after))

    @property
    def next_rung(self) -> int:
        """The clock of its next evaluation; the last one is the end."""
        steps, rungs = self.steps, min(self.rungs, self.steps)
        done = self.clock * rungs // steps
        return next(rung for i in range(done, rungs + 1) if (rung := i * steps // rungs) > self.clock)

    @property
    def finished(self) -> bool:
        return self.clock >= self.steps or self.failure is not None

    def result(self) -> list[Tensor]:
        """The weights it is judged by: those of its best rung on the pruning bank."""
        return self.best[1] if self.best else self.weights


def synthetic_rows(recipe: Recipe) -> int:
    """Rows of a batch that come from the generator."""
    return {Mix.PRIOR: 0, Mix.BOTH: recipe.batch // 2, Mix.SYNTHETIC: recipe.batch}[Mix.of(recipe.alpha)]


class Population:
    """Members in flight over one problem; admit, advance, release."""

    def __init__(self, problem: Problem):
        self.problem = problem
        self._members: dict[Hashable, Member] = {}
        self._cohorts: list[Cohort] | None = []

    def __len__(self) -> int:
        return len(self._members)

    @property
    def members(self) -> list[Member]:
        return list(self._members.values())

    def admit(self, member: Member) -> None:
        """Take in a member, fresh or released before; the others go on as if alone."""
        if not member.weights:
            member.begin(self.problem)
        self._unstack()
        self._members[member.key] = member

    def release(self, key: Hashable) -> Member:
        """Let a member leave, its weights unstacked."""
        self._unstack()
        return self._members.pop(key)

    def advance(self) -> list[Member]:
        """Step everyone to the nearest rung; return the members evaluated there, curves and failures filled in."""
        if self._cohorts is None:
            self._cohorts = [Cohort(self.problem, group) for group in _by_structure(self.members)]
        count = min(member.next_rung - member.clock for member in self.members)
        due = [member for member in self.members if member.next_rung - member.clock == count]
        for cohort in self._cohorts:
            cohort.run(count)
        for cohort in self._cohorts:
            cohort.evaluate(due)
        return due

    def fidelity(self, member: Member, bank: Bank) -> Fidelity:
        """Fidelity of one member's result on a bank."""
        return fidelity(member.recipe, member.result(), bank)

    def _unstack(self) -> None:
        for cohort in self._cohorts or ():
            cohort.unstack()
        self._cohorts = None


def fidelity(recipe: Recipe, weights: list[Tensor], bank: Bank) -> Fidelity:
    """Fidelity of one student on a bank."""
    stacked = [w.unsqueeze(0) for w in weights]
    return measure(lambda z: recipe.student.answer(stacked, z), bank, 1)[0]


def _by_structure(members: Iterable[Member]) -> list[list[Member]]:
    def key(member: Member) -> str:
        return repr((member.recipe.student.structure(), member.recipe.loss.slopes, member.recipe.batch))

    return [list(group) for _, group in groupby(sorted(members, key=key), key)]


@dataclass
class Group:
    """Members ``part`` of a cohort whose generators share a structure, with their stacked hyper-parameters."""

    part: slice
    rows: int
    kind: type
    h: Stacked
    state: dict[str, Tensor]
    bounds: list[tuple[slice, type, Stacked]]
    input_bounds: list[tuple[slice, type, Stacked]]


class Cohort:
    """Members of one student structure, stacked: weights, gradients and moments are ``(K, P)``."""

    def __init__(self, problem: Problem, members: list[Member]):
        self.problem = problem
        self.members = sorted(members, key=_generator_order)
        self.student = self.members[0].recipe.student
        self.batch = self.members[0].recipe.batch
        size = (problem.features, problem.outputs)
        every = [member.recipe.student.shapes(*size) for member in self.members]
        self.shapes = [tuple(map(max, zip(*shapes, strict=True))) for shapes in zip(*every, strict=True)]
        self.flat, self.first, self.second = (
            self._stack([getattr(member, name) for member in self.members]) for name in ("weights", "first", "second")
        )
        self.gradient = torch.empty_like(self.flat)
        self.leaves = self._views(self.flat)
        self.groups = self._groups()
        weights = [getattr(member.recipe.loss, "weight", 0.0) for member in self.members]
        self.sobolev = self.flat.new_tensor(weights)[:, None] if self.members[0].recipe.loss.slopes else None
        self.adaptive = any(getattr(member.recipe.bound, "adaptive", False) for member in self.members)
        betas = self.flat.new_tensor([member.recipe.optimizer.betas() for member in self.members])
        decay = self.flat.new_tensor([member.recipe.optimizer.weight_decay for member in self.members])
        self.fixed = {"keep1": 1 - betas[:, :1], "keep2": 1 - betas[:, 1:], "decay": decay[:, None]}
        self.level = self.flat.new_tensor([member.level for member in self.members]).square()
        self.watched: list[tuple[Group, Contest, Tensor, Tensor]] = []

    def run(self, count: int) -> None:
        """Advance every member by ``count`` student steps."""
        while count:
            ahead = min(count, *(BLOCK - member.clock % BLOCK for member in self.members))
            rows = torch.stack([self._rows(member)[member.clock % BLOCK :][:ahead] for member in self.members], dim=1)
            rows, mix, rate, root = rows.to(self.flat.device), *self._schedules(ahead)
            for step in range(ahead):
                self._step(rows[step], mix[step], rate[step], root[step], watch=count == step + 1)
            count -= ahead

    def draw(self, rows: int) -> Tensor:
        """Synthetic rows ``(rows, D)`` of a single member as its generator makes them now; prior rows where it makes none."""
        (member,), (group,) = self.members, self.groups or (None,)
        index = torch.randint(len(self.problem.pool), (1, rows), generator=member.rng).to(self.flat.device)
        z, values = self.problem.pool.rows(index)
        if group is None:
            return z[0]
        if issubclass(group.kind, Sampled):
            engine = member.engine
            return member.recipe.generator.block(self.problem.inputs, 1, rows, engine)[0].to(z)
        drawn = group.kind.draw(group.h, group.state, self._contest(group, z, values, index))
        return drawn.detach()[0]

    def evaluate(self, due: list[Member]) -> None:
        """Measure members on the pruning bank, extend their curves and keep the best weights of each."""
        here = [(k, member) for k, member in enumerate(self.members) if any(member is other for other in due)]
        if not here:
            return
        found = measure(lambda z: self.student.answer(self.leaves, z), self.problem.banks["pruning"], len(self.members))
        for k, member in here:
            score = found[k].rmse
            member.curve.append((member.clock, score))
            if not math.isfinite(score):
                member.failure = f"diverged: the RMSE is {score} at step {member.clock}"
            elif member.best is None or found[k].nrmse < member.best[0]:
                member.best = (found[k].nrmse, self._member_values(self.flat, k))

        for group, contest, drawn, gap in self.watched:
            self._describe(group, contest, drawn, gap)

    def _describe(self, group: Group, contest: Contest, drawn: Tensor, gap: Tensor) -> None:
        """What the generator reached in the last batch: quantiles of ``|gap|`` and how often the bounds held it."""
        of_gap, of_input = contest.active(drawn, gap)
        quantiles = torch.quantile(gap.abs().flatten(1), gap.new_tensor([0.1, 0.5, 0.9]), dim=1)
        for k, member in enumerate(self.members[group.part]):
            low, middle, high = quantiles[:, k].tolist()
            member.synthesis = {
                "gap/q10": low,
                "gap/q50": middle,
                "gap/q90": high,
                "active/bound": float(of_gap[k]),
                "active/input_bound": float(of_input[k]),
            }

    def unstack(self) -> None:
        """Write everything that evolves back to the members."""
        for k, member in enumerate(self.members):
            member.weights = self._member_values(self.flat, k)
            member.first = self._member_values(self.first, k)
            member.second = self._member_values(self.second, k)
            member.level = float(self.level[k].sqrt())
        for group in self.groups:
            for k, member in enumerate(self.members[group.part]):
                member.state = {name: value[k].clone() for name, value in group.state.items()}

    def _step(self, index: Tensor, mix: Tensor, rate: Tensor, root: Tensor, watch: bool) -> None:
        z, values = self.problem.pool.rows(index)
        target = self._pool_slopes(index) if self.sobolev is not None else None
        made = self._synthesize(z, values, index, target)
        if target is None:
            answers, tape = self.student.record(self.leaves, z)
            slope = (answers - values).view(*mix.shape, -1) * (mix * (4.0 / answers[0].numel())).unsqueeze(-1)
            slopes = self.student.weight_slopes(self.leaves, tape, slope.view(answers.shape))
        else:
            answers, slopes = self._match_slopes(z, values, target, mix)
        if self.adaptive:  # the last half of a batch is prior rows, unless all rows are synthetic
            late = (answers - values)[:, self.batch // 2 :].square().mean((1, 2))
            self.level.lerp_(late, 1 - MEMORY)
        if watch:
            gaps = values - answers
            self.watched = [(g, c, drawn, gaps[g.part, : g.rows]) for g, c, drawn in made if g.kind.seeks]
        torch.cat([slope.flatten(1) for slope in slopes], dim=1, out=self.gradient)
        update(self.flat, self.gradient, self.first, self.second, {"rate": rate, "root": root} | self.fixed)
        for member in self.members:
            member.clock += 1

    def _match_slopes(self, z: Tensor, values: Tensor, target: Tensor, mix: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """Answers, and gradients in the weights of the Sobolev loss; ``target`` is ``(K, N, O, D)``."""
        leaves = [leaf.detach().requires_grad_() for leaf in self.leaves]
        with torch.enable_grad():
            answers, found = self.student.answer_and_slopes(leaves, z)
            rows = (answers - values).square().mean(-1) + self.sobolev * (found - target).square().sum(-1).mean(-1)
            loss = (rows.view(*mix.shape, -1).mean(-1) * mix).sum()
            return answers.detach(), torch.autograd.grad(loss, leaves)

    def _pool_slopes(self, index: Tensor) -> Tensor:
        flat = index.reshape(-1)
        pool = self.problem.pool
        slopes = self.problem.labels(pool.z[flat])[1] if pool.slopes is None else pool.slopes.index_select(0, flat)
        return slopes.view(*index.shape, *slopes.shape[1:])

    def _synthesize(
        self, z: Tensor, values: Tensor, index: Tensor, target: Tensor | None
    ) -> list[tuple[Group, Contest, Tensor]]:
        """Replace the synthetic rows of a batch, in place, by what the generators draw; the teacher labels them in one pass."""
        made: list[tuple[Group, Contest, Tensor]] = []
        for group in self.groups:
            here, members = (group.part, slice(group.rows)), self.members[group.part]
            if issubclass(group.kind, Sampled):
                at = [member.clock % BLOCK for member in members]
                z[here] = torch.stack([m.sampled[0][i] for m, i in zip(members, at, strict=True)])
                values[here] = torch.stack([m.sampled[1][i] for m, i in zip(members, at, strict=True)])
                if target is not None:
                    target[here] = self.problem.labels(z[here].reshape(-1, z.shape[-1]))[1].view(target[here].shape)
                continue
            contest = self._contest(group, z[here], values[here], index[here])
            drawn = group.kind.draw(group.h, group.state, contest)
            if drawn is not contest.origin:
                made.append((group, contest, drawn))
                for member, asked in zip(members, contest.asked, strict=True):
                    member.teacher_rows += group.rows + asked
        if made:
            rows = [drawn.reshape(-1, z.shape[-1]) for _, _, drawn in made]
            labels, slopes = self._label(torch.cat(rows), target is not None)
            start = 0
            for group, _, drawn in made:
                here, stop = (group.part, slice(group.rows)), start + drawn.shape[0] * drawn.shape[1]
                z[here], values[here] = drawn, labels[start:stop].view(*drawn.shape[:2], -1)
                if target is not None:
                    target[here] = slopes[start:stop].view(target[here].shape)
                start = stop
        return made

    def _label(self, rows: Tensor, slopes: bool) -> tuple[Tensor, Tensor | None]:
        return self.problem.labels(rows) if slopes else (self.problem.answer(rows), None)

    def _contest(self, group: Group, origin: Tensor, values: Tensor, index: Tensor) -> Contest:
        members, pool = self.members[group.part], self.problem.pool
        slopes = None
        if group.kind.travels and pool.slopes is not None:
            slopes = pool.slopes.index_select(0, index.reshape(-1)).view(*index.shape, *pool.slopes.shape[1:])
        return Contest(
            origin=origin,
            origin_values=values,
            origin_slopes=slopes,
            teacher=self.problem.record,
            answer=self.problem.answer,
            student=lambda x: self._record_student(group.part, x),
            one_student=lambda k, z: self._answer_one(group.part.start + k, z),
            prior=lambda rows, k: pool.z[torch.randint(len(pool), (rows,), generator=members[k].rng)],
            bounds=group.bounds,
            input_bounds=group.input_bounds,
            level=self.level[group.part].sqrt()[:, None, None],
            geometry=self.problem.geometry,
            units=(self.problem.shift, self.problem.spread),
            project=self.problem.inputs.project,
            clocks=[member.clock for member in members],
            rngs=[member.rng for member in members],
        )

    def _record_student(self, part: slice, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        weights = [leaf[part] for leaf in self.leaves]
        answers, tape = self.student.record(weights, x)
        return answers, lambda slope: self.student.input_slopes(weights, tape, slope)

    def _answer_one(self, k: int, z: Tensor) -> Tensor:
        return self.student.answer([leaf[k : k + 1] for leaf in self.leaves], z.unsqueeze(0)).squeeze(0)

    def _groups(self) -> list[Group]:
        groups: list[Group] = []
        for (mix, _), part in _runs(self.members, _generator_key):
            members = self.members[part]
            generators = [member.recipe.generator for member in members]
            if mix == Mix.PRIOR:
                continue
            names = members[0].state
            groups.append(
                Group(
                    part=part,
                    rows=synthetic_rows(members[0].recipe),
                    kind=type(generators[0]),
                    h=Stacked(generators, self.flat),
                    state={name: torch.stack([member.state[name] for member in members]) for name in names},
                    bounds=self._slices(members, lambda member: member.recipe.bound),
                    input_bounds=self._slices(members, lambda member: member.recipe.input_bound),
                )
            )
        return groups

    def _slices(self, members: list[Member], choice: Callable[[Member], object]) -> list[tuple[slice, type, Stacked]]:
        runs = _runs(members, lambda member: structure(choice(member)))
        return [
            (part, type(choice(members[part][0])), Stacked([choice(m) for m in members[part]], self.flat))
            for _, part in runs
        ]

    def _rows(self, member: Member) -> Tensor:
        if member.clock % BLOCK == 0:
            member.draw_block(self.problem)
        return member.block

    def _schedules(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of the two halves of a batch ``(count, K, 2)``; step size and root correction ``(count, K, 1)``."""
        mix, rate, root = [], [], []
        for step in range(count):
            for member in self.members:
                recipe, now, steps = member.recipe, member.clock + step, member.steps
                alpha = 0.5 if Mix.of(recipe.alpha) != Mix.BOTH else recipe.alpha.at(now, steps)
                first, second = recipe.optimizer.corrections(now)
                mix.append((alpha, 1.0 - alpha))
                rate.append(rate_at(recipe.optimizer, now, steps) / first)
                root.append(1.0 / math.sqrt(second))
        members = len(self.members)
        tensors = (self.flat.new_tensor(values) for values in (mix, rate, root))
        mix, rate, root = (tensor.view(count, members, -1) for tensor in tensors)
        return mix, rate, root

    def _stack(self, every: list[list[Tensor]]) -> Tensor:
        sample = every[0][0]
        flat = torch.zeros(len(every), sum(map(math.prod, self.shapes)), dtype=sample.dtype, device=sample.device)
        for view, values in zip(self._views(flat), zip(*every, strict=True), strict=True):
            for k, value in enumerate(values):
                view[k][tuple(slice(n) for n in value.shape)] = value
        return flat

    def _views(self, flat: Tensor) -> list[Tensor]:
        parts = flat.split([math.prod(shape) for shape in self.shapes], dim=1)
        return [part.view(len(flat), *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def _member_values(self, flat: Tensor, k: int) -> list[Tensor]:
        shapes = self.members[k].recipe.student.shapes(self.problem.features, self.problem.outputs)
        views = self._views(flat)
        return [view[k][tuple(slice(n) for n in shape)].clone() for view, shape in zip(views, shapes, strict=True)]


def _generator_key(member: Member) -> tuple:
    return Mix.of(member.recipe.alpha), structure(member.recipe.generator)


def _generator_order(member: Member) -> str:
    return repr((_generator_key(member), structure(member.recipe.bound), structure(member.recipe.input_bound)))


def _runs(members: list[Member], key: Callable[[Member], object]) -> list[tuple[object, slice]]:
    """Runs of neighbors with one key, as slices."""
    runs, start = [], 0
    for value, group in groupby(members, key):
        stop = start + len(list(group))
        runs.append((value, slice(start, stop)))
        start = stop
    return runs
