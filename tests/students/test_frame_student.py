"""A student that takes tables as well as tensors."""

import pandas as pd
import pytest
import torch
from torch import nn

from dfkd_tune.errors import FeaturesError
from dfkd_tune.students.frame_student import FrameStudent

NAMES = ["load", "site"]
STUDENT = FrameStudent(nn.Linear(2, 1), torch.float32, NAMES, {"site": ["north", "south"]}, [], named=True)
FRAME = pd.DataFrame({"site": ["south", "north"], "load": [0.5, 2]})


def test_a_table_and_its_codes_have_the_same_outputs():
    coded = torch.tensor([[0.5, 1.0], [2.0, 0.0]])
    assert torch.equal(STUDENT(FRAME), STUDENT(coded)) and torch.equal(STUDENT.encoded(FRAME), coded)
    assert torch.equal(STUDENT(FRAME.to_dict("list")), STUDENT(coded))
    assert torch.equal(STUDENT(coded.double().numpy()), STUDENT(coded))


def test_a_table_that_does_not_fit_is_refused_by_column():
    with pytest.raises(FeaturesError, match="column 'site': holds 'east', which is no level; known: 'north', 'south'"):
        STUDENT(FRAME.assign(site="east"))


def test_it_is_exported_as_a_network_and_stays_in_evaluation_mode():
    program = torch.export.export(STUDENT, (torch.zeros(2, 2),))
    assert torch.equal(program.module()(torch.ones(2, 2)), STUDENT(torch.ones(2, 2)))
    assert not STUDENT.train().training
