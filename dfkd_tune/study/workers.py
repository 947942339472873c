"""Workers of a study: several processes on this machine, or one that joins from another machine."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path

from dfkd_tune.compat.multiprocessing import fork_the_server
from dfkd_tune.errors import DfkdError, Interrupted, NotFound, StorageError, StudyMismatch, TrackingError, WorkersError
from dfkd_tune.locations.paths import sqlite_file, tracking_url, without_credentials
from dfkd_tune.registry.sources import Sources
from dfkd_tune.reporting import waiting
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.progress import Progress, StudyResult, study_progress
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.opening import open_queue
from dfkd_tune.study.prepare import Prepared, prepare
from dfkd_tune.study.session import run_study
from dfkd_tune.teachers.sources import is_file
from dfkd_tune.utils.waits import telling

LOG = logging.getLogger(__name__)

CONTEXT = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
"""How worker processes start. PyTorch cannot be forked after computing; forks of a process that only imported share its memory."""
IMPORTS = (
    "dfkd_tune.study.session",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "sqlalchemy.dialects.sqlite",
    "git",
    "scipy.stats",
    "sklearn.cluster",
    "torch._dynamo",
    "torch.export._trace",
)
"""Modules that every worker needs, and most processes that start them; PyTorch's to load and export programs."""
PUBLICATION = "dfkd_tune.reporting.publication"
"""Module that a worker needs when it publishes the study."""
TEACHER_PACKAGES = ("torch", "networkx", "sympy", "onnxruntime", "skops")
"""Packages whose submodules some teachers need; workers preload those that this process has imported."""
POLL_S = 1.0
"""Longest time between two looks at the study's progress, in seconds; the end of a worker is noticed at once."""
ARRIVAL_POLL_S = 1.0
"""Seconds between two looks for a study that is not recorded yet."""
DEATHS = 3
"""Deaths per worker without a finished trial in between, after which workers are not restarted."""
FAREWELL = 60.0
"""Seconds for workers to put their trials back in the queue before they are killed."""


WorkerEnd = StudyResult | DfkdError | Interrupted | str
"""How a worker ended: its result, an expected error, or the traceback of another one."""


@dataclass(frozen=True)
class Work:
    """The task of a worker. Its ``repr`` names only the study, because schedulers log it.

    Args:
        name: name of the study.
        storage_url, tracking_uri: URL of the Optuna storage and MLflow tracking URI.
        sources: paths of teacher and features.
        threads: most computing threads, as in ``run_study``.
        device: device of the distillation.
    """

    name: str
    storage_url: str
    tracking_uri: str
    sources: Sources
    threads: int = 1
    device: str = "cpu"

    def __repr__(self) -> str:
        return f"Work({self.name!r})"

    def do(self, should_stop: Callable[[], bool]) -> StudyResult:
        """Join the study; raises as ``join`` does."""
        where = (self.storage_url, self.tracking_uri, self.sources)
        return join(self.name, *where, should_stop=should_stop, device=self.device, threads=self.threads)


def join(
    name: str,
    storage_url: str,
    tracking_uri: str | None = None,
    sources: Sources | None = None,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    device: str = "cpu",
    patience: float = 0.0,
    threads: int = 1,
) -> StudyResult:
    """Work on a recorded study until its trials are done.

    Args:
        name: name of the study.
        storage_url: URL of Optuna's storage.
        tracking_uri: MLflow tracking URI; default: ``MLFLOW_TRACKING_URI``, then the one that the study recorded.
        sources: paths of teacher and features on this machine, if not the recorded ones.
        on_progress, should_stop: as in ``run_study``.
        device: as in ``prepare``.
        patience: seconds to wait for a study that does not exist yet.
        threads: as in ``run_study``.

    Raises:
        NotFound: if there is no such study, or one of its files is not on this machine.
        StudyMismatch: if one of its files differs on this machine.
        StorageError: if the storage is an SQLite file that another machine uses.
        Interrupted: if ``should_stop`` returned true.
    """
    _await_study(name, storage_url, patience, should_stop)
    prepared, recorded = load_recorded_study(name, storage_url, sources or Sources(), device)
    given = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    local = given is None and recorded.tracking is not None and sqlite_file(recorded.tracking) is not None
    if local and recorded.host != socket.gethostname():
        raise TrackingError(
            recorded.tracking,
            f"is a file on {recorded.host}, out of reach of {socket.gethostname()}",
            remedy="give --tracking-uri of a server that both reach",
        )
    uri = tracking_url(given or recorded.tracking)
    return run_study(prepared, storage_url, uri, on_progress, should_stop, joining=True, threads=threads)


def _await_study(name: str, storage_url: str, patience: float, should_stop: Callable[[], bool]) -> None:
    """Wait until a study is recorded, or until ``patience`` seconds are over.

    Raises:
        Interrupted: if ``should_stop`` returned true.
    """
    until = time.monotonic() + patience
    with telling(LOG, "waiting until study %r is recorded, %.0f s at most", name, patience):
        while time.monotonic() < until:
            with suppress(NotFound):
                if StudyRecord.of(load_study(storage_url, name)).spec is not None:
                    return
            if should_stop():
                raise Interrupted(name)
            time.sleep(min(ARRIVAL_POLL_S, max(0.0, until - time.monotonic())))


def load_recorded_study(
    name: str, storage_url: str, sources: Sources, device: str = "cpu"
) -> tuple[Prepared, StudyRecord]:
    """Prepare a recorded study on this machine; returns it with its record. Raises as ``join`` does."""
    known, here, place = StudyRecord.of(load_study(storage_url, name)), socket.gethostname(), f"study {name!r}"
    if known.spec is None:
        raise NotFound(place, "records no study file to join by", remedy="run dfkd-tune study once more, then join")
    if sqlite_file(storage_url) is not None and known.host != here:
        raise StorageError(
            without_credentials(storage_url),
            f"belongs to a study of {known.host}, and SQLite cannot be shared between machines",
            remedy="keep the study in PostgreSQL",
        )
    tree = dict(known.spec)
    given = {"path": sources.teacher, "architecture": sources.architecture}
    tree["teacher"] = tree["teacher"] | {key: path for key, path in given.items() if path is not None}
    if sources.features is not None:
        tree["features"] = sources.features
    for option, path in (
        ("teacher", tree["teacher"]["path"]),
        ("architecture", tree["teacher"].get("architecture")),
        ("features", tree.get("features")),
    ):
        if path is None or not is_file(path):
            continue
        if not Path(path).exists():
            raise NotFound(
                place, f"its {option} {path} is not on {here}", remedy=f"give --{option} PATH of a copy that is"
            )
    prepared = prepare(parse_spec(tree, place), sources.trust_pickle, device, storage_url=storage_url)
    for option, found in (("teacher", prepared.teacher.sha256), ("features", prepared.inputs.fingerprint())):
        wanted = known.identity[option]
        if found != wanted:
            path = tree["teacher"]["path"] if option == "teacher" else tree.get("features", "(none)")
            raise StudyMismatch(
                place,
                f"{option} {path} on {here} is another one: SHA-256 {found[:12]}..., the study's {wanted[:12]}...",
                remedy=f"give --{option} PATH of a copy of the study's",
            )
    return prepared, known


class _Worker:
    """A worker process and its result."""

    def __init__(self, work: Work) -> None:
        self._receiver, sender = CONTEXT.Pipe(duplex=False)
        self.process = CONTEXT.Process(target=_in_process, args=(work, sender), name=f"worker of {work.name}")
        with _without_main():
            self.process.start()
        sender.close()

    def ended(self) -> bool:
        """Whether the process has ended."""
        return not self.process.is_alive()

    def result(self) -> WorkerEnd | None:
        """How the process ended; None if it was killed."""
        with suppress(EOFError, OSError):
            if self._receiver.poll():
                return self._receiver.recv()
        return None


@contextmanager
def _without_main() -> Iterator[None]:
    """Start processes that do not import the user's script again, which would run all of it where it has no guard."""
    main = sys.modules["__main__"]
    held = {name: main.__dict__[name] for name in ("__file__", "__spec__") if name in main.__dict__}
    main.__dict__.pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(held)


def _in_process(work: Work, sender: Connection) -> None:
    gc.freeze()  # garbage collection of imported objects would copy shared memory
    stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C reaches every process of a terminal
        signal.signal(number, lambda number, frame: stop.append(number))
    starter = multiprocessing.parent_process()

    def should_stop() -> bool:
        """A worker whose starter was killed gives its trials back, rather than to ask its teacher on, unseen."""
        return bool(stop) or (starter is not None and not starter.is_alive())

    try:
        result = work.do(should_stop)
    except (DfkdError, Interrupted) as error:
        result = error
    except Exception:
        result = traceback.format_exc()
    with suppress(OSError):
        sender.send(result)


def prepare_to_start() -> bool:
    """Let workers be forks of this process, so that they share its imports; returns whether they will be.

    What workers alone need is imported by their server, while this process goes on.
    Call this before a teacher is loaded or a store is opened. Workers start without it, too.
    """
    for name in IMPORTS:
        with suppress(ImportError):  # of ``git`` on a machine without the program
            import_module(name)
    CONTEXT.set_forkserver_preload([PUBLICATION])
    return fork_the_server(idle=(waiting.THREAD,))


def run_workers(
    prepared: Prepared,
    storage_url: str,
    tracking_uri: str,
    count: int,
    *,
    trust_pickle: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    threads: int = 1,
) -> StudyResult:
    """Run a study with several identical worker processes on this machine; a killed worker is restarted.

    Args:
        prepared, storage_url, tracking_uri, on_progress, should_stop: as in ``run_study``.
        count: number of processes.
        trust_pickle: whether workers may load a pickled teacher.
        threads: most computing threads of a process, as in ``run_study``.

    Raises:
        WorkersError: if workers keep dying without finishing a trial.
        DfkdError: as in ``run_study``, here or in a worker.
        Interrupted: if ``should_stop`` returned true.
    """
    study, queue = open_queue(prepared, storage_url, tracking_uri, workers=count)
    sources = _sources(prepared, trust_pickle)
    work = Work(prepared.spec.name, storage_url, tracking_uri, sources, threads, prepared.device)
    CONTEXT.set_forkserver_preload(
        [*IMPORTS, PUBLICATION, *(name for name in sys.modules if name.partition(".")[0] in TEACHER_PACKAGES)]
    )
    about, begun = prepared.spec.study, time.perf_counter()
    before = last = about.trials - queue.unfinished(about.trials)
    workers = [_Worker(work) for _ in range(count)]
    ends: list[WorkerEnd] = []
    deaths, stopping = 0, False
    try:
        while workers:
            wait([each.process.sentinel for each in workers], POLL_S)
            now = study_progress(study, about, before, time.perf_counter() - begun)
            on_progress(now)
            if should_stop() and not stopping:
                stopping = True
                for each in workers:
                    each.process.terminate()
            ended = about.trials - queue.unfinished(about.trials)
            deaths, last = (0 if ended > last else deaths), ended
            for each in [each for each in workers if each.ended()]:
                workers.remove(each)
                result = each.result()
                if result is not None:
                    ends.append(result)
                    if isinstance(result, DfkdError) and workers:
                        LOG.warning("a worker stopped, the others go on: %s", result)
                elif not stopping:
                    deaths += 1
                    LOG.warning("a worker died (exit status %s); another takes its place", each.process.exitcode)
                    if deaths > DEATHS * count:
                        raise WorkersError(
                            f"study {prepared.spec.name!r}",
                            f"{deaths} workers died in a row, the last with exit status {each.process.exitcode}",
                            remedy="run it with --workers 1 to see why",
                        )
                    workers.append(_Worker(work))
    finally:
        _end(workers)
    return conclusion(prepared.spec.name, ends)


def conclusion(name: str, ends: Sequence[WorkerEnd]) -> StudyResult:
    """The result of the study from those of its workers; raises their failure if none has a result."""
    results = [end for end in ends if isinstance(end, StudyResult)]
    failures = [end for end in ends if isinstance(end, DfkdError)]
    traces = [end for end in ends if isinstance(end, str)]
    if results:
        return results[0]
    if failures:
        raise failures[0]
    if traces:
        raise RuntimeError(f"in a worker:\n{traces[0]}")
    raise Interrupted(name)


def _sources(prepared: Prepared, trust_pickle: bool) -> Sources:
    about = prepared.spec.teacher
    return Sources(about.path, about.architecture, prepared.spec.features, trust_pickle)


def _end(workers: list[_Worker]) -> None:
    for each in workers:
        each.process.terminate()
    until = time.monotonic() + FAREWELL
    with telling(LOG, "waiting until %d workers have given their trials back, %.0f s at most", len(workers), FAREWELL):
        for each in workers:
            each.process.join(max(0.0, until - time.monotonic()))
            if not each.ended():
                each.process.kill()
                each.process.join()
