"""How trials are handed out follows what the study recorded."""

from types import SimpleNamespace

from dfkd_tune.search.attributes import GROUPS, StudyRecord
from dfkd_tune.study.trials.claims import Rounds, Steady
from dfkd_tune.study.trials.handing_out import claims_of
from dfkd_tune.testing.problems import make_problem


def test_a_seeded_study_has_rounds_and_others_have_none(tiny):
    prepared, queue = tiny("handed", seed=1), SimpleNamespace()
    for groups, kind in ((None, Steady), (2, Rounds)):
        found = claims_of(queue, prepared, StudyRecord({GROUPS: groups}), make_problem(), lambda: None)
        assert isinstance(found, kind)
