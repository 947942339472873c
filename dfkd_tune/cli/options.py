"""Options that several commands share."""

from __future__ import annotations

import click

COMPLETION = "_DFKD_TUNE_COMPLETE"
"""Environment variable by which a shell asks what a word may become."""


def share(value: str) -> float:
    """A share, such as ``5%`` or ``0.05``, as a number; a usage error where there is none at or above 0."""
    text = value.strip()
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no share such as 5%") from None
    if not 0 <= number < float("inf"):
        raise click.BadParameter(f"{value!r} is not at least 0%")
    if number >= 1 and not text.endswith("%"):
        raise click.BadParameter(f"{value!r} would be {100 * number:.0f}%; write {value}% or {number / 100:g}")
    return number


def export_format(value: str) -> str:
    """An export format by its kind, the package's own or a plug-in's; a usage error that lists the known ones."""
    from dfkd_tune.export.formats.kinds import EXPORTS

    if value not in EXPORTS:
        raise click.BadParameter(f"{value!r} is not one of {', '.join(EXPORTS)}")
    return value


def studies(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of studies that a shell offers; of an SQLite file alone, read as it is: importing Optuna would take a second."""
    import sqlite3
    from contextlib import closing

    from dfkd_tune.errors import StorageError
    from dfkd_tune.locations.paths import optuna_url, sqlite_file

    try:
        file = sqlite_file(optuna_url(ctx.params.get("storage")))
        if file is None or not file.exists():
            return []
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            names = [name for (name,) in connection.execute("SELECT study_name FROM studies ORDER BY study_id DESC")]
    except (sqlite3.Error, StorageError):
        return []
    return [name for name in names if name.startswith(incomplete)]


NAME = click.argument("name", shell_complete=studies)
STORAGE = click.option("--storage", metavar="URL", help="Optuna's database; default mlruns/optuna.db.")
TRACKING = click.option(
    "--tracking-uri", metavar="URL", help="MLflow; default MLFLOW_TRACKING_URI, then mlruns/mlflow.db."
)
TRUST = click.option("--trust-pickle", is_flag=True, help="Load pickled models, which can run any code.")
ARCHITECTURE = click.option(
    "--architecture", type=click.Path(), help="YAML of layers and activation, for weights alone."
)
DEVICE = click.option(
    "--device",
    type=click.Choice(("auto", "cpu", "cuda")),
    default="auto",
    show_default=True,
    help="Where it is computed; auto takes a GPU where there is one.",
)
