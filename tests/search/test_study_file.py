"""Study files and recipe files: everything that is right is taken, everything else is told in one line."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_studies import STUDIES

from dfkd_tune.errors import SpecError
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.locations.paths import NAME
from dfkd_tune.recipes.presets import FAITHFUL, PRESETS
from dfkd_tune.recipes.recipe import SECTIONS, Recipe, from_tree
from dfkd_tune.search.space.search_space import DEFAULT, make_space
from dfkd_tune.search.study_file import KEYS, PARTS, parse_spec, read_spec
from dfkd_tune.utils import yaml_io

SIZE = (Columns(4), 2)
LOG = {"low": 1e-4, "high": 1e-2, "log": True}


def parse(text):
    """A study file from text, its space included."""
    spec = parse_spec(yaml_io.parse(text, "s.yaml", SpecError), "s.yaml")
    return spec, make_space(spec.recipe(FAITHFUL), spec.search, SIZE, spec.student.parameters(10_000), "s.yaml: search")


WRONG = {
    # the file and its keys
    "[]": ("s.yaml:", "must be a mapping"),
    "study: {trials: 3}": ("s.yaml: teacher:", "required"),
    "teacher:": ("s.yaml: teacher:", "required"),
    "{teacher: t.pt2, colour: red}": ("s.yaml: colour:", f"known keys: {', '.join(KEYS)}"),
    "{teacher: t.pt2, 1: 2}": ("s.yaml: 1:", "unknown key"),
    "{teacher: 3}": ("s.yaml: teacher:", "must be a mapping, got 3"),
    "{teacher: ''}": ("s.yaml: teacher.path:", "at least 1 character"),
    "{teacher: {path: 3}}": ("s.yaml: teacher.path:", "got 3"),
    "{teacher: {architecture: a.yaml}}": ("s.yaml: teacher.path:", "required"),
    "{teacher: {path: t.pt2, weights: w}}": ("s.yaml: teacher.weights:", "known keys: path, architecture"),
    "{teacher: t.pt2, features: 3}": ("s.yaml: features:", "must be a path, got 3"),
    "{teacher: t.pt2, preset: papre}": ("s.yaml: preset:", f"known: {', '.join(PRESETS)}"),
    "{teacher: t.pt2, preset: [paper]}": ("s.yaml: preset:", "unknown preset ['paper']"),
    "{teacher: t.pt2, study: 7}": ("s.yaml: study:", "must be a mapping, got 7"),
    "{teacher: t.pt2, study: {1: 2}}": ("s.yaml: study:", "a key must be a word"),
    "{teacher: t.pt2, study: {trails: 3}}": ("s.yaml: study.trails:", "unknown key"),
    "{teacher: t.pt2, study: {trials: 0}}": ("s.yaml: study.trials:", "greater than or equal to 1, got 0"),
    "{teacher: t.pt2, study: {trials: 2.5}}": ("s.yaml: study.trials:", "got 2.5"),
    "{teacher: t.pt2, study: {trials: many}}": ("s.yaml: study.trials:", "got 'many'"),
    "{teacher: t.pt2, study: {trials: true}}": ("s.yaml: study.trials:", "got True"),
    "{teacher: t.pt2, study: {seed: -1}}": ("s.yaml: study.seed:", "got -1"),
    "{teacher: t.pt2, study: {objective: mae}}": ("s.yaml: study.objective:", "'rmse' or 'nrmse'"),
    "{teacher: t.pt2, study: {population: 0}}": ("s.yaml: study.population:", "got 0"),
    "{teacher: t.pt2, study: {name: ../../etc}}": ("s.yaml: study.name", "must be letters"),
    "{teacher: t.pt2, student: {colour: 3}}": ("s.yaml: student.colour:", "known keys: max_parameters, compression"),
    "{teacher: t.pt2, student: {max_parameters: 0}}": ("s.yaml: student.max_parameters:", "got 0"),
    "{teacher: t.pt2, student: {compression: 1}}": ("s.yaml: student.compression:", "greater than 1"),
    "{teacher: t.pt2, student: {compression: .nan}}": ("s.yaml: student.compression:", "got nan"),
    "{teacher: t.pt2, student: {max_parameters: 9, compression: 2}}": ("s.yaml: student:", "exclude each other"),
    "{teacher: t.pt2, student: {max_parameters: 6}}": ("student.max_parameters:", "need at least 9"),
    "{teacher: t.pt2, budget: {steps: 0}}": ("s.yaml: budget.steps:", "got 0"),
    "{teacher: t.pt2, budget: {batch: 51}}": ("s.yaml: budget.batch:", "multiple of 2"),
    "{teacher: t.pt2, budget: {bank: 10}}": ("s.yaml: budget.bank:", "got 10"),
    "{teacher: t.pt2, budget: {pool: 1}}": ("s.yaml: budget.pool:", "got 1"),
    # what is searched
    "{teacher: t.pt2, search: [generator]}": ("s.yaml: search:", "must be a mapping of leaves"),
    "{teacher: t.pt2, search: {steps: [1, 2]}}": ("s.yaml: search.steps:", "budgets are the same for all trials"),
    "{teacher: t.pt2, search: {1: 2}}": ("s.yaml: search.1:", "unknown section '1'"),
    "{teacher: t.pt2, search: {optimizer: {1: 2}}}": ("s.yaml: search.optimizer.1:", "no optimizer has a field '1'"),
    "{teacher: t.pt2, search: {student: [8]}}": ("s.yaml: search.student:", "known: kind, "),
    "{teacher: t.pt2, search: {optimizer.rate: [1]}}": ("s.yaml: search.optimizer.rate:", "no optimizer has a field"),
    "{teacher: t.pt2, search: {generator.seeks: [true]}}": ("s.yaml: search.generator.seeks:", "no generator has"),
    "{teacher: t.pt2, search: {generator.kind: direct}}": ("s.yaml: search.generator.kind:", "must be a list of kinds"),
    "{teacher: t.pt2, search: {generator.kind: []}}": (
        "s.yaml: search.generator.kind:",
        "must be a list of kinds, got []",
    ),
    "{teacher: t.pt2, search: {generator.kind: [gan]}}": (
        "s.yaml: search.generator.kind:",
        f"unknown kind 'gan'; known: {', '.join(SECTIONS['generator'])}",
    ),
    "{teacher: t.pt2, search: {generator.kind: [[direct]]}}": ("s.yaml: search.generator.kind:", "unknown kind"),
    "{teacher: t.pt2, search: {generator.kind: [direct, direct]}}": ("s.yaml: search.generator.kind:", "must differ"),
    "{teacher: t.pt2, search: {student.width: []}}": ("s.yaml: search.student.width:", "at least one choice"),
    "{teacher: t.pt2, search: {student.width: [8, 8]}}": ("s.yaml: search.student.width:", "must differ"),
    "{teacher: t.pt2, search: {student.width: [8, 8.5]}}": ("s.yaml: search.student.width:", "got 8.5"),
    "{teacher: t.pt2, search: {student.width: [[8]]}}": ("s.yaml: search.student.width:", "got [8]"),
    "{teacher: t.pt2, search: {optimizer.lr: [1, 1.0]}}": ("s.yaml: search.optimizer.lr:", "must differ"),
    "{teacher: t.pt2, search: {optimizer.lr: 0.1}}": ("s.yaml: search.optimizer.lr:", "must be a list of choices or"),
    "{teacher: t.pt2, search: {optimizer.lr: }}": ("s.yaml: search.optimizer.lr:", "got None"),
    "{teacher: t.pt2, search: {optimizer.lr: [0.1, -1]}}": ("s.yaml: search.optimizer.lr:", "greater than 0, got -1"),
    "{teacher: t.pt2, search: {optimizer.lr: [fast]}}": ("s.yaml: search.optimizer.lr:", "got 'fast'"),
    "{teacher: t.pt2, search: {optimizer.schedule: [cosine, linear]}}": (
        "s.yaml: search.optimizer.schedule:",
        "'linear'",
    ),
    "{teacher: t.pt2, search: {optimizer.schedule: {low: 1, high: 2}}}": (
        "s.yaml: search.optimizer.schedule:",
        "got 1",
    ),
    "{teacher: t.pt2, search: {optimizer.lr: {low: 1}}}": ("s.yaml: search.optimizer.lr.high:", "required"),
    "{teacher: t.pt2, search: {optimizer.lr: {low: 1, high: 2, step: 3}}}": (
        "s.yaml: search.optimizer.lr.step:",
        "known keys: low, high, log",
    ),
    "{teacher: t.pt2, search: {optimizer.lr: {low: little, high: 2}}}": (
        "s.yaml: search.optimizer.lr.low:",
        "'little'",
    ),
    "{teacher: t.pt2, search: {optimizer.lr: {low: '1', high: 2}}}": ("s.yaml: search.optimizer.lr.low:", "got '1'"),
    "{teacher: t.pt2, search: {optimizer.lr: {low: true, high: 2}}}": ("s.yaml: search.optimizer.lr.low:", "got True"),
    "{teacher: t.pt2, search: {optimizer.lr: {low: 1, high: .inf}}}": ("s.yaml: search.optimizer.lr.high:", "got inf"),
    "{teacher: t.pt2, search: {optimizer.lr: {low: 1, high: 2, log: 1}}}": (
        "s.yaml: search.optimizer.lr.log:",
        "got 1",
    ),
    "{teacher: t.pt2, search: {optimizer.lr: {low: 2, high: 1}}}": (
        "s.yaml: search.optimizer.lr:",
        "low must be <= high, got 2 > 1",
    ),
    "{teacher: t.pt2, search: {optimizer.lr: {low: 0.0, high: 1, log: true}}}": (
        "s.yaml: search.optimizer.lr:",
        "low must be > 0 when log is true, got 0.0",
    ),
    "{teacher: t.pt2, search: {optimizer.lr: {low: 0, high: 1}}}": ("s.yaml: search.optimizer.lr:", "greater than 0"),
    "{teacher: t.pt2, search: {student.width: {low: 1.5, high: 4}}}": (
        "s.yaml: search.student.width:",
        "whole numbers",
    ),
    "{teacher: t.pt2, search: {student.width: {low: 0, high: 4}}}": ("s.yaml: search.student.width:", "got 0"),
    "{teacher: t.pt2, search: {bound.threshold: {low: 1, high: 2}}}": (
        "s.yaml: search.bound.threshold:",
        "no searched bound has it (none); add its kind to search.bound.kind",
    ),
    "{teacher: t.pt2, search: {optimizer.kind: [rmsprop], optimizer.beta1: [0.9]}}": (
        "s.yaml: search.optimizer.beta1:",
        "no searched optimizer has it (rmsprop)",
    ),
    "{teacher: t.pt2, search: {student.width: [8], student: {width: [9]}}}": (
        "s.yaml: search.student.width:",
        "is given twice",
    ),
    "{teacher: t.pt2, student: {max_parameters: 38}, search: {student.depth: [1, 16]}}": (
        "student.max_parameters:",
        "fits 38 parameters",
    ),
    "{teacher: t.pt2, student: {max_parameters: 9}, search: {student.kind: [mlp, module]}}": (
        "student.max_parameters:",
        "fits 9 parameters",
    ),
}


@pytest.mark.parametrize("text", WRONG)
def test_mistake_is_told_in_one_line(text):
    place, rule = WRONG[text]
    with pytest.raises(SpecError) as caught:
        parse(text)
    assert str(caught.value).startswith(place) and rule in str(caught.value) and "\n" not in str(caught.value)


SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["a", "direct", "kind", ""])
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "low", "high", "log", "width", "lr", "trials", "path", 1]), inner, max_size=3
        )
    ),
    max_leaves=5,
)
FIELDS = {f"{section}.{field.name}" for section in SECTIONS for k in SECTIONS[section].values() for field in fields(k)}
LEAVES = sorted(FIELDS | {f"{section}.kind" for section in SECTIONS} | {"steps", "student", "student.", "a.b"})


@settings(
    max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    tree=st.dictionaries(st.sampled_from(KEYS), TREES, max_size=4) | TREES,
    search=st.dictionaries(st.sampled_from(LEAVES), TREES, max_size=2),
)
def test_no_tree_whatever_raises_anything_else(tree, search):
    whole = {"teacher": "t.pt2", "search": search} | tree if isinstance(tree, dict) else tree
    for read in (
        lambda: parse_spec(whole, "here"),
        lambda: from_tree(tree),
        lambda: make_space(Recipe(), search, SIZE, None),
    ):
        try:
            read()
        except SpecError as error:
            assert "\n" not in str(error)


class TestStudyFile:
    def test_least_of_all(self):
        spec, space = parse("teacher: t.pt2")
        assert spec.recipe(FAITHFUL) in PRESETS.values() and {*space.domains} <= {*DEFAULT}
        assert (spec.study.trials, spec.study.seed, spec.budget.steps, spec.name) == (100, 0, 20_000, "s")

    def test_parts_left_empty_are_left_out(self):
        assert parse_spec(dict.fromkeys(KEYS) | {"teacher": "t.pt2"}, "s.yaml") == parse("teacher: t.pt2")[0]

    def test_numbers_may_be_written_as_people_do(self):
        spec, space = parse(
            "{teacher: t.pt2, budget: {steps: 2e4}, student: {max_parameters: 1e3},"
            " search: {optimizer.lr: {low: 1e-3, high: 1e-2}, student.width: {low: 1e0, high: 4e1}}}"
        )
        assert spec.budget.steps == 20_000 and type(spec.budget.steps) is int and spec.student.max_parameters == 1000
        assert (space.domains["optimizer.lr"].low, space.domains["student.width"].high) == (0.001, 40)
        assert parse("{teacher: t.pt2, search: {student.width: [8.0, 2e1]}}")[1].domains["student.width"].choices == (
            8,
            20,
        )
        assert from_tree(yaml_io.parse("steps: 2e4", "r", SpecError)).steps == 20_000

    def test_nested_search_is_the_same_as_flat(self):
        flat, nested = "{optimizer.lr: [0.1, 0.2]}", "{optimizer: {lr: [0.1, 0.2]}}"
        one, other = (parse(f"{{teacher: t.pt2, search: {search}}}")[1] for search in (flat, nested))
        assert one == other

    def test_budget_reaches_the_recipe(self):
        for preset in PRESETS:
            recipe = parse(f"{{teacher: t.pt2, preset: {preset}, budget: {{steps: 30, batch: 8}}}}")[0].recipe(FAITHFUL)
            assert (recipe.steps, recipe.batch, recipe.generator) == (30, 8, PRESETS[preset].generator)

    @pytest.mark.parametrize("file", ["_x", "-x", "..", ".", "ä b", "a" * 200, "x.y", "ordinary", "../../up", "a\nb"])
    def test_name_from_the_file_is_a_name(self, file):
        assert NAME.fullmatch(parse_spec({"teacher": "t.pt2"}, f"{file}.yaml").name)

    @pytest.mark.parametrize(
        "name", ["", ".", "..", "a/b", "/a", "a b", "-a", "_a", "a\n", "ä", "a" * 101, "a:b", "%2e"]
    )
    def test_name_that_could_be_a_path_is_refused(self, name):
        with pytest.raises(SpecError, match=r"^s\.yaml: study\.name: must be letters"):
            parse_spec({"teacher": "t.pt2", "study": {"name": name}}, "s.yaml")

    def test_paths_are_relative_to_the_file(self, tmp_path):
        file = tmp_path / "s.yaml"
        file.write_text("{teacher: {path: models/t.safetensors, architecture: a.yaml}, features: /etc/f.yaml}")
        spec = read_spec(file)
        assert spec.teacher.path == str(tmp_path / "models/t.safetensors")
        assert spec.teacher.architecture == str(tmp_path / "a.yaml") and spec.features == "/etc/f.yaml"
        file.write_text("teacher: package.module:function")
        assert read_spec(file).teacher.path == "package.module:function"

    def test_file_that_cannot_be_read_is_told(self, tmp_path):
        for name, text, rule in (("none.yaml", None, "no such file"), ("bad.yaml", "a: [", "not valid YAML")):
            if text is not None:
                (tmp_path / name).write_text(text)
            with pytest.raises(SpecError, match=rule) as caught:
                read_spec(tmp_path / name)
            assert str(caught.value).startswith(str(tmp_path / name)) and "\n" not in str(caught.value)

    def test_every_part_says_what_it_is_given(self):
        for key in PARTS:
            with pytest.raises(SpecError, match=rf"^s\.yaml: {key}\.colour: unknown key; known keys: "):
                parse_spec({"teacher": "t.pt2", key: {"colour": 1}}, "s.yaml")

    def test_shipped_studies_parse(self):
        files = [file for file in STUDIES.glob("*.yaml") if "teacher" in yaml_io.read(file, SpecError)]
        assert files
        for file in files:
            spec = read_spec(file)
            assert Path(spec.teacher.path).exists() and (spec.features is None or Path(spec.features).exists())
            make_space(spec.recipe(FAITHFUL), spec.search, SIZE, spec.student.parameters(10_000))


class TestRecipeFile:
    @pytest.mark.parametrize(
        "tree, message",
        [
            ([], "r.yaml: must be a mapping"),
            ({"colour": 1}, "r.yaml.colour: unknown key; known keys: student, "),
            ({"student": 3}, "r.yaml.student: must be a mapping, got 3"),
            ({"generator": {"kind": "gan"}}, "r.yaml.generator.kind: unknown kind 'gan'; known: "),
            ({"generator": {"kind": ["direct"]}}, "r.yaml.generator.kind: unknown kind ['direct']"),
            ({"steps": None}, "r.yaml.steps: input should be a valid integer, got None"),
            ({"batch": 3}, "r.yaml.batch: input should be a multiple of 2, got 3"),
        ],
    )
    def test_mistake_is_told(self, tree, message):
        with pytest.raises(SpecError) as caught:
            from_tree(tree, "r.yaml")
        assert str(caught.value).startswith(message)

    def test_what_is_left_out_comes_from_the_base(self):
        base = from_tree({"optimizer": {"lr": 0.1}, "steps": 7})
        assert from_tree({}, base=base) == base
        assert from_tree({"optimizer": {"weight_decay": 0.2}}, base=base).optimizer.lr == 0.1
        assert (
            from_tree({"optimizer": {"kind": "adam"}}, base=base).optimizer.lr == 1e-3
        )  # another kind, its own defaults


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"student.width": -3}, "s.yaml: student.width: .*greater than or equal to 1, got -3"),
        ({"bound": {"kind": "wall"}}, "s.yaml: bound.kind: unknown kind 'wall'"),
        ({"bound": {"kind": "target", "threshold": "high"}}, "s.yaml: bound.threshold: .*got 'high'"),
        ({"bound": {"threshold": -1}}, "s.yaml: bound.threshold: .*got -1"),
        ({"optimizer.lr": 0, "search": {"optimizer.kind": ["adam"]}}, "s.yaml: optimizer.lr: .*got 0"),
        ({"search": {"optimizer.lr": [0]}}, "s.yaml: search.optimizer.lr: .*got 0"),
        (
            {"optimizer.lr": 0.1, "search": {"optimizer.lr": [0.2]}},
            "s.yaml: search.optimizer.lr: is fixed and searched",
        ),
    ],
)
def test_a_wrong_value_is_found_before_there_is_a_teacher(keys, words):
    with pytest.raises(SpecError, match=f"^{words}"):
        parse_spec({"teacher": "t.pt2", **keys}, "s.yaml")
