"""A study as a careful user writes it by hand: the plain loop in plain Optuna, logged to MLflow, threads for cores.

Its own code from start to end, nothing of this package but the teacher and the bank of prior rows that both are judged on.
"""

from __future__ import annotations

import time
from pathlib import Path

import mlflow
import optuna
import torch
from plain import plain_distillation
from torch import nn

from dfkd_tune.training.problem import Problem

RUNGS = 20


def handwritten_study(problem: Problem, trials: int, steps: int, seed: int, folder: Path, workers: int) -> dict:
    """Seconds of the study and the best RMSE on the selection bank, normalized.

    Args:
        problem: teacher and banks.
        trials, steps: of the study and of each trial.
        seed: of sampler and trials.
        folder: of both databases.
        workers: threads.
    """
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment("by-hand")
    teacher, features = problem.teacher.function, problem.features
    watched, judged = problem.banks["pruning"], problem.banks["selection"]

    def normalized(x: torch.Tensor) -> torch.Tensor:
        return (teacher(x) - problem.shift) / problem.spread

    def rmse(student: nn.Module, bank) -> float:
        with torch.no_grad():
            return float((student(bank.z) - bank.values).square().mean().sqrt())

    def objective(trial: optuna.Trial) -> float:
        width = trial.suggest_int("width", 45, 50)
        kind = trial.suggest_categorical("kind", ["random", "direct"])
        rate = trial.suggest_float("lr", 3e-4, 3e-3, log=True)
        rng = torch.Generator().manual_seed(1000 * seed + trial.number)
        student = nn.Sequential(nn.Linear(features, width), nn.Tanh(), nn.Linear(width, problem.outputs))
        with mlflow.start_run(run_name=f"trial-{trial.number}", nested=True):
            mlflow.log_params(trial.params)

            def rung(step: int) -> None:
                error = rmse(student, watched)
                mlflow.log_metric("rmse", error, step=step)
                trial.report(error, step)
                if trial.should_prune():
                    raise optuna.TrialPruned

            plain_distillation(
                normalized,
                student,
                lambda n: torch.randn(n, features, generator=rng),
                kind,
                steps=steps,
                rate=rate,
                every=steps // RUNGS,
                rung=rung,
            )
            error = rmse(student, judged)
            mlflow.log_metric("final_rmse", error)
            mlflow.pytorch.log_state_dict(student.state_dict(), artifact_path="student")
        return error

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed)
    pruner = optuna.pruners.PercentilePruner(75, n_startup_trials=5)
    study = optuna.create_study(storage=f"sqlite:///{folder}/optuna.db", sampler=sampler, pruner=pruner)
    start = time.perf_counter()
    study.optimize(objective, n_trials=trials, n_jobs=workers)
    return {"seconds": time.perf_counter() - start, "best": study.best_value, "trials": trials, "steps": steps}
