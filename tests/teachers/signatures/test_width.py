"""The number of features is found from weights or by trial calls, and refused where several fit or none does."""

import torch
from teacher_files import FEATURES, fails, network

from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.signatures.width import infer_width


def call(function) -> Teacher:
    return Teacher("here", function, torch.float32, "")


def test_weights_tell():
    assert infer_width(call(network())) == FEATURES


def test_width_without_a_weight_to_go_by():
    weight = torch.ones(5, 1)
    assert infer_width(call(lambda x: x @ weight)) == 5
    with fails("here", "number of features", "features file", "1 and 2"):
        infer_width(call(lambda x: x.sum(1)))
    with fails("here", "number of features", "features file", "1 and 5"):
        infer_width(call(lambda x: (x * weight[:, 0]).sum(1)))

    def never(x):
        raise RuntimeError

    with fails("here", "number of features", "4096"):
        infer_width(call(never))
