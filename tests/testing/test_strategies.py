"""A strategy that breaks a law is told: it can change, mixes its companions, or draws from the global stream."""

from dataclasses import dataclass

import pytest

from dfkd_tune.recipes.losses import LOSSES
from dfkd_tune.testing.strategies import check_strategy


def test_an_unknown_name_is_told():
    with pytest.raises(AssertionError, match="no loss is called 'wrong'; known: mse"):
        check_strategy("loss", "wrong")


@dataclass
class Changing:
    """Not frozen."""

    width: int = 3


def test_what_can_be_changed_is_told(register):
    with register(LOSSES, Changing), pytest.raises(AssertionError, match="can be changed") as found:
        check_strategy("loss", "wrong")
    assert found.value.__notes__[0].startswith("Broken law is_a_frozen_dataclass_with_defaults")
