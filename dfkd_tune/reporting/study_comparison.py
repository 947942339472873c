"""Compare studies of one teacher: which settings differ, how good each is, and whether that exceeds seed noise."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dfkd_tune.errors import StudyMismatch
from dfkd_tune.reporting.findings import Findings
from dfkd_tune.reporting.seed_noise import pooled, students, untuned_students
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.ranking import recipe_name
from dfkd_tune.training import metrics as metric

IGNORED = {"study.name", "teacher.path", "teacher.architecture", "features", "budget.trial_share"}
"""Leaves of a study file that differ without a difference in what was asked."""


@dataclass(frozen=True)
class Compared:
    """The student of one study.

    Args:
        name: name of the study.
        recipe: the trial of its recipe, in words.
        rmse: RMSE of the student on the study's selection bank, in the teacher's units.
        mean: geometric mean RMSE of its recipe over seeds.
        low, high: 95 % interval of ``mean``, from the noise of all studies compared; None without re-runs.
        seeds: number of students of that recipe.
        parameters: number of the student's parameters.
        trials: number of complete trials.
        report: RMSE on the report bank, which chose nothing; None if it was not measured.
    """

    name: str
    recipe: str
    rmse: float
    mean: float
    low: float | None
    high: float | None
    seeds: int
    parameters: int
    trials: int
    report: float | None


@dataclass(frozen=True)
class StudyComparison:
    """Studies, the best first.

    Args:
        studies: the student of each study.
        settings: leaf of the study files -> its value in each study, where they differ.
        noise: seed noise: standard deviation of the log RMSE over seeds of one recipe, pooled; None without re-runs.
        verdict: whether the difference of the first two exceeds seed noise, in words.
    """

    studies: tuple[Compared, ...]
    settings: Mapping[str, Mapping[str, Any]]
    noise: float | None
    verdict: str

    def plain(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self)


def compare_studies(found: Sequence[Findings]) -> StudyComparison:
    """Compare the promoted students of studies.

    Raises:
        StudyMismatch: two studies have different teachers or different declared inputs, so that their errors say nothing of each
            other; or one has no complete trial.
    """
    records = [StudyRecord.of(each.study) for each in found]
    first = records[0].identity
    for each, known in zip(found[1:], records[1:], strict=True):
        for what, words in (("teacher", "teachers"), ("features", "declared inputs")):
            if known.identity.get(what) != first.get(what):
                same = found[0].tier == each.tier
                tiers = f" (both of tier {each.tier})" if same else f" (tiers {found[0].tier} and {each.tier})"
                tiers = tiers if what == "features" else ""
                rule = f"have different {words}{tiers}, so that their errors cannot be compared"
                raise StudyMismatch(
                    f"studies {found[0].name!r} and {each.name!r}",
                    rule,
                    remedy="compare studies of one teacher and one declaration",
                )
    seeds = [_seeds(each, known) for each, known in zip(found, records, strict=True)]
    noise, errors = pooled([[*map(_log, values)] for values in seeds])
    compared = [
        _student(each, known, values, noise and noise * errors)
        for each, known, values in zip(found, records, seeds, strict=True)
    ]
    ranked = tuple(sorted(compared, key=lambda student: student.mean))
    return StudyComparison(ranked, _settings(found, records), noise, _verdict(ranked, noise, errors))


def _seeds(found: Findings, known: StudyRecord) -> list[float]:
    """RMSE of each student of the promoted recipe and size; of the promoted one alone if the others diverged."""
    if found.student is None:
        raise StudyMismatch(f"study {found.name!r}", "has no complete trial to compare", remedy="run more trials")
    if found.smallest is not None and found.smallest.size is not None:
        return [known.smaller[run]["rmse"] for run in found.smallest.size.runs]
    alike = untuned_students(known) if found.untuned else students(found.student, known)
    return [score.rmse for score in alike] or [found.student.user_attrs[metric.RMSE]]


def _log(rmse: float) -> float:
    """The logarithm of an RMSE, also of a student without any error."""
    return math.log(max(rmse, sys.float_info.min))


def _student(found: Findings, known: StudyRecord, values: Sequence[float], span: float | None) -> Compared:
    """The student of a study; ``span`` is half of the 95 % interval of one seed's log RMSE."""
    assert found.student is not None  # checked by ``_seeds``
    mean = math.exp(statistics.fmean(map(_log, values)))
    wide = None if span is None else math.exp(span / math.sqrt(len(values)))
    promoted = known.promoted or {}
    trial = None if found.untuned else found.student.number
    return Compared(
        found.name,
        recipe_name(trial),
        float(promoted.get("rmse", values[0])),
        mean,
        None if wide is None else mean / wide,
        None if wide is None else mean * wide,
        len(values),
        int(found.student.user_attrs[metric.PARAMETERS]),
        found.counts.get("complete", 0),
        known.summary.get("report"),
    )


def _settings(found: Sequence[Findings], records: Sequence[StudyRecord]) -> dict[str, dict[str, Any]]:
    flat = {
        each.name: _flat(known.spec or {}) | {"trial_steps": _trial_steps(known)}
        for each, known in zip(found, records, strict=True)
    }
    leaves = sorted({leaf for leaves in flat.values() for leaf in leaves} - IGNORED)
    values = {leaf: {name: leaves.get(leaf) for name, leaves in flat.items()} for leaf in leaves}
    return {leaf: held for leaf, held in values.items() if len({repr(value) for value in held.values()}) > 1}


def _trial_steps(known: StudyRecord) -> int | None:
    """Steps of a trial, which a study file may leave to the default."""
    whole = known.identity.get("space", {}).get("preset", {}).get("steps")
    return whole if known.shortened is None else known.shortened[0]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and not {"low", "high"} & value.keys():
            leaves |= _flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def _verdict(ranked: Sequence[Compared], noise: float | None, errors: float) -> str:
    if len(ranked) < 2:
        return "one study alone"
    first, second = ranked[:2]
    share = f"{100 * (1 - first.mean / second.mean):.2g} %"
    if noise is None:
        return f"{first.name} is {share} lower than {second.name}; without re-runs nobody knows whether that is more than seed noise"
    error = noise * math.sqrt(1 / first.seeds + 1 / second.seeds)
    sure = _log(second.mean) - _log(first.mean) > errors * error
    words = "exceeds" if sure else "does not exceed"
    return f"{first.name} is {share} lower than {second.name}, which {words} seed noise ({100 * noise:.2g} % a seed, 95 % level)"
