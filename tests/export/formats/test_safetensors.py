"""``.safetensors`` files hold the weights, and the names of the features."""

import json

import pytest
from exported import NAMES, UNITS, chain
from safetensors import safe_open

from dfkd_tune.export.export import export

pytestmark = pytest.mark.usefixtures("undrawn")


def test_weights_name_their_features(tmp_path):
    student = chain()
    export(student, UNITS, "safetensors", tmp_path / "student.safetensors")
    with safe_open(tmp_path / "student.safetensors", "pt") as file:
        assert json.loads(file.metadata()["features"]) == NAMES
        assert set(file.keys()) == set(student.state_dict())
