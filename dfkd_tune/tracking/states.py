"""The ways a run ends: its status in MLflow, and the state in its tag ``dfkd.state``."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """Statuses of an MLflow run."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    KILLED = "KILLED"
    FAILED = "FAILED"


class State(StrEnum):
    """Final states of a distillation: Optuna's, and ``INTERRUPTED`` if its process was stopped or lost the trial."""

    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAIL = "FAIL"
    INTERRUPTED = "INTERRUPTED"

    @property
    def status(self) -> RunStatus:
        """MLflow's status of the run."""
        return STATUS_BY_STATE[self]


STATUS_BY_STATE = {
    State.COMPLETE: RunStatus.FINISHED,
    State.PRUNED: RunStatus.KILLED,
    State.FAIL: RunStatus.FAILED,
    State.INTERRUPTED: RunStatus.KILLED,
}
