"""A mixture of copulas that is fitted to a table: groups are found, none is of few rows, and no row tells of itself."""

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.tables.copula_mixture import fit_mixture, normal_scores
from dfkd_tune.tables.describe import describe
from dfkd_tune.tables.read import Table


def two_states(rows=2_000, seed=0):
    """Load and flow rise together in one state, and against each other in the other; the third is a switch of the state."""
    rng = np.random.default_rng(seed)
    state = rng.random(rows) < 0.4
    load = rng.normal(size=rows)
    flow = np.where(state, 1, -1) * load + 0.2 * rng.normal(size=rows)
    return Table(["load", "flow", "switch"], np.stack([load + 4 * state, flow, state.astype(float)], axis=1))


def test_a_mixture_keeps_what_rank_correlations_lose():
    """In each state, the rows drawn go together as those of the table do."""
    table, found = two_states(), {}
    for tier in ("correlation", "mixture"):
        inputs = parse_features(describe(table, tier).tree(), "file")
        x = inputs.raw(inputs.draw(4_000, torch.Generator().manual_seed(0))).numpy()
        found[tier] = [np.corrcoef(x[x[:, 2] == state, :2].T)[0, 1] for state in (0, 1)]
    assert found["mixture"][0] < -0.55 and found["mixture"][1] > 0.55
    assert found["correlation"][0] > -0.3 or found["correlation"][1] < 0.3


@pytest.mark.parametrize("at_least", [10, 400])
def test_no_group_is_of_few_rows(at_least):
    told = describe(two_states(4_000), "mixture", at_least)
    assert min(group["share"] for group in told.copula_mixture) * 4_000 >= at_least - 1
    assert sum(group["share"] for group in told.copula_mixture) == pytest.approx(1, abs=1e-4)


def test_independent_columns_are_one_group():
    columns = np.random.default_rng(0).normal(size=(1_000, 4))
    (group,) = fit_mixture(columns, 10)
    assert group["share"] == 1 and np.abs([row[:-1] for row in group["covariance"][1:2]]).max() < 0.1


def test_scores_are_normal_and_ties_are_in_no_order():
    column = np.repeat([0.0, 1.0], 500)
    ranks = np.stack([rankdata(column), rankdata(column)], axis=1)
    scores = normal_scores(ranks, np.random.default_rng(0))
    assert np.abs(scores.mean(0)).max() < 1e-9 and np.abs(scores.std(0) - 1).max() < 0.01
    assert abs(np.corrcoef(scores[:500].T)[0, 1]) < 0.15
    assert scores[:500].max() < 0 < scores[500:].min()


def test_a_row_of_a_withheld_value_tells_nothing():
    """A column that is published as constant is independent of the others, whatever its few other rows hold."""
    columns = two_states().columns
    columns[:3, 2] = 1 - columns[:3, 2]
    columns[:, 2] = 0.0
    columns[:4, 2] = 1.0
    told = describe(Table(["load", "flow", "switch"], columns), "mixture")
    assert told.features[2]["levels"] == [0.0]
    for group in told.copula_mixture:
        assert np.abs(group["covariance"][2][:2]).max() < 0.25


def test_missing_values_go_together_with_others():
    table = two_states()
    table.columns[table.columns[:, 2] == 1, 1] = np.nan
    inputs = parse_features(describe(table, "mixture").tree(), "file")
    x = inputs.raw(inputs.draw(4_000, torch.Generator().manual_seed(0))).numpy()
    gone = np.isnan(x[:, 1])
    assert (x[gone, 2] == 1).mean() > 0.85 and (x[~gone, 2] == 0).mean() > 0.85


def test_windows_and_wide_tables_are_refused():
    with pytest.raises(FeaturesError, match="tier mixture is of rows, not of windows; take tier correlation"):
        describe(two_states(), "mixture", steps=3)
    wide = Table([f"x{i}" for i in range(300)], np.random.default_rng(0).normal(size=(200, 300)))
    with pytest.raises(FeaturesError, match="256 columns at most, got 300"):
        describe(wide, "mixture")


def test_the_lines_say_of_how_many_rows_a_group_is():
    (line,) = (line for line in describe(two_states(), "mixture").lines() if "mixture" in line)
    assert line.startswith("a mixture of ") and line.endswith("rows or more each")
