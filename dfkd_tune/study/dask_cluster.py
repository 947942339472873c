"""Workers of a study on a Dask cluster. Dask places them and restarts those whose machine is lost; the trial queue does the rest."""

from __future__ import annotations

import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from dfkd_tune.errors import DfkdError, Interrupted, StorageError, TrackingError, WorkersError
from dfkd_tune.locations.paths import sqlite_file, without_credentials
from dfkd_tune.registry.sources import Sources
from dfkd_tune.search.progress import Progress, StudyResult, study_progress
from dfkd_tune.study.opening import open_queue
from dfkd_tune.study.prepare import Prepared
from dfkd_tune.study.workers import Work, conclusion
from dfkd_tune.utils.waits import telling

LOG = logging.getLogger(__name__)
POLL_S = 1.0
"""Seconds between two checks of the cluster, and between two checks of a worker whether to stop."""
SCHEDULER_TIMEOUT = "30s"
"""Time limit for connecting to a scheduler."""
RETRIES = 10
"""How often Dask restarts a worker whose machine was lost."""


def run_on_cluster(
    prepared: Prepared,
    storage_url: str,
    tracking_uri: str,
    address: str,
    count: int | None = None,
    *,
    trust_pickle: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> StudyResult:
    """Run a study with identical workers that Dask places.

    Args:
        prepared, storage_url, tracking_uri, on_progress, should_stop: as in ``run_study``; the URLs and the paths of teacher
            and features must be valid on every machine.
        address: address of Dask's scheduler; ``local`` starts one here.
        count: number of workers; None for one in each process of the cluster.
        trust_pickle: whether workers may load a pickled teacher.

    Raises:
        WorkersError: if Dask is missing, or its scheduler cannot be reached or gives up workers.
        StorageError: if the study is an SQLite file and the cluster has other machines.
        DfkdError: as in ``run_study``, here or in a worker.
        Interrupted: if ``should_stop`` returned true.
    """
    sources = Sources(trust_pickle=trust_pickle)
    work = Work(prepared.spec.name, storage_url, tracking_uri, sources, device=prepared.device)
    with _client(address, count) as client:
        from distributed import Event

        places = sorted(client.scheduler_info(n_workers=-1)["workers"])
        if not places:
            raise WorkersError(without_credentials(address), "this cluster has no workers", remedy="start some")
        _within_reach(client, storage_url, tracking_uri)
        study, queue = open_queue(prepared, storage_url, tracking_uri, workers=count or len(places))
        about, begun = prepared.spec.study, time.perf_counter()
        before = about.trials - queue.unfinished(about.trials)
        flag = f"dfkd-stop-{uuid.uuid4().hex}"
        stop = Event(flag, client=client)
        futures = [
            # One worker in each process, because two in one would share its interpreter.
            client.submit(
                _on_cluster,
                work,
                flag,
                key=f"dfkd-{prepared.spec.name}-{flag[-8:]}-{i}",
                workers=[places[i % len(places)]],
                allow_other_workers=True,
                retries=RETRIES,
                pure=False,
            )
            for i in range(count or len(places))
        ]
        stopping = False
        while not all(future.done() for future in futures):
            time.sleep(POLL_S)
            on_progress(study_progress(study, about, before, time.perf_counter() - begun))
            if should_stop() and not stopping:
                stopping = True
                stop.set()
        return conclusion(prepared.spec.name, [_result(future, address) for future in futures])


def _within_reach(client: Any, storage_url: str, tracking_uri: str) -> None:
    """Refuse files of this machine as storage or tracking store if workers are on other machines."""
    elsewhere = set(client.run(_machine).values()) - {socket.gethostname()}
    for url, error, remedy in (
        (storage_url, StorageError, "keep the study in PostgreSQL"),
        (tracking_uri, TrackingError, "give --tracking-uri of a server that all reach"),
    ):
        if elsewhere and sqlite_file(url) is not None:
            rule = f"cannot be shared with the cluster's workers on {min(elsewhere)}: SQLite is for one machine"
            raise error(without_credentials(url), rule, remedy=remedy)


def _machine() -> str:
    return socket.gethostname()


def _result(future: Any, address: str) -> Any:
    if future.status == "finished":
        return future.result()
    error = future.exception()
    return WorkersError(without_credentials(address), f"a worker was given up: {type(error).__name__}")


def require_dask() -> None:
    """Check, before a study is prepared, that Dask is installed.

    Raises:
        WorkersError: it is not.
    """
    if find_spec("distributed") is None:
        raise WorkersError("--cluster", "Dask is not installed", remedy="pip install 'dfkd-tune[dask]'")


@contextmanager
def _client(address: str, count: int | None) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    if address == "local":
        with (
            LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                dashboard_address=None,  # pyright: ignore[reportArgumentType]  # Dask has no types; its default is a string
                silence_logs=50,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        with telling(
            LOG, "waiting for the Dask scheduler at %s, %s at most", without_credentials(address), SCHEDULER_TIMEOUT
        ):
            client = Client(address, timeout=SCHEDULER_TIMEOUT)
    except (OSError, ValueError, TimeoutError) as error:
        reason = without_credentials((str(error).splitlines() or [type(error).__name__])[0])
        raise WorkersError(
            without_credentials(address), f"no Dask scheduler answers ({reason})", remedy="start it"
        ) from None
    with client:
        yield client


def _on_cluster(work: Work, flag: str) -> StudyResult | DfkdError | Interrupted:
    """The task of one worker. Expected errors are returned, not raised, so that Dask does not retry them."""
    from distributed import Event, get_client, get_worker

    # The client is known only in the thread of the task.
    stop, stopping, over = Event(flag, client=get_client()), threading.Event(), threading.Event()

    def listen() -> None:
        while not over.wait(POLL_S):
            with suppress(Exception):  # losing the scheduler does not stop the worker
                if stop.is_set():
                    stopping.set()
                    return

    threading.Thread(target=listen, name="stop", daemon=True).start()
    try:
        return replace(work, threads=get_worker().state.nthreads).do(stopping.is_set)
    except (DfkdError, Interrupted) as error:
        return error
    finally:
        over.set()
