"""A teacher's answers to the frozen rows of a study, in a file that its workers and later sessions on this machine share.

A file is named by everything that its contents follow from, the teacher's SHA-256 first, so that nothing is ever read that
another teacher answered; it may be deleted at any time.
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
POLL_S = 0.5
"""Seconds between two looks at a file that another process is making."""


class Answers:
    """Tensors under the name of what they follow from.

    Args:
        folder: where the files of all studies lie.
        about: plain values, equal only where the tensors are.
    """

    def __init__(self, folder: Path, *about: object) -> None:
        version = importlib.metadata.version("dfkd-tune")
        name = hashlib.sha256(repr((version, *about)).encode()).hexdigest()[:32]
        self.folder, self.file = folder, folder / f"{name}.safetensors"

    def load(self) -> tuple[dict[str, Tensor], int] | None:
        """The tensors, and the rows that the teacher answered for them; None where there is no whole file."""
        try:
            with safe_open(self.file, framework="pt") as found:
                return {name: found.get_tensor(name) for name in found.keys()}, int(found.metadata()["rows"])  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None

    def save(self, tensors: dict[str, Tensor], rows: int) -> None:
        """Keep them; a place that takes no file costs the others their share alone."""
        flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        try:
            write(self.file, save(flat, {"rows": str(rows)}), StorageError)
        except StorageError as error:
            LOG.warning("answers of the teacher are not shared: %s", error)

    @contextmanager
    def locked(self, check_cancelled: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the file, so that one process asks and the others wait for what it was told.

        Args:
            check_cancelled: called before every look at whether another process still holds it; may raise.
        """
        lock = FileLock(self.file.with_suffix(".lock"))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with telling(LOG, "waiting until another process has asked the teacher, as long as it lives"):
                while not lock.is_locked:
                    check_cancelled()
                    with suppress(Timeout):
                        lock.acquire(timeout=POLL_S)
        except OSError as error:
            LOG.warning("answers of the teacher are not shared: %s: %s", self.folder, error.strerror)
        try:
            yield
        finally:
            lock.release()
