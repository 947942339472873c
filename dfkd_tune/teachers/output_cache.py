"""A cache on disk of a teacher's outputs for the frozen rows of a study, shared by workers and later sessions.

The file name is a hash of everything that its contents depend on, the teacher's SHA-256 included, so that outputs of
another teacher are never read. The file may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dfkd_tune.errors import StorageError
from dfkd_tune.locations.files import write
from dfkd_tune.utils.waits import telling

LOG = logging.getLogger(__name__)
OWNER = 16
"""Characters of the teacher's SHA-256 in a file's name."""
POLL_S = 0.5
"""Seconds between two attempts to lock a file that another process writes."""


def files_of(folder: Path, teacher: str) -> list[Path]:
    """The cache files of a teacher, by its SHA-256, and their locks."""
    return sorted(folder.glob(f"{teacher[:OWNER]}-*"))


class Answers:
    """One cache file of named tensors.

    Args:
        folder: folder with the cache files of all studies.
        of: SHA-256 of the teacher; the file's name begins with it, so that the files of a teacher are found.
        about: plain values that determine the tensors; they form the cache key.
    """

    def __init__(self, folder: Path, of: str, *about: object) -> None:
        version = importlib.metadata.version("dfkd-tune")
        name = hashlib.sha256(repr((version, of, *about)).encode()).hexdigest()[:32]
        self.folder, self.file = folder, folder / f"{of[:OWNER]}-{name}.safetensors"

    def load(self) -> tuple[dict[str, Tensor], int] | None:
        """The tensors, and the number of teacher rows that they cost; None without a complete file."""
        try:
            with safe_open(self.file, framework="pt") as found:
                return {name: found.get_tensor(name) for name in found.keys()}, int(found.metadata()["rows"])  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None

    def save(self, tensors: dict[str, Tensor], rows: int) -> None:
        """Write the tensors; if the file cannot be written, only the sharing is lost, with a warning."""
        flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        try:
            write(self.file, save(flat, {"rows": str(rows)}), StorageError)
        except StorageError as error:
            LOG.warning("teacher outputs are not cached: %s", error)

    @contextmanager
    def locked(self, check_cancelled: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Lock the file, so that one process queries the teacher while the others wait for its outputs.

        Args:
            check_cancelled: called before every attempt to lock; may raise to cancel.
        """
        lock = FileLock(self.file.with_suffix(".lock"))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with telling(LOG, "waiting for another process to query the teacher"):
                while not lock.is_locked:
                    check_cancelled()
                    with suppress(Timeout):
                        lock.acquire(timeout=POLL_S)
        except OSError as error:
            LOG.warning("teacher outputs are not cached: %s: %s", self.folder, error.strerror)
        try:
            yield
        finally:
            lock.release()
