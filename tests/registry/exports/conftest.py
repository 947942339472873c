"""What tests of students that leave share."""

import pytest


@pytest.fixture(scope="session")
def study(store, tiny) -> str:
    """The name of a finished study with a certified student, whose run and models these tests add to."""
    from undrawn import leave_blank

    from dfkd_tune.study.session import run_study

    with pytest.MonkeyPatch.context() as patch:
        leave_blank(patch)
        run_study(tiny("leaves", trials=1, reruns=0, search={}), store.storage, store.tracking)
    return "leaves"
