"""An Optuna callback beside the objective: the best student so far is always the registered one."""

from __future__ import annotations

from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from dfkd_tune.errors import SpecError
from dfkd_tune.integrations.optuna_objective import Distillation
from dfkd_tune.registry.register import register


@dataclass(frozen=True)
class RegisterBest:
    """Registers the student of every trial that becomes its study's best, and moves the alias to it.

        objective = Distillation("teacher.pt2", tracking_uri="sqlite:///mlruns/mlflow.db", experiment="pump")
        study.optimize(objective, n_trials=50, callbacks=[RegisterBest(objective, "pump")])

    Args:
        objective: of the study; it must record to MLflow, in an experiment that no other study records to.
        model: its name in the registry.
        alias: that points to the best.

    Raises:
        SpecError: on creation, when the objective records nothing.
    """

    objective: Distillation
    model: str
    alias: str = "champion"

    def __post_init__(self) -> None:
        if self.objective.recorded is None:
            raise SpecError("RegisterBest", "needs an objective that records to MLflow", remedy="give it tracking_uri")

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """After a trial.

        Raises:
            DfkdError: as ``register`` does.
        """
        if trial.state == TrialState.COMPLETE and study.best_trial.number == trial.number:
            assert self.objective.recorded is not None  # seen to on creation
            uri, experiment = self.objective.recorded
            register(uri, experiment, self.model, trial=trial.number, alias=self.alias)
