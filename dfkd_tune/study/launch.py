"""Run a study the way that fits: in this process, in several, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dfkd_tune.errors import WorkersError
from dfkd_tune.locations.paths import shared_folder
from dfkd_tune.search.loaded import recorded_parallelism
from dfkd_tune.search.progress import Progress, StudyResult
from dfkd_tune.study.calibration import choose_parallelism
from dfkd_tune.study.prepare import Prepared, shared
from dfkd_tune.study.session import run_study


def launch(
    prepared: Prepared,
    storage_url: str,
    tracking_uri: str,
    workers: int | None = None,
    cluster: str | None = None,
    trust_pickle: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    forked: bool = False,
) -> StudyResult:
    """Run a study up to its total number of trials, or resume it.

    Args:
        prepared, storage_url, tracking_uri, on_progress, should_stop: as in ``run_study``.
        workers: number of processes; None: as many as pay on this machine. With a seed also the number of groups of a round; None:
            the recorded number, or 2.
        cluster: address of a Dask scheduler that runs the workers, or ``local``.
        trust_pickle: whether workers may load a pickled teacher.
        forked: whether workers are forks of this process (``workers.prepare_to_start``), which start sooner.

    Raises:
        DfkdError: as ``run_study`` does.
        Interrupted: if ``should_stop`` returned true.
    """
    prepared = replace(prepared, groups=workers)
    if prepared.in_memory:
        require_one_process(prepared.spec.teacher.path, workers, cluster)
        workers = 1
    if cluster is not None:
        from dfkd_tune.study.dask_cluster import run_on_cluster

        return run_on_cluster(
            prepared,
            storage_url,
            tracking_uri,
            on_progress=on_progress,
            should_stop=should_stop,
            address=cluster,
            count=workers,
            trust_pickle=trust_pickle,
        )
    about = prepared.spec.study
    recorded = recorded_parallelism(storage_url, prepared.spec.name, about.trials)
    prepared = replace(prepared, groups=prepared.groups or recorded.groups)
    folder = shared_folder(storage_url, "calibration")
    plan = choose_parallelism(prepared, workers, recorded.population, recorded.left, folder, forked=forked)
    prepared = shared(prepared.with_population(plan.population), plan.workers)
    if plan.workers == 1:
        return run_study(prepared, storage_url, tracking_uri, on_progress, should_stop, threads=plan.threads)
    from dfkd_tune.study.workers import run_workers

    return run_workers(
        prepared,
        storage_url,
        tracking_uri,
        plan.workers,
        trust_pickle=trust_pickle,
        on_progress=on_progress,
        should_stop=should_stop,
        threads=plan.threads,
    )


def require_one_process(source: str, workers: int | None, cluster: str | None = None) -> None:
    """Refuse other processes for a teacher in memory.

    Raises:
        WorkersError: they are wanted.
    """
    if cluster is not None or (workers or 1) > 1:
        rule = "is in the memory of this process, so no other process can query it"
        raise WorkersError(
            source, rule, remedy="give workers=1, or a teacher that a file or an importable module holds"
        )
