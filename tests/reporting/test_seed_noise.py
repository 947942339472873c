"""How much is noise of the seeds."""

import math

import pytest
from made_trials import of

from dfkd_tune.reporting.seed_noise import seed_noise


def test_noise_is_the_deviation_between_seeds():
    trials = of(direct=[1.0, 2.0, 3.0])
    again = {"0": {"a": [math.exp(0.2), 1.0]}, "1": {"b": [2.0 * math.exp(-0.2), 1.0], "c": None}}
    assert seed_noise(trials, again) == pytest.approx(0.2 / math.sqrt(2))
    assert seed_noise(trials, {}) is None
