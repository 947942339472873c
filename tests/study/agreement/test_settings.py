"""The settings of a study are refused for what is known before its teacher is asked, and for nothing that could be kept."""

import pytest
from asked import fails
from costly import costly_tree
from shaped_teachers import Lstm, made, save_pt2

from dfkd_tune.errors import SpecError
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import ROUGH
from dfkd_tune.search.space.defaults import SMOOTH
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


@pytest.mark.parametrize(
    ("preset", "neurons", "own"),
    [(None, 301, True), ("shallow", 301, True), ("faithful", 301, False), ("paper", 301, False), (None, 0, False)],
)
def test_shallow_teachers_have_a_space_of_their_own_unless_another_preset_is_named(preset, neurons, own):
    tree = {"study": {"name": "settings"}, "teacher": "teacher.pt2", "preset": preset}
    space = space_of(parse_spec(tree, "settings"), Inputs.unknown(3), 1, None, Probe(3, 1, True, 1e6, neurons=neurons))
    assert (space.domains.keys() == SMOOTH.keys()) == own


@pytest.mark.parametrize("preset", [None, "shallow"])
def test_a_deep_teacher_has_its_own_space(preset):
    given = parse_spec({"study": {"name": "settings"}, "teacher": "teacher.pt2", "preset": preset}, "settings")
    space = space_of(given, Inputs.unknown(3), 1, 101, Probe(3, 1, True, 1e6))
    assert "loss.weight" in space.domains and (space.preset.initializer == ROUGH.initializer) == (preset is None)


@pytest.mark.parametrize(
    ("about", "refused"),
    [
        ({"study": {"reruns": 0}, "budget": {"trial_share": "25%"}}, "but study.reruns is 0"),
        (
            {"study": {"pareto": "parameters"}, "budget": {"trial_share": 0.5}},
            "but study.pareto compares students of trials",
        ),
        ({"study": {"reruns": 0}, "budget": {"trial_share": 1}}, None),
        ({"study": {"reruns": 0}}, None),
        ({"study": {"pareto": "parameters"}}, None),
        ({"budget": {"trial_share": "25%"}}, None),
    ],
)
def test_trials_are_short_only_where_recipes_are_trained_again(about, refused):
    given = parse_spec({"teacher": "teacher.pt2"} | about, "settings")
    if refused is None:
        return require_settings(given)
    with fails("settings: budget.trial_share", "no trial would train all steps", refused, kind=SpecError):
        require_settings(given)


@pytest.mark.parametrize(("share", "reruns", "refused"), [(1, 1, False), (0.5, 1, True), (0.5, 2, False), (1, 0, True)])
def test_the_smallest_student_is_found_over_at_least_two_students_alike(share, reruns, refused):
    about = {"study": {"within": "5%", "reruns": reruns}, "budget": {"trial_share": share}, "teacher": "teacher.pt2"}
    if not refused:
        return require_settings(parse_spec(about, "settings"))
    with fails("settings: ", "let", kind=SpecError) if reruns else pytest.raises(SpecError):
        require_settings(parse_spec(about, "settings"))
