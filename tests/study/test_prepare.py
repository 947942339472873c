"""A study is prepared from its file: what it searches."""

from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import prepare


def test_the_default_space_tries_small_students(tree):
    def widths(**about):
        made = tree("widths", student={"max_parameters": 1000}, **about)
        del made["search"]
        return prepare(parse_spec(made, "widths")).space.domains["student.width"]

    plain, wide = widths(), widths(pareto="parameters")
    assert (plain.high, wide.high) == (199, 199)
    assert (plain.low, wide.low) == (197, 10) and wide.log
