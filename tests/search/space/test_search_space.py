"""Search spaces: what is asked of a trial, how large a student may be, and how every mistake is told."""

import pytest
from spaces import SIZE, suggested

from dfkd_tune.errors import SpecError
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.recipes.recipe import SECTIONS, Recipe
from dfkd_tune.search.space.search_space import make_space
from dfkd_tune.search.study_file import StudentSection

TAKING_WINDOWS = [kind for kind, each in SECTIONS["student"].items() if each.takes in (None, "window")]


class TestLimit:
    def test_compression_is_of_the_teacher(self):
        limit = StudentSection(compression=10)
        assert limit.parameters(1151) == 115
        with pytest.raises(SpecError, match=r"^student\.compression: this teacher's parameters cannot be counted; "):
            limit.parameters(None)

    @pytest.mark.parametrize("limit", [9, 57, 1151])
    def test_preset_takes_the_widest_student_that_fits(self, limit):
        space = make_space(Recipe(), {}, SIZE, limit)
        assert space.preset.student.parameters(*SIZE) <= limit
        assert space.preset.with_student(width=space.preset.student.width + 1).student.parameters(*SIZE) > limit

    @pytest.mark.parametrize(
        "search",
        [
            None,
            {"student.width": {"low": 4, "high": 500}},
            {"student.width": {"low": 90, "high": 500, "log": True}},
            {"student.width": [2, 8, 300], "student.depth": {"low": 1, "high": 4}},
            {"student.depth": [1, 2, 3]},
            {"student.kind": [*TAKING_WINDOWS], "student.width": {"low": 1, "high": 500}, "student.depth": [1, 2]},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("limit", [60, 1151])
    def test_no_suggested_student_is_larger(self, search, limit):
        window = Columns(4, "window", [2, 2])
        space, sizes = make_space(Recipe(), search, (window, 2), limit), set()
        for recipe, _ in suggested(space):
            sizes.add(recipe.student.parameters(window, 2))
        assert max(sizes) <= limit and (len(sizes) > 1 or limit == 60)


class TestCommittee:
    def test_it_needs_trials_that_share_their_rows(self):
        fixed = {"assistant.kind": "committee"}
        told = (
            r"^s\.yaml: assistant\.kind: committee labels rows only in a study with budget\.total_queries; give a total"
        )
        with pytest.raises(SpecError, match=told):
            make_space(Recipe(), {}, SIZE, None, "s.yaml: search", fixed=fixed)
        made = make_space(Recipe(), {}, SIZE, None, "s.yaml: search", fixed=fixed, limited=True)
        assert made.preset.assistant.committee == 8

    def test_a_search_that_offers_it_is_refused_where_it_stands(self):
        search = {"assistant.kind": ["none", "committee"]}
        with pytest.raises(SpecError, match=r"^s\.yaml: search\.assistant\.kind: committee labels rows only"):
            make_space(Recipe(), search, SIZE, None, "s.yaml: search")
        assert make_space(Recipe(), search, SIZE, None, limited=True).kinds("assistant") == search["assistant.kind"]


class TestWhatATeacherHas:
    SEARCH = ({"generator.kind": ["gaussian", "inversion"]}, {"generator.kind": ["inversion"]})

    @pytest.mark.parametrize("search", SEARCH, ids=["searched", "alone"])
    def test_inversion_is_refused_for_a_teacher_without_batch_normalization(self, search):
        told = r"^s\.yaml: search\.generator\.kind: inversion needs the moments .* this teacher has none"
        with pytest.raises(SpecError, match=told):
            make_space(Recipe(), search, SIZE, None, "s.yaml: search", normalizes=False)
        assert make_space(Recipe(), search, SIZE, None).kinds("generator") == search["generator.kind"]

    def test_a_black_box_is_told_what_needs_no_gradient(self):
        told = r"generator\.kind: inversion needs the teacher's input gradients.*these need none: (?!.*inversion)"
        with pytest.raises(SpecError, match=told):
            make_space(Recipe(), self.SEARCH[0], SIZE, None, differentiable=False, normalizes=False)

    def test_a_fixed_generator_is_refused_where_it_stands(self):
        fixed = {"generator.kind": "inversion"}
        with pytest.raises(SpecError, match=r"^s\.yaml: generator\.kind: inversion needs the moments"):
            make_space(Recipe(), {}, SIZE, None, "s.yaml: search", normalizes=False, fixed=fixed)

    def test_every_other_generator_needs_no_batch_normalization(self):
        every = [name for name in SECTIONS["generator"] if name != "inversion"]
        assert make_space(Recipe(), {"generator.kind": every}, SIZE, None, normalizes=False).kinds("generator") == every
