"""A student in the place of a teacher over rows takes the teacher's dtype and returns its shape and dtype."""

import io

import pytest
import torch
from torch import nn

from dfkd_tune.layouts.row_form import RowForm

DOUBLE = RowForm(torch.float64, torch.float64, vector=True)


def test_the_form_of_a_teacher_is_that_of_its_student():
    network = nn.Linear(2, 1).eval()
    x = torch.randn(5, 2)
    formed = DOUBLE.module(network, torch.float32)
    found = formed(x.double())
    assert found.shape == (5,) and found.dtype == torch.float64
    assert torch.equal(found, network(x)[:, 0].double())
    assert torch.equal(DOUBLE.flat(formed)(x), network(x).double())
    assert not formed.train().training


@pytest.mark.parametrize("form", [RowForm(), RowForm(torch.float64), DOUBLE])
def test_a_form_is_recorded(form):
    assert RowForm.of(form.tree()) == form


def test_a_network_that_is_so_already_is_left_alone():
    network = nn.Linear(2, 1)
    assert RowForm().module(network, torch.float32) is network
    assert RowForm(torch.float64, torch.float64).module(network, torch.float64) is network


def test_it_is_exported():
    formed = DOUBLE.module(nn.Linear(2, 1).eval(), torch.float32)
    file = io.BytesIO()
    batch = torch.export.Dim("batch")
    x = torch.randn(3, 2).double()
    torch.export.save(torch.export.export(formed, (x,), dynamic_shapes=({0: batch},)), file)
    file.seek(0)
    assert torch.export.load(file).module()(x[:2]).shape == (2,)
