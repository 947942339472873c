"""Which channels move at unknown speeds and which images are smooth: those of which nothing is declared, at the tier of what is."""

import math

import pytest
import torch
from shaped_teachers import CALLS, Images, Lstm, made, save_pt2

from dfkd_tune.inputs.dependence.speeds import Speeds
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.inputs.summary import meaning
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.prior_inference.unknown_scales import MOVES, SMOOTH, completed
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.testing.problems import rng


def window(*channels: dict, **keys) -> Inputs:
    named = [{"name": f"c{i}", **channel} for i, channel in enumerate(channels)]
    return completed(parse_features({"window": {"steps": 5, "channels": named, **keys}}, "here"))


def moving(inputs: Inputs) -> tuple[int, ...]:
    parts = [] if inputs.dependence is None else inputs.dependence.parts
    return tuple(i for part in parts if isinstance(part, Speeds) for i in part.channels)


def test_a_teacher_of_windows_gets_windows_that_move(tmp_path):
    _, inputs = with_inputs(load_teacher(save_pt2(made(Lstm), tmp_path / "t.pt2")), None)
    assert inputs.tier == "T0" and moving(inputs) == (0, 1, 2, 3, 4, 5)
    assert MOVES in meaning(inputs)
    assert inputs.fingerprint() != inputs.inferred.declared.fingerprint()
    z = inputs.draw(4_000, rng()).view(-1, *CALLS[Lstm][0][0].shape[1:])
    assert float((z[:, 1] * z[:, 0]).mean()) > 0.3
    assert float((z[..., 0] * z[..., 1]).mean()) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    ("channels", "open_"),
    [
        (({}, {"mean": 3, "std": 2}), (0, 1)),
        (({}, {"time_constant": 3}), (0,)),
        (({"autocorrelation": [0]}, {"levels": [0, 1]}), (1,)),
        (({"autocorrelation": [0]}, {"autocorrelation": [0.5]}), ()),
    ],
)
def test_channels_of_which_something_is_declared_move_as_declared(channels, open_):
    inputs = window(*channels)
    assert moving(inputs) == open_
    z = inputs.draw(20_000, rng())[:, inputs.axes[0].columns("channels", "steps")]
    for i, channel in enumerate(channels):
        lag = float(torch.corrcoef(z[:, i, :2].T)[0, 1])
        if "autocorrelation" in channel:
            assert lag == pytest.approx(channel["autocorrelation"][0], abs=0.04)
        elif "time_constant" not in channel:
            assert lag > 0.3


def test_declared_marginals_stay():
    inputs = window({"mean": 3, "std": 2}, {"levels": [0, 1], "probabilities": [0.8, 0.2]})
    x = inputs.raw(inputs.draw(20_000, rng()))[:, inputs.axes[0].columns("channels", "steps")]
    assert inputs.tier == "T2"
    assert float(x[:, 0].mean()) == pytest.approx(3, abs=0.1)
    assert float(x[:, 0].std()) == pytest.approx(2, abs=0.1)
    assert float(x[:, 1].mean()) == pytest.approx(0.2, abs=0.02)


def test_nothing_is_assumed_beside_correlations_or_without_three_steps():
    assert moving(window({}, {}, correlation=[[1], [0.5, 1]])) == ()
    short = parse_features({"window": {"steps": 2, "channels": ["a", "b"]}}, "here")
    flat = parse_features({"features": ["a", "b"]}, "here")
    assert completed(short) is short and completed(flat) is flat


def image(**keys) -> Inputs:
    return completed(parse_features({"grid": {"height": 4, "width": 3, **keys}}, "here"))


def neighbors(inputs: Inputs) -> float:
    """The correlation of the first two pixels of a row."""
    return float(torch.corrcoef(inputs.draw(20_000, rng())[:, :2].T)[0, 1])


def test_pixels_go_together_over_any_length_unless_declared():
    smooth = image(mean=[3.0], std=[2.0])
    assert smooth.tier == "T2" and SMOOTH in meaning(smooth) and neighbors(smooth) > 0.2
    x = smooth.raw(smooth.draw(20_000, rng()))
    assert float(x[:, 5].mean()) == pytest.approx(3, abs=0.1) and float(x[:, 5].std()) == pytest.approx(2, abs=0.1)
    told = image(correlation_length=1.0)
    assert told.inferred is None and neighbors(told) == pytest.approx(math.exp(-1), abs=0.03)


def test_pixels_with_places_of_their_own_are_independent():
    means = [float(i) for i in range(12)]
    assert image(mean=means, std=[1.0] * 12).inferred is None


def test_images_of_two_pixels_a_side_are_left_alone():
    assert image(height=2).inferred is None and image(width=2).inferred is None


def test_a_teacher_of_images_gets_smooth_images_whose_channels_are_alike(tmp_path):
    _, inputs = with_inputs(load_teacher(save_pt2(made(Images), tmp_path / "t.pt2")), None)
    assert inputs.tier == "T0" and SMOOTH in meaning(inputs)
    (axes,) = inputs.axes
    z = inputs.draw(4_000, rng())[:, axes.columns("channels", "height", "width")]
    assert float((z[:, :, 0, 1] * z[:, :, 0, 0]).mean()) > 0.2
    assert float((z[:, :, 1, 0] * z[:, :, 0, 0]).mean()) > 0.2
    if z.shape[1] > 1:
        assert float((z[:, 0, 0, 0] * z[:, 1, 0, 0]).mean()) == pytest.approx(0.5, abs=0.1)
