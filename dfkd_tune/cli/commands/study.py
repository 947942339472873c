"""``study``: search for the best way to distill a teacher."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfkd_tune.cli.options import ARCHITECTURE, DEVICE, STORAGE, TRACKING, TRUST
from dfkd_tune.utils.signals import Signals

if TYPE_CHECKING:
    from dfkd_tune.search.study_file import StudySpec


@click.command(short_help="Search for the best way to distill a teacher.")
@click.argument("spec", required=False, type=click.Path())
@click.option(
    "--n-trials", type=click.IntRange(min=1), help="Total number of trials of the study, earlier sessions included."
)
@click.option("--teacher", help="Model file or package.module:function; replaces the teacher in SPEC.")
@ARCHITECTURE
@click.option("--features", type=click.Path(), help="Features file; replaces the one in SPEC.")
@click.option("--name", help="Name of the study.")
@click.option("--pareto", "pareto", flag_value="parameters", help="Minimize error and number of parameters.")
@click.option("--pareto-latency", "pareto", flag_value="latency", help="Minimize error and measured latency.")
@click.option("--quiet", is_flag=True, help="Print only the final result line.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line per event.")
@click.option("--seed", type=click.IntRange(min=0), help="Random seed of the study.")
@click.option(
    "--workers",
    type=click.IntRange(min=1, max=1024),
    help="Number of processes; default: chosen for this machine, or 1 if a seed is given.",
)
@click.option("--cluster", metavar="ADDRESS", help="Address of a Dask scheduler that runs the workers, or 'local'.")
@DEVICE
@STORAGE
@TRACKING
@TRUST
def study(
    spec: str | None,
    n_trials: int | None,
    teacher: str | None,
    architecture: str | None,
    features: str | None,
    name: str | None,
    pareto: str | None,
    quiet: bool,
    as_json: bool,
    seed: int | None,
    workers: int | None,
    cluster: str | None,
    device: str,
    storage: str | None,
    tracking_uri: str | None,
    trust_pickle: bool,
) -> None:
    """Search for the best way to distill a teacher, as the study file SPEC says. Without SPEC, run the quickstart."""
    if quiet and as_json:
        raise click.UsageError("--quiet and --json exclude each other")
    from rich.console import Console

    from dfkd_tune.locations import paths
    from dfkd_tune.reporting import terminal_progress, terminal_summary
    from dfkd_tune.search.loaded import load_study
    from dfkd_tune.search.storage import require_whole
    from dfkd_tune.study.launch import launch
    from dfkd_tune.study.prepare import prepare

    mode = "json" if as_json else "quiet" if quiet else "live"
    storage_url, uri = paths.optuna_url(storage), paths.tracking_url(tracking_uri)
    require_whole(storage_url)  # before the first teacher query
    changed = _spec(spec, n_trials, teacher, architecture, features, name, pareto, seed)
    prepared = prepare(changed, trust_pickle, device)
    console = Console(file=sys.stdout)  # fixed here: sys.stdout may be replaced during a teacher query
    with Signals() as stop, terminal_progress.watch(console, changed.name, mode) as on_progress:
        result = launch(prepared, storage_url, uri, workers, cluster, trust_pickle, on_progress, lambda: bool(stop))
    if as_json:
        terminal_progress.ended(console, result)
        return
    if quiet:
        terminal_summary.promoted(console, result, prepared.inputs.tier)
        return
    trials = load_study(storage_url, result.name).get_trials(deepcopy=False)
    told = _next(result.name, storage, tracking_uri)
    terminal_summary.summary(console, result, trials, prepared.inputs.tier, changed.study.objective, told)


def _spec(
    spec: str | None,
    n_trials: int | None,
    teacher: str | None,
    architecture: str | None,
    features: str | None,
    name: str | None,
    pareto: str | None,
    seed: int | None,
) -> StudySpec:
    """Read the study file and apply the command-line options."""
    from dataclasses import replace

    from dfkd_tune.cli.quickstart import quickstart
    from dfkd_tune.errors import SpecError
    from dfkd_tune.locations.paths import NAME
    from dfkd_tune.search.study_file import TeacherSection, parse_spec, read_spec

    if spec is None and teacher is not None:
        read = parse_spec({"teacher": teacher}, f"{Path(teacher.replace(':', '.')).stem}.yaml")
    else:
        read = read_spec(Path(spec) if spec else quickstart())
    if name is not None and not NAME.fullmatch(name):
        raise SpecError(
            "--name", f"must be letters, digits, '_', '.', '-' (100 at most), got {name!r}", remedy="give another"
        )
    given = {"trials": n_trials, "name": name, "pareto": pareto, "seed": seed}
    read = replace(read, study=replace(read.study, **{k: v for k, v in given.items() if v is not None}))
    read = replace(read, seeded=read.seeded or seed is not None)
    if teacher is not None or architecture is not None:
        read = replace(
            read,
            teacher=TeacherSection(
                teacher or read.teacher.path, architecture or (None if teacher else read.teacher.architecture)
            ),
        )
        if teacher is not None and features is None:
            read = replace(read, features=None)
    return read if features is None else replace(read, features=features)


def _next(name: str, storage: str | None, tracking_uri: str | None) -> dict[str, str]:
    """Description -> exact command to run after the study."""
    from shlex import quote

    from dfkd_tune.locations.paths import without_credentials

    there = f" --tracking-uri {quote(without_credentials(tracking_uri))}" if tracking_uri else ""
    both = (f" --storage {quote(without_credentials(storage))}" if storage else "") + there
    return {
        "Write the report": f"dfkd-tune report {name}{both}",
        "Browse the runs": f"dfkd-tune ui{there}",
        "Register the best": f"dfkd-tune register {name} --model {name}{there}",
    }
