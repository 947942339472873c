"""What a command waits for: told, and not for long."""

import contextlib
import http.server
import logging
import socket
import threading

import pytest
from asked import assert_refused
from filelock import FileLock

from dfkd_tune.errors import Interrupted
from dfkd_tune.reporting.terminal_progress import sentence
from dfkd_tune.search.locks import exclusive
from dfkd_tune.search.storage import open_storage
from dfkd_tune.search.trial_queue import TrialQueue
from dfkd_tune.study.opening import open_queue
from dfkd_tune.study.session import run_study
from dfkd_tune.utils import waits

pytestmark = pytest.mark.usefixtures("undrawn")


@contextlib.contextmanager
def starting():
    """A server that says it is well, and is not ready for anything else; yields its address and what it was asked."""
    asked = []

    class Starting(http.server.BaseHTTPRequestHandler):
        def do(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path == "/health" else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do

        def log_message(self, *arguments) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Starting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "argv",
    [
        ["export", "pump", "--out", "x.pt2"],
        ["register", "pump", "--model", "m"],
        ["distill", "--run", "0" * 32, "--out", "x"],
        ["report", "finished"],
        ["sync", "finished"],
    ],
    ids=lambda argv: argv[0],
)
def test_a_server_that_is_starting_is_asked_once(dfkd, store, finished, argv):
    """MLflow by itself asks for minutes."""
    with starting() as (uri, asked):
        ended = dfkd(*argv, "--tracking-uri", uri, *(store.options[:2] if argv[0] in ("report", "sync") else []))
    assert_refused(ended, uri, "503")
    assert len([path for path in asked if path != "/health"]) == 1


def test_a_worker_says_what_it_waits_for(store, tiny):
    prepared, seen = tiny("claimed", trials=2), []
    study, queue = open_queue(prepared, store.storage, store.tracking)
    others = TrialQueue(study, queue.storage)
    assert others.claim(2) and others.claim(2)
    with pytest.raises(Interrupted):
        run_study(
            prepared, store.storage, store.tracking, seen.append, lambda: bool(seen and seen[-1].waiting), joining=True
        )
    words = f"2 trials of other workers on {socket.gethostname()}, or 3 minutes after the last heartbeat of a dead one"
    assert seen[-1].waiting == words
    assert f"waiting for {words}" in sentence(seen[-1])
    assert seen[0].waiting is None  # it has the untuned baseline to run
    queue.storage.engine.dispose()


def test_a_lock_that_is_held_is_told(tmp_path, monkeypatch, caplog):
    url = f"sqlite:///{tmp_path}/optuna.db"
    storage, held = open_storage(url), FileLock(tmp_path / "optuna.db.lock", thread_local=False)
    monkeypatch.setattr(waits, "SOON", 0.0)
    held.acquire()
    with caplog.at_level(logging.WARNING):
        waiting = threading.Thread(target=lambda: exclusive(storage, url).__enter__())
        waiting.start()
        while "waiting until another process has set its study up in" not in caplog.text:
            waiting.join(0.01)
            assert waiting.is_alive()
    held.release()
    waiting.join()
    assert str(tmp_path / "optuna.db") in caplog.text
    storage.engine.dispose()
