"""Search spaces: what is asked of a trial, how large a student may be, and how every mistake is told."""

from dataclasses import replace

import pytest
from spaces import SIZE, suggested

from dfkd_tune.errors import SpecError
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.recipes.assistants import Committee, NoAssistant
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
    """It labels for the re-runs, so that a search would compare trials that do not differ by it."""

    TOLD = r"^s\.yaml: search\.assistant\.{}: a committee labels for the re-runs, so that no trial's objective depends on it; "

    @pytest.mark.parametrize(
        "search",
        [
            {"assistant.kind": ["none", "committee"]},
            {"assistant.share": {"low": 0.1, "high": 0.9}},
            {"assistant.members": [2, 8]},
        ],
        ids=str,
    )
    def test_it_is_not_searched(self, search):
        (leaf,) = search
        with pytest.raises(SpecError, match=self.TOLD.format(leaf.partition(".")[2])):
            make_space(replace(Recipe(), assistant=Committee()), search, SIZE, None, "s.yaml: search")

    def test_a_default_space_leaves_out_what_it_would_search_of_another_assistant(self):
        default = {"optimizer.lr": {"low": 0.001, "high": 0.01}, "assistant.share": {"low": 0.25, "high": 0.75}}
        for fixed, expected in (
            ({"assistant.kind": "committee"}, set()),
            ({"assistant.kind": "wider"}, {"assistant.share"}),
        ):
            space = make_space(Recipe(), None, SIZE, None, default=default, fixed=fixed)
            assert {*space.domains} - {"optimizer.lr"} == expected

    def test_trials_have_none_and_re_runs_as_many_as_have_finished(self):
        space = make_space(Recipe(), {}, SIZE, None, fixed={"assistant.kind": "committee", "assistant.share": 0.5})
        ((recipe, _),) = suggested(space, 1)
        assert recipe.assistant == NoAssistant()
        assert space.of_reruns(recipe, 3, 500) == replace(recipe, assistant=Committee(members=3, share=0.5))
        assert space.of_reruns(recipe, 30, 7_000).assistant.members == 8
        assert (space.committee(7_000), space.committee(7_001)) == (8, 0)
        assert space.of_reruns(recipe, 0, 500) == space.of_reruns(recipe, 30, 7_001) == recipe

    def test_trials_whose_assistants_are_searched_are_run_again_with_their_own(self):
        preset = replace(Recipe(), assistant=Committee())
        space = make_space(preset, {"assistant.kind": ["none", "wider"]}, SIZE, None)
        for recipe, _ in suggested(space, 5):
            assert space.of_reruns(recipe, 3, 500) == recipe and space.committee(500) == 0


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
