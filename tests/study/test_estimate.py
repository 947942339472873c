"""An estimate of a study grows with its trials."""

import pytest

from dfkd_tune.study.estimate import estimate

pytestmark = pytest.mark.usefixtures("undrawn")


def test_an_estimate_grows_with_the_study(tiny):
    few, many = (estimate(tiny("few", trials=trials, reruns=0)) for trials in (2, 200))
    assert few.seconds == pytest.approx(3 * few.trial) and many.seconds == pytest.approx(201 * many.trial)
    assert 0 < few.trial < 60 and few.bytes > 2**20
