"""What a features file says of windows: rows that are exact, columns in the teacher's order, and what does not fit."""

import math

import pytest
import torch
import yaml
from asked import fails
from scipy.stats import spearmanr

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.encoding import encoder
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.features_file import parse_features, tree_of
from dfkd_tune.inputs.summary import in_words
from dfkd_tune.layouts.signature import Argument, Signature
from dfkd_tune.testing.problems import rng

CHANNELS = """
    - {name: temp, mean: 20, std: 4, autocorrelation: [0.9, 0.7]}
    - {name: flow, range: [0.25, 9.5], integer: true, time_constant: 3.5}
    - {name: valve, levels: [0, 1, 10], probabilities: [0.5, 0.3, 0.2], time_constant: 5}
"""
TEXT = f"window:\n  steps: 5\n  channels:{CHANNELS}  correlation: [[1], [0.3, 1], [0, 0, 1]]\n"


def signature(*shape: int, dtype=torch.float32) -> Signature:
    return Signature.positional([Argument("x", shape, dtype)])


def parsed(text: str, signature: Signature | None = None):
    return parse_features(yaml.safe_load(text), "features.yaml", signature)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (15,), (1, 5, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_are_exact_at_every_step_and_in_the_teachers_order(shape, dtype):
    inputs = parsed(TEXT, signature(*shape, dtype=dtype))
    x = inputs.raw(inputs.draw(400, rng()), torch.float32)
    (axes,) = inputs.axes
    temp, flow, valve = x[:, axes.columns("channels", "steps")].unbind(1)
    assert {*flow.unique().tolist()} == {float(n) for n in range(1, 10)}
    assert {*valve.unique().tolist()} == {0.0, 1.0, 10.0}
    assert (temp.mean() - 20).abs() < 1 and (temp.std() - 4).abs() < 0.5
    if inputs.layout is not None:
        (argument,) = inputs.layout.to_arguments(x)
        assert argument.shape[1:] == shape and argument.dtype == dtype
        window = argument.float().reshape(400, *axes.sizes)
        window = window if axes.order == "channels_last" else window.transpose(1, 2)
        assert torch.equal(window[:, :, 2], valve)


def test_a_channel_is_declared_once_for_all_steps():
    inputs = parsed(TEXT)
    assert inputs.names[:4] == ["temp[0]", "flow[0]", "valve[0]", "temp[1]"]
    assert inputs.features[13] == Feature(name="flow[4]", range=[0.25, 9.5], integer=True)
    assert inputs.alike == [[0, 3, 6, 9, 12], [1, 4, 7, 10, 13], [2, 5, 8, 11, 14]]
    said = in_words(inputs)
    assert [group["features"] for group in said[:2]] == [["temp[0] to temp[4]"], ["flow[0] to flow[4]"]]
    assert "0.90, 0.70 one, two" in said[3]["declared"] and "temp and flow 0.30" in said[-1]["declared"]


def test_values_of_a_channel_may_be_missing_and_are_so_for_a_while():
    known = "mean: 3, std: 2, missing: 0.3, time_constant: 4"
    inputs = parsed(f"window: {{steps: 6, channels: [{{name: a, {known}}}, b]}}")
    x = inputs.raw(inputs.draw(10_000, rng()))[:, ::2]
    assert x.isnan().double().mean(0) == pytest.approx([0.3] * 6, abs=0.02)
    ranked = x.masked_fill(x.isnan(), torch.inf)  # as the last value
    assert spearmanr(ranked[:, 1], ranked[:, 3]).statistic == pytest.approx(math.exp(-2 / 4), abs=0.04)


def test_words_are_levels_of_a_channel():
    inputs = parsed("window: {steps: 3, channels: [{name: state, levels: [idle, run, null]}, load]}")
    assert inputs.nominal == [0, 2, 4] and encoder(inputs).columns.width == 3 + 3 * 3


def test_an_argument_among_others_is_a_window():
    two = Signature.positional([Argument("site", (), torch.int64), Argument("x", (3, 5), torch.float32)])
    tree = {"arguments": {"site": {"levels": [0, 1]}, "x": yaml.safe_load(TEXT)}}
    inputs = parse_features(tree, "features.yaml", two)
    (axes,) = inputs.axes
    assert (axes.start, axes.order, inputs.names[1]) == (1, "channels_first", "temp[0]")
    x = inputs.draw(4000, rng())
    columns = axes.columns("channels", "steps")
    together = torch.corrcoef(x[:, [0, *columns[0].tolist()]].T)
    assert together[1, 2] > 0.8 and together[0, 1:].abs().max() < 0.1


def test_tiers():
    assert parsed("window: {steps: 3, channels: [a, b]}").tier == "T0"
    assert parsed("window: {steps: 3, channels: [a, {name: b, range: [0, 1]}]}").tier == "T2"
    assert parsed("window: {steps: 3, channels: [a, {name: b, quantiles: {0.1: 0, 0.9: 1}}]}").tier == "T3"
    for known in ("autocorrelation: [0.5]", "time_constant: 2"):
        assert parsed(f"window: {{steps: 3, channels: [a, {{name: b, {known}}}]}}").tier == "T4"
    assert parsed("window: {steps: 3, channels: [a, b], correlation: [[1], [0.5, 1]]}").tier == "T4"


def test_the_fingerprint_follows_every_declaration():
    texts = [
        "window: {steps: 3, channels: [a, b]}",
        "window: {steps: 3, channels: [b, a]}",
        "window: {steps: 2, channels: [a, b, c]}",
        "window: {steps: 3, channels: [a, b], order: channels_first}",
        "window: {steps: 3, channels: [a, {name: b, autocorrelation: [0.5]}]}",
        "window: {steps: 3, channels: [a, {name: b, autocorrelation: [0.6]}]}",
        "window: {steps: 3, channels: [a, {name: b, autocorrelation: [0.5, 0.3]}]}",
        "window: {steps: 3, channels: [{name: a, autocorrelation: [0.5]}, b]}",
        "window: {steps: 3, channels: [a, {name: b, time_constant: 2}]}",
        "window: {steps: 3, channels: [a, b], correlation: [[1], [0.5, 1]]}",
        "window: {steps: 3, channels: [a, b], correlation: [[1], [0.4, 1]]}",
        "features: ['a[0]', 'b[0]', 'a[1]', 'b[1]', 'a[2]', 'b[2]']",
        "grid: {height: 2, width: 3}",
        "grid: {height: 2, width: 3, correlation_length: 2}",
        "grid: {height: 2, width: 3, correlation_length: 3}",
    ]
    prints = [parsed(text).fingerprint() for text in texts]
    assert len({*prints}) == len(prints)
    assert prints == [parsed(text).fingerprint() for text in texts]


def test_inputs_lead_back_to_their_file():
    """A teacher's signature may come later: Python takes the inputs that a file declares, and reads them again."""
    inputs = parsed(TEXT)
    again = parse_features(tree_of(inputs), "again", signature(3, 5))
    assert again.axes[0].order == "channels_first" and again.dependence.parts[0].correlation == (
        (1.0,),
        (0.3, 1.0),
        (0.0, 0.0, 1.0),
    )
    made = {"window": {"steps": 3, "channels": [Feature(name="a", mean=1.0, std=2.0), "b"]}}
    assert parse_features(tree_of(made), "made").features[0] == Feature(name="a[0]", mean=1.0, std=2.0)


W = "window: {steps: 4, channels: [a, b, c]}"


@pytest.mark.parametrize(
    ("text", "shape", "words"),
    [
        (W, (4, 5), ["window: declares (N, 4, 3) or (N, 3, 4)", "takes x (N, 4, 5)", "window: {steps: 4, channels: [...]} with 5 channels"]),
        (W, (5, 3), ["window: {steps: 5, channels: [...]} with 3 channels"]),
        (W, (3, 7), ["window: {steps: 7, channels: [...]} with 3 channels"]),
        (W, (7,), ["takes x (N, 7)", "features: [...]"]),
        (W, (4, 3, 2), ["takes x (N, 4, 3, 2)", "features: [...]"]),
        ("window: {steps: 3, channels: [a, b, c]}", (3, 3), ["does not say which", "order: channels_last", "channels_first"]),
        ("window: {steps: 4, channels: [a, b, c], order: channels_first}", (4, 3), ["declares (N, 3, 4)", "leave order out"]),
    ],
)  # fmt: skip
def test_windows_that_do_not_fit_the_teacher(text, shape, words):
    with fails("features.yaml", *words, kind=FeaturesError):
        parsed(text, signature(*shape))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("window: {steps: 0, channels: [a]}", ["window.steps", "greater than or equal to 1"]),
        ("window: {channels: [a]}", ["window.steps", "required"]),
        ("window: {steps: 3}", ["window.channels", "required"]),
        ("window: {steps: 3, channels: []}", ["window.channels", "at least 1"]),
        ("window: {steps: 3, channels: 2}", ["window.channels", "list"]),
        ("window: {steps: 3, channels: [2]}", ["window.channels[0]", "a name or a mapping"]),
        ("window: {steps: 3, channels: [a, {name: a}]}", ["window.channels[1].name", "'a' is given twice"]),
        ("window: {steps: 3, channels: [{name: a, std: 1}]}", ["window.channels[0]", "mean and std"]),
        ("window: {steps: 3, channels: [{name: a, lag: 1}]}", ["channels[0].lag", "known keys: name, mean", "time_constant"]),
        ("window: {steps: 3, channels: [{name: a, autocorrelation: [1.5]}]}", ["autocorrelation.0", "less than or equal to 1"]),
        ("window: {steps: 3, channels: [{name: a, autocorrelation: []}]}", ["autocorrelation", "at least 1"]),
        ("window: {steps: 3, channels: [{name: a, autocorrelation: [0.9, 0.8, 0.7]}]}", ["holds 3 lags", "2 at most"]),
        ("window: {steps: 3, channels: [{name: a, time_constant: 0}]}", ["time_constant", "greater than 0"]),
        ("window: {steps: 3, channels: [{name: a, time_constant: 1, autocorrelation: [0.5]}]}", ["exclude each other"]),
        ("window: {steps: 3, channels: [a, b], correlation: [[1]]}", ["window.correlation", "2 rows, one a channel"]),
        ("window: {steps: 3, channels: [a, b], order: last}", ["window.order", "channels_last"]),
        ("window: {steps: 60000, channels: [a, b]}", ["120,000 values", "100,000 at most"]),
        ("window: {steps: 4000, channels: [{name: a, time_constant: 9}]}", ["4,000 steps", "2,048 at most"]),
        ("window: {steps: 2, channels: [a], correlation: [[1]]}\nrank_correlation: [[1], [0, 1]]", ["rank_correlation", "leave it out"]),
        ("window: {steps: 3, channels: [a]}\ngrid: {height: 1, width: 1}", ["one of the four"]),
    ],
)  # fmt: skip
def test_windows_that_say_something_impossible(text, words):
    with fails("features.yaml", *words, kind=FeaturesError):
        parsed(text)


def test_a_window_is_one_argument():
    two = Signature.positional([Argument("x", (4, 3), torch.float32), Argument("site", (1,), torch.int64)])
    with fails("features.yaml: window", "is one argument", "arguments: {x: {window: {...}}}", kind=FeaturesError):
        parsed(W, two)


def test_a_teacher_that_tells_no_shape_gets_rows_unless_its_argument_is_named():
    script = Signature.positional([Argument("x", None)])
    assert parsed(W, script).layout is None and parsed(W).layout is None
    named = parsed(f"arguments: {{x: {{{W}}}}}", script)
    assert str(named.layout.signature) == "x (N, 4, 3) float32"


@pytest.mark.parametrize("lags", ["0.9, -0.9", "-1, -1", "0.9, 0, 0"])
def test_autocorrelations_that_no_series_has_are_refused_with_the_nearest(lags):
    text = f"window: {{steps: 5, channels: [a, {{name: b, autocorrelation: [{lags}]}}]}}"
    words = ["window.channels[1].autocorrelation", "no series has these", "the nearest begin with"]
    with fails("features.yaml", *words, kind=FeaturesError):
        parsed(text)


def test_rounded_autocorrelations_are_taken():
    text = (
        "window: {steps: 5, channels: [{name: a, autocorrelation: [1, 1, 1]}, {name: b, autocorrelation: [0.9, 0.6]}]}"
    )
    assert parsed(text).tier == "T4"
