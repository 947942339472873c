"""A student that ignores the random stream it is given fails."""

import pytest
import torch

from dfkd_tune.students.kinds import STUDENTS
from dfkd_tune.students.mlp import MLP
from dfkd_tune.testing.students import LAWS, weights_are_drawn_from_the_stream
from dfkd_tune.utils.strategy import strategy


@strategy
class SameWeights(MLP):
    def init_params(self, columns, outputs, rng, dtype):
        return super().init_params(columns, outputs, torch.Generator().manual_seed(7), dtype)


@strategy
class GlobalStream(MLP):
    def init_params(self, columns, outputs, rng, dtype):
        return [torch.randn(shape, dtype=dtype) for shape in self.shapes(columns, outputs)]


@pytest.mark.parametrize(("wrong", "told"), [(SameWeights, "ignores the stream"), (GlobalStream, "another stream")])
def test_weights_must_come_from_the_stream(register, wrong, told):
    assert weights_are_drawn_from_the_stream in LAWS
    with register(STUDENTS, wrong), pytest.raises(AssertionError, match=told):
        weights_are_drawn_from_the_stream("wrong")
