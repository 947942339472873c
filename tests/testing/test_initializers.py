"""An initializer that ignores the random stream, or the architecture, fails."""

import pytest
import torch

from dfkd_tune.recipes.initializers import INITIALIZERS, Random
from dfkd_tune.testing.initializers import LAWS, check_initializer
from dfkd_tune.utils.strategy import strategy


@strategy
class SameWeights(Random):
    def init(self, context, rng):
        return super().init(context, torch.Generator().manual_seed(7))


@strategy
class GlobalStream(Random):
    def init(self, context, rng):
        return [torch.randn_like(w) for w in super().init(context, rng)]


@strategy
class Flat(Random):
    def init(self, context, rng):
        return [w.flatten() for w in super().init(context, rng)]


@strategy
class Infinite(Random):
    def init(self, context, rng):
        return [w / 0.0 for w in super().init(context, rng)]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (SameWeights, "ignores the stream"),
        (GlobalStream, "another stream"),
        (Flat, "other shapes"),
        (Infinite, "not finite"),
    ],
)
def test_weights_must_come_from_the_stream_and_fit(register, wrong, told):
    def law():
        for each in LAWS:
            each("wrong")

    with register(INITIALIZERS, wrong), pytest.raises(AssertionError, match=told):
        law()


def test_the_check_runs_these_laws(register):
    with register(INITIALIZERS, SameWeights), pytest.raises(AssertionError, match="ignores the stream"):
        check_initializer("wrong")
