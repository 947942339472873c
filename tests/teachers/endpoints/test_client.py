"""Requests to an endpoint: what passes is waited for, what does not is told, and no secret is shown."""

import logging
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from endpoints import ROWS, TWO, declared, truth
from processes import free_port, inferring
from teacher_files import fails

from dfkd_tune.errors import Interrupted, TeacherError
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.endpoints import client
from dfkd_tune.teachers.loader import load_teacher

SERVER = Path(__file__).parents[2] / "support" / "inference_server.py"


def test_a_busy_server_is_asked_again_when_it_says(server, trouble, teacher):
    teacher(ROWS[:1])
    trouble(status=429, headers={"Retry-After": "1"}, times=1)
    start = time.monotonic()
    torch.testing.assert_close(teacher(ROWS[1:2]), truth(ROWS[1:2]))
    assert time.monotonic() - start >= 1.0


def test_an_answer_that_takes_too_long_is_asked_for_again(server, trouble, monkeypatch, caplog):
    monkeypatch.setenv(client.TIMEOUT, "0.3")
    teacher = load_teacher(f"{server}/invocations")
    teacher(ROWS[:1])
    trouble(seconds=1, times=1)
    with caplog.at_level(logging.WARNING):
        torch.testing.assert_close(teacher(ROWS[1:2]), truth(ROWS[1:2]))
    assert "does not answer" in caplog.text and "answers again" in caplog.text


def test_an_outage_is_waited_for_and_told_once(tmp_path, caplog):
    port = free_port()
    with inferring(tmp_path, port=port) as address:
        teacher = load_teacher(f"{address}/invocations")
        teacher(ROWS[:1])
    with _later(1.0, tmp_path, port), caplog.at_level(logging.WARNING):
        torch.testing.assert_close(teacher(ROWS), truth(ROWS))
    assert caplog.text.count("does not answer") == 1 and "60 minutes at most" in caplog.text
    assert caplog.text.count("answers again") == 1


@contextmanager
def _later(seconds: float, folder: Path, port: int):
    """A server that starts some time after the block."""
    import subprocess

    script = f"import runpy, sys, time; time.sleep({seconds}); sys.argv = ['', '{port}', 'array']; runpy.run_path({str(SERVER)!r}, run_name='__main__')"
    process = subprocess.Popen([sys.executable, "-S", "-c", script], cwd=folder)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_a_wait_ends_when_the_user_wants_to_stop(tmp_path):
    with inferring(tmp_path) as address:
        teacher = load_teacher(f"{address}/invocations")
        teacher(ROWS[:1])

    def stop() -> None:
        raise Interrupted("pump")

    teacher.guard.check_cancelled = stop
    with pytest.raises(Interrupted):
        teacher(ROWS[1:2])


def test_what_never_answered_is_told_soon(monkeypatch, tmp_path):
    monkeypatch.setattr(client, "START_S", 0.3)
    address = f"http://127.0.0.1:{free_port()}"
    with fails(address, "has not answered for 0.3 seconds", "Connection refused"):
        load_teacher(f"{address}/v2/models/m")
    with fails(address, "has not answered"):
        with_inputs(load_teacher(f"{address}/invocations"), declared(tmp_path, TWO))


def test_a_token_is_taken_from_the_environment_and_shown_nowhere(tmp_path, monkeypatch, caplog):
    with inferring(tmp_path, secret=("hunter2",)) as address:
        with fails(address, "denies access: 401", "DFKD_TEACHER_TOKEN"):
            load_teacher(f"{address}/invocations")(ROWS[:1])
        monkeypatch.setenv("DFKD_TEACHER_TOKEN", "hunter2")
        teacher = load_teacher(f"{address}/invocations")
        torch.testing.assert_close(teacher(ROWS), truth(ROWS))
        monkeypatch.delenv("DFKD_TEACHER_TOKEN")
        monkeypatch.setenv("DFKD_TEACHER_HEADERS", '{"Authorization": "Bearer hunter2"}')
        torch.testing.assert_close(load_teacher(f"{address}/invocations")(ROWS), truth(ROWS))
    assert "hunter2" not in caplog.text + repr(teacher)


@pytest.mark.parametrize("path", ["/invocations", "/v2/models/m"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 400, "text": '{"message": "got Bearer hunter2, hunter3"}'},
        {"status": 500, "text": '{"error": "got Bearer hunter2, hunter3"}'},
        {"status": 418, "text": "<pre>Authorization: Bearer hunter2 hunter3</pre>"},
        {"status": 302, "headers": {"Location": "http://there/?h=hunter2&k=hunter3"}},
        {"text": "hunter2"},
        {"text": '{"predictions": ["hunter2"], "outputs": [{"name": "y", "shape": [1], "data": ["hunter3"]}]}'},
    ],
)
def test_what_an_endpoint_repeats_of_its_headers_is_not_shown(wrong, path, server, trouble, monkeypatch, caplog):
    monkeypatch.setenv("DFKD_TEACHER_TOKEN", "hunter2")
    monkeypatch.setenv("DFKD_TEACHER_HEADERS", '{"X-Api-Key": "hunter3"}')
    teacher = load_teacher(f"{server}{path}")
    trouble(**wrong)
    with pytest.raises(TeacherError) as caught:
        teacher(ROWS[:1])
    assert "hunter" not in str(caught.value) + caplog.text


@pytest.mark.parametrize("pause", ["9" * 5000, "Wed, 21 Oct 999999 07:28:00 GMT", "-5", "soon"])
def test_a_pause_that_means_nothing_is_no_pause(pause, server, trouble, teacher):
    trouble(status=429, headers={"Retry-After": pause}, times=1)
    torch.testing.assert_close(teacher(ROWS[:1]), truth(ROWS[:1]))


def test_a_pause_longer_than_any_wait_is_told_at_once(server, trouble, teacher):
    trouble(status=429, headers={"Retry-After": "86400"})
    with fails("asks for a longer pause than the 60 minutes that are waited", "429"):
        teacher(ROWS[:1])


@pytest.mark.parametrize("text", ["[" * 200_000, "", "nothing"])
def test_what_is_no_document_is_told(text, server, trouble, teacher):
    trouble(text=text)
    with fails("answers no JSON document"):
        teacher(ROWS[:1])


def test_an_answer_that_no_memory_holds_is_not_read_to_its_end(server, trouble, teacher, monkeypatch):
    monkeypatch.setattr(client, "MOST_BYTES", 1000)
    trouble(text="[" + "0, " * 1000 + "0]")
    with fails("its answer is larger than", "answers fewer numbers for a row"):
        teacher(ROWS[:1])


def test_an_answer_too_large_for_many_rows_is_asked_for_fewer(server, trouble, teacher, monkeypatch):
    monkeypatch.setattr(client, "MOST_BYTES", 2000)
    torch.testing.assert_close(teacher(ROWS), truth(ROWS))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DFKD_TEACHER_HEADERS", "hunter2", "JSON of header names"),
        ("DFKD_TEACHER_HEADERS", '{"a": 1}', "JSON of header names"),
        ("DFKD_TEACHER_HEADERS", '{"a": "hunter2\\n"}', "characters that a header cannot have"),
        ("DFKD_TEACHER_TOKEN", "hunt\ner2", "characters that a header cannot have"),
        ("DFKD_TEACHER_TIMEOUT", "soon", "number of seconds"),
    ],
)
def test_settings_that_cannot_be_used_are_told(name, value, words, monkeypatch):
    monkeypatch.setenv(name, value)
    with fails(name, words):
        load_teacher("http://host/invocations")
    with pytest.raises(TeacherError) as caught:
        load_teacher("http://host/invocations")
    assert "hunt" not in str(caught.value)
