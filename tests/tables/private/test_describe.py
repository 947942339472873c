"""Laws of a private description: what one row changes is covered by noise, nothing else of the table is in it, and it is like the table."""

import numpy as np
import pytest
import torch
from drawn_tables import ROWS, made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.tables.private import describe as module
from dfkd_tune.tables.private.accountant import Privacy
from dfkd_tune.tables.private.bounds import bounds_of
from dfkd_tune.tables.private.describe import CORRELATIONS, SHARES, describe_privately
from dfkd_tune.tables.read import Table

pytest.importorskip("opendp")
BOUNDS = {
    "features": [
        {"name": "heavy", "range": [0, 100], "unit": "bar"},
        {"name": "mixed", "range": [0, 10]},
        {"name": "count", "range": [0, 300], "integer": True},
        {"name": "switch", "levels": [0, 1, 7, 8]},
        {"name": "still", "levels": [2.5]},
        {"name": "normal", "range": [-6, 6]},
    ]
}
NAMES = [each["name"] for each in BOUNDS["features"]]
LIMITS = bounds_of(BOUNDS, NAMES)
FRAME = made()[NAMES]


def table(values=None) -> Table:
    return Table(tuple(NAMES), FRAME.to_numpy(dtype=np.float64) if values is None else values)


def told(rows=None, tier="correlation", epsilon=1.0):
    return describe_privately(table(rows), tier, Privacy(epsilon), LIMITS)


VALUE = st.floats(allow_infinity=False) | st.sampled_from([np.nan, 1e12, -1e300, 0.0, 7.0, 2.5])


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(VALUE, min_size=len(NAMES), max_size=len(NAMES)))
def test_one_row_of_any_values_changes_what_is_measured_by_no_more_than_its_sensitivity(row):
    measured = {}

    class Exact:
        """Keeps the exact vectors in place of noised ones."""

        def __init__(self, privacy, shares, rows):
            self.rows, self.spent = rows, [type("Spent", (), {"noise": 50.0})]

        def measure(self, part, vector, sensitivity):
            exact = measured.setdefault(part, []), vector(self.rows), vector(self.rows[:-1]), sensitivity
            exact[0].append(exact[1:])
            return exact[1].astype(float)

        def table(self):
            return []

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "Accountant", Exact)
        told(np.vstack([FRAME.to_numpy(dtype=np.float64)[:300], row]))
    assert {*measured} == {SHARES, CORRELATIONS}
    for ((here, without, sensitivity),) in measured.values():
        assert np.linalg.norm(here - without) <= sensitivity * (1 + 1e-12)
    ((here, without, _),) = measured[SHARES]
    assert (here != without).any()  # whatever a row holds, it is counted


def test_what_is_drawn_is_like_the_table():
    inputs = parse_features(told(epsilon=20.0).tree(), "here")
    rows = (inputs.draw(ROWS, torch.Generator().manual_seed(0)) * inputs.scale + inputs.center).numpy()
    for name in ("heavy", "normal", "count"):
        i = NAMES.index(name)
        for p in (0.1, 0.25, 0.5, 0.75, 0.9):
            share = (FRAME[name] <= np.quantile(rows[:, i], p)).mean()
            assert abs(share - p) < 0.06, (name, p)
    assert (rows[:, 4] == 2.5).all() and {*np.round(rows[:, 3])} <= {0.0, 1.0, 7.0, 8.0}
    pairs = [0, 1, 2, 5]
    assert spearmanr(rows[:, pairs])[0] == pytest.approx(spearmanr(FRAME.iloc[:, pairs])[0], abs=0.1)


def test_what_is_public_does_not_depend_on_the_rows():
    strange = FRAME.to_numpy(dtype=np.float64).copy()
    strange[0] = [1e12, -1e12, 1e12, 99.0, 3.0, np.nan]
    for rows in (None, strange, strange[:1], strange[:7] * 0):
        description = told(rows)
        public = [
            {k: v for k, v in f.items() if k in ("name", "range", "unit", "integer", "levels")}
            for f in description.features
        ]
        assert public == [
            each | ({"levels": [float(v) for v in each["levels"]]} if "levels" in each else {})
            for each in BOUNDS["features"]
        ]
        parse_features(description.tree(), "here")


def test_two_descriptions_of_one_table_differ():
    assert told().tree() != told().tree()


def test_the_budget_is_accounted_for():
    description = told()
    assert [line.split("  ")[0] for line in description.budget] == ["part", SHARES, CORRELATIONS, "together"]
    assert description.budget[-1].endswith("1.000")
    alone = told(tier="quantiles")
    assert [line.split("  ")[0] for line in alone.budget] == ["part", SHARES, "together"]
    assert alone.rank_correlation is None and alone.share_error < description.share_error
    assert abs(alone.rows - ROWS) < 10 * alone.share_error * ROWS
    text = "\n".join(description.head("correlation"))
    assert "epsilon 1, delta 1e-06" in text and "OpenDP" in text and all(line in text for line in description.budget)


def test_few_rows_are_told_with_the_error_to_expect():
    few = told(FRAME.to_numpy(dtype=np.float64)[:40])
    (warning,) = [each for each in few.warnings() if "are few" in each]
    assert "% of the rows in a share" in warning and "raise --epsilon" in warning
    assert told(epsilon=5.0).warnings() == []


def test_values_that_are_missing_or_undeclared():
    values = np.random.default_rng(0).normal(size=(ROWS, 3))
    values[: ROWS // 4] = np.nan
    values[:, 2] = np.where(values[:, 2] > 0, 1.0, 5.0)
    names = ["gap", "x", "level"]
    bounds = {"features": [{"name": "gap", "range": [-5, 5], "missing": 0.5}, {"name": "x", "range": [-5, 5]}, {"name": "level", "levels": [1]}]}  # fmt: skip
    found = describe_privately(Table(tuple(names), values), "correlation", Privacy(5.0), bounds_of(bounds, names))
    gap, x, level = found.features
    assert gap["missing"] == pytest.approx(0.25, abs=0.03) and "missing" not in x and level["levels"] == [1.0]
    assert {*found.undeclared} == {"x", "level"}
    assert "x 2" in found.warnings()[-1] and "declare them in --bounds" in found.warnings()[-1]
