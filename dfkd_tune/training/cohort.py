"""Train members of one student structure in one batched pass, and make their synthetic rows.

Weights are stacked ``(K, P)``; narrow students are padded with zeros. Members whose generators share a structure are sampled
together. Losses are summed over members and every member has its own random stream. So a result does not depend on the other
members, and a NaN stays in its own row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import torch
from torch import Tensor

from dfkd_tune.generators.base import BlockGenerator, Generator, StepGenerator
from dfkd_tune.generators.context import GeneratorContext
from dfkd_tune.recipes.base import GapBound, InputBound
from dfkd_tune.recipes.mixing import Mix
from dfkd_tune.recipes.optimizers import update
from dfkd_tune.students.base import SobolevTarget, ValueTarget
from dfkd_tune.students.sobolev import loss_and_gradients
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.banks import Fidelity, measure
from dfkd_tune.training.member import BLOCK, Member, synthetic_rows
from dfkd_tune.training.plugin_rows import declared, is_plugin, not_finite
from dfkd_tune.training.problem import Problem
from dfkd_tune.training.stepping.cuda_graph import GraphedSteps, stacked
from dfkd_tune.training.stepping.schedules import schedules
from dfkd_tune.utils.strategy import Stacked, structure

B = TypeVar("B", GapBound, InputBound)
K = TypeVar("K")

MEMORY = 0.99
"""Decay of the moving average of the RMSE on prior rows, the unit of adaptive thresholds."""


@dataclass
class Group:
    """Members ``part`` of a cohort whose generators share a structure, with their stacked hyper-parameters."""

    part: slice
    rows: int
    kind: type[Generator]
    h: Stacked
    state: dict[str, Tensor]
    context: GeneratorContext


class Cohort:
    """Members of one student structure, stacked: weights, gradients and moments are ``(K, P)``."""

    def __init__(self, problem: Problem, members: list[Member]) -> None:
        self.problem = problem
        self.members = sorted(members, key=_generator_order)
        self.student = self.members[0].recipe.student
        self.batch = self.members[0].recipe.batch
        self.encoder, self.columns = problem.encoder, problem.columns
        every = [member.recipe.student.shapes(self.columns, problem.outputs) for member in self.members]
        self.shapes = [tuple(map(max, zip(*shapes, strict=True))) for shapes in zip(*every, strict=True)]
        self.flat, self.first, self.second = (
            self._stack([getattr(member, name) for member in self.members]) for name in ("weights", "first", "second")
        )
        self.gradient = torch.empty_like(self.flat)
        self.leaves = self._views(self.flat)
        self.groups = self._groups()
        kinds = [(group, group.kind) for group in self.groups]
        steps = [(group, kind.observe) for group, kind in kinds if issubclass(kind, StepGenerator)]
        self.observing = [(group, observe) for group, observe in steps if observe is not StepGenerator.observe]
        weights = [member.recipe.loss.gradient_weight for member in self.members]
        self.sobolev = self.flat.new_tensor(weights)[:, None, None] if self.members[0].recipe.loss.gradients else None
        if self.sobolev is not None and problem.matched is not None:
            self.sobolev = self.sobolev * problem.matched.repeat(problem.outputs)
        kept = any(member.recipe.teacher_rows is not None for member in self.members)  # kept rows may need autograd
        derived = problem.teacher.fast is not None and self.student.by_hand(self.sobolev is not None)
        self.inferring = derived and not kept and problem.device.type in ("cpu", "cuda")  # tested only there
        self.adaptive = any(member.recipe.bound.is_adaptive for member in self.members)
        betas = self.flat.new_tensor([member.recipe.optimizer.betas() for member in self.members])
        optimizers = [member.recipe.optimizer for member in self.members]
        decay = self.flat.new_tensor([each.coupled_decay for each in optimizers])
        self.shrinks = any(each.decoupled_decay for each in optimizers)
        averages = any(each.average_decay for each in optimizers)
        self.average = self._stack([member.average for member in self.members]) if averages else None
        self.fixed = {"keep1": 1 - betas[:, :1], "keep2": 1 - betas[:, 1:], "decay": decay[:, None]}
        self.level = self.flat.new_tensor([member.level for member in self.members]).square()
        self.watched: list[tuple[Group, Tensor, Tensor]] = []
        self.taught = [(k, member) for k, member in enumerate(self.members) if member.lesson is not None]
        replays = derived and not kept and not self.taught and all(group.kind.replays for group in self.groups)
        self.graphed = GraphedSteps(self._step, self._counts, BLOCK) if replays and self.flat.is_cuda else None

    def run(self, count: int) -> None:
        """Advance every member by ``count`` student steps."""
        with torch.inference_mode(self.inferring):  # avoids autograd's bookkeeping in every operation
            self._run(count)

    def _run(self, count: int) -> None:
        while count:
            ahead = min(count, *(BLOCK - member.clock % BLOCK for member in self.members))
            rows = [self._rows(member)[member.clock % BLOCK :][:ahead] for member in self.members]
            share, *update_by = schedules(self.members, self.batch, ahead, self.flat)
            share = share.repeat_interleave(self.batch // 2, dim=2).unsqueeze(-1)  # one value for each row
            plans = (stacked(rows, self.flat.device), share, *update_by)
            taken = self.graphed.run(plans, ahead - (ahead == count)) if self.graphed is not None else 0
            planned = zip(*(part[taken:].unbind() for part in plans), strict=True)
            for step, plan in enumerate(planned, taken):
                self._step(*plan, watch=count == step + 1)
            count -= ahead

    def draw(self, rows: int) -> Tensor:
        """Synthetic rows ``(rows, D)`` of a cohort with one member, made against its current student; prior rows if it makes none."""
        (member,), (group,) = self.members, self.groups or (None,)
        index = self.problem.drawn((1, rows), member.fold, member.rng).to(self.flat.device)
        z, values = self.problem.pool.rows(index)
        if group is None:
            return z[0]
        generator = member.recipe.generator
        if isinstance(generator, BlockGenerator):
            return member.blind_rows(self.problem, generator, 1, rows)[0]
        context = self._context(group, z, values, index)
        drawn = self._sample(group, context)
        member.teacher_rows += context.queries[0]
        return drawn.detach()[0]

    def evaluate(self, due: list[Member]) -> None:
        """Evaluate members on the pruning bank, extend their curves and keep the weights that each one's checkpoint chooses."""
        here = [(k, member) for k, member in enumerate(self.members) if any(member is other for other in due)]
        if not here:
            return
        found = {fold: self._measured(fold) for fold in {member.fold for _, member in here}}
        views = self._views(self.measured)
        for k, member in here:
            reached = found[member.fold][k]
            member.curve.append((member.clock, reached.rmse))
            if not math.isfinite(reached.rmse):
                member.failure = member.failure or f"diverged: the RMSE is {reached.rmse} at step {member.clock}"
            elif member.kept is None or member.recipe.checkpoint.replaces(reached.nrmse, member.kept[0]):
                member.kept = (reached.nrmse, self._member_values(views, k))

        for group, drawn, gap in self.watched:
            self._describe(group, drawn, gap)

    def _measured(self, fold: int) -> list[Fidelity]:
        """Errors of all members on the pruning bank of a fold."""
        rows, bank, leaves = self.encoder.rows, self.problem.bank("pruning", fold), self._views(self.measured)
        return measure(lambda z: self.student.answer(leaves, rows(z), self.columns), bank, len(self.members))

    @property
    def measured(self) -> Tensor:
        """The weights of the students, ``(K, P)``: their moving averages where a member has one."""
        return self.flat if self.average is None else self.average

    def _describe(self, group: Group, drawn: Tensor, gap: Tensor) -> None:
        """Record for the last batch: quantiles of ``|gap|``, and the fractions of rows on which the bounds were active."""
        of_gap, of_input = group.context.active(drawn, gap)
        quantiles = torch.quantile(gap.abs().flatten(1), gap.new_tensor([0.1, 0.5, 0.9]), dim=1)
        told = torch.cat([quantiles, of_gap[None], of_input[None]]).T.tolist()
        for member, (low, middle, high, at_gap, at_input) in zip(self.members[group.part], told, strict=True):
            member.synthesis = {
                metric.GAP_Q10: low,
                metric.GAP_Q50: middle,
                metric.GAP_Q90: high,
                metric.ACTIVE_BOUND: at_gap,
                metric.ACTIVE_INPUT_BOUND: at_input,
            }

    def unstack(self) -> None:
        """Write all training state back to the members."""
        flat, first, second, average = map(self._views, (self.flat, self.first, self.second, self.measured))
        for k, member in enumerate(self.members):
            member.weights = self._member_values(flat, k)
            member.first = self._member_values(first, k)
            member.second = self._member_values(second, k)
            member.average = self._member_values(average, k)
            member.level = float(self.level[k].sqrt())
        for group in self.groups:
            for k, member in enumerate(self.members[group.part]):
                member.state = {name: value[k].clone() for name, value in group.state.items()}

    def _step(
        self,
        index: Tensor,
        share: Tensor,
        root: Tensor,
        eps: Tensor,
        shrink: Tensor,
        fresh: Tensor,
        watch: bool = False,
    ) -> None:
        z, values = self.problem.pool.rows(index)
        teacher_gradients = self._pool_gradients(index) if self.sobolev is not None else None
        for k, member in self.taught:
            member.replace_by_lesson(z[k], values[k], None if teacher_gradients is None else teacher_gradients[k])
        made = self._synthesize(z, values, index, teacher_gradients)
        target: ValueTarget | SobolevTarget = ValueTarget(values, share)
        if self.sobolev is not None and teacher_gradients is not None:
            target = SobolevTarget(values, self.encoder.gradients(teacher_gradients), share, self.sobolev)
        answers, gradients, _ = loss_and_gradients(
            self.student, self.leaves, self.encoder.rows(z), self.columns, target
        )
        if self.adaptive:  # the second half of a batch is prior rows, unless all rows are synthetic
            late = (answers - values)[:, self.batch // 2 :].square().mean((1, 2))
            self.level.lerp_(late, 1 - MEMORY)
        if watch:
            gaps = values - answers
            self.watched = [(g, drawn, gaps[g.part, : g.rows]) for g, drawn in made if g.kind.uses_gap]
        torch.cat([gradient.flatten(1) for gradient in gradients], dim=1, out=self.gradient)
        varying = {"root": root, "eps": eps} | ({"shrink": shrink} if self.shrinks else {})
        update(self.flat, self.gradient, self.first, self.second, varying | self.fixed)
        if self.average is not None:
            self.average.lerp_(self.flat, fresh)
        for member in self.members:
            member.clock += 1

    def _counts(self) -> list[tuple[object, str]]:
        return [(self.problem, "queries"), *((m, name) for m in self.members for name in ("clock", "teacher_rows"))]

    def _pool_gradients(self, index: Tensor) -> Tensor:
        flat = index.reshape(-1)
        pool = self.problem.pool
        if pool.gradients is not None:
            return pool.gradients.index_select(0, flat).view(*index.shape, *pool.gradients.shape[1:])
        for member in self.members:
            member.teacher_rows += index.shape[1] * self.problem.label_rows
        gradients = self.problem.labels(pool.z[flat])[1]
        return gradients.view(*index.shape, *gradients.shape[1:])

    def _synthesize(
        self, z: Tensor, values: Tensor, index: Tensor, target: Tensor | None
    ) -> list[tuple[Group, Tensor]]:
        """Write the generators' rows into the synthetic rows of a batch, and query the teacher for all of them at once."""
        made: list[tuple[Group, Tensor]] = []
        for group in self.groups:
            here, members = (group.part, slice(group.rows)), self.members[group.part]
            if issubclass(group.kind, BlockGenerator):
                sampled = [member.sampled_step for member in members]
                z[here] = torch.stack([rows for rows, _ in sampled])
                values[here] = torch.stack([answers for _, answers in sampled])
                if target is not None:
                    target[here] = self.problem.labels(z[here].reshape(-1, z.shape[-1]))[1].view(target[here].shape)
                    for member in members:
                        member.teacher_rows += group.rows * self.problem.label_rows
                continue
            if members[0].rests:  # such a member has a group of its own
                answered = members[0].replay(group.rows)
                replaced = (z, values) if target is None else (z, values, target)
                for part, known in zip(replaced, answered, strict=False):
                    part[here] = known.unsqueeze(0)
                continue
            # copies, because the new rows overwrite their prior rows
            context = self._context(group, z[here].clone(), values[here].clone(), index[here])
            drawn = self._sample(group, context)
            if drawn is not context.origin:
                made.append((group, drawn))
                for member, queries in zip(members, context.queries, strict=True):
                    member.teacher_rows += group.rows * (1 if target is None else self.problem.label_rows) + queries
        if made:
            rows = [drawn.reshape(-1, z.shape[-1]) for _, drawn in made]
            labels, gradients = self._label(rows[0] if len(rows) == 1 else torch.cat(rows), target is not None)
            start = 0
            for group, drawn in made:
                here, stop = (group.part, slice(group.rows)), start + drawn.shape[0] * drawn.shape[1]
                z[here], values[here] = drawn, labels[start:stop].view(*drawn.shape[:2], -1)
                if target is not None and gradients is not None:
                    target[here] = gradients[start:stop].view(target[here].shape)
                member = self.members[group.part][0]
                if member.recipe.teacher_rows is not None:
                    known = (drawn[0], labels[start:stop]) + (() if gradients is None else (gradients[start:stop],))
                    member.remember(*(part.clone() for part in known))
                start = stop
        for group, observe in self.observing:
            observe(group.h, group.state, group.context, z[group.part], values[group.part])
        return made

    def _sample(self, group: Group, context: GeneratorContext) -> Tensor:
        """Rows ``(k, G, D)`` of a group's generator."""
        assert issubclass(group.kind, StepGenerator)  # there is no third kind
        drawn = group.kind.sample(group.h, group.state, context)
        if drawn is context.origin or not is_plugin(group.kind):
            return drawn
        made = declared(self.problem.inputs, group.kind, drawn, context.origin.shape, context.origin)
        for k, member in enumerate(self.members[group.part]):
            if (
                member.failure is None and self.flat[group.part.start + k].isfinite().all()
            ):  # else it diverged by itself
                member.failure = not_finite(self.problem.inputs, group.kind, drawn[k])
        return made

    def _label(self, rows: Tensor, gradients: bool) -> tuple[Tensor, Tensor | None]:
        return self.problem.labels(rows) if gradients else (self.problem.answer(rows), None)

    def _context(self, group: Group, origin: Tensor, values: Tensor, index: Tensor) -> GeneratorContext:
        pool, gradients = self.problem.pool, None
        if group.kind.starts_from_prior and pool.gradients is not None:
            gradients = pool.gradients.index_select(0, index.reshape(-1)).view(*index.shape, *pool.gradients.shape[1:])
        level = self.level[group.part].sqrt()[:, None, None] if self.adaptive else None
        clocks = [member.clock for member in self.members[group.part]]
        return group.context.begin(origin, values, gradients, level, clocks)

    def _setting(self, part: slice) -> GeneratorContext:
        """The part of a generator's context that is the same at every step."""
        members, pool, weights = self.members[part], self.problem.pool, [leaf[part] for leaf in self.leaves]
        problem, project = self.problem, self.problem.inputs.project
        plugin = is_plugin(type(members[0].recipe.generator))
        return GeneratorContext(
            teacher=(lambda z: problem.vjp(project(z))) if plugin else problem.vjp,
            answer=(lambda z: problem.answer(project(z))) if plugin else problem.answer,
            mismatch=(lambda z: problem.mismatch_gradients(project(z))) if plugin else problem.mismatch_gradients,
            student=lambda x: self._record_student(weights, x),
            one_student=lambda k, z: self._answer_one(part.start + k, z),
            prior=lambda n, k: pool.rows(torch.randint(len(pool), (n,), generator=members[k].rng).to(pool.z.device)),
            bounds=self._slices(members, lambda member: member.recipe.bound),
            input_bounds=self._slices(members, lambda member: member.recipe.input_bound),
            geometry=self.problem.geometry,
            units=(self.problem.shift, self.problem.spread),
            project=project,
            nominal=self.problem.inputs.nominal,
            gapped=self.problem.inputs.gapped,
            rngs=[member.rng for member in members],
        )

    def _record_student(self, weights: list[Tensor], x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        answers, tape = self.student.forward_with_tape(weights, self.encoder.rows(x), self.columns)
        return answers, lambda gradient: self.encoder.back(self.student.input_gradients(weights, tape, gradient), x)

    def _answer_one(self, k: int, z: Tensor) -> Tensor:
        weights = [leaf[k : k + 1] for leaf in self.leaves]
        return self.student.answer(weights, self.encoder.rows(z[None]), self.columns).squeeze(0)

    def _groups(self) -> list[Group]:
        groups: list[Group] = []
        for (mix, *_), part in _runs(self.members, _generator_key):
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
                    context=self._setting(part),
                )
            )
        return groups

    def _slices(self, members: list[Member], choice: Callable[[Member], B]) -> list[tuple[slice, type[B], Stacked]]:
        runs = _runs(members, lambda member: structure(choice(member)))
        return [
            (part, type(choice(members[part][0])), Stacked([choice(m) for m in members[part]], self.flat))
            for _, part in runs
        ]

    def _rows(self, member: Member) -> Tensor:
        if member.clock % BLOCK == 0:
            member.draw_block(self.problem)
        assert member.block is not None  # drawn before its first step
        return member.block

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

    def _member_values(self, views: list[Tensor], k: int) -> list[Tensor]:
        shapes = self.members[k].recipe.student.shapes(self.columns, self.problem.outputs)
        return [view[k][tuple(slice(n) for n in shape)].clone() for view, shape in zip(views, shapes, strict=True)]


def _generator_key(member: Member) -> tuple[str, tuple[object, ...], str | None]:
    alone = None if member.recipe.teacher_rows is None else repr(member.key)  # queries are paced for each member
    return Mix.of(member.recipe.alpha), structure(member.recipe.generator), alone


def _generator_order(member: Member) -> str:
    return repr((_generator_key(member), structure(member.recipe.bound), structure(member.recipe.input_bound)))


def _runs(members: list[Member], key: Callable[[Member], K]) -> list[tuple[K, slice]]:
    """Consecutive members with the same key, as slices."""
    runs, start = [], 0
    for value, group in groupby(members, key):
        stop = start + len(list(group))
        runs.append((value, slice(start, stop)))
        start = stop
    return runs
