"""Laws of a description: it says what the table is like, and no row, extreme or rare value of it."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from drawn_tables import ROWS, made
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, spearmanr

from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.tables.describe import describe
from dfkd_tune.tables.read import Table

K = 10


def table(frame: pd.DataFrame) -> Table:
    return Table(tuple(frame.columns), frame.to_numpy(dtype=np.float64))


def described(columns, tier="quantiles", at_least=K) -> list[dict]:
    columns = np.asarray(columns, dtype=np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    return describe(Table(tuple(f"x{i}" for i in range(columns.shape[1])), columns), tier, at_least).features


# --- it says what the table is like -----------------------------------------------------------------------------------


def test_what_is_drawn_from_a_description_is_like_the_table():
    frame = made()
    told = describe(table(frame), "correlation", K)
    inputs = parse_features(told.tree(), "here")
    z = inputs.draw(ROWS, torch.Generator().manual_seed(0))
    x = (z * inputs.scale + inputs.center).numpy()
    assert inputs.tier == "T4"
    for i, name in enumerate(frame.columns):
        column = frame[name].to_numpy()
        assert ks_2samp(np.round(x[:, i], 6), np.round(column, 6)).statistic < 0.04, name
        assert inputs.features[i].scale == pytest.approx(column.std() or 1.0, rel=0.25), name
    live = [i for i, name in enumerate(frame.columns) if name != "still"]
    real, found = spearmanr(frame.to_numpy()[:, live]).statistic, spearmanr(x[:, live]).statistic
    assert np.abs(real - found).max() < 0.08


def test_kinds_of_columns():
    features = {item["name"]: item for item in described_frame(made())}
    assert features["still"] == {"name": "still", "levels": [2.5]}
    assert features["switch"]["levels"] == [0.0, 1.0]
    assert sum(features["switch"]["probabilities"]) == pytest.approx(1.0, abs=1e-5)
    assert features["count"]["integer"] is True
    assert [name for name, item in features.items() if "integer" in item] == ["count"]
    assert list(features["mixed"]["quantiles"].values()).count(0.0) == 2
    assert list(features["mixed"]["quantiles"].values()).count(5.0) == 2


def test_whole_numbers_are_told_of_as_many_rows_as_everything_else():
    for fractions, told in ((K - 1, True), (K, False)):
        column = np.random.default_rng(0).integers(0, 500, ROWS).astype(float)
        column[:fractions] += 0.5
        (item,) = described(column)
        assert item.get("integer", False) is told


def described_frame(frame, tier="quantiles", at_least=K) -> list[dict]:
    return describe(table(frame), tier, at_least).features


def test_tiers_tell_what_they_say():
    told = {tier: describe(table(made()), tier, K) for tier in ("moments", "quantiles", "correlation")}
    keys = {tier: set().union(*(item.keys() for item in found.features)) for tier, found in told.items()}
    assert keys["moments"] == {"name", "mean", "std", "levels", "probabilities", "integer"}
    assert keys["quantiles"] == keys["correlation"] == {"name", "quantiles", "levels", "probabilities", "integer"}
    assert told["moments"].rank_correlation is None and told["quantiles"].rank_correlation is None
    names = [parse_features(found.tree(), "here").tier for found in told.values()]
    assert names == ["T2", "T3", "T4"]


def test_correlations_are_spearmans_to_three_digits():
    frame = made()
    rows = describe(table(frame), "correlation", K).rank_correlation
    with np.errstate(invalid="ignore"):
        real = frame.corr(method="spearman").fillna(0.0).to_numpy()
    assert [len(row) for row in rows] == list(range(1, len(rows) + 1))
    for i, row in enumerate(rows):
        assert row[i] == 1.0
        assert row[:i] == pytest.approx(real[i, :i].tolist(), abs=5.1e-4)
        assert row == [round(value, 3) for value in row]


def test_a_small_spread_beside_a_large_value_keeps_its_digits():
    quantiles = described(made()["offset"])[0]["quantiles"]
    assert len(set(quantiles.values())) == len(quantiles)


# --- it says nothing else ---------------------------------------------------------------------------------------------


@st.composite
def columns(draw) -> tuple[np.ndarray, int]:
    """Columns with ties and tails, and how many rows are behind every number at least."""
    at_least = draw(st.integers(2, 30))
    rows = draw(st.integers(10 * at_least, 30 * at_least))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = np.exp(draw(st.floats(0.1, 3.0)) * rng.normal(size=rows))
    tied = rng.random(rows) < draw(st.sampled_from([0.0, 0.3, 0.9]))
    x[tied] = rng.choice(draw(st.lists(st.floats(-2, 5), min_size=1, max_size=5)), tied.sum())
    return x, at_least


@given(columns())
@settings(max_examples=60, deadline=None)
def test_every_quantile_has_enough_rows_on_both_sides(drawn):
    x, at_least = drawn
    (item,) = described(x, at_least=at_least)
    if "levels" in item:
        counts = [int((x == value).sum()) for value in item["levels"]]
        assert min(counts) >= at_least
        return
    room = 1e-5 * np.abs(x).max()
    for p, value in item["quantiles"].items():
        assert (x <= value + room).sum() >= at_least and (x >= value - room).sum() >= at_least
        assert min(p, 1 - p) * len(x) >= at_least - 0.01


@given(columns(), st.floats(2, 1e9))
@settings(max_examples=40, deadline=None)
def test_the_extremes_may_be_anything(drawn, factor):
    x, at_least = drawn
    (before,) = described(x, at_least=at_least)
    if "levels" in before:
        return
    y = np.sort(x)
    y[-1], y[0] = abs(y[-1]) * factor + 1, -abs(y[0]) * factor - 1
    (after,) = described(y, at_least=at_least)
    atoms = [v for v in (x.max(), x.min()) if (x == v).sum() >= at_least]
    assert atoms or before["quantiles"] == after["quantiles"]


@pytest.mark.parametrize("at_least", [2, 10, 25])
@pytest.mark.parametrize("row", [0, 1, 30, 150, 271, 299])
def test_a_row_moves_one_quantile_by_its_share_at_most(row, at_least):
    """So that neither a told number nor the difference of two is a row's."""
    x = np.arange(300.0) + 0.25
    y = x.copy()
    y[row] += 0.5
    before, after = (described(column, at_least=at_least)[0]["quantiles"] for column in (x, y))
    assert before.keys() == after.keys()
    moved = [abs(before[p] - after[p]) for p in before if before[p] != after[p]]
    assert len(moved) <= 1
    assert all(step <= 0.5 / at_least + 1e-3 for step in moved)


def test_no_value_of_a_table_without_ties_is_told():
    x = np.random.default_rng(0).normal(size=ROWS)
    told = list(described(x)[0]["quantiles"].values())
    assert min(told) > x.min() and max(told) < x.max()
    assert np.abs(np.subtract.outer(told, x)).min() > 0


@pytest.mark.parametrize("at_least", [2, 10, 40])
def test_rare_levels_are_withheld(at_least):
    counts = {0.0: 600, 1.0: 300, 2.0: 40, 3.0: 39, 4.0: 10, 5.0: 9, 6.0: 1, 7.0: 1}
    x = np.repeat(list(counts), list(counts.values()))
    found = describe(Table(("x",), x[:, None]), "quantiles", at_least)
    (item,) = found.features
    if "levels" not in item:
        assert at_least == 40  # too many rows would have gone
        return
    often = [value for value, count in counts.items() if count >= at_least]
    assert item["levels"] == often
    units = [math.floor(counts[v] / at_least + 0.5) for v in often]  # of ``at_least`` rows
    assert item["probabilities"] == pytest.approx([unit / sum(units) for unit in units], abs=1e-5)
    assert found.withheld == {"x": len(counts) - len(often)}
    assert f"withheld: {len(counts) - len(often)} rare levels, of x" in found.lines()


def test_exact_shares_do_not_tell_how_many_rows_are_withheld():
    """Neither by the denominators of levels, nor by those of quantiles of a column with a few missing values."""
    kept = np.repeat([0.0, 1.0], [2_000, 994])
    shares = [described(np.append(kept, [2.0] * rare))[0]["probabilities"] for rare in (1, 3, 9)]
    assert shares == [shares[0]] * 3 and described(kept)[0]["probabilities"] != shares[0]

    values = np.random.default_rng(0).lognormal(size=3_000).round(1)
    for missing in (1, 5, 9):
        x = values.copy()
        x[:missing] = np.nan
        told = np.array([*described(x)[0]["quantiles"]])
        off = np.abs(told * 3_000 / (K / 2) - np.round(told * 3_000 / (K / 2))) * K / 2 / 3_000
        assert (off < 2e-5).all() and (np.diff(told) > 0).all()  # but for what lies between both sides of a jump


@pytest.mark.parametrize("rare", [[1.0], [1.0] * 9, [math.nan] * 9, list(range(1, 40))])
def test_correlations_do_not_tell_in_which_rows_a_withheld_value_is(rare):
    rng, rows = np.random.default_rng(0), 1000
    other, at_least = np.sort(rng.normal(size=rows)), max(K, 2 * len(rare) * (len(rare) > K))
    trees = []
    for begin in (0, rows - len(rare)):
        flag = np.zeros(rows)
        flag[begin : begin + len(rare)] = rare
        trees.append(describe(Table(("flag", "other"), np.stack([flag, other], 1)), "correlation", at_least, 4).tree())
    assert trees[0] == trees[1]
    flag, moving = trees[0]["window"]["channels"]
    assert "autocorrelation" not in flag and moving["autocorrelation"][0] > 0.9


@pytest.mark.parametrize("stray", [1, 5, 9])
def test_few_rows_beside_an_atom_are_not_told(stray):
    rng = np.random.default_rng(0)
    between, tail = rng.uniform(1.2, 1.8, stray), rng.uniform(3, 4, 400)
    x = np.concatenate([np.full(300, 1.0), between, np.full(300, 2.0), tail, -rng.random(stray)])
    quantiles = described(x)[0]["quantiles"]
    assert {value for value in quantiles.values() if value < 3} == {1.0, 2.0}
    parse_features({"features": [{"name": "x", "quantiles": quantiles}]}, "here")


def test_probabilities_are_the_rows_shares():
    x = np.random.default_rng(1).normal(size=ROWS)
    for p, value in described(x)[0]["quantiles"].items():
        assert abs((x <= value).mean() - p) < K / ROWS
        assert math.isfinite(value)


def test_rare_missing_values_and_levels_keep_their_share():
    rows = 3_000_000
    column = np.broadcast_to(np.arange(1_000.0), (rows // 1_000, 1_000)).flatten()
    column[0] = np.nan
    (item,) = describe(Table(("a",), column[:, None]), "moments", at_least=1).features
    assert item["missing"] == pytest.approx(1 / rows, rel=1e-5)
    column[:] = column > 0
    column[0] = 2.0
    (item,) = describe(Table(("a",), column[:, None]), "moments", at_least=1).features
    assert item["levels"] == [0.0, 1.0, 2.0] and min(item["probabilities"]) == pytest.approx(1 / rows, rel=1e-5)
