"""The outbox on disk: records of a study that are written before they are uploaded to MLflow, one file for each.

::

    spool/STUDY/objects/SHA256        a file of a student, by its content
    spool/STUDY/SESSION/about.json    the process that the session belongs to
    spool/STUDY/SESSION/lock          locked while that process lives
    spool/STUDY/SESSION/00000001.json a record that is not uploaded yet
    spool/STUDY/SESSION/shipped/      uploaded records
    spool/STUDY/SESSION/refused/      records that MLflow rejected

    A session is the part of one process. Files are written whole and synced. Nothing is deleted, so the MLflow runs of a study can be
    rebuilt from the spool.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ConfigDict, TypeAdapter, ValidationError

from dfkd_tune.errors import ExportError, StorageError
from dfkd_tune.locations.files import refused, write
from dfkd_tune.locations.paths import store_of, without_credentials, writable
from dfkd_tune.tracking.states import RunStatus
from dfkd_tune.tracking.tags import STUDY

SHIPPED, REFUSED = "shipped", "refused"
SHA256 = re.compile(r"[0-9a-f]{64}")
FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
"""Allowed path within a run's artifacts."""
RUN = re.compile(r"[^'`\\\x00-\x1f]{0,250}")
"""Allowed name of a run, which is quoted in filters of MLflow searches."""
NUMBERED = re.compile(r"\d+\.json")
"""File name of a record."""


class Event(StrEnum):
    """What a record reports to MLflow."""

    STUDY = "study"
    """A session of the study began."""
    END = "end"
    """The session ended."""
    OPEN = "open"
    """A run began."""
    CLOSE = "close"
    """The run ended."""
    LEFT = "left"
    """A run that another process opened ended, and that process will not close it."""
    SWEEP = "sweep"
    """No process works on any run of the study."""


@dataclass(frozen=True)
class Record:
    """One report to MLflow. Applying it twice has the same result as applying it once.

    Args:
        event: what is reported.
        run: id of the run, stored as a tag on it; empty for the parent run.
        name: name of the run.
        at: time in milliseconds since 1970.
        status: final status of a run or study that ends.
        params, tags, metrics: parameters, tags and metrics of the run.
        curve: points ``(step, rmse)``.
        files: artifact path -> SHA-256 of the content.
        again: whether the run replaces the last run of the same name.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    event: Event
    run: str = ""
    name: str = ""
    at: int = 0
    status: RunStatus | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: Sequence[tuple[int, float]] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    again: bool = False


RECORD = TypeAdapter(Record)


def now() -> int:
    """Milliseconds since 1970, MLflow's unit of time."""
    return time.time_ns() // 1_000_000


def plain(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as the strings that MLflow stores, without credentials."""
    return {key: without_credentials(str(value)) for key, value in values.items()}


def digest(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


class Damaged(StorageError):
    """A record that cannot be read; retrying does not help."""


class Outbox:
    """The records of one study.

    Args:
        folder: folder of the study.
        storage: URL of the study's Optuna storage; records of another study with the same name are ignored.
    """

    def __init__(self, folder: Path, storage: str) -> None:
        self.folder, self.storage = folder, store_of(storage)

    def rename_study(self, old: str, new: str) -> None:
        """Write the records for a study that has another name, so that ``sync`` does not bring the old one back."""
        for session in self.sessions():
            for file in session.files():
                with suppress(Damaged):  # ``sync`` reports it
                    record = read(file)
                    tags = {k: new if (k, v) == (STUDY, old) else v for k, v in record.tags.items()}
                    own = record.event in (Event.STUDY, Event.END) and record.name == old
                    changed = replace(record, tags=tags, name=new if own else record.name)
                    if changed != record:
                        write(file, RECORD.dump_json(changed), StorageError)

    def begin(self) -> OutboxSegment:
        """Create and lock a session for this process.

        Raises:
            StorageError: if the folder cannot be written.
        """
        name = f"{now():013d}-{re.sub(r'[^A-Za-z0-9]+', '-', socket.gethostname())[:40]}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        folder = writable(self.folder / name)
        session = OutboxSegment(self, folder)
        session.hold()
        write(folder / "about.json", json.dumps({"storage": self.storage}).encode(), StorageError)
        return session

    def sessions(self) -> list[OutboxSegment]:
        """All sessions in the folder, oldest first."""
        found = []
        for about in sorted(self.folder.glob("*/about.json")):
            try:
                if json.loads(about.read_text(encoding="utf-8"))["storage"] == self.storage:
                    found.append(OutboxSegment(self, about.parent))
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return found

    def known(self) -> bool:
        """Whether any record of this study was uploaded before."""
        return any(any((session.folder / SHIPPED).glob("*.json")) for session in self.sessions())

    def keep(self, data: bytes) -> str:
        """Store content and return its SHA-256.

        Raises:
            StorageError: if the folder cannot be written.
        """
        sha = hashlib.sha256(data).hexdigest()
        file = self.folder / "objects" / sha
        if not file.exists():
            write(file, data, StorageError)
        return sha

    def content(self, sha: str) -> bytes:
        """Stored content by its SHA-256.

        Raises:
            ExportError: if it is missing or altered.
        """
        file = self.folder / "objects" / sha
        if not SHA256.fullmatch(sha):
            raise ExportError(self.folder, f"a record names no content: {sha[:80]!r}")
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ExportError(file, f"cannot be read: {error.strerror}") from None
        if hashlib.sha256(data).hexdigest() != sha:
            raise ExportError(file, "is truncated or altered: its SHA-256 is not its name")
        return data


class OutboxSegment:
    """The records of one process, in the order of creation."""

    def __init__(self, spool: Outbox, folder: Path) -> None:
        self.spool, self.folder = spool, folder
        self._lock = FileLock(folder / "lock")
        self._last = 0

    @property
    def name(self) -> str:
        return self.folder.name

    def hold(self) -> bool:
        """Try to lock the session; returns False while its process is alive."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError as error:
            raise refused(self.folder, error, StorageError) from None
        self._last = max((int(file.stem) for file in self.files()), default=0)
        return True

    def release(self) -> None:
        """Unlock the session, so that another process can take it up."""
        self._lock.release()

    def append(self, record: Record, files: Mapping[str, bytes] | None = None) -> Path:
        """Write a record. When this returns, the record is safe even if this process dies.

        Args:
            record: the record, without ``files``.
            files: artifact path -> content.

        Raises:
            StorageError: if it cannot be written.
        """
        for path in files or {}:
            if not FILE.fullmatch(path):
                raise StorageError(path, "is no path inside a run's artifacts")
        kept = {path: self.spool.keep(data) for path, data in (files or {}).items()}
        self._last += 1
        file = self.folder / f"{self._last:08d}.json"
        write(file, json.dumps(asdict(record) | {"files": kept}).encode(), StorageError)
        return file

    def waiting(self) -> list[Path]:
        """Records that are not uploaded yet, in order."""
        return sorted(file for file in self.folder.glob("*.json") if NUMBERED.fullmatch(file.name))

    def files(self) -> list[Path]:
        """All records in order, uploaded or not."""
        found = [file for part in ("", SHIPPED, REFUSED) for file in (self.folder / part).glob("*.json")]
        return sorted((file for file in found if NUMBERED.fullmatch(file.name)), key=lambda file: file.name)

    def records(self) -> Iterator[Record]:
        """All records that can be read."""
        for file in self.files():
            with suppress(Damaged):
                yield read(file)

    def unclosed(self) -> list[Record]:
        """Opening records of runs that were never closed."""
        opened: dict[str, Record] = {}
        for record in self.records():
            if record.event == Event.OPEN:
                opened[record.run] = record
            elif record.event == Event.CLOSE:
                opened.pop(record.run, None)
        return list(opened.values())

    def settle(self, file: Path, outcome: str = SHIPPED) -> None:
        """Move a record to the folder of its outcome."""
        if file.parent.name == outcome:
            return
        place = self.folder / outcome
        place.mkdir(exist_ok=True)
        os.replace(file, place / file.name)


def read(file: Path) -> Record:
    """Read a record from its file.

    Raises:
        Damaged: if it is not a valid record, or names a path outside of a run's artifacts.
    """
    try:
        record = RECORD.validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Damaged(file, f"is no record: {where + ': ' if where else ''}{first['msg']}") from None
    except OSError as error:
        raise Damaged(file, f"is no record: {error.strerror}") from None
    for path in record.files:
        if not FILE.fullmatch(path):
            raise Damaged(file, f"is no record: {path[:80]!r} is no path inside a run's artifacts")
    if not RUN.fullmatch(record.name):
        raise Damaged(file, f"is no record: no run is called {record.name[:80]!r}")
    return record
