"""A generator that ignores the random streams it is given fails."""

import pytest
import torch

from dfkd_tune.generators.ascending.direct import Direct
from dfkd_tune.generators.gaussian import Gaussian
from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.generators.low_discrepancy import Uniform
from dfkd_tune.testing.generators import LAWS, random_numbers_come_from_the_stream
from dfkd_tune.utils.strategy import strategy


def fixed() -> torch.Generator:
    return torch.Generator().manual_seed(7)


@strategy
class SameSeed(Uniform):
    def engine(self, features, seed):
        return super().engine(features, 7)


@strategy
class SameRows(Gaussian):
    @staticmethod
    def sample(h, state, context):
        shape = context.origin.shape
        return torch.randn(shape[1:], generator=fixed(), dtype=torch.float64).expand(shape)


@strategy
class GlobalRows(Uniform):
    def block(self, inputs, steps, rows, engine):
        return inputs.project(torch.randn(steps, rows, len(inputs), dtype=torch.float64))


@strategy
class SameState(Direct):
    def init_state(self, features, outputs, rng, dtype):
        return {"noise": torch.randn(3, generator=fixed(), dtype=dtype)}


@strategy
class GlobalState(Direct):
    def init_state(self, features, outputs, rng, dtype):
        return {"noise": torch.randn(3, dtype=dtype)}


@strategy
class ConstantState(Direct):
    """Random numbers are no duty: zeros and an identity matrix are the same for all members."""

    def init_state(self, features, outputs, rng, dtype):
        return {"moments": torch.zeros(features, dtype=dtype), "shape": torch.eye(features, dtype=dtype)}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (SameSeed, "ignores the members' streams"),
        (SameRows, "ignores the members' streams"),
        (GlobalRows, "another source"),
        (SameState, "ignores the stream"),
        (GlobalState, "another stream"),
    ],
)
def test_random_numbers_must_come_from_what_is_given(register, wrong, told):
    assert random_numbers_come_from_the_stream in LAWS
    with register(GENERATORS, wrong), pytest.raises(AssertionError, match=told):
        random_numbers_come_from_the_stream("wrong")


def test_constant_state_is_free(register):
    with register(GENERATORS, ConstantState):
        random_numbers_come_from_the_stream("wrong")
