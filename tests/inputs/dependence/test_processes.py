"""Laws of windows that move: autocorrelations at each lag, correlations at the same step, stationarity, marginals."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from dfkd_tune.generators.low_discrepancy import Sobol
from dfkd_tune.inputs.dependence.processes import WindowProcess
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.layouts.axes import window_axes
from dfkd_tune.testing.problems import rng

ROWS = 16_000
NEAR = 4 / math.sqrt(ROWS)
"""Four standard errors of a rank correlation."""
STEPS = 12
TEMP = {"name": "temp", "mean": 20.0, "std": 4.0, "autocorrelation": [0.95, 0.86, 0.75]}
FLOW = {"name": "flow", "range": [0.0, 9.0], "time_constant": 3.5}
VALVE = {"name": "valve", "levels": [0.0, 1.0], "probabilities": [0.7, 0.3], "time_constant": 12.0}
COUNT = {"name": "count", "range": [0.0, 6.0], "integer": True, "autocorrelation": [-0.4]}
WHITE = {"name": "white"}
CORRELATION = [[1.0], [0.5, 1.0], [0.3, 0.2, 1.0], [0.0, -0.4, 0.0, 1.0], [0.0, 0.2, 0.0, 0.3, 1.0]]
TREE = {"window": {"steps": STEPS, "channels": [TEMP, FLOW, VALVE, COUNT, WHITE], "correlation": CORRELATION}}


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    """Raw draws ``(N, channels, steps)``."""
    inputs = parse_features(TREE, "here")
    return inputs.raw(inputs.draw(ROWS, rng()))[:, inputs.axes[0].columns("channels", "steps")].numpy()


def ranks(a, b) -> float:
    return float(spearmanr(a, b).statistic)


DECLARED = {
    0: [0.95, 0.86, 0.75],
    1: [math.exp(-lag / 3.5) for lag in range(1, STEPS)],
    2: [math.exp(-lag / 12) for lag in range(1, STEPS)],
    3: [-0.4],
    4: [0.0] * (STEPS - 1),
}


@pytest.mark.parametrize("channel", DECLARED)
def test_each_channel_moves_as_declared_from_any_step(windows, channel):
    for lag, rho in enumerate(DECLARED[channel], 1):
        for start in {0, (STEPS - lag) // 2, STEPS - lag - 1}:
            assert ranks(windows[:, channel, start], windows[:, channel, start + lag]) == pytest.approx(rho, abs=NEAR)


def test_channels_go_together_at_the_same_step_on_average(windows):
    for i in range(5):
        for j in range(i):
            found = np.mean([ranks(windows[:, i, step], windows[:, j, step]) for step in range(STEPS)])
            assert found == pytest.approx(CORRELATION[i][j], abs=NEAR)


def test_every_step_has_the_distribution_of_its_channel(windows):
    for step in (0, 5, STEPS - 1):
        assert windows[:, 0, step].mean() == pytest.approx(20, abs=4 * 4 / math.sqrt(ROWS))
        assert windows[:, 0, step].std() == pytest.approx(4, rel=0.03)
        assert np.histogram(windows[:, 1, step], bins=9, range=(0, 9))[0] / ROWS == pytest.approx(
            [1 / 9] * 9, abs=0.012
        )
        assert windows[:, 2, step].mean() == pytest.approx(0.3, abs=0.015)
        assert {*np.unique(windows[:, 3, step])} == set(range(7))


def test_samplers_of_low_discrepancy_move_alike():
    inputs, generator = parse_features(TREE, "here"), Sobol()
    z = generator.block(inputs, 1, 2**13, generator.engine(len(inputs), 0))[0]
    x = z[:, inputs.axes[0].columns("channels", "steps")]
    assert ranks(x[:, 0, 3], x[:, 0, 4]) == pytest.approx(0.95, abs=0.02)
    assert ranks(x[:, 1, 3], x[:, 1, 4]) == pytest.approx(math.exp(-1 / 3.5), abs=0.02)


def test_channels_of_very_different_speed_are_still_stationary_each():
    tree = {"window": {"steps": 24, "channels": [WHITE, {"name": "slow", "time_constant": 50.0}], "correlation": [[1.0], [0.3, 1.0]]}}  # fmt: skip
    inputs = parse_features(tree, "here")
    z = inputs.draw(ROWS, rng())[:, inputs.axes[0].columns("channels", "steps")]
    assert (z.std(0) - 1).abs().max() < NEAR
    for lag in (1, 10):
        for start in (0, 13):
            assert ranks(z[:, 1, start], z[:, 1, start + lag]) == pytest.approx(math.exp(-lag / 50), abs=NEAR)
    assert abs(ranks(z[:, 0, 0], z[:, 0, 1])) < NEAR


@st.composite
def processes(draw) -> tuple[WindowProcess, list[Feature]]:
    """Anything that a file may declare, possible or not."""
    steps, channels = draw(st.integers(2, 6)), draw(st.integers(1, 3))
    number = st.floats(-1, 1)
    lags = tuple(tuple(draw(st.lists(number, max_size=steps - 1))) for _ in range(channels))
    rows = tuple((*(draw(number) for _ in range(i)), 1.0) for i in range(channels))
    kinds = [Feature(name="a"), Feature(name="b", levels=[0.0, 1.0], probabilities=[0.8, 0.2]), Feature(name="c", levels=[2.0])]  # fmt: skip
    features = [draw(st.sampled_from(kinds)) for _ in range(channels)]
    order = draw(st.sampled_from(["channels_first", "channels_last"]))
    return WindowProcess(window_axes(steps, channels, order, None), lags, draw(st.sampled_from([(), rows]))), features


@given(processes())
@settings(max_examples=60, deadline=None)
def test_any_declaration_is_a_distribution(made):
    """The covariance of the scores is a correlation matrix, and rows match the channels."""
    process, features = made
    owner = {i: c for c, columns in enumerate(process.axes.columns("channels", "steps").tolist()) for i in columns}
    steps = [features[owner[i]] for i in range(process.axes.width)]
    inputs = Inputs(steps, dependence=process, axes=[process.axes])
    (mixing,) = inputs.mixings
    scores = mixing.of(torch.eye(process.axes.width, dtype=torch.float64))
    covariance = scores.T @ scores
    torch.testing.assert_close(
        covariance.diagonal(), torch.ones(len(covariance), dtype=torch.float64), atol=1e-6, rtol=0
    )
    assert float(torch.linalg.eigvalsh(covariance)[0]) > -1e-9
    z = inputs.draw(20, rng())
    assert bool(z.isfinite().all())
    torch.testing.assert_close(inputs.project(z), z)


def test_long_windows_of_many_channels_need_little_memory():
    channels = [{"name": f"c{i}", "time_constant": 3.0 + i} for i in range(20)]
    tree = {"window": {"steps": 168, "channels": channels, "correlation": [[0.3] * i + [1.0] for i in range(20)]}}
    inputs = parse_features(tree, "here")
    (mixing,) = inputs.mixings
    assert mixing.across.numel() + mixing.along.numel() == 20**2 + 20 * 168**2
    assert inputs.draw(4, rng()).shape == (4, 3360)
