"""Outputs that are kept: no row is asked twice, and those that are not finite are asked again."""

import numpy as np
import pytest
import torch

from dfkd_tune.teachers import kept_rows
from dfkd_tune.teachers.kept_rows import KeptRows

X = torch.tensor([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [5.0, 6.0]], dtype=torch.float64)


class Asked:
    """Sums of rows, and the rows that were asked."""

    def __init__(self, function=lambda x: x.sum(1, keepdim=True)):
        self.function, self.rows = function, []

    def __call__(self, x):
        self.rows += x.tolist()
        return self.function(x)


def test_each_row_is_asked_once_and_answers_keep_their_order():
    kept, asked = KeptRows(), Asked()
    assert kept.query(asked, X).flatten().tolist() == [3.0, 7.0, 3.0, 11.0]
    assert asked.rows == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]] and len(kept) == 3
    more = torch.cat([X[1:].flip(0), torch.zeros(1, 2).double()])
    assert torch.equal(kept.query(asked, more), more.sum(1, keepdim=True)) and asked.rows[3:] == [[0.0, 0.0]]
    kept.query(lambda x: pytest.fail("asked"), X)


def test_a_row_in_another_precision_is_another_row():
    kept, asked = KeptRows(), Asked()
    for dtype in (torch.float64, torch.float32):
        assert kept.query(asked, X.to(dtype)).dtype == dtype
    assert len(kept) == 6


def test_what_is_changed_later_is_not_what_was_kept():
    kept, asked = KeptRows(), Asked()
    kept.query(asked, X).fill_(0.0)
    assert kept.query(asked, X).flatten().tolist() == [3.0, 7.0, 3.0, 11.0]


def test_an_answer_that_is_no_number_is_asked_for_again():
    answers = iter([torch.nan, 7.0])
    kept = KeptRows()
    for expected in (np.nan, 7.0, 7.0):
        found = kept.query(lambda x: torch.full((1, 1), next(answers)).double(), X[:1])
        assert found.item() == expected or (np.isnan(expected) and found.isnan())


def test_a_full_memory_keeps_what_it_has(monkeypatch):
    monkeypatch.setattr(kept_rows, "MOST_BYTES", 2 * (16 + 8 + kept_rows.ENTRY_BYTES))
    kept, asked = KeptRows(), Asked()
    for _ in range(2):
        assert torch.equal(kept.query(asked, X), X.sum(1, keepdim=True))
    assert len(kept) == 2 and asked.rows[3:] == [[5.0, 6.0]]
