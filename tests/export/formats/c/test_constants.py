"""Constants lie in the order that the templates read, in the smallest type."""

import numpy as np
import pytest
from small_students import made

from dfkd_tune.export.arrays import arrays_of
from dfkd_tune.export.formats.c.constants import floats, indices, parts_of


@pytest.mark.parametrize("most, kind", [(255, "unsigned char"), (256, "unsigned short"), (70_000, "int")])
def test_indices_take_the_smallest_type(most, kind):
    assert indices("place", [0, most]).startswith(f"static const {kind} place[2] = {{")


def test_weights_lie_input_by_input():
    student = arrays_of(made("mlp"), "--format c")
    weight = student.arrays["weight_0"]
    assert floats("weight_0", np.ascontiguousarray(weight.T)) == parts_of(student).constants[0]
