"""Answered rows are shared by processes, in the order in which they were claimed."""

import pytest
import torch

from dfkd_tune.errors import StorageError
from dfkd_tune.teachers.metering.answered_rows import AnsweredRows, RememberedRows

X = torch.arange(12, dtype=torch.float64).view(6, 2)
Y = X.sum(1, keepdim=True)


def test_parts_are_read_in_the_order_of_their_claims(tmp_path):
    writer, reader = AnsweredRows(tmp_path), AnsweredRows(tmp_path)
    writer.add("round-1", 4, X[4:], Y[4:])
    writer.add("round-1", 0, X[:4], Y[:4])
    writer.add("round-10", 0, X[:1], Y[:1])
    assert reader.count("round-1") == 0 and reader.answer(reader.keys(X)[0]) is None
    reader.refresh()
    assert torch.equal(reader.part("round-1")[0], X) and torch.equal(reader.part("round-1")[1], Y)
    keys, others = reader.keys(X), reader.keys(X.float())
    assert torch.equal(reader.answer(keys[5]), Y[5]) and reader.answer(others[5]) is None
    assert reader.part_of(keys[5]) == "round-1" and reader.part_of(others[5]) is None
    assert [reader.count(part) for part in ("round-1", "round-10", "prior")] == [6, 1, 0]


def test_a_damaged_file_is_named(tmp_path):
    AnsweredRows(tmp_path).add("prior", 0, X, Y)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"?")
    with pytest.raises(StorageError, match=file.name):
        AnsweredRows(tmp_path).refresh()


def test_rows_are_remembered_without_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    AnsweredRows(tmp_path).add("report", 0, X, Y)
    before, rows = sorted(tmp_path.iterdir()), RememberedRows()
    rows.add("opening", 0, X[:4], Y[:4])
    rows.refresh()
    assert torch.equal(rows.answer(rows.keys(X)[3]), Y[3]) and rows.answer(rows.keys(X)[4]) is None
    assert rows.count("opening") == 4 and rows.count("report") == 0 and sorted(tmp_path.iterdir()) == before


def test_an_answer_that_is_not_finite_may_come_later_and_the_first_one_stays(tmp_path):
    rows, worse = AnsweredRows(tmp_path), Y.clone()
    worse[1:3] = torch.nan
    rows.add("prior", 0, X, worse)
    assert (rows.count("prior"), rows.asked("prior")) == (4, 6) and torch.equal(rows.not_finite("prior"), X[1:3])
    rows.add("prior", 6, X[1:2], Y[1:2])
    rows.add("round-1", 0, X[:3], 2 * Y[:3])
    for reader in (rows, AnsweredRows(tmp_path)):
        reader.refresh()
        answers = [reader.answer(key).tolist() for key in reader.keys(X)]
        assert answers == [*Y[:2].tolist(), (2 * Y[2]).tolist(), *Y[3:].tolist()]
        assert not len(reader.not_finite("prior")) and (reader.count("prior"), reader.asked("prior")) == (5, 7)


def test_what_a_teacher_returned_keeps_its_shape(tmp_path):
    """An arranged teacher answers rows ``(N, 1)`` which its own call answered with ``(N,)``."""
    AnsweredRows(tmp_path).add("opening", 0, X, Y[:, 0])
    AnsweredRows(tmp_path).add("opening", 6, X, Y)
    rows = AnsweredRows(tmp_path)
    rows.refresh()
    assert {rows.returned(key).shape for key in rows.keys(X)} == {()}
    assert rows.answer(rows.keys(X)[0]).shape == (1,) and rows.part("opening")[1].shape == (12, 1)
