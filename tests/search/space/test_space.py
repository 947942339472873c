"""What a trial is asked for: the fields of its kinds alone, each name with one range, and every generator first."""

import warnings

import optuna
import pytest
from spaces import LOG, SIZE, WIDE, suggested

from dfkd_tune.recipes.assistants import NoAssistant, Wider
from dfkd_tune.recipes.mixing import Constant
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.recipes.recipe import SECTIONS, Recipe
from dfkd_tune.search.space.search_space import DEFAULT, make_space
from dfkd_tune.utils import yaml_io


class TestSpace:
    def test_default_covers_every_kind_that_it_names(self):
        seen = {section: set() for section in SECTIONS}
        for recipe, _ in suggested(make_space(Recipe(), None, SIZE, None), 200):
            for section in SECTIONS:
                seen[section].add(recipe.leaves()[f"{section}.kind"])
        for leaf, value in DEFAULT.items():
            if leaf.endswith(".kind"):
                assert seen[leaf.removesuffix(".kind")] >= {*value}

    def test_only_fields_of_the_chosen_kinds_are_asked_for(self):
        names = set()
        for recipe, params in suggested(make_space(Recipe(), WIDE, SIZE, None), 200):
            for leaf, value in params.items():
                assert recipe.leaves()[leaf] == value
            names.add(frozenset(params))
        assert len(names) > 5

    def test_nothing_is_bounded_that_does_not_seek_or_travel(self):
        kinds = set()
        for recipe, params in suggested(make_space(Recipe(), WIDE, SIZE, None), 300):
            kinds.add(type(recipe.generator))
            sections = {leaf.partition(".")[0] for leaf in params}
            assert ("bound" in sections) == recipe.generator.uses_gap
            assert ("input_bound" in sections) == recipe.generator.starts_from_prior
            if params["generator.kind"] == "gaussian":
                assert recipe.alpha == Constant(0.0) and "alpha" not in sections
        assert kinds == {*SECTIONS["generator"].values()}

    def test_what_is_not_searched_is_the_preset(self):
        for preset in PRESETS.values():
            for recipe, params in suggested(make_space(preset, {"optimizer.lr": LOG}, SIZE, None), 5):
                assert recipe.leaves() == preset.leaves() | {"optimizer.lr": params["optimizer.lr"]}
            for recipe, params in suggested(make_space(preset, {}, SIZE, None), 2):
                assert recipe == preset and params == {}

    def test_every_suggested_assistant_is_within_the_largest(self):
        search = {
            "assistant.kind": ["none", "wider"],
            "assistant.times": {"low": 2, "high": 6},
            "assistant.rows": [100, 3_000],
        }
        space = make_space(Recipe(), search, SIZE, None, fixed={"assistant.members": 2})
        assert space.assistants() == [NoAssistant(), Wider(times=6, members=2, rows=3_000)]
        kinds = {type(recipe.assistant) for recipe, _ in suggested(space, 50)}
        assert kinds == {NoAssistant, Wider}
        assert make_space(Recipe(), {}, SIZE, None).assistants() == [NoAssistant()]

    def test_ranges_hold_both_ends(self):
        widths = [
            recipe.student.width
            for recipe, _ in suggested(make_space(Recipe(), {"student.width": {"low": 2, "high": 5}}, SIZE, None))
        ]
        assert {*widths} == {2, 3, 4, 5}

    def test_one_name_has_one_range(self):
        """Optuna's samplers take a parameter for the same wherever its name is the same."""
        search = {"student.kind": ["mlp", "rbf"], "student.width": {"low": 1, "high": 500}, "student.depth": [1, 2, 3]}
        space, ranges = make_space(Recipe(), search, SIZE, 300), {}
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(40):
            trial = study.ask()
            space.suggest(trial)
            for name, domain in trial.distributions.items():
                assert ranges.setdefault(name, domain) == domain

    @pytest.mark.parametrize("limit", [None, 200])
    @pytest.mark.parametrize(
        "search",
        [
            None,
            {},
            WIDE,
            {"generator.kind": [*SECTIONS["generator"]]},
            WIDE | {"student.depth": [1, 2], "student.width": [4, 8, 64]},
            WIDE | {"student.kind": ["rbf", "mlp"], "student.width": {"low": 3, "high": 9}},
        ],
        ids=["default", "nothing", "wide", "generators", "depths", "students"],
    )
    @pytest.mark.parametrize("preset", PRESETS)
    def test_leads_try_every_generator_once_and_are_followed(self, preset, search, limit):
        space = make_space(PRESETS[preset], search, SIZE, limit)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for lead in space.initial_points():
            study.enqueue_trial(lead)
        kinds = []
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Optuna warns where it cannot follow
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            for lead in space.initial_points():
                trial = study.ask()
                recipe = space.suggest(trial)
                assert trial.params == trial.params | {k: v for k, v in lead.items() if k in trial.params}
                kinds.append(recipe.leaves()["generator.kind"])
        searched = space.domains.get("generator.kind")
        every = sorted(searched.choices if searched else {PRESETS[preset].leaves()["generator.kind"]})
        assert sorted(kinds[: len(every)]) == every
        assert {*kinds[len(every) :]} <= {kinds[0]}  # once more with every other finish

    def test_description_tells_spaces_apart(self):
        spaces = [
            make_space(preset, search, SIZE, limit)
            for preset in PRESETS.values()
            for search in (None, {}, {"optimizer.lr": LOG}, {"optimizer.lr": LOG | {"high": 0.1}})
            for limit in (None, 100, 1000)
        ]
        assert len({yaml_io.dump(space.describe()) for space in spaces}) == len(spaces)
        assert spaces[0].describe() == make_space(PRESETS["random"], None, SIZE, None).describe()
