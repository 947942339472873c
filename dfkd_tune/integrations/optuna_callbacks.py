"""An Optuna callback that keeps the best student so far registered in the MLflow model registry."""

from __future__ import annotations

from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from dfkd_tune.api.error_words import in_python
from dfkd_tune.api.functions import register
from dfkd_tune.errors import SpecError
from dfkd_tune.integrations.optuna_objective import Distillation
from dfkd_tune.registry.aliases import require_names
from dfkd_tune.utils.given.checks import TEXT, Kind, require

OBJECTIVE = Kind("a Distillation", lambda value: isinstance(value, Distillation))


@dataclass(frozen=True)
class RegisterBest:
    """Registers the student of each trial that becomes the best of its study, and moves the registry alias to it.

        objective = Distillation("teacher.pt2", tracking_uri="sqlite:///mlruns/mlflow.db", experiment="pump")
        study.optimize(objective, n_trials=50, callbacks=[RegisterBest(objective, "pump")])

    Args:
        objective: the study's objective; it must record to MLflow, in an experiment that no other study uses.
        model: name of the registered model.
        alias: registry alias of the best version.

    Raises:
        SpecError: on creation, if an argument is not valid, or the objective does not record to MLflow.
    """

    objective: Distillation
    model: str
    alias: str = "champion"

    def __post_init__(self) -> None:
        objective = {"objective": (self.objective, OBJECTIVE)}
        texts = {"model": (self.model, TEXT), "alias": (self.alias, TEXT)}
        require("RegisterBest", {**objective, **texts}, "objective", *texts)
        with in_python("RegisterBest"):
            require_names(self.model, self.alias)
        if self.objective.recorded is None:
            raise SpecError("RegisterBest", "needs an objective that records to MLflow", remedy="give it tracking_uri")

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Register the trial's student if the trial is the best; Optuna calls this after each trial.

        Raises:
            DfkdError: as ``register`` does.
        """
        if trial.state == TrialState.COMPLETE and study.best_trial.number == trial.number:
            assert self.objective.recorded is not None  # checked on creation
            uri, experiment = self.objective.recorded
            register(uri, experiment, self.model, trial=trial.number, alias=self.alias)
