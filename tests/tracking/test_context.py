"""The study that code belongs to: of this thread, and as before once it is left."""

import threading

import pytest

from dfkd_tune.tracking.context import current, within


def test_a_study_is_left_however_its_code_ends():
    assert current() is None
    with within(study="pump", trial=3):
        assert current() == {"dfkd.study": "pump", "dfkd.trial": "3"}
        with pytest.raises(LookupError), within(study="inner"):
            assert current() == {"dfkd.study": "inner"}
            raise LookupError
        assert current() == {"dfkd.study": "pump", "dfkd.trial": "3"}
    assert current() is None


def test_a_thread_of_the_user_belongs_to_no_study():
    found = []
    with within(study="pump"):
        thread = threading.Thread(target=lambda: found.append(current()))
        thread.start()
        thread.join()
    assert found == [None]
