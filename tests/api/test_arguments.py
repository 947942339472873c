"""Arguments in Python become a study: what they name is kept once, and every mistake is told before a teacher is asked."""

import pytest
from asked import fails, files_of
from hypothesis import given
from hypothesis import strategies as st

from dfkd_tune.api.arguments import Arguments, named_after
from dfkd_tune.errors import FeaturesError, SpecError
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.locations.paths import NAME

TREE = {"study": {"trials": 2}, "budget": {"steps": 40, "bank": 200, "pool": 500}}


def arguments(folder, teacher, features=None, **given) -> Arguments:
    held = {"example_inputs": None, "architecture": None, "trust_pickle": False, "device": "cpu", "tree": TREE} | given
    return Arguments("tune", teacher, features, folder=folder, **held)


@given(st.text(max_size=150))
def test_a_study_that_was_given_no_name_has_one(path):
    assert NAME.fullmatch(named_after(path))


def test_a_study_is_called_after_its_teacher():
    assert (
        named_after("some/where/net.v2.pt2") == "net.v2" and named_after("package.module:make") == "package.module.make"
    )
    assert named_after("models:/pump@champion") == "models.-pump-champion"


def never(x):
    raise AssertionError("the teacher was asked")


@pytest.mark.parametrize(
    ("given", "place", "kind"),
    [
        ({"architecture": "layers.yaml"}, "tune: architecture", SpecError),
        ({"tree": {"trails": 3}}, "tune: trails", SpecError),
        ({"tree": {"budget": {"steps": "many"}}}, "tune: budget.steps", SpecError),
        ({"features": {"load": {"std": 1.0}}}, "tune: features['load']", FeaturesError),
        ({"features": [{"name": "load", "std": 1.0}]}, "tune: features[0]", FeaturesError),
        ({"features": 3}, "tune: features", FeaturesError),
        ({"features": ""}, "tune: features", SpecError),
        ({"tree": {"optimizer.lr": None}}, "tune: optimizer.lr", SpecError),
        ({"tree": {"optimizr": None}}, "tune: optimizr", SpecError),
        ({"example_inputs": [1.0, 2.0]}, "tune: example_inputs", SpecError),
    ],
    ids=str,
)
def test_a_mistake_is_told_before_the_teacher_is_asked(tmp_path, given, place, kind):
    with fails(place, kind=kind):
        arguments(tmp_path, never, **{"features": ["load", "flow"]} | given).prepared()
    assert files_of(tmp_path) == set()


def test_features_are_kept_once_whatever_way_they_are_given(tmp_path):
    def kept(features) -> set[str]:
        prepared, found = arguments(tmp_path, lambda x: x.sin().sum(1), features).prepared()
        assert prepared.inputs.names == ["load", "flow"] and prepared.probe.features == 2
        assert prepared.spec.teacher.path == found.path
        return {name for name in files_of(tmp_path) if name.startswith("features-")}

    assert len(kept({"load": Feature(name="load", mean=3.0, std=2.0), "flow": None})) == 1
    assert len(kept([Feature(name="load", mean=3.0, std=2.0), "flow"])) == 1
    assert len(kept(["load", "flow"])) == 2
