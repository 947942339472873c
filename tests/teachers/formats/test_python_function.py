"""The hash of a teacher that is a Python function: that of all its module says, whatever kind of teacher it returns."""

import sys

import pytest

from dfkd_tune.teachers.loader import load_teacher

HELPED = "def helper(x):\n    return {} * x\n\n\n"
KINDS = {
    "function of rows": HELPED + "def make(x):\n    return helper(x[:, :1])\n",
    "made function": HELPED + "def make():\n    return lambda x: helper(x[:, :1])\n",
    "module": "from torch import nn\n\n\n"
    + HELPED
    + "class Net(nn.Module):\n    def forward(self, x):\n        return helper(x[:, :1])\n\n\ndef make():\n    return Net()\n",
}


@pytest.fixture
def hashed(tmp_path, monkeypatch):
    """The hash of ``NAME:make`` after text was written to files; nothing of it stays imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def sha256(name="teacher_code", **files):
        for module, text in files.items():
            (tmp_path / f"{module}.py").write_text(text)
            sys.modules.pop(module, None)
        try:
            return load_teacher(f"{name}:make").sha256
        finally:
            for module in files:
                sys.modules.pop(module, None)

    return sha256


@pytest.mark.parametrize("text", KINDS.values(), ids=KINDS)
def test_a_helper_function_that_changes_changes_the_hash(hashed, text):
    one, same, other = (hashed(teacher_code=text.format(factor)) for factor in (1, 1, 2))
    assert one == same != other


def test_a_function_that_another_module_defines_counts_with_that_module(hashed):
    path = "from defining_code import make\n"
    one, same, other = (
        hashed("naming_code", naming_code=path, defining_code=KINDS["made function"].format(factor))
        for factor in (1, 1, 2)
    )
    assert one == same != other
