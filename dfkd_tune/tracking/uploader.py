"""Upload records from the spool to MLflow in order, in one thread. During an outage the thread waits and the study goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

from dfkd_tune.errors import TrackingError
from dfkd_tune.locations.paths import without_credentials
from dfkd_tune.tracking.connection import line, preflight
from dfkd_tune.tracking.outbox import REFUSED, Damaged, Event, OutboxSegment, Record, read
from dfkd_tune.tracking.runs import RejectedRecord, Runs

LOG = logging.getLogger(__name__)
FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 30.0
"""Seconds before a record is retried; they double from the first to the longest."""
LAG = 10.0
"""Seconds that a run's start waits for its end: together they take three requests, apart five, and a quarter more time. Most trials take less."""


class _Waiting(NamedTuple):
    """A record to upload, and the run that it starts or ends."""

    session: OutboxSegment
    file: Path
    since: float
    starts: str | None
    ends: str | None


class Uploader:
    """A thread that uploads records one after another.

    Args:
        runs: the runs in MLflow.
        own: session of this process; other sessions belonged to dead processes.
    """

    def __init__(self, runs: Runs, own: OutboxSegment) -> None:
        self._runs, self._own = runs, own
        self._queue: deque[_Waiting] = deque()
        self._change = threading.Condition()
        self._stopped, self._flushing = False, 0
        self._hurry = threading.Event()
        self.shipped = 0
        self.refused: list[str] = []
        self.trouble: str | None = None
        """Why no record can be uploaded at the moment; None if nothing is wrong."""
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def put(self, session: OutboxSegment, file: Path, record: Record | None = None) -> None:
        """Queue a record. If ``record`` is given and starts a run, it may be uploaded together with the run's end."""
        with self._change:
            starts, ends = (
                record.run if record is not None and record.event == event else None
                for event in (Event.OPEN, Event.CLOSE)
            )
            self._queue.append(_Waiting(session, file, time.monotonic(), starts, ends))
            self._change.notify_all()

    @property
    def left(self) -> int:
        """Number of records not uploaded yet."""
        return len(self._queue)

    def flush(self, patience: float = 0.0) -> bool:
        """Wait until all records are uploaded, or MLflow does not accept them.

        Args:
            patience: seconds to go on waiting while MLflow accepts nothing.

        Returns:
            Whether all records are uploaded.
        """
        with self._change:
            self._flushing += 1
            self._change.notify_all()
            try:
                self._wait(patience)
            finally:
                self._flushing -= 1
            return not self._queue

    def _wait(self, patience: float) -> None:
        since, shipped = time.monotonic(), self.shipped
        while self._queue and not self._stopped:
            if self.shipped != shipped:
                since, shipped = time.monotonic(), self.shipped
            if self.trouble is not None:
                if time.monotonic() - since >= patience:
                    return
                self._hurry.set()
            self._change.wait(0.2)

    def stop(self) -> None:
        """Stop the thread. The spool keeps every record whose upload was not confirmed."""
        with self._change:
            self._stopped = True
            self._change.notify_all()
        self._hurry.set()
        self._thread.join(0.5)

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._stopped and (wait := self._due()) != 0:
                    self._change.wait(wait)
                if self._stopped:
                    return
                first = self._queue[0]
                end = self._end_of(first)
            together = end if end is not None and self._ship_both(first, end) else None
            if together is None and not self._upload(first):
                return
            with self._change:
                self._queue.popleft()
                if together is not None:
                    self._queue.remove(together)
                self.shipped += 1 if together is None else 2
                self._change.notify_all()

    def _due(self) -> float | None:
        """Seconds until the next record is uploaded; None without a record."""
        if not self._queue:
            return None
        first = self._queue[0]
        if first.starts is None or self._flushing or self._end_of(first) is not None:
            return 0
        return max(0.0, first.since + LAG - time.monotonic())

    def _end_of(self, first: _Waiting) -> _Waiting | None:
        """The queued end of the run that ``first`` starts; None if there is none."""
        if first.starts is None:
            return None
        return next((each for each in self._queue if each.ends == first.starts), None)

    def _ship_both(self, start: _Waiting, end: _Waiting) -> bool:
        """Upload a whole run at once. False if that failed; then the two records are uploaded one by one."""
        if self.trouble is not None:
            return False
        try:
            self._runs.apply(read(start.file), start.session.spool.content, True, read(end.file))
        except Exception:
            return False
        for each in (start, end):
            each.session.settle(each.file)
        return True

    def _upload(self, waiting: _Waiting) -> bool:
        """Apply one record, retrying as long as MLflow is down; False if the thread was stopped."""
        session, file, *_ = waiting
        pause = FIRST_RETRY_S
        while not self._stopped:
            try:
                if self.trouble is not None:
                    preflight(self._runs.uri)
                self._runs.apply(read(file), session.spool.content, session is self._own)
                session.settle(file)
            except (RejectedRecord, Damaged) as error:
                self.refused.append(str(error))
                session.settle(file, REFUSED)
            except Exception as error:
                self._tell(error)
                self._hurry.wait(pause)
                self._hurry.clear()
                pause = min(2 * pause, LONGEST_RETRY_S)
                continue
            if self.trouble is not None:
                LOG.warning("MLflow responds again")
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
            if before is None:  # a notified flush retries at once, so notifying each failure would never pause
                self._change.notify_all()
        if before is None:
            LOG.warning("%s; the study goes on, records wait in %s", reason, self._own.spool.folder)
