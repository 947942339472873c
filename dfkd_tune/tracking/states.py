"""How a run ends: MLflow's status of it, and the state that its tag ``dfkd.state`` holds."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """Statuses of an MLflow run."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    KILLED = "KILLED"
    FAILED = "FAILED"


class State(StrEnum):
    """States of a distillation that has ended: Optuna's, and ``INTERRUPTED`` where its process was stopped or lost its trial."""

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
