"""The network of Gaussian bumps is the formula that its student is trained by."""

import torch

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.students.rbf import RBF


def test_it_answers_as_the_student_does():
    student, columns = RBF(width=4), Columns(3)
    weights = student.init_params(columns, 2, torch.Generator().manual_seed(0), torch.float64)
    shift, spread = torch.tensor([7.0, -1.0]).double(), torch.tensor([0.1, 4.0]).double()
    network = student.module(weights, columns, Encoding([1.0, 2.0, 3.0], [2.0, 1.0, 0.5]), shift, spread)
    z = torch.randn(50, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = student.answer([each[None] for each in weights], z[None], columns)[0] * spread + shift
    x = torch.tensor([1.0, 2.0, 3.0]) + z * torch.tensor([2.0, 1.0, 0.5])
    torch.testing.assert_close(network(x.float()).double(), expected, rtol=1e-4, atol=1e-4)
