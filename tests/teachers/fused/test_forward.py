"""A teacher is queried by its layers only where they are the teacher."""

import torch
from torch import nn

from dfkd_tune.ops.pt2_archive import call_to_pt2, free_batch
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.problem import Problem


class Last(nn.Module):
    """A recurrent layer, read at its last step."""

    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.GRU(3, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1])


class InPlace(nn.Module):
    """An activation in place, whose argument is read again."""

    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Linear(4, 5), nn.Linear(5, 1)

    def forward(self, x):
        h = self.first(x)
        return self.out(h.relu_() + h)


def written(module, shape, folder):
    torch.manual_seed(0)
    module = module().eval().requires_grad_(False)
    file = folder / "teacher.pt2"
    file.write_bytes(call_to_pt2(module, (torch.randn(2, *shape),), {}, (free_batch(),)))
    return file


def test_a_recurrent_teacher_is_queried_by_its_layers_and_judged_by_its_file(tmp_path):
    teacher, inputs = with_inputs(load_teacher(written(Last, (7, 3), tmp_path)), None)
    problem = Problem(teacher, inputs, probe(teacher, inputs), pool_rows=64, bank_rows=64)
    assert problem.teacher.fast is not None and problem.teacher.chain is None
    z = problem.pool.z[:9]
    known, pull = problem.vjp(z)
    told = (problem.file_outputs(z) - problem.shift) / problem.spread
    torch.testing.assert_close(known.double(), told, rtol=1e-4, atol=1e-5)
    assert problem.sample.teacher_gap < 1e-5 and problem.evaluator.teacher.fast is None
    assert pull(torch.ones_like(known)).shape == z.shape


def test_a_value_that_was_overwritten_is_read_as_in_the_graph(tmp_path):
    teacher, _ = with_inputs(load_teacher(written(InPlace, (4,), tmp_path)), None)
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(teacher(x), teacher.function(x), rtol=1e-5, atol=1e-6)
