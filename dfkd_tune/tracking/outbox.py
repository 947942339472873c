"""What a study records, on disk before it is shipped: one file a record, written whole and synced.

::

    spool/STUDY/objects/SHA256        a file of a student, by its content
    spool/STUDY/SESSION/about.json    whose session it is
    spool/STUDY/SESSION/lock          held while its process lives
    spool/STUDY/SESSION/00000001.json a record that waits to be shipped
    spool/STUDY/SESSION/shipped/      those that were
    spool/STUDY/SESSION/refused/      those that MLflow will not have

Nothing is taken away: from the spool, the MLflow side of a study can be made again.
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
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ConfigDict, TypeAdapter, ValidationError

from dfkd_tune.errors import ExportError, StorageError
from dfkd_tune.locations.files import refused, write
from dfkd_tune.locations.paths import store_of, without_credentials, writable
from dfkd_tune.tracking.states import RunStatus

SHIPPED, REFUSED = "shipped", "refused"
SHA256 = re.compile(r"[0-9a-f]{64}")
FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
"""A path inside a run's artifacts."""
RUN = re.compile(r"[^'`\\\x00-\x1f]{0,250}")
"""A run's name, which MLflow is asked for by a quoted filter."""
NUMBERED = re.compile(r"\d+\.json")
"""A record's file."""


class Event(StrEnum):
    """What a record tells MLflow."""

    STUDY = "study"
    """A session of a study began."""
    END = "end"
    """It ended."""
    OPEN = "open"
    """A run began."""
    CLOSE = "close"
    """It ended."""
    LEFT = "left"
    """A run that another process opened ended, and nobody else will close it."""
    SWEEP = "sweep"
    """Nobody works on a run."""


@dataclass(frozen=True)
class Record:
    """One thing to tell MLflow; telling it twice is telling it once.

    Args:
        event: what it tells.
        run: id of the run it is about, a tag on it; empty for the study's own.
        name: of the run.
        at: milliseconds since 1970.
        status: where something ends.
        params, tags, metrics: of the run.
        curve: ``(step, rmse)`` points.
        files: artifact path -> SHA-256.
        again: whether the run takes the place of the last one of its name.
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
    """Milliseconds since 1970, as MLflow counts."""
    return time.time_ns() // 1_000_000


def plain(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as MLflow stores them, credentials left out."""
    return {key: without_credentials(str(value)) for key, value in values.items()}


def digest(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


class Damaged(StorageError):
    """A record that cannot be read, however often it is tried."""


class Outbox:
    """The records of one study.

    Args:
        folder: of the study.
        storage: URL of its state; records of another study of that name are left alone.
    """

    def __init__(self, folder: Path, storage: str) -> None:
        self.folder, self.storage = folder, store_of(storage)

    def begin(self) -> OutboxSegment:
        """A session for this process, which holds its lock.

        Raises:
            StorageError: when the place takes no files.
        """
        name = f"{now():013d}-{re.sub(r'[^A-Za-z0-9]+', '-', socket.gethostname())[:40]}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        folder = writable(self.folder / name)
        session = OutboxSegment(self, folder)
        session.hold()
        write(folder / "about.json", json.dumps({"storage": self.storage}).encode(), StorageError)
        return session

    def sessions(self) -> list[OutboxSegment]:
        """All sessions on record, oldest first."""
        found = []
        for about in sorted(self.folder.glob("*/about.json")):
            try:
                if json.loads(about.read_text(encoding="utf-8"))["storage"] == self.storage:
                    found.append(OutboxSegment(self, about.parent))
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return found

    def known(self) -> bool:
        """Whether MLflow has taken records of this study before."""
        return any(any((session.folder / SHIPPED).glob("*.json")) for session in self.sessions())

    def keep(self, data: bytes) -> str:
        """Store content; returns its SHA-256.

        Raises:
            StorageError: when the place takes no files.
        """
        sha = hashlib.sha256(data).hexdigest()
        file = self.folder / "objects" / sha
        if not file.exists():
            write(file, data, StorageError)
        return sha

    def content(self, sha: str) -> bytes:
        """What was stored.

        Raises:
            ExportError: when it is gone or altered.
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
    """The records of one process, in the order in which they were made."""

    def __init__(self, spool: Outbox, folder: Path) -> None:
        self.spool, self.folder = spool, folder
        self._lock = FileLock(folder / "lock")
        self._last = 0

    @property
    def name(self) -> str:
        return self.folder.name

    def hold(self) -> bool:
        """Take the session's lock; False when its process lives."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError as error:
            raise refused(self.folder, error, StorageError) from None
        self._last = max((int(file.stem) for file in self.files()), default=0)
        return True

    def release(self) -> None:
        """Let another process take the session up."""
        self._lock.release()

    def append(self, record: Record, files: Mapping[str, bytes] | None = None) -> Path:
        """Record something: when this returns, it survives whatever becomes of this process.

        Args:
            record: without its files.
            files: artifact path -> content.

        Raises:
            StorageError: when it cannot be written.
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
        """Records to be shipped, in order."""
        return sorted(file for file in self.folder.glob("*.json") if NUMBERED.fullmatch(file.name))

    def files(self) -> list[Path]:
        """All records, in order, shipped or not."""
        found = [file for part in ("", SHIPPED, REFUSED) for file in (self.folder / part).glob("*.json")]
        return sorted((file for file in found if NUMBERED.fullmatch(file.name)), key=lambda file: file.name)

    def records(self) -> Iterator[Record]:
        """Those that can be read."""
        for file in self.files():
            with suppress(Damaged):
                yield read(file)

    def unclosed(self) -> list[Record]:
        """Runs that were opened and never closed."""
        opened: dict[str, Record] = {}
        for record in self.records():
            if record.event == Event.OPEN:
                opened[record.run] = record
            elif record.event == Event.CLOSE:
                opened.pop(record.run, None)
        return list(opened.values())

    def settle(self, file: Path, outcome: str = SHIPPED) -> None:
        """Say what became of a record."""
        if file.parent.name == outcome:
            return
        place = self.folder / outcome
        place.mkdir(exist_ok=True)
        os.replace(file, place / file.name)


def read(file: Path) -> Record:
    """A record from its file.

    Raises:
        Damaged: when it is none, or would put a file outside of a run's artifacts.
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
