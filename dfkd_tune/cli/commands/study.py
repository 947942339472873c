"""``study``: search for the best way to distill a teacher."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dfkd_tune.cli.options import DEVICE, STORAGE, TRACKING, TRUST
from dfkd_tune.cli.study_options import Changes, spec_of, study_changes
from dfkd_tune.utils.signals import Signals, raise_lost_interrupt


@click.command(short_help="Search for the best way to distill a teacher.")
@study_changes
@click.option("--quiet", is_flag=True, help="Print only the final result line.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line per event.")
@click.option(
    "--workers",
    type=click.IntRange(min=1, max=1024),
    help="Number of processes; default: chosen for this machine. With a seed, also the groups of a round (2).",
)
@click.option("--cluster", metavar="ADDRESS", help="Address of a Dask scheduler that runs the workers, or 'local'.")
@DEVICE
@STORAGE
@TRACKING
@TRUST
def study(
    spec: str | None,
    changes: Changes,
    quiet: bool,
    as_json: bool,
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

    from dfkd_tune.locations import paths
    from dfkd_tune.search.sqlite.integrity import require_intact

    if cluster is not None:
        from dfkd_tune.study.dask_cluster import require_dask

        require_dask()
    mode = "json" if as_json else "quiet" if quiet else "live"
    storage_url, uri = paths.optuna_url(storage), paths.tracking_url(tracking_uri)
    require_intact(storage_url)  # before the first teacher query
    changed = spec_of(spec, changes)
    from dfkd_tune.reporting import terminal_progress, terminal_summary  # seconds, for which a refusal does not wait
    from dfkd_tune.reporting.failed_study import require_complete
    from dfkd_tune.search.attributes import StudyRecord
    from dfkd_tune.search.loaded import load_study
    from dfkd_tune.study.launch import launch
    from dfkd_tune.study.opening import require_stores
    from dfkd_tune.study.prepare import prepare
    from dfkd_tune.study.workers import prepare_to_start
    from dfkd_tune.teachers.sources import is_file, require_file

    if is_file(changed.teacher.path):
        require_file(Path(changed.teacher.path))  # a refusal does not wait for what workers import
    forked = workers != 1 and cluster is None and prepare_to_start()
    raise_lost_interrupt()
    require_stores(changed, storage_url, uri)
    prepared = prepare(changed, trust_pickle, device, storage_url=storage_url)
    console = terminal_summary.wide(sys.stdout)  # fixed here: sys.stdout may be replaced during a teacher query
    with Signals() as stop, terminal_progress.watch(console, changed.name, mode) as on_progress:
        stores = (prepared, storage_url, uri)
        result = launch(*stores, workers, cluster, trust_pickle, on_progress, lambda: bool(stop), forked)
    if as_json:
        terminal_progress.ended(console, result)
    require_complete(result)
    if as_json:
        return
    ended, total = result.progress.ended, result.progress.total
    late = f"The time was up after {ended:,} of {total:,} trials; the same command goes on with the rest."
    if quiet:
        terminal_summary.promoted(console, result, prepared.inputs.tier)
        if ended < total:
            console.print(late, highlight=False, soft_wrap=True)
        return
    study = load_study(storage_url, result.name)
    trials, recorded = study.get_trials(deepcopy=False), StudyRecord.of(study)
    told = _next(result.name, storage, tracking_uri)
    if ended < total:
        console.print(late, highlight=False, soft_wrap=True)
    terminal_summary.summary(console, result, trials, prepared.inputs.tier, changed.study.objective, told, recorded)


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
