"""Tiny studies, and the stores that tests keep studies in."""

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "studies"
STUDY = ("trials", "seed", "objective", "population", "leaders", "reruns", "pareto", "timeout", "within", "runtime")
TINY = {"steps": 40, "batch": 20, "pool": 500, "bank": 200}
SEARCH = {
    "generator.kind": ["gaussian", "adversarial", "direct"],
    "generator.steps": {"low": 1, "high": 4},
    "bound.kind": ["none", "clip", "target"],
    "bound.threshold": {"low": 0.02, "high": 2.0, "log": True},
    "alpha.kind": ["constant", "decreasing"],
    "alpha.value": {"low": 0.1, "high": 0.9},
    "student.width": {"low": 8, "high": 64},
    "optimizer.kind": ["rmsprop", "adam"],
    "optimizer.lr": {"low": 3e-4, "high": 1e-2, "log": True},
}
"""What a tiny study searches: conditional choices, and nothing that takes long."""


@dataclass(frozen=True)
class Store:
    """Where studies of a test live: a directory with its ``mlruns/``."""

    home: Path

    @property
    def storage(self) -> str:
        return f"sqlite:///{self.home}/mlruns/optuna.db"

    @property
    def tracking(self) -> str:
        return f"sqlite:///{self.home}/mlruns/mlflow.db"

    @property
    def _fresh(self) -> Path:
        """An MLflow store without a study, beside the directory, as tests count what lies in that."""
        return self.home.with_name(f"{self.home.name}-fresh.db")

    def make(self) -> None:
        """Make the MLflow store, and keep a copy of it while it is fresh."""
        from dfkd_tune.tracking.connection import open_client

        (self.home / "mlruns").mkdir()
        open_client(self.tracking)
        _copy(self.home / "mlruns" / "mlflow.db", self._fresh)

    def hand_out(self, folder: Path) -> None:
        """Give another directory an MLflow store without the seconds that a fresh one takes."""
        (folder / "mlruns").mkdir(parents=True)
        _copy(self._fresh, folder / "mlruns" / "mlflow.db")

    def lend_runs(self, folder: Path) -> None:
        """Give another directory an MLflow store with all that this one holds; artifacts stay where they are."""
        (folder / "mlruns").mkdir(parents=True)
        _copy(self.home / "mlruns" / "mlflow.db", folder / "mlruns" / "mlflow.db")

    @property
    def options(self) -> list[str]:
        return ["--storage", self.storage, "--tracking-uri", self.tracking]

    def trials(self, name: str) -> list:
        from dfkd_tune.search.loaded import load_study

        return load_study(self.storage, name).get_trials(deepcopy=False)

    def runs(self, name: str, kind: str | None = None) -> list:
        """The MLflow runs of a study, of one ``dfkd.kind``, in the order of their names."""
        return runs_of(self.tracking, name, kind)


def _copy(database: Path, to: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as there, contextlib.closing(sqlite3.connect(to)) as here:
        there.backup(here)


def runs_of(uri: str, name: str, kind: str | None = None) -> list:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(name)
    found = client.search_runs([experiment.experiment_id], f"tags.`dfkd.kind` = '{kind}'" if kind else "")
    return sorted(found, key=lambda run: run.info.run_name)
