"""A model behind HTTP is a teacher: named or in an array, in batches, each row asked once, and waited for."""

import json
import logging
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from asked import fails as told
from processes import free_port, inferring
from teacher_files import fails

from dfkd_tune.errors import FeaturesError, Interrupted, TeacherError
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.endpoints import client, endpoint
from dfkd_tune.teachers.endpoints.mlflow_scoring import MlflowScoring
from dfkd_tune.teachers.endpoints.protocols import Batch
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe

SERVER = Path(__file__).parents[2] / "support" / "inference_server.py"
ROWS = torch.randn(257, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
TWO = "features: [a, {name: b, range: [-9, 9]}]"
COLUMNS = "features: [{name: kind, levels: [low, high]}, {name: b, range: [0, 9], integer: true}, a]"


def truth(x: torch.Tensor, shift: float = 0.0) -> torch.Tensor:
    return torch.stack([2 * x[:, 0] + x[:, 1] ** 2 + shift, -x[:, 0]], dim=1)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(home):
    with inferring(home) as address:
        yield address


@pytest.fixture
def trouble(home):
    """Tells the server what to do wrong."""
    yield lambda **what: (home / "trouble.json").write_text(json.dumps(what))
    (home / "trouble.json").unlink(missing_ok=True)


@pytest.fixture(params=["/invocations", "/v2/models/m", "/v2/models/m/infer"])
def teacher(request, server):
    return load_teacher(server + request.param)


@pytest.fixture
def asked(home):
    """Numbers of rows of the requests since the last call."""
    file = home / "asked.txt"
    file.write_text("")

    def read() -> list[int]:
        found = [int(line) for line in file.read_text().split()]
        file.write_text("")
        return found

    return read


def declared(folder: Path, text: str) -> Path:
    (folder / "features.yaml").write_text(text)
    return folder / "features.yaml"


def test_rows_are_answered_in_batches_and_each_row_once(teacher, asked, monkeypatch):
    monkeypatch.setattr(endpoint, "MOST_ROWS", 64)
    teacher.estimator.most_rows = 64
    torch.testing.assert_close(teacher(ROWS), truth(ROWS))
    sent = asked()
    assert sum(sent) - 1 == len(ROWS) and max(sent) == 64  # one row finds the form of a request
    again = torch.cat([ROWS[:40], ROWS[:3] + 1, ROWS[:3] + 1])
    torch.testing.assert_close(teacher(again), truth(again))
    assert asked() == [3] and teacher.estimator.answered == len(ROWS) + 1 + 3


def test_a_batch_that_is_too_large_is_halved_and_later_ones_are_smaller(teacher, asked):
    torch.testing.assert_close(teacher(ROWS), truth(ROWS))
    assert sum(asked()) - 1 == len(ROWS)
    torch.testing.assert_close(teacher(ROWS + 1), truth(ROWS + 1))
    assert sorted(asked()) == [1, 64, 64, 64, 64] and teacher.estimator.most_rows == 64


def test_the_probe_asks_again_and_finds_no_gradients(server, tmp_path):
    asked, inputs = with_inputs(load_teacher(f"{server}/v2/models/m"), declared(tmp_path, TWO))
    found = probe(asked, inputs)
    assert (found.features, found.outputs, found.kind, found.noise) == (2, 2, "black box", 0.0)
    assert found.rows_per_second < 1e6


def test_metadata_tells_the_number_of_features(server):
    assert len(with_inputs(load_teacher(f"{server}/v2/models/m"), None)[1]) == 2


@pytest.mark.parametrize("path", ["/invocations", "/v2/models/m"])
def test_columns_have_names_words_and_whole_numbers(path, tmp_path):
    with inferring(tmp_path, "columns") as address:
        teacher, _ = with_inputs(load_teacher(address + path), declared(tmp_path, COLUMNS))
        x = torch.tensor([[0.0, 3.0, 0.5], [1.0, 2.0, -0.25]], dtype=torch.float64)  # kind, b, a
        torch.testing.assert_close(teacher(x), truth(x[:, [2, 1]], torch.tensor([0.0, 10.0])))


def test_columns_that_the_metadata_names_are_asked_for(tmp_path):
    with inferring(tmp_path, "columns") as address, fails(address, "columns a, b, kind", "lacks kind"):
        with_inputs(load_teacher(f"{address}/v2/models/m"), declared(tmp_path, "features: [a, b]"))


def test_missing_values_are_null_in_a_data_frame():
    rows = np.array([["low", 3.0, 0.5], [None, 2.0, float("nan")]], dtype=object)
    (body,) = MlflowScoring(None, "", "").bodies(Batch((rows,), ["kind", "b", "a"]))
    assert body == {"dataframe_split": {"columns": ["kind", "b", "a"], "data": [["low", 3, 0.5], [None, 2, None]]}}
    assert isinstance(body["dataframe_split"]["data"][0][1], int)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("strange", ["takes x [-1, 2] COMPLEX", "a teacher takes FP64, FP32"]),
        ("classes", ["its output label [-1] INT64", "not classes"]),
        (
            "several",
            ["takes count (N,) int32, and nothing says which whole numbers occur", "{count: {levels: [0, 1, 2]}}"],
        ),
        ("open", ["window of unknown shape", "arguments: {window: {shape: [...]}}"]),
        ("silent", ["number of features", "features file"]),
    ],
)
def test_what_is_no_teacher_is_told(kind, words, tmp_path):
    with (
        inferring(tmp_path, kind) as address,
        told(address, *words, kind=FeaturesError if kind == "several" else TeacherError),
    ):
        with_inputs(load_teacher(f"{address}/v2/models/m"), None)


def test_a_server_of_fixed_batches_and_float32_gets_them(tmp_path):
    with inferring(tmp_path, "eight") as address:
        torch.testing.assert_close(load_teacher(f"{address}/v2/models/m")(ROWS[:13]), truth(ROWS[:13]))
    with inferring(tmp_path, "single") as address:
        assert load_teacher(f"{address}/v2/models/m").dtype == torch.float32


def test_another_model_behind_the_address_has_another_hash(tmp_path):
    port, hashes = free_port(), []
    for kind in ("array", "array", "other"):
        with inferring(tmp_path, kind, port) as address:
            teachers = [load_teacher(address + path) for path in ("/invocations", "/v2/models/m")]
            hashes.append([with_inputs(each, declared(tmp_path, TWO))[0].sha256 for each in teachers])
    assert hashes[0] == hashes[1] and all(a != b for a, b in zip(hashes[0], hashes[2], strict=True))


def test_a_row_that_is_refused_is_shown(server, home, trouble):
    teacher = load_teacher(f"{server}/v2/models/m")
    teacher(ROWS[:2])
    trouble(status=400, text='{"error": "the pump is off"}')
    with fails(server, "the pump is off", "first x0="):
        teacher(ROWS[2:4])


# --- what passes, and what does not ------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"text": "<html>"}, ["no JSON", "<html>"]),
        ({"text": "{}"}, ["something else than numbers", "it holds no"]),
        ({"text": '{"predictions": ["cat"], "outputs": [{"shape": [1], "data": ["cat"]}]}'}, ["numbers", "cat"]),
        ({"text": '{"predictions": [1, 2], "outputs": [{"shape": [2], "data": [1, 2]}]}'}, ["1 rows were expected"]),
        ({"text": '{"predictions": [], "outputs": [{"data": [1, 2]}]}'}, ["something else than numbers"]),
        ({"status": 302, "headers": {"Location": "http://a:b@elsewhere/"}}, ["has moved to http://elsewhere/"]),
        ({"status": 403}, ["denies access", "DFKD_TEACHER_TOKEN"]),
        ({"status": 500, "text": '{"message": "out of cheese"}'}, ["out of cheese"]),
    ],
)
def test_garbage_is_told_in_one_line(what, words, teacher, trouble):
    teacher(ROWS[:1])
    trouble(**what)
    with fails(teacher.source, *words):
        teacher(ROWS[1:2])


def test_a_model_that_is_not_there_is_told(server):
    with fails(server, "tells nothing of its model", "404", "Model is not found"):
        load_teacher(f"{server}/v2/models/none")


# --- secrets ----------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    "address",
    ["http://me:hunter2@host/invocations", "https://hunter2@host/v2/models/m", "http://host/invocations?token=hunter2"],
)
def test_an_address_with_credentials_is_refused_without_them(address):
    with pytest.raises(TeacherError, match=r"//host/.*holds credentials.*DFKD_TEACHER_TOKEN") as caught:
        load_teacher(address)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("address", ["http://host/", "https://host/v1/models/m", "http:///invocations"])
def test_an_address_of_another_kind_is_refused(address):
    with fails(address, "/invocations", "/v2/models/NAME"):
        load_teacher(address)


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
