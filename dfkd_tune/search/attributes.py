"""Names of the user attributes of an Optuna study and its trials, and ``StudyRecord``, a typed view of them.

The results of a trial are stored as attributes under the names of its metrics (``training.metrics``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dfkd_tune.training import metrics as metric

IDENTITY = "identity"
"""Study attribute: the values that a resumed study must match. It is written last when a study is set up."""
POOL, POOL_GRADIENTS = "pool", "pool_gradients"
"""Study attributes: number of rows in the pool, and whether the teacher's input gradients at them are kept."""
TEACHER, TIER = "teacher", "tier"
"""Study attributes: file name of the teacher, and tier of the declared inputs."""
SPEC, HOST, TRACKING = "spec", "host", "tracking"
"""Study attributes: values of the study file, host of the last start, MLflow tracking URI without credentials."""
DECLARED = "declared"
"""Study attribute: place in the features file -> value; absent without one, and if it is longer than ``study.opening.LONGEST``."""
POPULATION, WORKERS = "population", "workers"
"""Study attributes: concurrent trials per process, kept by a resume unless its study file sets it; processes used."""
GROUPS = "groups"
"""Study attribute: groups in which the trials of a round train; None if trials are asked one by one, as workers are free."""
PARTS = "parts"
"""Study attribute: parts of the re-runs. It changes only while no process runs one."""
SESSIONS = "sessions"
"""Study attribute: number of sessions so far."""
STARTED = "started"
"""Study attribute: the last session that started the study, and did not join it."""
DEADLINE = "deadline"
"""Study attribute: time, in seconds since 1970, from which no worker begins a trial; None without a limit."""
BASELINE = "baseline"
"""Study attribute: objective of the untuned baseline. Also the name of its run and the key of its re-runs."""
UNTUNED = "untuned"
"""Study attribute: the attributes of the baseline, with the names of a trial's attributes."""
RERUNS = "reruns"
"""Study attribute: trial number or ``baseline`` -> run name -> ``[objective, rmse]``, or None for a diverged re-run.

In a study with a total, which grows by answered rows, it is ``[objective, rmse, rows]``, with None for both of a diverged one."""
SMALLER = "smaller"
"""Study attribute: run name -> ``objective`` and some metrics of a pruned student, or None if it diverged."""
SMALLEST = "smallest"
"""Study attribute: the smallest student within a share of the best, a ``Smallest`` as plain values; None without ``study.within``."""
PROMOTED = "promoted"
"""Study attribute: the promoted student, a ``Promoted`` as plain values."""
QUERIES = "queries"
"""Study attribute: part of the total number of teacher queries -> rows claimed for it; only ``queries.ledger`` writes it."""
TOTAL = "total_queries"
"""Study attribute: the total number of teacher queries, written when the study is set up; None without one. A later session may raise it."""
DIVISION = "division"
"""Study attribute: how the total is divided, a ``Division`` as plain values."""
PROBED = "probed"
"""Study attribute: what the first process measured of the teacher, a ``Probe`` as plain values, in a study with a total."""
SUBJECT = "subject"
"""Study attribute: the teacher and the inputs that those rows belong to, as they are known before any is asked, as SHA-256."""
ROWS = "rows"
"""Study attribute: name of the folder of its answered rows, in a study with a total."""
ANSWERED = "answered_rows"
"""Study attribute: number of answered rows that students train on by now, in a study with a total."""
COMMITTEE = "committee"
"""Study attribute: number of students that label rows for its re-runs by now, in a study with a total."""
LOST = "lost_rows"
"""Study attribute: rows that were claimed for students and have no answer on record, in a study with a total."""
ASKER = "asker"
"""Study attribute: the process that asked its teacher last, in words, in a study with a total."""
CERTIFIED = "certificate_rows"
"""Entry of the summary: rows of a total that certificates had taken by then."""
KNOWLEDGE = "knowledge"
"""Study attribute: what one more tier of knowledge would buy, a ``Gain`` as plain values; absent where no estimate was made."""
SUMMARY = "summary"
"""Study attribute: number of trials that had ended at the last summary, its time, the session that had started the study, and the
promoted student's RMSE on the report bank."""

RECIPE = "recipe"
"""Trial attribute: the recipe, as JSON."""
RECORD = "record"
"""Trial attribute: ID of the record of the trial's MLflow run."""
REASON = "reason"
"""Trial attribute: why the trial ended without a student."""
WORKER = "worker"
"""Trial attribute: name of the worker that runs it or ran it last."""
ROUND = "round"
"""Trial attribute: first trial of the round with which it was asked."""
ATTEMPTS = "attempts"
"""Trial attribute: how often it was taken from a dead worker."""


class HasAttributes(Protocol):
    """Anything with user attributes, such as an Optuna study."""

    @property
    def user_attrs(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class StudyRecord:
    """A typed snapshot of a study's attributes. A value that is not recorded yet is None, zero or empty.

    Args:
        attributes: name of the attribute -> plain value.
    """

    attributes: Mapping[str, Any]

    @classmethod
    def of(cls, study: HasAttributes) -> StudyRecord:
        """Read the attributes of a study; accesses its storage once."""
        return cls(study.user_attrs)

    @property
    def identity(self) -> Mapping[str, Any]:
        return self.attributes.get(IDENTITY, {})

    @property
    def shortened(self) -> tuple[int, int] | None:
        """Steps of a trial, and of a re-run, if trials train fewer."""
        space = self.identity.get("space", {})
        return (space["trial_steps"], space["preset"]["steps"]) if "trial_steps" in space else None

    @property
    def rerun_length(self) -> float:
        """Steps of a re-run over those of a trial."""
        return 1.0 if self.shortened is None else self.shortened[1] / self.shortened[0]

    @property
    def has_short_trials(self) -> bool:
        """Whether trials train fewer steps than the re-runs of the best recipes."""
        return self.shortened is not None

    @property
    def objective(self) -> str:
        """Name of the objective that the study minimizes."""
        return self.identity.get("objective", "rmse")

    @property
    def pareto(self) -> str | None:
        """Name of the second objective, ``parameters`` or ``latency``."""
        return self.identity.get("pareto")

    @property
    def runtime(self) -> str | None:
        """What latencies were measured in; None for plain PyTorch."""
        return self.identity.get("runtime")

    @property
    def pool(self) -> int | None:
        return self.attributes.get(POOL)

    @property
    def pool_gradients(self) -> bool | None:
        return self.attributes.get(POOL_GRADIENTS)

    @property
    def teacher(self) -> str | None:
        return self.attributes.get(TEACHER)

    @property
    def tier(self) -> str | None:
        return self.attributes.get(TIER)

    @property
    def spec(self) -> Mapping[str, Any] | None:
        return self.attributes.get(SPEC)

    @property
    def declared(self) -> Mapping[str, Any]:
        """What the features file declared, by feature and key."""
        return self.attributes.get(DECLARED, {})

    @property
    def host(self) -> str | None:
        return self.attributes.get(HOST)

    @property
    def tracking(self) -> str | None:
        return self.attributes.get(TRACKING)

    @property
    def population(self) -> int | None:
        return self.attributes.get(POPULATION)

    @property
    def groups(self) -> int | None:
        return self.attributes.get(GROUPS)

    @property
    def workers(self) -> int:
        return self.attributes.get(WORKERS, 1)

    @property
    def parts(self) -> int | None:
        """Number of parts in which the re-runs are run, each by one process at a time; None before the first re-run."""
        return self.attributes.get(PARTS)

    @property
    def sessions(self) -> int:
        return self.attributes.get(SESSIONS, 0)

    @property
    def started(self) -> int:
        return self.attributes.get(STARTED, 0)

    @property
    def deadline(self) -> float | None:
        return self.attributes.get(DEADLINE)

    @property
    def is_late(self) -> bool:
        """Whether the study's time is up, so that no trial begins any more."""
        return self.deadline is not None and time.time() >= self.deadline

    @property
    def baseline(self) -> float | None:
        """Objective of the untuned baseline; not finite if it diverged."""
        return self.attributes.get(BASELINE)

    @property
    def untuned(self) -> Mapping[str, Any]:
        return self.attributes.get(UNTUNED, {})

    @property
    def is_baseline_known(self) -> bool:
        """Whether the untuned baseline was trained, in a study with a total on as many rows as there are by now."""
        return self.baseline is not None and self.untuned.get(metric.ANSWERED_ROWS, 0) >= self.answered

    @property
    def reruns(self) -> Mapping[str, Mapping[str, Any]]:
        return self.attributes.get(RERUNS, {})

    @property
    def smaller(self) -> Mapping[str, Any]:
        return self.attributes.get(SMALLER, {})

    @property
    def smallest(self) -> Mapping[str, Any] | None:
        return self.attributes.get(SMALLEST)

    @property
    def promoted(self) -> Mapping[str, Any] | None:
        return self.attributes.get(PROMOTED)

    @property
    def knowledge(self) -> Mapping[str, Any] | None:
        return self.attributes.get(KNOWLEDGE)

    @property
    def total_queries(self) -> int | None:
        return self.attributes.get(TOTAL)

    @property
    def queries(self) -> Mapping[str, int]:
        """Rows claimed for each part of the total; empty without a total."""
        return self.attributes.get(QUERIES, {})

    @property
    def division(self) -> Mapping[str, Any] | None:
        return self.attributes.get(DIVISION)

    @property
    def probed(self) -> Mapping[str, Any] | None:
        return self.attributes.get(PROBED)

    @property
    def subject(self) -> list[str] | None:
        """The teacher and the inputs that its answered rows belong to; None if they are not known."""
        return self.attributes.get(SUBJECT)

    @property
    def rows(self) -> str | None:
        """Name of the folder of its answered rows; None without a total."""
        return self.attributes.get(ROWS)

    @property
    def answered(self) -> int:
        """Number of answered rows that students train on by now; 0 without a total."""
        return self.attributes.get(ANSWERED, 0)

    @property
    def committee(self) -> int:
        """Number of students that label rows for re-runs by now; 0 if nobody does."""
        return self.attributes.get(COMMITTEE, 0)

    @property
    def lost(self) -> int:
        """Number of rows that were claimed for students and have no answer on record; 0 without a total."""
        return self.attributes.get(LOST, 0)

    @property
    def certified_rows(self) -> int:
        """Rows that the attacks on students took which are certified; 0 without a total."""
        return self.summary.get(CERTIFIED, 0)

    @property
    def asker(self) -> str | None:
        return self.attributes.get(ASKER)

    @property
    def summary(self) -> Mapping[str, Any]:
        return self.attributes.get(SUMMARY, {})
