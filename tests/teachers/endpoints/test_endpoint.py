"""A model behind HTTP is a teacher: named or in an array, in batches, each row asked once, and waited for."""

import pytest
import torch
from endpoints import ROWS, TWO, declared, truth
from processes import free_port, inferring
from teacher_files import fails

from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.endpoints import endpoint
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe

COLUMNS = "features: [{name: kind, levels: [low, high]}, {name: b, range: [0, 9], integer: true}, a]"


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


@pytest.mark.parametrize("path", ["/invocations", "/v2/models/m"])
def test_columns_have_names_words_and_whole_numbers(path, tmp_path):
    with inferring(tmp_path, "columns") as address:
        teacher, _ = with_inputs(load_teacher(address + path), declared(tmp_path, COLUMNS))
        x = torch.tensor([[0.0, 3.0, 0.5], [1.0, 2.0, -0.25]], dtype=torch.float64)  # kind, b, a
        torch.testing.assert_close(teacher(x), truth(x[:, [2, 1]], torch.tensor([0.0, 10.0])))


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


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"text": "<html>"}, ["no JSON", "<html>"]),
        ({"text": "{}"}, ["something else than numbers", "it holds no"]),
        ({"text": '{"predictions": ["cat"], "outputs": [{"shape": [1], "data": ["cat"]}]}'}, ["numbers", "cat"]),
        ({"text": '{"predictions": [1, 2], "outputs": [{"shape": [2], "data": [1, 2]}]}'}, ["1 rows were expected"]),
        ({"text": '{"predictions": [], "outputs": [{"data": [1, 2]}]}'}, ["something else than numbers"]),
        (
            {"text": '{"predictions": [[7]], "outputs": [{"name": "y", "shape": [1, 1], "data": [7]}]}'},
            ["answered", "before"],
        ),
        ({"text": '{"predictions": [[]], "outputs": [{"shape": [1, 0], "data": []}]}'}, ["numbers were expected"]),
        ({"text": '{"outputs": [{"shape": [9223372036854775808], "data": [1]}]}'}, ["something else than numbers"]),
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
