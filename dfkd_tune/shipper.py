"""Ships records from the spool in order, from one thread; an outage makes it wait, never the study."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from pathlib import Path

from .errors import TrackingError
from .places import without_credentials
from .runs import Refused, Runs
from .spool import REFUSED, Damaged, Session, read
from .stores import line, preflight

LOG = logging.getLogger(__name__)
FIRST, LONGEST = 0.5, 30.0
"""Seconds before a record is tried again: doubled from the first to the longest."""


class Shipper:
    """One thread that applies records one after another.

    Args:
        runs: the MLflow side.
        own: the session of this process; others are taken up from dead ones.
    """

    def __init__(self, runs: Runs, own: Session):
        self._runs, self._own = runs, own
        self._queue: deque[tuple[Session, Path]] = deque()
        self._change = threading.Condition()
        self._stopped = False
        self._hurry = threading.Event()
        self.shipped = 0
        self.refused: list[str] = []
        self.trouble: str | None = None
        """Why nothing is shipped at the moment."""
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def put(self, session: Session, file: Path) -> None:
        """Ship a record after all those before it."""
        with self._change:
            self._queue.append((session, file))
            self._change.notify_all()

    @property
    def left(self) -> int:
        """Records not shipped yet."""
        return len(self._queue)

    def flush(self, patience: float = 0.0) -> bool:
        """Wait until everything so far is shipped, or MLflow does not take it.

        Args:
            patience: seconds that it may take nothing.

        Returns:
            Whether everything is shipped.
        """
        with self._change:
            since, shipped = time.monotonic(), self.shipped
            while self._queue and not self._stopped:
                if self.shipped != shipped:
                    since, shipped = time.monotonic(), self.shipped
                if self.trouble is not None:
                    if time.monotonic() - since >= patience:
                        break
                    self._hurry.set()
                self._change.wait(0.2)
            return not self._queue

    def stop(self) -> None:
        """End the thread; what it does at the moment is done or not, the spool knows which."""
        with self._change:
            self._stopped = True
            self._change.notify_all()
        self._hurry.set()
        self._thread.join(0.5)

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._queue and not self._stopped:
                    self._change.wait()
                if self._stopped:
                    return
                session, file = self._queue[0]
            if not self._ship(session, file):
                return
            with self._change:
                self._queue.popleft()
                self.shipped += 1
                self._change.notify_all()

    def _ship(self, session: Session, file: Path) -> bool:
        """Apply one record, however long MLflow is away; False when stopped."""
        pause = FIRST
        while not self._stopped:
            try:
                if self.trouble is not None:
                    preflight(self._runs.uri)
                self._runs.apply(read(file), session.spool.content, session is self._own)
                session.settle(file)
            except (Refused, Damaged) as error:
                self.refused.append(str(error))
                session.settle(file, REFUSED)
            except Exception as error:
                self._tell(error)
                self._hurry.wait(pause)
                self._hurry.clear()
                pause = min(2 * pause, LONGEST)
                continue
            if self.trouble is not None:
                LOG.warning("MLflow answers again")
            self.trouble = None
            return True
        return False

    def _tell(self, error: Exception) -> None:
        place = without_credentials(self._runs.uri)
        reason = str(error) if isinstance(error, TrackingError) else f"{place}: {without_credentials(line(error))}"
        if not isinstance(error, TrackingError):
            try:
                preflight(self._runs.uri)
            except TrackingError as plainer:
                reason = str(plainer)
        with self._change:
            before, self.trouble = self.trouble, reason
            self._change.notify_all()
        if before is None:
            LOG.warning("%s; the study goes on, records wait in %s", reason, self._own.spool.folder)
