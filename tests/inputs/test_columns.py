"""How encoded columns lie in a window or a grid: of declared windows, of shapes alone, of levels and missing values."""

import pytest
import torch
import yaml

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import encoder
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.layouts.signature import Argument, Signature
from dfkd_tune.testing.problems import rng

STATE = "{name: state, levels: [idle, run, null]}"


def made(text: str, *shape: int):
    signature = Signature.positional([Argument("x", shape, torch.float32)]) if shape else None
    return encoder(parse_features(yaml.safe_load(text), "features.yaml", signature))


def test_rows_without_a_shape_are_plain_columns():
    assert made("features: [a, b, {name: c, levels: [0, 1]}]").columns == Columns(3)


@pytest.mark.parametrize("shape", [(4, 2), (2, 4)])
def test_windows_are_by_step_whatever_the_teachers_order(shape):
    found = made("window: {steps: 4, channels: [a, b]}", *shape)
    assert found.columns.kind == "window" and found.columns.shape == [4, 2]
    x = torch.arange(8.0).view(1, *shape)
    window = x if shape == (4, 2) else x.transpose(1, 2)
    assert torch.equal(found.columns.arranged(x.flatten(1), "window"), window)


@pytest.mark.parametrize("channel", [STATE, "{name: a, mean: 3, std: 2, missing: 0.3}"])
def test_every_column_of_a_channel_is_at_its_step(channel):
    """One column per level, and one that says that a number is missing."""
    found = made(f"window: {{steps: 3, channels: [{channel}, b]}}")
    per_step = found.columns.width // 3
    assert found.columns.shape == [3, per_step]
    e = found.rows(found.inputs.draw(50, rng()))
    window = found.columns.arranged(e, "window")
    for step in range(3):
        own = [column for i in (2 * step, 2 * step + 1) for column in found.encoding.places[i]]
        assert torch.equal(window[:, step], e[:, own])
    if found.inputs.gapped:
        assert torch.equal(window[:, :, 1].bool(), found.inputs.draw(50, rng())[:, ::2].isnan())


def test_places_are_all_columns_once():
    found = made(f"features: [a, {{name: b, missing: 0.2}}, {STATE}, {{name: d, missing: 0.1}}]")
    assert sorted(column for own in found.encoding.places for column in own) == [*range(found.encoding.width)]
    assert [len(own) for own in found.encoding.places] == [1, 2, 3, 2]


def test_what_is_no_channel_is_the_same_at_every_step():
    two = Signature.positional([Argument("site", (), torch.float32), Argument("x", (3, 2), torch.float32)])
    found = encoder(parse_features({"arguments": {"x": {"mean": 0, "std": 1}}}, "features.yaml", two))
    assert found.columns.shape == [3, 3]
    window = found.columns.arranged(torch.arange(7.0)[None], "window")[0]
    assert torch.equal(window[:, 2], torch.zeros(3)) and torch.equal(window[:, :2].flatten(), torch.arange(1.0, 7.0))


@pytest.mark.parametrize("shape, sizes", [((3, 4, 4), [4, 4, 3]), ((4, 4, 3), [4, 4, 3])])
def test_an_image_is_a_grid_of_pixels(shape, sizes):
    columns = made("arguments: {x: {mean: 0, std: 1}}", *shape).columns
    assert columns.kind == "grid" and columns.shape == sizes


def test_gradients_go_back_to_their_columns():
    """A column that is at several places has the sum of their gradients."""
    columns = Columns(4, "window", [3, 2], [1, 3, 0, 3, 2, 3])
    e = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, 2, dtype=torch.float64)
    (expected,) = torch.autograd.grad((columns.arranged(e, "window") * weights).sum(), e)
    torch.testing.assert_close(columns.back(weights.flatten().expand(5, -1), "window"), expected)


@pytest.mark.parametrize(
    "kind, shape, index, told",
    [
        (None, [2, 2], [], "those of a kind"),
        ("window", [2, 2, 1], [], "a window has 2 sizes"),
        ("grid", [2, 2], [], "a grid has 3 sizes"),
        ("window", [3, 2], [], "6 places, there are 4"),
        ("window", [2, 2], [0, 1, 2, 4], "names column 4, there are 4"),
    ],
)
def test_what_does_not_fit_is_refused(kind, shape, index, told):
    with pytest.raises(ValueError, match=told):
        Columns(4, kind, shape, index)
