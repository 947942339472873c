"""Identical workers on one study: processes of this machine, or one that joins from another."""

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
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from dfkd_tune.errors import DfkdError, Interrupted, NotFound, StorageError, StudyMismatch, TrackingError, WorkersError
from dfkd_tune.locations.paths import sqlite_file, tracking_url, without_credentials
from dfkd_tune.registry.sources import Sources
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.progress import Progress, StudyResult, study_progress
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import Prepared, prepare
from dfkd_tune.study.session import open_slots, run_study
from dfkd_tune.teachers.formats.mlflow_model import SCHEMES
from dfkd_tune.utils.object_reference import MODULE_PATH
from dfkd_tune.utils.waits import telling

LOG = logging.getLogger(__name__)

CONTEXT = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
"""How a worker process starts: a copy of one that computes would not work. Copies of one that has only imported share its memory."""
IMPORTS = (
    "dfkd_tune.study.session",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "sqlalchemy.dialects.sqlite",
    "git",
    "scipy.stats",
    "sklearn.cluster",
)
"""What every worker needs."""
TEACHER_PACKAGES = ("torch", "networkx", "sympy", "onnxruntime", "skops")
"""Packages of which some teachers need more: workers do where this process did."""
POLL_S = 0.5
"""Seconds between two looks at the workers."""
DEATHS = 3
"""Deaths of each worker without one trial that ends, after which workers are not started again."""
FAREWELL = 60.0
"""Seconds that workers have to give their slots back."""


@dataclass(frozen=True)
class Work:
    """What a worker is told, wherever it is placed; its text names the study alone, as schedulers log what they run.

    Args:
        name: of the study.
        storage_url, tracking_uri: where it is recorded.
        sources: where teacher and features lie.
        threads: that it computes with; None for all.
        device: where it computes.
    """

    name: str
    storage_url: str
    tracking_uri: str
    sources: Sources
    threads: int | None = None
    device: str = "cpu"

    def __repr__(self) -> str:
        return f"Work({self.name!r})"

    def do(self, should_stop: Callable[[], bool]) -> StudyResult:
        """Join the study; raises as ``join`` does."""
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)
        where = (self.storage_url, self.tracking_uri, self.sources)
        return join(self.name, *where, should_stop=should_stop, device=self.device)


def join(
    name: str,
    storage_url: str,
    tracking_uri: str | None = None,
    sources: Sources | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    device: str = "cpu",
) -> StudyResult:
    """Work on a study that is on record, until its trials are done.

    Args:
        name: of the study.
        storage_url: of Optuna's database.
        tracking_uri: of MLflow; None for ``MLFLOW_TRACKING_URI``, then what the study recorded.
        sources: where teacher and features lie on this machine, if not where the study found them.
        on_progress, should_stop: as ``run_study`` takes them.
        device: as ``prepare`` takes it.

    Raises:
        NotFound: no such study, or a file of it is not on this machine.
        StudyMismatch: a file of it is another one here.
        StorageError: an SQLite file that another machine works on.
        Interrupted: when ``should_stop`` said so.
    """
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
    return run_study(prepared, storage_url, uri, on_progress, should_stop, joining=True)


def load_recorded_study(
    name: str, storage_url: str, sources: Sources, device: str = "cpu"
) -> tuple[Prepared, StudyRecord]:
    """A recorded study made ready on this machine, and what it recorded; errors are those of ``join``."""
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
        if path is None or MODULE_PATH.fullmatch(path) or path.startswith(SCHEMES):
            continue
        if not Path(path).exists():
            raise NotFound(
                place, f"its {option} {path} is not on {here}", remedy=f"give --{option} PATH of a copy that is"
            )
    prepared = prepare(parse_spec(tree, place), sources.trust_pickle, device)
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
    """A worker process, and what it came to."""

    def __init__(self, work: Work) -> None:
        self._ear, mouth = CONTEXT.Pipe(duplex=False)
        self.process = CONTEXT.Process(target=_in_process, args=(work, mouth), name=f"worker of {work.name}")
        self.process.start()
        mouth.close()

    def ended(self) -> bool:
        """Whether the process is gone."""
        return not self.process.is_alive()

    def word(self) -> StudyResult | BaseException | str | None:
        """What it said before it ended: a result, an expected failure, a traceback; None when it was killed."""
        with suppress(EOFError, OSError):
            if self._ear.poll():
                return self._ear.recv()
        return None


def _in_process(work: Work, mouth: Connection) -> None:
    gc.freeze()  # collecting what was imported before would copy the memory that it lies in
    stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):  # a ^C reaches every process of a terminal
        signal.signal(number, lambda number, frame: stop.append(number))
    try:
        word = work.do(lambda: bool(stop))
    except (DfkdError, Interrupted) as error:
        word = error
    except Exception:
        word = traceback.format_exc()
    with suppress(OSError):
        mouth.send(word)


def run_workers(
    prepared: Prepared,
    storage_url: str,
    tracking_uri: str,
    count: int,
    trust_pickle: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> StudyResult:
    """Run a study with several processes of this machine, each an identical worker; one that is killed is started again.

    Args:
        prepared, storage_url, tracking_uri, on_progress, should_stop: as ``run_study`` takes them.
        count: processes.
        trust_pickle: let workers load a pickled teacher.

    Raises:
        WorkersError: workers die, and no trial ends any more.
        DfkdError: as ``run_study``, here or in a worker.
        Interrupted: when ``should_stop`` said so.
    """
    import torch

    study, queue = open_slots(prepared, storage_url, tracking_uri, workers=count)
    threads, sources = max(1, torch.get_num_threads() // count), _sources(prepared, trust_pickle)
    work = Work(prepared.spec.name, storage_url, tracking_uri, sources, threads, prepared.device)
    CONTEXT.set_forkserver_preload(
        [*IMPORTS, *(name for name in sys.modules if name.partition(".")[0] in TEACHER_PACKAGES)]
    )
    about, begun = prepared.spec.study, time.perf_counter()
    before = last = about.trials - queue.unfinished(about.trials)
    workers = [_Worker(work) for _ in range(count)]
    words: list[Any] = []
    deaths, told = 0, False
    try:
        while workers:
            time.sleep(POLL_S)
            now = study_progress(study, about, before, time.perf_counter() - begun)
            on_progress(now)
            if should_stop() and not told:
                told = True
                for each in workers:
                    each.process.terminate()
            ended = about.trials - queue.unfinished(about.trials)
            deaths, last = (0 if ended > last else deaths), ended
            for each in [each for each in workers if each.ended()]:
                workers.remove(each)
                word = each.word()
                if word is not None:
                    words.append(word)
                    if isinstance(word, DfkdError) and workers:
                        LOG.warning("a worker stopped, the others go on: %s", word)
                elif not told:
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
    return conclusion(prepared.spec.name, words)


def conclusion(name: str, words: list[Any]) -> StudyResult:
    """What workers came to: a result where one has it, else their failure."""
    results = [word for word in words if isinstance(word, StudyResult)]
    failures = [word for word in words if isinstance(word, DfkdError)]
    traces = [word for word in words if isinstance(word, str)]
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
