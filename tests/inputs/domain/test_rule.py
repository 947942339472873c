"""A row is in a domain by its supports, its levels and its distance."""

import numpy as np
import pytest
from guarded_rows import CASES, INPUTS

from dfkd_tune.inputs.domain.fit import domain_of
from dfkd_tune.inputs.domain.rule import in_domain


@pytest.fixture(scope="module")
def tree() -> dict:
    return domain_of(INPUTS, 0).tree()


@pytest.mark.parametrize("row, inside", CASES)
def test_a_row_is_judged_by_support_levels_and_distance(tree, row, inside):
    assert in_domain(tree, np.array([row])).tolist() == [inside]
