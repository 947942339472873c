"""Laws of a described series: what is drawn from it moves as the table does, and no number is of few rows."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

import dfkd_tune as dt
from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.features_file import parse_features, read_features
from dfkd_tune.tables.describe import describe
from dfkd_tune.tables.files import describe_file
from dfkd_tune.tables.read import Reading, Table
from dfkd_tune.tables.series import Windows

STEPS, ROWS = 8, 6_000


def ar2(rng: np.random.Generator, a: float, b: float, rows: int) -> np.ndarray:
    """``x_t = a x_(t-1) + b x_(t-2) + e_t``, after it has forgotten its start."""
    x = np.zeros(rows + 200)
    for t in range(2, len(x)):
        x[t] = a * x[t - 1] + b * x[t - 2] + rng.normal()
    return x[200:]


def plant(seed: int = 0, rows: int = ROWS) -> pd.DataFrame:
    """Three channels of one process, which moves and goes together: a smooth one, a skewed one and a switch."""
    rng = np.random.default_rng(seed)
    both = ar2(rng, 0.7, 0.0, rows)
    return pd.DataFrame(
        {
            "temp": 20 + ar2(rng, 1.2, -0.4, rows) + both,
            "flow": np.exp(0.4 * ar2(rng, 0.5, 0.0, rows) + 0.3 * both).round(4),
            "valve": (ar2(rng, 0.9, 0.0, rows) > 1).astype(float),
        }
    )


def table(frame: pd.DataFrame, series=None) -> Table:
    return Table(tuple(frame.columns), frame.to_numpy(dtype=np.float64), series=series)


def test_what_is_drawn_moves_as_the_table_does():
    frame = plant()
    inputs = parse_features(describe(table(frame), steps=STEPS).tree(), "here")
    x = inputs.raw(inputs.draw(20_000, torch.Generator().manual_seed(0)))
    x = x[:, inputs.axes[0].columns("channels", "steps")].numpy()
    assert inputs.tier == "T4" and len(inputs) == 3 * STEPS
    # The table's rows are not independent: its own figures spread more than those of as many independent rows.
    for i, name in enumerate(frame.columns):
        real = frame[name].to_numpy()
        for lag in range(1, STEPS):
            wanted = spearmanr(real[lag:], real[:-lag]).statistic
            assert spearmanr(x[:, i, 0], x[:, i, lag]).statistic == pytest.approx(wanted, abs=0.03), (name, lag)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        found = np.mean([spearmanr(x[:, i, step], x[:, j, step]).statistic for step in range(STEPS)])
        assert found == pytest.approx(spearmanr(frame.iloc[:, i], frame.iloc[:, j]).statistic, abs=0.03)
    assert set(np.unique(x[:, 2])) == {0.0, 1.0}


def test_autocorrelations_are_spearmans_within_series():
    """Two series of opposite levels, one after the other: their border is not a pair of steps."""
    frame = pd.concat([plant(0, 400) + 50, plant(1, 500) - 50])
    series = np.repeat([0, 1], [400, 500])
    (temp, *_) = describe(table(frame, series), steps=4).autocorrelations
    ranks = frame["temp"].rank().to_numpy()
    ranks = (ranks - ranks.mean()) / ranks.std()
    for lag in (1, 2, 3):
        pairs = [(k, k + lag) for k in range(900 - lag) if series[k] == series[k + lag]]
        assert temp[lag - 1] == pytest.approx(np.mean([ranks[a] * ranks[b] for a, b in pairs]), abs=5.1e-5)
        assert temp[lag - 1] == round(temp[lag - 1], 4)


def test_the_order_of_the_rows_in_the_file_does_not_matter_where_a_time_tells_it(tmp_path):
    frame = pd.concat([plant(seed, 300).assign(site=site, hour=np.arange(300)) for seed, site in enumerate("abc")])
    told = []
    for name, rows in (("sorted.csv", frame), ("mixed.csv", frame.sample(frac=1, random_state=0))):
        rows.to_csv(tmp_path / name, index=False)
        lines = describe_file(
            tmp_path / name, tmp_path / "told.yaml", reading=Reading(windows=Windows(6, "site", "hour"))
        )
        told.append((tmp_path / "told.yaml").read_text())
    assert told[0] == told[1] and len(read_features(tmp_path / "told.yaml")) == 18
    assert "900 rows, windows of 6 steps of 3 channels" in lines[0] and "tier T4" in lines[-1]
    assert any("autocorrelations of 5 lags" in line for line in lines)
    assert dt.describe(frame.reset_index(drop=True), window=6, group="site", time="hour").tree() == dt.describe(tmp_path / "mixed.csv", window=6, group="site", time="hour").tree()  # fmt: skip


def test_moments_are_enough_for_some():
    told = describe(table(plant(rows=500)), "moments", steps=3).tree()["window"]
    assert {*told["channels"][0]} == {"name", "mean", "std", "autocorrelation"}
    assert parse_features({"window": told}, "here").tier == "T4"


def test_a_channel_that_never_moves_has_no_autocorrelation():
    told = describe(table(plant(rows=500).assign(still=1.0)), steps=3).tree()["window"]
    assert told["channels"][3] == {"name": "still", "levels": [1.0]}
    assert parse_features({"window": told}, "here").draw(5, torch.Generator()).isfinite().all()


def test_too_few_rows_behind_a_lag(tmp_path):
    frame, series = plant(rows=200), np.arange(200) // 10
    assert len(describe(table(frame, series), steps=10).autocorrelations[0]) == 9  # 20 pairs of rows are 9 steps apart
    with pytest.raises(FeaturesError, match=r"only 20 rows are 9 steps after another, 21 are needed"):
        describe(
            table(pd.concat([frame, frame]), np.concatenate([series, 100 + np.arange(200)])), at_least=21, steps=10
        )


def test_few_rows_of_kept_series_are_refused(tmp_path):
    frame = plant(rows=300).assign(site=["a"] * 60 + [f"s{i}" for i in range(240)])
    frame.to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(FeaturesError, match="its number of rows is 60, 100 are needed"):
        describe_file(tmp_path / "data.csv", tmp_path / "told.yaml", reading=Reading(windows=Windows(5, "site")))
    assert not (tmp_path / "told.yaml").exists()


@pytest.mark.parametrize("of", [np.arange, lambda n: np.cumsum(np.random.default_rng(0).normal(size=n))])
def test_windows_almost_as_long_as_the_table_are_described_as_a_series_can_be(of):
    told = describe(Table(("a",), of(100)[:, None].astype(float)), steps=90)
    parse_features(told.tree(), "here")  # refuses what no series has
