"""The settings of a study are refused for what is known before its teacher is asked, and for nothing that could be kept."""

import pytest
from asked import fails
from costly import costly_tree
from shaped_teachers import Lstm, made, save_pt2

from dfkd_tune.errors import SpecError
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import ROUGH
from dfkd_tune.recipes.refiners import NoRefiner
from dfkd_tune.search.space.defaults import NARROW_STUDENTS
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.agreement.settings import least_outputs, require_settings, space_of
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import Probe


def spec(folder, **changes):
    return parse_spec(costly_tree("settings", folder, 500) | changes, "settings")


def test_what_fits_no_student_of_one_output_fits_none_of_two(tmp_path):
    """So that a refusal with the least number of outputs holds for the teacher's own."""
    given, inputs = spec(tmp_path), Inputs.unknown(3)
    for limit in range(5, 30):
        refused = []
        for outputs in (1, 2):
            try:
                space_of(given, inputs, outputs, limit)
            except SpecError:
                refused.append(outputs)
        assert refused in ([], [2], [1, 2])
    with fails("student.max_parameters", "3 features and 1 output need", kind=SpecError):
        space_of(given, inputs, 1, 5)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"sampler": "cmaes", "study": {"name": "settings", "pareto": "parameters"}}, "settings: sampler"),
        ({"student": {"kind": "conv1d"}}, "settings: student.kind"),
        ({"search": {"optimizer.momentum": [0.9]}}, "settings: search.optimizer.momentum"),
    ],
)
def test_a_setting_is_refused_with_its_place(tmp_path, changes, place):
    with pytest.raises(SpecError) as refused:
        space_of(spec(tmp_path, **changes), Inputs.unknown(3), 1, None)
    assert refused.value.place == place


def test_the_outputs_that_a_teacher_tells_are_known_before_it_is_asked(tmp_path):
    assert least_outputs(load_teacher(save_pt2(made(Lstm), tmp_path / "net.pt2"))) >= 1
    assert least_outputs(load_teacher("costly:answer")) == 1


@pytest.mark.parametrize(
    ("total", "assistant", "refused"),
    [(None, "committee", True), (None, "wider", False), (500, "committee", False)],
)
def test_a_committee_is_refused_before_anything_is_asked_where_trials_have_rows_of_their_own(
    tmp_path, total, assistant, refused
):
    given = parse_spec(costly_tree("settings", tmp_path, total) | {"assistant": {"kind": assistant}}, "settings")
    if not refused:
        return require_settings(given)
    with fails(
        "settings: assistant.kind", "committee labels rows only in a study with budget.total_queries", kind=SpecError
    ):
        require_settings(given)


LIMIT = {"student": {"max_parameters": 101}}
"""A student of 20 neurons, for three features and one output."""
WIDTH = {"student": {"kind": "mlp", "width": 20}}


@pytest.mark.parametrize(
    ("changes", "neurons", "narrow"),
    [
        (LIMIT, 301, True),
        (LIMIT, 300, False),
        (WIDTH, 301, True),
        (WIDTH, 300, False),
        ({}, 301, False),
        ({"student": {"depth": 2, "max_parameters": 145}}, 136, True),
        ({"student": {"depth": 2, "max_parameters": 145}}, 135, False),
        ({"student": {"kind": "rbf", "max_parameters": 101}}, 301, True),
        (LIMIT | {"preset": "faithful"}, 301, False),
        ({"preset": "shallow"}, 300, True),
    ],
)
def test_students_with_far_fewer_neurons_than_the_teacher_have_defaults_of_their_own(changes, neurons, narrow):
    given = parse_spec({"study": {"name": "settings"}, "teacher": "teacher.pt2"} | changes, "settings")
    found = Probe(3, 1, True, 1e6, neurons=neurons)
    space = space_of(given, Inputs.unknown(3), 1, given.student.parameters(None), found)
    assert (
        isinstance(space.preset.refiner, NoRefiner) == narrow == (space.domains.keys() <= NARROW_STUDENTS.search.keys())
    )


def test_narrow_students_of_declared_inputs_have_the_usual_defaults():
    given = parse_spec({"study": {"name": "settings"}, "teacher": "teacher.pt2"} | LIMIT, "settings")
    declared = parse_features({"features": [{"name": name, "range": [0, 1]} for name in "abc"]}, "f")
    space = space_of(given, declared, 1, 101, Probe(3, 1, True, 1e6, neurons=301))
    assert not isinstance(space.preset.refiner, NoRefiner) and "generator.kind" in space.domains


def test_a_deep_teacher_has_the_same_defaults_for_students_of_any_width():
    given = parse_spec({"study": {"name": "settings"}, "teacher": "teacher.pt2"} | LIMIT, "settings")
    space = space_of(given, Inputs.unknown(3), 1, 101, Probe(3, 1, True, 1e6))
    assert space.preset.generator == ROUGH.generator and "loss.weight" in space.domains
