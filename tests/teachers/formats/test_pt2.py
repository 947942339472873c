"""Files of ``torch.export``: ordinary networks pass every check, and other formats are named."""

import numpy as np
import pytest
import torch
from teacher_files import FEATURES, OUTPUTS, ROWS, THREE, answers, fails, save_pt2
from torch import nn

from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe


class Wide(nn.Module):
    """Convolution, batch norm, dropout, attention: operators and shapes of ordinary networks."""

    def __init__(self):
        super().__init__()
        self.convolve, self.norm = nn.Conv1d(1, 4, 3, padding=1), nn.BatchNorm1d(4)
        self.attend = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.drop, self.out = nn.Dropout(0.5), nn.Linear(4 * FEATURES, OUTPUTS)
        self.register_buffer("shift", torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, x):
        h = self.norm(self.convolve((x - self.shift)[:, None]))
        h = self.attend(torch.nn.functional.gelu(h, approximate="tanh").transpose(1, 2))
        return self.out(self.drop(h.reshape(x.shape[0], -1))) + torch.einsum("ij,ij->i", x, x)[:, None]


def test_the_checks_on_pt2_let_ordinary_networks_pass(tmp_path):
    torch.manual_seed(0)
    module = Wide().double().eval()
    with torch.no_grad():
        expected = module(ROWS)
    teacher = load_teacher(save_pt2(module, tmp_path / "wide.pt2"))
    torch.testing.assert_close(answers(teacher), expected)
    assert probe(teacher, THREE).outputs == OUTPUTS


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("script.pt", "is TorchScript"),
        ("state.pt", "is a file of torch.save"),
        ("module.bin", "is a file of torch.save"),
    ],
)
def test_other_formats_under_the_name_of_pt2(files, tmp_path, name, what):
    path = tmp_path / "net.pt2"
    path.write_bytes(files[name].read_bytes())
    for trust in (False, True):
        with fails(path, what, "rename it to net.pt"):
            load_teacher(path, trust_pickle=trust)


def test_skops_under_the_name_of_pt2(tmp_path):
    skops = pytest.importorskip("skops.io")
    from sklearn.linear_model import Ridge

    path = tmp_path / "net.pt2"
    path.write_bytes(skops.dumps(Ridge().fit(np.zeros((3, 2)), np.zeros(3))))
    with fails(path, "is a skops file", "rename it to net.skops"):
        load_teacher(path, trust_pickle=True)


def test_trust_changes_nothing_for_an_ordinary_network(files):
    """Its hash is that of the file, not of the copy that is loaded without trust."""
    plain, trusted = (load_teacher(files["net.pt2"], trust_pickle=trust) for trust in (False, True))
    assert torch.equal(plain(ROWS), trusted(ROWS)) and plain.sha256 == trusted.sha256
    assert (plain.width, plain.dtype) == (FEATURES, torch.float64) and str(plain.signature) == str(trusted.signature)


def test_nothing_of_a_loaded_network_can_be_trained(files):
    teacher = load_teacher(files["net.pt2"])
    assert [*teacher.function.parameters()] and not any(p.requires_grad for p in teacher.function.parameters())
