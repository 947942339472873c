"""The settings of a study are refused for what is known before its teacher is asked, and for nothing that could be kept."""

import pytest
from asked import fails
from costly import costly_tree
from shaped_teachers import Lstm, made, save_pt2

from dfkd_tune.errors import SpecError
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.agreement.settings import least_outputs, space_of
from dfkd_tune.teachers.loader import load_teacher


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
