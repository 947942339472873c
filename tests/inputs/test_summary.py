"""What is known of the inputs, in words."""

import pytest

from dfkd_tune.inputs.dependence.rank_correlation import RankCorrelation
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.inputs.prior import InferredPrior, Inputs
from dfkd_tune.inputs.summary import MOST_DESCRIBED, in_short, in_words, meaning, of_columns
from dfkd_tune.testing.problems import KNOWN

SHARES = Inputs([Feature(name=f"share {i}", mean=0.25, std=0.19) for i in range(4)], simplex=range(4))


def test_shares_of_which_nothing_is_said_are_not_told_as_declared():
    inputs = parse_features(
        {"features": ["a", "b", {"name": "c", "mean": 0.2, "std": 0.1}], "simplex": ["a", "b", "c"]}, "x"
    )
    said = {name: each["declared"] for each in in_words(inputs)[:2] for name in each["features"]}
    assert said == {"a": "nothing", "b": "nothing", "c": "mean 0.2, standard deviation 0.1"}
    assert inputs.center.tolist() == pytest.approx([1 / 3, 1 / 3, 0.2])  # in the units of the uniform distribution


def test_what_was_inferred_is_told_apart_from_what_is_declared():
    inputs = parse_features({"features": ["a", {"name": "b", "range": [0, 9]}]}, "x")
    for declared in (inputs, Inputs.unknown(2)):
        known = declared.replaced(inferred=InferredPrior("the rest was read from its trees", declared))
        assert in_words(known)[:-1] == in_words(declared)
        assert in_words(known)[-1] == {"features": declared.names, "declared": "the rest was read from its trees"}
        assert meaning(known).endswith("; the rest was read from its trees")
        assert in_short(known) == in_short(declared)
    assert meaning(known).startswith("nothing is declared of the inputs; ")


def test_a_short_description_holds_only_what_says_something():
    features = [{"name": "a", "unit": "K"}, "b", {"name": "c", "range": [0, 9], "missing": 0.1}]
    assert in_short(parse_features({"features": features}, "x")) == {
        "a": {"unit": "K"},
        "c": {"values": "between 0 and 9"},
    }
    many = [{"name": f"x{i}", "range": [0, 9]} for i in range(MOST_DESCRIBED + 1)]
    assert len(in_short(parse_features({"features": many}, "x"))) == MOST_DESCRIBED


@pytest.mark.parametrize(
    ("columns", "words"),
    [(slice(0, 2), "each value by itself"), (slice(1, 3), "between 0 and 9"), (slice(0, 1), "nothing")],
)
def test_columns_of_an_argument_are_told_together_where_they_are_alike(columns, words):
    inputs = parse_features({"features": ["a", *({"name": n, "range": [0, 9]} for n in "bc")]}, "x")
    assert of_columns(inputs, columns) == words


def test_columns_of_a_window_are_its_steps_and_channels():
    for channels, words in ((["a"], "5 steps of 1 channel"), (["a", "b"], "5 steps of 2 channels")):
        inputs = parse_features({"window": {"steps": 5, "channels": channels}}, "x")
        assert of_columns(inputs, slice(0, len(inputs))) == words


def test_what_is_declared_is_said():
    assert in_words(Inputs.unknown(3)) == [{"features": ["x0", "x1", "x2"], "declared": "nothing"}]
    said = {group["declared"]: group["features"] for group in in_words(KNOWN)}
    assert said == {
        "nothing": ["plain"],
        "between -1 and 2": ["ranged"],
        "one of 0, 1, 5": ["leveled"],
        "mean 10, standard deviation 3": ["scaled"],
    }
    assert "together 1" in in_words(SHARES)[-1]["declared"]
    correlated = Inputs(
        [Feature(name="a"), Feature(name="b", quantiles={0.05: 1.0, 0.5: 2.0, 0.95: 4.0})],
        dependence=RankCorrelation([[1.0], [-0.5, 1.0]]),
    )
    said = [group["declared"] for group in in_words(correlated)]
    assert said == [
        "nothing",
        "quantiles 5 %: 1, 50 %: 2, 95 %: 4",
        "rank correlations of all pairs, the strongest a and b -0.50",
    ]
