"""What trials that share their rows cannot fix or search is refused before the teacher is asked."""

from dataclasses import replace

import pytest
from asked import fails
from costly import LOG, asked, costly_tree

from dfkd_tune.errors import SpecError
from dfkd_tune.generators.ascending.direct import Direct
from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.recipes.presets import FEW_QUERIES
from dfkd_tune.search.space.shared_rows import require_shared_rows
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import prepare


@pytest.fixture
def log(tmp_path, monkeypatch):
    file = tmp_path / "asked.txt"
    monkeypatch.setenv(LOG, str(file))
    return file


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        ({"budget": {"total_queries": 399}}, "budget.total_queries", "greater than or equal to 400"),
        ({"budget": {"total_queries": 500, "teacher_rows": 9}}, "budget", "exclude each other; leave teacher_rows out"),
        ({"budget": {"total_queries": 500, "bank": 200}}, "budget", "exclude each other; leave bank out"),
        ({"search": {"generator.kind": ["committee", "sobol"]}}, "search.generator.kind", "cannot be searched"),
        ({"generator": {"kind": "evolution"}}, "generator.kind", "evolution asks for rows of each trial"),
        ({"generator": {"kind": "direct"}}, "generator.kind", "direct asks for rows of each trial"),
        ({"generator": {"kind": "zeroth_order"}}, "generator.kind", "take committee"),
        ({"search": {"generator.kind": ["direct"]}}, "search.generator.kind", "fix generator.kind: committee"),
        ({"search": {"bound.kind": ["clip"]}}, "search.bound.kind", "leave it out"),
        ({"bound": {"kind": "clip"}}, "bound.kind", "has no meaning"),
        ({"preset": "paper"}, "preset", "few_queries"),
        ({"search": {"loss.kind": ["mse", "sobolev"]}}, "search.loss.kind", "costs"),
        ({"alpha": {"kind": "constant", "value": 0.5}}, "alpha.", "has no meaning"),
        ({"loss": {"kind": "sobolev"}}, "loss.kind", "costs"),
        ({"preset": "black_box"}, "preset", "few_queries"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_any_row(log, tmp_path, change, place, words):
    if words == "costs":
        words = "cost rows"
    tree = costly_tree("costly-refused", tmp_path, 500)
    tree |= {key: tree.get(key, {}) | value if key == "budget" else value for key, value in change.items()}
    with fails(place, words, kind=SpecError):
        prepare(parse_spec(tree, "costly"))
    assert asked(log) == 0


def test_every_generator_that_is_offered_can_be_taken():
    with pytest.raises(SpecError) as refused:
        require_shared_rows(replace(FEW_QUERIES, generator=Direct()), {"generator.kind": "direct"}, None, "study.yaml")
    offered = refused.value.remedy.removeprefix("take ").replace(" or ", ", ").split(", ")
    assert {"committee", "sobol", "skewed"} <= {*offered}
    for kind in offered:
        recipe = replace(FEW_QUERIES, generator=GENERATORS[kind]())
        require_shared_rows(recipe, {"generator.kind": kind}, None, "study.yaml")
