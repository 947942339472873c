"""User attributes of an Optuna study and of its trials: each name is declared here alone.

The figures of a trial are attributes by the names of its metrics (``training.metrics``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

IDENTITY = "identity"
"""Of a study: what a resume must agree with. It is written last when a study is set up."""
POOL, POOL_GRADIENTS = "pool", "slopes"
"""Of a study: rows of its pool, and whether the teacher's input gradients there are kept."""
TEACHER, TIER = "teacher", "tier"
"""Of a study: file name of the teacher, and how much is known of the inputs."""
SPEC, HOST, TRACKING = "spec", "host", "tracking"
"""Of a study: the study file's plain values, the machine where it was last started, its MLflow without credentials."""
POPULATION, WORKERS = "population", "workers"
"""Of a study: trials that train at once, which a resume keeps unless its study file says otherwise; processes at its last start."""
SESSIONS = "sessions"
"""Of a study: how many sessions ever worked on it."""
BASELINE = "baseline"
"""Of a study: objective of the untuned preset. The same word names the run of that preset, and its re-runs' key."""
UNTUNED = "untuned"
"""Of a study: what a trial has as attributes, of the baseline."""
RERUNS = "reruns"
"""Of a study: trial or ``baseline`` -> run name -> ``[objective, rmse]``, or None for a re-run that diverged."""
PROMOTED = "promoted"
"""Of a study: the student that it ended with, a ``Promoted`` as plain values."""
TOLD = "told"
"""Of a study: the trials after which its story was told, when, and the promoted student's RMSE on the report bank."""

RECIPE = "recipe"
"""Of a trial: its recipe, as JSON."""
RECORD = "record"
"""Of a trial: id of the record of its MLflow run."""
REASON = "reason"
"""Of a trial that ended without a student: why."""
WORKER = "worker"
"""Of a trial: who runs it, or ran it last."""
ATTEMPTS = "attempts"
"""Of a trial: how often it was taken from a worker that died."""


class HasAttributes(Protocol):
    """An Optuna study, as far as its attributes go."""

    @property
    def user_attrs(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class StudyRecord:
    """The attributes of a study as they were read, typed. What was not recorded yet is None, zero or empty.

    Args:
        attributes: name -> plain value.
    """

    attributes: Mapping[str, Any]

    @classmethod
    def of(cls, study: HasAttributes) -> StudyRecord:
        """What a study has on record now; reads its storage once."""
        return cls(study.user_attrs)

    @property
    def identity(self) -> Mapping[str, Any]:
        return self.attributes.get(IDENTITY, {})

    @property
    def objective(self) -> str:
        """Name of what the study minimizes."""
        return self.identity.get("objective", "rmse")

    @property
    def pareto(self) -> str | None:
        """What the study weighs against its objective: ``parameters`` or ``latency``."""
        return self.identity.get("pareto")

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
    def host(self) -> str | None:
        return self.attributes.get(HOST)

    @property
    def tracking(self) -> str | None:
        return self.attributes.get(TRACKING)

    @property
    def population(self) -> int | None:
        return self.attributes.get(POPULATION)

    @property
    def workers(self) -> int:
        return self.attributes.get(WORKERS, 1)

    @property
    def sessions(self) -> int:
        return self.attributes.get(SESSIONS, 0)

    @property
    def baseline(self) -> float | None:
        """Not a number where the untuned preset diverged."""
        return self.attributes.get(BASELINE)

    @property
    def untuned(self) -> Mapping[str, Any]:
        return self.attributes.get(UNTUNED, {})

    @property
    def reruns(self) -> Mapping[str, Mapping[str, Any]]:
        return self.attributes.get(RERUNS, {})

    @property
    def promoted(self) -> Mapping[str, Any] | None:
        return self.attributes.get(PROMOTED)

    @property
    def told(self) -> Mapping[str, Any]:
        return self.attributes.get(TOLD, {})
