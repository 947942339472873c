"""HTTP requests to an endpoint: a passing failure is waited for, everything else is an error at once.

Connection errors, timeouts, and the statuses 408, 425, 429, 502, 503 and 504 pass. The pause grows from one attempt to the
next, or is what ``Retry-After`` asks for. An endpoint may show in an answer what it was sent: no message holds the
values of the headers from the environment.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import DecodeError, HTTPError, InvalidHeader, NewConnectionError
from urllib3.util import Retry

from dfkd_tune.errors import TeacherError
from dfkd_tune.locations.paths import without_credentials
from dfkd_tune.teachers.endpoints.address import HEADERS, TOKEN
from dfkd_tune.utils.object_reference import one_line

LOG = logging.getLogger(__name__)

PARALLEL = 4
"""Number of requests at a time."""
TIMEOUT = "DFKD_TEACHER_TIMEOUT"
"""Environment variable with the longest time that an answer may take, in seconds."""
TIMEOUT_S = 60.0
CONNECT_S = 10.0
"""Longest time to connect, in seconds."""
START_S = 10.0
"""Longest time that the first request of all waits for an endpoint, in seconds."""
OUTAGE_LIMIT_S = 3600.0
"""Longest time that a later request waits for an endpoint, in seconds."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Shortest and longest pause between two attempts, in seconds, unless the endpoint asks for another."""
PASSING = {408, 425, 429, 502, 503, 504}
"""Statuses of a failure that passes."""
BUSY = 429
OVERSIZED = 413
MOST_BYTES = 2**26
"""Largest answer, in bytes after decompression."""
CHUNK_BYTES = 2**16
HIDDEN, LEAST_HIDDEN = "***", 4
"""What stands for a secret in a message, and the fewest characters of one: shorter words are in every message."""
FAILURES = 3
"""Number of attempts of a request that is answered with an internal error."""
UNREACHED_REMEDY = "see that it can be reached, then run the same command again"
Json = dict[str, Any] | list[Any]


class Refused(Exception):
    """An endpoint does not take a request; the message is the endpoint's."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(f"{status} {reason}".strip())


class Oversized(Refused):
    """The answer to a request is too large."""


class Away(Exception):
    """An endpoint does not answer now; ``sent`` says that it may have taken the request, and perhaps charged for it."""

    def __init__(self, reason: str, pause: float = 0.0, busy: bool = False, sent: bool = False) -> None:
        self.pause, self.busy, self.sent = pause, busy, sent
        super().__init__(reason)


class Stopped(Exception):
    """Another request failed for good."""


class Client:
    """Sends requests to one endpoint; its methods may be called by several threads.

    Args:
        source: address of the endpoint, for messages.

    Raises:
        TeacherError: an environment variable cannot be used; the message does not show its value.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.session = requests.Session()
        sent = headers()
        self.session.auth = _Headers(sent)  # it is used on every request, and keeps netrc out
        words = {word for value in sent.values() for word in (value, *value.split()[1:])}
        self._secrets = sorted((word for word in words if len(word) >= LEAST_HIDDEN), key=len, reverse=True)
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(pool_maxsize=PARALLEL))
        self.timeout = (CONNECT_S, _timeout())
        self.stop = threading.Event()
        self.answered = False
        self._away = False
        self._lock = threading.Lock()

    def get(self, url: str) -> Json:
        """The document at an address; raises as ``post`` does."""
        return self._patiently(lambda: self._once("GET", url, None))

    def post(self, url: str, body: Json, again: Callable[[], None] = lambda: None) -> Json:
        """Send a document, and return the one that comes back. ``again`` is called, and may raise, before one that
        may have arrived is sent once more.

        Raises:
            Refused: the endpoint does not take the document.
            TeacherError: it denies access, fails again and again, does not answer for ``OUTAGE_LIMIT_S``, or answers no
                JSON.
            Stopped: ``stop`` is set.
        """
        data = json.dumps(body, allow_nan=False).encode()
        return self._patiently(lambda: self._once("POST", url, data), again)

    def hidden(self, text: str) -> str:
        """A text of the endpoint without the values of the headers that it was sent."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def _once(self, method: str, url: str, data: bytes | None) -> Json:
        kind = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if data is not None else {})
        until = time.monotonic() + self.timeout[1]
        try:
            with self.session.request(
                method, url, data=data, headers=kind, timeout=self.timeout, allow_redirects=False, stream=True
            ) as answer:
                return self._document(answer, self._body(answer, until))
        except (requests.ConnectionError, requests.Timeout) as error:
            if isinstance(error, requests.exceptions.SSLError):
                raise TeacherError(self.source, f"is not trusted: {self._said(error)}") from None
            unsent = isinstance(error, requests.ConnectTimeout) or NewConnectionError.__name__ in repr(error)
            raise Away(self._said(error), sent=not unsent) from None
        except (requests.RequestException, ValueError) as error:
            raise TeacherError(self.source, f"cannot be asked: {self._said(error)}") from None

    def _body(self, answer: requests.Response, until: float) -> bytes:
        """The body of an answer, decompressed."""
        parts, size = [], 0
        try:
            while part := answer.raw.read1(CHUNK_BYTES, decode_content=True):
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    raise Oversized(OVERSIZED, f"its answer is larger than {MOST_BYTES / 2**20:g} MiB")
                if time.monotonic() > until:
                    raise Away(f"its answer takes longer than {_period(self.timeout[1])}", sent=True)
        except DecodeError:
            rule = f"answers in another form than its header Content-Encoding says, {self._header(answer)}"
            raise TeacherError(self.source, rule, remedy="see the log of its server") from None
        except HTTPError as error:
            raise Away(self._said(error), sent=True) from None
        return b"".join(parts)

    def _document(self, answer: requests.Response, body: bytes) -> Json:
        """The JSON document in an answer."""
        status, said = answer.status_code, self.hidden(f"{answer.status_code} {answer.reason}")
        if status in PASSING:
            raise Away(said, _retry_after(answer), status == BUSY)
        if status in (401, 403):
            rule = f"denies access: {said}"
            raise TeacherError(self.source, rule, remedy=f"set {TOKEN}, or {HEADERS}, in the environment")
        if 300 <= status < 400:
            place = without_credentials(self.hidden(answer.headers.get("Location", "another address")))
            raise TeacherError(self.source, f"has moved to {place}", remedy="give the address that it has now")
        found = _json(body)
        if status >= 400:
            raise Refused(status, self._reason(found, body, answer.reason or ""))
        if not isinstance(found, dict | list):
            begin = one_line(ValueError(self._text(body)[:80])) if body.strip() else "an empty answer"
            raise TeacherError(self.source, f"answers no JSON document: {begin}", remedy="check its address")
        return found

    def _patiently(self, call: Callable[[], Json], again: Callable[[], None] = lambda: None) -> Json:
        pause, until, failures = FIRST_PAUSE, None, 0
        while True:
            if self.stop.is_set():
                raise Stopped
            try:
                found = call()
            except Refused as error:
                failures += 1
                if error.status < 500:
                    raise
                if failures == FAILURES:
                    raise TeacherError(self.source, f"fails: {error}", remedy="see the log of its server") from None
                self.stop.wait(pause)
            except Away as error:
                now, limit = time.monotonic(), OUTAGE_LIMIT_S if self.answered or error.busy else START_S
                until = now + limit if until is None else until
                if now >= until or error.pause > until - now:
                    rule = f"has not answered for {_period(min(limit, now - until + limit))}"
                    if error.pause > limit:
                        rule = f"asks for a longer pause than the {_period(limit)} that are waited"
                    raise TeacherError(self.source, f"{rule}: {error}", remedy=UNREACHED_REMEDY) from None
                self._tell(error, limit)
                if error.sent:
                    again()
                wait = max(error.pause, pause * random.uniform(0.5, 1.0))
                self.stop.wait(min(wait, until - now))  # the last attempt is at the end of the wait
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self.answered = True
                self._tell(None)
                return found

    def _tell(self, problem: Away | None, limit: float = 0.0) -> None:
        """Log the first failure of an outage, and the first answer after it."""
        with self._lock:
            if problem is not None and not self._away:
                LOG.warning("%s does not answer (%s); waiting for it, %s at most", self.source, problem, _period(limit))
            elif problem is None and self._away:
                LOG.warning("%s answers again", self.source)
            self._away = problem is not None

    def _text(self, body: bytes) -> str:
        return self.hidden(body.decode(errors="replace"))

    def _reason(self, found: Any, body: bytes, otherwise: str) -> str:
        """What an endpoint says about an error, in the document or the text of its answer."""
        keys = ("message", "error", "detail", "error_code")
        told = [found.get(key) for key in keys] if isinstance(found, dict) else []
        said = next((each for each in told if isinstance(each, str) and each), self._text(body) or otherwise)
        return without_credentials(one_line(ValueError(self.hidden(said))))

    def _header(self, answer: requests.Response) -> str:
        return self.hidden(answer.headers.get("Content-Encoding", "none"))

    def _said(self, error: Exception) -> str:
        """What went wrong with a connection, without the object that failed and without credentials."""
        inner = error.args[0] if error.args else error
        reason = str(getattr(inner, "reason", None) or inner)
        return without_credentials(one_line(ValueError(self.hidden(reason.rpartition(">: ")[2] or reason))))


class _Headers(AuthBase):
    """Adds headers to a request."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self.headers)
        return request


def headers() -> dict[str, str]:
    """Headers from the environment.

    Raises:
        TeacherError: ``DFKD_TEACHER_HEADERS`` is not JSON of names and values, or a character cannot be sent. The message
            shows no value, as no library may be left to do.
    """
    token, given = os.environ.get(TOKEN, "").strip(), os.environ.get(HEADERS)
    try:
        found = json.loads(given) if given else {}
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise TeacherError(HEADERS, "must hold JSON of header names and values", remedy='{"X-Api-Key": "..."}')
    for place, words in ((TOKEN, [token]), (HEADERS, [*found, *found.values()])):
        if not all(word.isascii() and word.isprintable() for word in words):
            raise TeacherError(
                place, "holds characters that a header cannot have", remedy="use ASCII, without line breaks"
            )
    return ({"Authorization": f"Bearer {token}"} if token else {}) | found


def _timeout() -> float:
    given = os.environ.get(TIMEOUT)
    try:
        seconds = float(given) if given else TIMEOUT_S
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise TeacherError(TIMEOUT, f"must hold a number of seconds, found {given!r}", remedy=f"{TIMEOUT}=60")
    return seconds


def _retry_after(answer: requests.Response) -> float:
    """Seconds that an answer asks to wait; 0 if it asks for none."""
    given = answer.headers.get("Retry-After")
    try:
        return Retry().parse_retry_after(given) if given else 0.0
    except (InvalidHeader, ValueError, OverflowError):  # nonsense, or a date that no clock shows
        return 0.0


def _json(body: bytes) -> Any:
    """The JSON in a body; None if it holds none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _period(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.3g} seconds"
