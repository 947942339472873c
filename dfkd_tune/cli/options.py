"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from dfkd_tune.registry.sources import Sources
from dfkd_tune.utils.given import shares, totals
from dfkd_tune.utils.given.durations import seconds

COMPLETION = "_DFKD_TUNE_COMPLETE"
"""Environment variable through which a shell requests completions."""


def share(value: str) -> float:
    """Parse a share such as ``5%`` or ``0.05`` as a number.

    Raises:
        click.BadParameter: it is not a finite number of at least 0, or a number of at least 1 without ``%``.
    """
    try:
        return shares.share(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} {error}") from None


def duration(value: str) -> float:
    """Parse a duration such as ``90``, ``90s``, ``30m`` or ``1.5h`` in seconds.

    Raises:
        click.BadParameter: it is not a positive number of seconds, minutes or hours.
    """
    try:
        return seconds(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a duration such as 90s, 30m or 2h") from None


def total(value: str) -> int:
    """Parse a total number of teacher queries.

    Raises:
        click.BadParameter: it is not a whole number that a total may be.
    """
    try:
        return totals.total(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} {error}") from None


def export_format(value: str) -> str:
    """Check that an export format exists, in this package or in a plug-in.

    Raises:
        click.BadParameter: the format is unknown; the message lists the known ones.
    """
    from dfkd_tune.export.formats.kinds import EXPORTS

    if value not in EXPORTS:
        raise click.BadParameter(f"{value!r} is not one of {', '.join(EXPORTS)}")
    return value


def studies(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Study names for shell completion, read directly from an SQLite file because importing Optuna takes a second."""
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
STORAGE = click.option("--storage", metavar="URL", help="Optuna storage; default: mlruns/optuna.db.")
TRACKING, TRACKING_OF_STUDY = (
    click.option(
        "--tracking-uri",
        metavar="URL",
        help=f"MLflow tracking URI; default: MLFLOW_TRACKING_URI, or else {otherwise}.",
    )
    for otherwise in ("mlruns/mlflow.db", "the one that the study recorded")
)
TRUST = click.option("--trust-pickle", is_flag=True, help="Load pickled models. A pickle can run any code.")
ARCHITECTURE = click.option(
    "--architecture",
    type=click.Path(),
    help="YAML file with the sizes of the teacher's layers and its activations, such as layers: [12, 500, 1] and activation: tanh; "
    "needed if its file holds only weights.",
)
MAX_QUERIES = click.option(
    "--max-queries",
    type=total,
    metavar="ROWS",
    help=f"Most rows that the teacher is asked in the whole study, later sessions included; at least {totals.LEAST}. Can be raised later.",
)
DEVICE = click.option(
    "--device",
    type=click.Choice(("auto", "cpu", "cuda")),
    default="auto",
    show_default=True,
    help="Device to compute on; auto uses a GPU if there is one.",
)


def current_files(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for files of a recorded study that have moved; the command gets them as ``sources``."""

    @click.option("--teacher", help="Current path of the teacher, if it has moved.")
    @ARCHITECTURE
    @click.option("--features", type=click.Path(), help="Current path of the features file, if it has moved.")
    @TRUST
    @functools.wraps(command)
    def run(
        *args: Any,
        teacher: str | None,
        architecture: str | None,
        features: str | None,
        trust_pickle: bool,
        **options: Any,
    ) -> Any:
        sources = Sources(teacher, architecture, features, trust_pickle)
        sources.require()
        return command(*args, sources=sources, **options)

    return run


def text_layout(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the layout of a text table; the command gets them as ``layout``."""

    @click.option(
        "--separator",
        help="Column separator: one character, or comma, semicolon, tab, pipe or space; default: detected.",
    )
    @click.option("--decimal", type=click.Choice([".", ","]), help="Decimal sign; default: detected.")
    @click.option("--encoding", help="Text encoding, such as utf-16 or cp1252; default: detected.")
    @click.option("--header", is_flag=True, help="The first line holds column names, even if it looks like data.")
    @functools.wraps(command)
    def run(
        *args: Any, separator: str | None, decimal: str | None, encoding: str | None, header: bool, **options: Any
    ) -> Any:
        from dfkd_tune.tables.delimited import Layout

        return command(*args, layout=Layout(separator, decimal, encoding, header), **options)

    return run
