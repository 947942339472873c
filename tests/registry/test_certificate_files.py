"""A run is certified once its certificate is there."""

from dfkd_tune.registry.certificate_files import is_certified
from dfkd_tune.tracking.run_lookup import find_run


def test_the_promoted_student_alone_is_certified(store, finished):
    assert is_certified(store.tracking, find_run(store.tracking, "finished"))
    assert not is_certified(store.tracking, find_run(store.tracking, "finished", name="baseline"))
