"""What the kind of a teacher decides is found by its probe, and holds together."""

import pytest
import torch
from teacher_files import THREE
from torch import nn

from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.generators.skewed import Skewed
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.assistants import Committee, NoAssistant, Wider
from dfkd_tune.recipes.checkpoints import Best
from dfkd_tune.recipes.optimizers import Adam
from dfkd_tune.recipes.presets import PRESETS, RANDOM
from dfkd_tune.search.space.defaults import FEW_ROWS, OTHER_PRESETS, TEACHER_DEFAULTS
from dfkd_tune.search.space.search_space import make_space
from dfkd_tune.teachers.base import Teacher, freeze
from dfkd_tune.teachers.black_box import from_numpy
from dfkd_tune.teachers.fused.forward import with_fused_forward
from dfkd_tune.teachers.probe import probe


def of(*layers: nn.Module) -> Teacher:
    torch.manual_seed(0)
    return with_fused_forward(Teacher("here", freeze(nn.Sequential(*layers)), torch.float32, ""))


TEACHERS = {
    "tanh": (lambda: of(nn.Linear(3, 9), nn.Tanh(), nn.Linear(9, 1)), "shallow"),
    "silu": (lambda: of(nn.Linear(3, 9), nn.SiLU(), nn.Linear(9, 2)), "shallow"),
    "relu": (lambda: of(nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 1)), "deep"),
    "two layers": (lambda: of(nn.Linear(3, 9), nn.Tanh(), nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 1)), "deep"),
    "function": (lambda: Teacher("here", lambda x: x.sin().sum(1), torch.float32, ""), "deep"),
    "estimator": (lambda: Teacher("here", from_numpy(lambda x: x.sum(1)), torch.float32, ""), "black box"),
}

DEFAULTS = TEACHER_DEFAULTS | {"another preset": OTHER_PRESETS}


@pytest.mark.parametrize("name", TEACHERS)
def test_a_probe_tells_the_kind(name):
    make, expected = TEACHERS[name]
    assert probe(make(), THREE).kind == expected


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_kind_searches_all_that_it_says_around_its_preset(name):
    kind = DEFAULTS[name]
    answers_only = name == "black box"
    space = make_space(kind.preset, None, (Columns(3), 1), 1000, differentiable=not answers_only, default=kind.search)
    assert space.domains.keys() == kind.search.keys()
    assert {kind.preset, kind.baseline} <= {*PRESETS.values()}
    assert (kind.baseline is RANDOM) == answers_only
    leads = space.initial_points()
    generators = space.domains["generator.kind"].choices
    assert answers_only == (not any(GENERATORS[each].needs_gradients for each in generators))
    assert [lead["generator.kind"] for lead in leads[: len(generators)]] == [*reversed(generators)]
    finishes = getattr(space.domains.get("refiner.kind"), "choices", ())
    assert {lead.get("refiner.kind") for lead in leads} >= {*finishes}
    assert len(leads) == len(generators) + max(0, len(finishes) - 1)


@pytest.mark.parametrize("name", DEFAULTS)
def test_tails_are_searched_only_where_they_are_open(name):
    kind = DEFAULTS[name]
    known = Feature(name="known", quantiles={0.05: 0.0, 0.5: 1.0, 0.95: 5.0})
    assert kind.searched(Inputs([known, Feature(name="open")])) == kind.search
    closed = kind.searched(Inputs([known, Feature(name="ranged", range=[0.0, 1.0])]))
    assert not {"generator.spread", "generator.shared"} & closed.keys()
    assert not {"heavy_tailed", "skewed"} & {*closed["generator.kind"]} and "gaussian" in closed["generator.kind"]
    space = make_space(kind.preset, None, (Columns(2), 1), 1000, differentiable=name != "black box", default=closed)
    assert space.domains.keys() == closed.keys() and space.initial_points()


@pytest.mark.parametrize("name", DEFAULTS)
def test_windows_are_not_skewed(name):
    """Their channels move, and a skewed row would stretch all steps of one together."""
    inputs = parse_features({"window": {"steps": 4, "channels": ["a", "b"]}}, "here")
    kind = DEFAULTS[name]
    recipe = kind.recipe(inputs)
    assert recipe.student.takes == "window" and not isinstance(recipe.generator, Skewed)
    assert kind.recipe(Inputs.unknown(3)) == kind.preset


@pytest.mark.parametrize("kind", [*DEFAULTS.values(), FEW_ROWS])
def test_students_over_windows_learn_faster(kind):
    """By Adam, whose rate a study searches around that of the preset; RMSprop is used for a share of the steps."""
    inputs = parse_features({"window": {"steps": 4, "channels": ["a", "b"]}}, "here")
    recipe, domain, usual = kind.recipe(inputs), kind.searched(inputs)["optimizer.lr"], kind.search["optimizer.lr"]
    if isinstance(kind.preset.optimizer, Adam):
        decays = [each.lr * getattr(each, "weight_decay", 0.0) for each in (recipe.optimizer, kind.preset.optimizer)]
        assert decays[0] == pytest.approx(decays[1])
        assert kind.preset.optimizer.lr < recipe.optimizer.lr
        assert domain["low"] < recipe.optimizer.lr < domain["high"] and usual["high"] < domain["high"]
    else:
        assert (recipe.optimizer, domain) == (kind.preset.optimizer, usual)
    assert kind.searched(Inputs.unknown(3))["optimizer.lr"] == usual


@pytest.mark.parametrize("name", DEFAULTS)
def test_only_a_total_searches_which_weights_are_kept(name):
    for defaults, expected in ((DEFAULTS[name], set()), (FEW_ROWS, {"checkpoint.kind"})):
        space = make_space(
            defaults.preset, None, (Columns(3), 1), 1000, differentiable=name != "black box", default=defaults.search
        )
        assert {leaf for leaf in space.domains if leaf.partition(".")[0] in ("checkpoint", "assistant")} == expected
        assert (defaults.preset.checkpoint, defaults.preset.assistant) == (Best(), NoAssistant())


@pytest.mark.parametrize("name", DEFAULTS)
def test_only_students_within_a_total_have_an_assistant_by_the_shape_of_their_inputs(name):
    windows = parse_features({"window": {"steps": 4, "channels": ["a", "b"]}}, "here")
    share = FEW_ROWS.searched(windows)["assistant.share"]
    assert share["low"] <= FEW_ROWS.recipe(windows).assistant.batch_share <= share["high"]
    long = parse_features({"window": {"steps": 2_000, "channels": ["a", "b"]}}, "here")
    assert FEW_ROWS.recipe(long).assistant.rows < FEW_ROWS.recipe(windows).assistant.rows == Wider().rows
    grid = parse_features({"grid": {"height": 4, "width": 4, "channels": 1}}, "here")
    for defaults, inputs in ((DEFAULTS[name], windows), (DEFAULTS[name], THREE), (FEW_ROWS, grid)):
        assert isinstance(defaults.recipe(inputs).assistant, NoAssistant)
    assert FEW_ROWS.recipe(THREE).assistant == Committee()
    assert FEW_ROWS.recipe(Inputs.unknown(5_000)).assistant.rows < Committee().rows
    assert not any(
        "assistant.share" in each.searched(inputs) for each, inputs in ((DEFAULTS[name], windows), (FEW_ROWS, THREE))
    )
