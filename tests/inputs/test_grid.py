"""What a features file says of images of several channels."""

import pytest
import torch
import yaml
from asked import fails

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.layouts.signature import Argument, Signature
from dfkd_tune.testing.problems import raw, rng

G = "grid: {height: 2, width: 4, channels: 3, mean: [1, 2, 3], std: [1, 1, 0]}"


def parsed(text: str, *shape: int):
    signature = Signature.positional([Argument("image", shape, torch.float32)]) if shape else None
    return parse_features(yaml.safe_load(text), "features.yaml", signature)


@pytest.mark.parametrize("shape", [(), (3, 2, 4), (2, 4, 3), (24,)])
def test_means_and_deviations_of_channels_are_those_of_their_pixels(shape):
    inputs = parsed(G, *shape)
    (axes,) = inputs.axes
    center = inputs.center[axes.columns("channels", "height", "width")]
    assert torch.equal(center, torch.tensor([1.0, 2.0, 3.0])[:, None, None].expand(3, 2, 4).double())
    constant = raw(inputs, inputs.draw(100, rng()))[:, axes.columns("channels", "height", "width")[2].flatten()]
    assert bool((constant == 3).all())


def test_pixels_may_be_declared_one_by_one_whatever_their_order():
    mean = [float(i) for i in range(12)]
    text = f"grid: {{height: 2, width: 3, channels: 2, mean: {mean}, std: {[1.0] * 12}}}"
    for shape in ((), (2, 2, 3), (2, 3, 2)):
        inputs = parsed(text, *shape)
        assert inputs.center[inputs.axes[0].columns("channels", "height", "width").flatten()].tolist() == mean
    assert parsed(text).names[7] == "pixel_1_0_1" and parsed(text, 2, 3, 2).names[7] == "image[1,0,1]"


def test_the_correlation_of_pixels_decays_with_their_distance():
    inputs = parsed("grid: {height: 3, width: 4, channels: 2, correlation_length: 1.5, correlation: [[1], [0.6, 1]]}")
    assert inputs.tier == "T4"
    z = inputs.draw(20_000, rng())[:, inputs.axes[0].columns("channels", "height", "width")]
    for (a, b), distance in {
        ((0, 0), (0, 1)): 1,
        ((0, 0), (2, 0)): 2,
        ((1, 1), (2, 2)): 2**0.5,
        ((0, 0), (2, 3)): 13**0.5,
    }.items():
        found = float(torch.corrcoef(torch.stack([z[:, 1, *a], z[:, 1, *b]]))[0, 1])
        assert found == pytest.approx(float(torch.exp(torch.tensor(-distance / 1.5))), abs=0.035)
    both = float(torch.corrcoef(z[:, :, 1, 2].T)[0, 1])
    assert both == pytest.approx(0.618, abs=0.035)  # 2 sin(0.6 pi / 6)


@pytest.mark.parametrize("length", [1e-3, 1e6])
def test_any_length_is_a_distribution(length):
    z = parsed(f"grid: {{height: 5, width: 5, correlation_length: {length}}}").draw(500, rng())
    spread = float((z - z.mean(1, keepdim=True)).std())
    assert bool(z.isfinite().all()) and (spread > 0.9 if length < 1 else spread < 0.05)


@pytest.mark.parametrize(
    ("text", "shape", "words"),
    [
        (G, (2, 4), ["declares (N, 3, 2, 4) or (N, 2, 4, 3)", "takes image (N, 2, 4)", "grid: {height: 2, width: 4}"]),
        (G, (3, 4, 5), ["grid: {height: 4, width: 5, channels: 3}"]),
        (G, (5, 4, 3), ["grid: {height: 5, width: 4, channels: 3}"]),
        (G, (3, 2, 4, 5), ["features: [...]"]),
        ("grid: {height: 3, width: 3, channels: 3}", (3, 3, 3), ["does not say which", "order: channels_first}, or order: channels_last"]),
        (G.replace("2,", "2, order: channels_last,", 1), (3, 2, 4), ["declares (N, 2, 4, 3)", "leave order out"]),
    ],
)  # fmt: skip
def test_images_that_do_not_fit_the_teacher(text, shape, words):
    with fails("features.yaml: grid", *words, kind=FeaturesError):
        parsed(text, *shape)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (G.replace("[1, 2, 3]", "[1, 2]"), ["3 channels or 24 values need as many means and stds", "found 2 and 3"]),
        ("grid: {height: 2, width: 2, channels: 0}", ["grid.channels", "greater than or equal to 1"]),
        ("grid: {height: 400, width: 400}", ["160,000 values", "100,000"]),
        ("grid: {height: 2, width: 2, correlation_length: 0}", ["grid.correlation_length", "greater than 0"]),
        ("grid: {height: 100, width: 100, correlation_length: 2}", ["10,000 pixels", "4,096 at most"]),
        ("grid: {height: 2, width: 2, channels: 2, correlation: [[1]]}", ["grid.correlation", "2 rows, one a channel"]),
    ],
)
def test_images_that_say_something_impossible(text, words):
    with fails("features.yaml", *words, kind=FeaturesError):
        parsed(text)
