"""A share is read as people write it, in a study file too."""

import pytest

from dfkd_tune.errors import SpecError
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.utils.given.shares import share


@pytest.mark.parametrize("written", [0.05, "5%", " 0.05 ", "5 %"])
def test_a_share_has_several_forms(written):
    assert share(written) == pytest.approx(0.05)
    spec = parse_spec({"teacher": "teacher.pt2", "study": {"within": written}}, "pump.yaml")
    assert spec.study.within == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (True, "share such as 5%"),
        ([], "share such as 5%"),
        ("", "share such as 5%"),
        (-0.1, "at least 0%"),
        (5, "write 5%"),
    ],
)
def test_anything_else_is_refused(written, words):
    with pytest.raises(ValueError, match=words):
        share(written)
    with pytest.raises(SpecError, match="within"):
        parse_spec({"teacher": "teacher.pt2", "study": {"within": written}}, "pump.yaml")
