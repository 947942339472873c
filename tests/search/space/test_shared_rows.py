"""What trials that share their rows cannot fix or search is refused before the teacher is asked more than a probe."""

import pytest
from asked import fails
from costly import LOG, asked, costly_tree

from dfkd_tune.errors import SpecError
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
        ({"generator": {"kind": "evolution"}}, "generator.kind", "asks for rows of each trial"),
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
    assert asked(log) <= 60  # at most a probe
