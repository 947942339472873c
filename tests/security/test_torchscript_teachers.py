"""TorchScript from strangers: it writes no file unless its author is trusted."""

import zipfile

import pytest
import torch
from teacher_files import answers, fails
from torch import nn

from dfkd_tune.teachers.loader import load_teacher


class Writes(nn.Module):
    """Saves its inputs to a file when asked."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def forward(self, x):
        torch.save(x, self.path)
        return x.sum(1)


class WritesWhenLoaded(nn.Module):
    """Saves a tensor to a file when it is loaded."""

    def __init__(self, path: str):
        super().__init__()
        self.path, self.training = path, False

    @torch.jit.export
    def __getstate__(self):
        return (self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]):
        self.path, self.training = state[0], state[1]
        torch.save(torch.zeros(1), state[0])

    def forward(self, x):
        return x.sum(1)


@pytest.mark.parametrize("kind", [Writes, WritesWhenLoaded])
@pytest.mark.parametrize(
    "spelling", ["torch.save(", "ops.aten.save(", 'getattr(torch, "save")(', r'getattr(torch, "\163ave")(']
)
def test_torchscript_that_writes_files_is_refused(tmp_path, marker, kind, spelling):
    plain, path = tmp_path / "plain.pt", tmp_path / "evil.pt"
    torch.jit.script(kind(str(marker))).save(plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(
                name, content.replace(b"torch.save(", spelling.encode()) if name.endswith(".py") else content
            )
    with fails(path, "beyond a network", "--trust-pickle"):
        answers(load_teacher(path))


def test_torchscript_that_does_not_compile_says_why(files, tmp_path):
    path = tmp_path / "net.pt"
    with zipfile.ZipFile(files["script.pt"]) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b"torch.tanh(", b"torch.no_such_word("))
    with fails(path, "cannot be loaded", "no_such_word"):
        load_teacher(path)


def test_torchscript_that_writes_files_does_so_when_trusted(tmp_path):
    torch.jit.script(WritesWhenLoaded(str(tmp_path / "marker"))).save(tmp_path / "net.pt")
    load_teacher(tmp_path / "net.pt", trust_pickle=True)
    assert (tmp_path / "marker").exists()
