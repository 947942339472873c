"""Findings of a study in numbers: which choice won and how surely, the effect of student size, and the Pareto front."""

from __future__ import annotations

import json
import math
import statistics
import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from dfkd_tune.reporting.seed_noise import Rival, completed, rivals, seed_noise
from dfkd_tune.search.attributes import RECIPE, StudyRecord
from dfkd_tune.search.ranking import Score, Smallest, rows_of, run_name
from dfkd_tune.teachers.metering.parts import in_order
from dfkd_tune.training import metrics as metric

RESAMPLES = 2_000
SURE, LIKELY = 0.95, 0.8
"""Share of the resamples from which a winner counts as sure, and as likely."""
ENOUGH = 3
"""Fewest complete trials of a choice for a conclusion about it."""
SPAN = 1.5
"""Smallest ratio of largest to smallest student for a conclusion about size."""


@dataclass(frozen=True)
class Side:
    """The trials of one choice.

    Args:
        choice: name of the choice.
        trials, pruned: number of its complete and of its pruned trials.
        best, median: best and median objective of its complete trials.
        chance: share of the resamples in which its best trial is the best of all.
    """

    choice: str
    trials: int
    pruned: int
    best: float
    median: float
    chance: float


@dataclass(frozen=True)
class Comparison:
    """A comparison of the choices of one leaf.

    Args:
        leaf: the leaf, such as ``generator.kind``.
        sides: two or more choices, the one with the best trial first.
        noise: seed noise: standard deviation of the log objective over seeds of one recipe; None without re-runs.
    """

    leaf: str
    sides: tuple[Side, ...]
    noise: float | None

    @property
    def margin(self) -> float:
        """Relative difference between the best objectives of the winner and the next choice."""
        return 1 - self.sides[0].best / self.sides[1].best

    @property
    def verdict(self) -> str:
        """``sure``, ``likely`` or ``not sure``."""
        first, second = self.sides[:2]
        if self.noise is None or min(first.trials, second.trials) < ENOUGH or first.chance < LIKELY:
            return "not sure"
        return "sure" if first.chance >= SURE else "likely"


@dataclass(frozen=True)
class Size:
    """The effect of doubling the number of parameters.

    Args:
        change: relative change of the objective; -0.1 means 10 % lower.
        low, high: 95 % confidence interval of ``change``, by resampling the trials.
        smallest, largest: fewest and most parameters among the students.
    """

    change: float
    low: float
    high: float
    smallest: int
    largest: int

    @property
    def sure(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def compare(trials: Sequence[FrozenTrial], leaf: str, noise: float | None) -> Comparison | None:
    """Compare the choices of a leaf by their best trials; None if there are fewer than two choices.

    The complete trials of each choice are resampled with replacement, and seed noise is added to each objective. A choice that wins
    in nearly all resamples does not depend on one lucky trial.

    Args:
        trials: trials of the study; those without this leaf are ignored.
        leaf: a categorical leaf.
        noise: result of ``seed_noise``.
    """
    values: dict[str, list[float]] = {}
    for trial in completed(trials):
        if leaf in trial.params and trial.values[0] > 0:
            values.setdefault(str(trial.params[leaf]), []).append(trial.values[0])
    if len(values) < 2:
        return None
    pruned = [str(t.params[leaf]) for t in trials if t.state == TrialState.PRUNED and leaf in t.params]
    rng = np.random.default_rng(0)
    lows = []
    for seen in values.values():
        drawn = rng.choice(np.log(seen), (RESAMPLES, len(seen)))
        lows.append((drawn + (noise or 0.0) * rng.standard_normal(drawn.shape)).min(1))
    wins = np.bincount(np.argmin(lows, axis=0), minlength=len(values)) / RESAMPLES
    sides = [
        Side(choice, len(seen), pruned.count(choice), min(seen), statistics.median(seen), float(chance))
        for (choice, seen), chance in zip(values.items(), wins, strict=True)
    ]
    return Comparison(leaf, tuple(sorted(sides, key=lambda side: side.best)), noise)


def size_effect(trials: Sequence[FrozenTrial]) -> Size | None:
    """Effect of doubling the parameters on the objective, within trials of one generator; None if sizes are too similar."""
    rows = [
        (trial.params.get("generator.kind"), math.log2(trial.user_attrs[metric.PARAMETERS]), math.log(trial.values[0]))
        for trial in completed(trials)
        if trial.values[0] > 0
    ]
    if len(rows) < 2 * ENOUGH or max(r[1] for r in rows) - min(r[1] for r in rows) < math.log2(SPAN):
        return None
    kinds = sorted({str(row[0]) for row in rows})
    sizes_of = {kind: [size for own, size, _ in rows if str(own) == kind] for kind in kinds}
    several = sum(len(sizes) - 1 for sizes in sizes_of.values() if len({*sizes}) > 1)
    if several < ENOUGH:  # a line through so few is no finding
        return None
    table = np.array([(kinds.index(str(kind)), size, value) for kind, size, value in rows])
    rng = np.random.default_rng(0)
    gradients = [_gradient(table[rng.integers(len(table), size=len(table))]) for _ in range(RESAMPLES)]
    gradients = [gradient for gradient in gradients if gradient is not None]
    middle = _gradient(table)
    if middle is None or not gradients:
        return None
    change, low, high = (math.exp(gradient) - 1 for gradient in (middle, *np.quantile(gradients, (0.025, 0.975))))
    sizes = [int(trial.user_attrs[metric.PARAMETERS]) for trial in completed(trials)]
    return Size(change, low, high, min(sizes), max(sizes))


def _gradient(table: np.ndarray) -> float | None:
    """Slope of the last column over the middle one, both centered within the groups of the first."""
    inside = table[:, 1:].copy()
    for group in np.unique(table[:, 0]):
        inside[table[:, 0] == group] -= inside[table[:, 0] == group].mean(0)
    spread = float(inside[:, 0] @ inside[:, 0])
    return float(inside[:, 0] @ inside[:, 1]) / spread if spread > 1e-9 else None


def front(trials: Sequence[FrozenTrial], cost: str = metric.PARAMETERS) -> list[FrozenTrial]:
    """The Pareto front of the complete trials in cost and objective, cheapest first.

    Args:
        trials: trials of the study.
        cost: attribute of a trial, ``parameters`` or ``latency_us``; trials without it are ignored.
    """
    best, found = math.inf, []
    priced = [trial for trial in completed(trials) if cost in trial.user_attrs]
    for trial in sorted(priced, key=lambda trial: (trial.user_attrs[cost], trial.values[0])):
        if trial.values[0] < best:
            best = trial.values[0]
            found.append(trial)
    return found


def smallest_within(trials: Sequence[FrozenTrial], share: float) -> FrozenTrial | None:
    """The complete trial with the fewest parameters whose objective is at most the share ``share`` above the best."""
    done = completed(trials)
    near = [trial for trial in done if trial.values[0] <= done[0].values[0] * (1 + share)]
    return min(near, key=lambda trial: (trial.user_attrs[metric.PARAMETERS], trial.values[0]), default=None)


def importances(study: optuna.Study) -> dict[str, float]:
    """Importance of each searched leaf for being among the best trials, summing to 1; empty with too few trials."""
    trials = completed(study.get_trials(deepcopy=False))
    if len(trials) < 2 * ENOUGH or trials[0].values[0] == trials[-1].values[0]:
        return {}
    with warnings.catch_warnings():  # we mean that lower is better
        warnings.simplefilter("ignore", UserWarning)
        found = optuna.importance.get_param_importances(study, target=lambda trial: trial.values[0])
    return {leaf: float(share) for leaf, share in found.items() if math.isfinite(share)}


@dataclass(frozen=True)
class Rows:
    """How many answered rows students trained on, those held out of each included.

    Args:
        now: all that the study has by now.
        fewest, most: fewest and most of a trial.
        untuned, promoted: those of the untuned baseline and of the promoted student; None before they are known.
        committee: whether students of the best trials labeled further rows for re-runs.
    """

    now: int
    fewest: int
    most: int
    untuned: int | None
    promoted: int | None
    committee: bool


@dataclass(frozen=True)
class Findings:
    """All findings of a study.

    Args:
        study: the Optuna study.
        teacher, tier, objective: file name of the teacher, metadata tier, and objective.
        trials: all trials.
        counts: state in lower case -> number of trials.
        noise: seed noise, from ``seed_noise``.
        rivals: the other recipes that were run again, from ``seed_noise.rivals``.
        comparisons: comparisons of the searched choices, generators and bounds first.
        size: effect of the student's size; None if it cannot be estimated.
        baseline, baseline_rmse: objective and RMSE of the untuned baseline; None if unknown.
        promoted: the promoted student: ``trial`` (None for the baseline), ``run``, ``objective``, ``rmse``, ``mean``; None before
            the study's end.
        weighed: second objective, ``parameters`` or ``latency``; None without one.
    """

    study: optuna.Study
    teacher: str
    tier: str
    objective: str
    trials: list[FrozenTrial]
    counts: dict[str, int]
    noise: float | None
    rivals: tuple[Rival, ...]
    comparisons: tuple[Comparison, ...]
    size: Size | None
    baseline: float | None
    baseline_rmse: float | None
    promoted: Mapping[str, Any] | None
    weighed: str | None

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.study.study_name

    @property
    def costs(self) -> str | None:
        """Trial attribute that is the study's second objective; None without one."""
        return {"parameters": metric.PARAMETERS, "latency": metric.LATENCY}.get(self.weighed or "")

    @cached_property
    def importances(self) -> dict[str, float]:
        """The result of ``importances``, cached; the first access takes seconds."""
        return importances(self.study)

    @property
    def best(self) -> FrozenTrial | None:
        """The best complete trial."""
        return next(iter(completed(self.trials)), None)

    @property
    def student(self) -> FrozenTrial | None:
        """The trial whose recipe was promoted, or the baseline as a trial; before the study's end, the best trial.

        If a smaller student of that recipe was promoted, the values and attributes are those of that student.
        """
        if self.promoted is None:
            return self.best
        if self.untuned:
            made = create_trial(value=self.baseline, user_attrs=dict(StudyRecord.of(self.study).untuned))
        else:
            made = self.trials[self.promoted["trial"]]
        if self.smallest is not None and self.smallest.student is not None:
            pruned = self.smallest.student
            made = copy(made)
            made.values, made.user_attrs = [pruned["objective"]], dict(pruned)
        return made

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe of ``student`` as its own run trained it, as plain values; empty without one."""
        if self.student is None:
            return {}
        tree, known = json.loads(self.student.user_attrs[RECIPE]), StudyRecord.of(self.study)
        trained_again = self.promoted is not None and self.promoted["run"] != run_name(self.promoted["trial"])
        if trained_again and known.shortened is not None:
            tree["steps"] = known.shortened[1]
        return tree

    @property
    def smallest(self) -> Smallest | None:
        """The search for a smaller student, if the promoted recipe's students were pruned; None otherwise."""
        found = StudyRecord.of(self.study).smallest
        mine = self.promoted is not None and found is not None and found["trial"] == self.promoted["trial"]
        return Smallest.of(found) if mine and found is not None else None

    @property
    def untuned(self) -> bool:
        """Whether the study promoted its baseline because no trial was better."""
        return self.promoted is not None and self.promoted["trial"] is None

    @property
    def by_output(self) -> Mapping[str, Sequence[float]]:
        """Of several outputs, name -> RMSE of the promoted student on the report bank, and its share of the standard deviation."""
        return StudyRecord.of(self.study).summary.get("by_output", {}) if self.promoted is not None else {}

    @property
    def queries(self) -> tuple[int, Mapping[str, int]] | None:
        """Total number of teacher queries, and the rows claimed for each part of it; None without a total."""
        known = StudyRecord.of(self.study)
        return None if known.total_queries is None else (known.total_queries, in_order(known.queries))

    @property
    def lost_queries(self) -> int:
        """Rows of a total that were claimed for students and have no answer on record."""
        return StudyRecord.of(self.study).lost

    @property
    def rows(self) -> Rows | None:
        """How many answered rows the students trained on; None without a total."""
        known = StudyRecord.of(self.study)
        had = [rows for trial in self.trials if (rows := rows_of(trial.user_attrs)) is not None]
        if known.total_queries is None or not had:
            return None
        promoted = self.promoted["rows"] if self.promoted is not None else None
        scores = [Score.of(score) for each in known.reruns.values() for score in each.values()]
        committee = any(score.committee > 0 and score.rows == known.answered for score in scores)
        return Rows(known.answered, min(had), max(had), rows_of(known.untuned), promoted, committee)

    @property
    def shortened(self) -> tuple[int, int] | None:
        """Steps of a trial, and of the students that were trained again, if trials trained fewer."""
        return StudyRecord.of(self.study).shortened

    @property
    def error(self) -> float | None:
        """Standard error of the objective of ``best`` over its held-out rows; None where banks are large."""
        name = {metric.ROBUST: metric.ROBUST_ERROR, metric.NRMSE: metric.NRMSE_ERROR}.get(self.objective)
        return None if self.best is None or name is None else self.best.user_attrs.get(name)

    @property
    def run(self) -> str | None:
        """Name of the MLflow run of that student."""
        return self.promoted["run"] if self.promoted else self.best and run_name(self.best.number)


FIRST_COMPARED = ("generator.kind", "bound.kind", "input_bound.kind")


def find(study: optuna.Study) -> Findings:
    """Compute all findings of a study."""
    known, trials = StudyRecord.of(study), study.get_trials(deepcopy=False)
    noise = seed_noise(trials, known)
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial.state.name.lower()] = counts.get(trial.state.name.lower(), 0) + 1
    words = {
        k
        for t in trials
        for k, d in t.distributions.items()
        if isinstance(d, CategoricalDistribution) and k.endswith(".kind")
    }
    leaves = [*(leaf for leaf in FIRST_COMPARED if leaf in words), *sorted(words - {*FIRST_COMPARED})]
    return Findings(
        study=study,
        teacher=known.teacher or "the teacher",
        tier=known.tier or "T0",
        objective=known.objective,
        trials=trials,
        counts=counts,
        noise=noise,
        rivals=tuple(rivals(trials, known)),
        comparisons=tuple(found for leaf in leaves if (found := compare(trials, leaf, noise))),
        size=size_effect(trials),
        baseline=_finite(known.baseline),
        baseline_rmse=_finite(known.untuned.get(metric.RMSE)),
        promoted=known.promoted,
        weighed=known.pareto,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
