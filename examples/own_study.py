"""The distillation as an objective in an Optuna study of one's own; the best student so far is always registered.

python examples/own_study.py
"""

import optuna

from dfkd_tune import Distillation, RegisterBest

objective = Distillation(
    "studies/quickstart_teacher.pt2",
    max_parameters=1151,
    steps=2000,
    tracking_uri="sqlite:///mlruns/mlflow.db",
    experiment="own-study",
)
study = optuna.create_study(storage="sqlite:///own_study.db", pruner=optuna.pruners.PercentilePruner(75))
study.optimize(objective, n_trials=10, callbacks=[RegisterBest(objective, "own-study")])
print(
    f"models:/own-study@champion: trial {study.best_trial.number}, RMSE {study.best_trial.user_attrs['rmse']:.4g}, {study.best_params}"
)
