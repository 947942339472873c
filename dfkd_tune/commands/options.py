"""Options that several commands share."""

from __future__ import annotations

import click

STORAGE = click.option("--storage", metavar="URL", help="Optuna's database; default mlruns/optuna.db.")
TRACKING = click.option(
    "--tracking-uri", metavar="URL", help="MLflow; default MLFLOW_TRACKING_URI, then mlruns/mlflow.db."
)
TRUST = click.option("--trust-pickle", is_flag=True, help="Load pickled models, which can run any code.")
ARCHITECTURE = click.option(
    "--architecture", type=click.Path(), help="YAML of layers and activation, for weights alone."
)
