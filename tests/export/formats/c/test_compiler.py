"""Which compiler is taken, and what is said where there is none."""

import pytest
import torch
from asked import fails
from small_students import made, schema

from dfkd_tune.errors import ExportError
from dfkd_tune.export.export import export
from dfkd_tune.export.formats.c import compiler
from dfkd_tune.export.formats.c.format import C
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.students.mlp import MLP


def test_without_a_compiler_the_file_is_written_and_that_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    monkeypatch.setattr(compiler, "find_spec", lambda name: None)
    assert C().unread() == f"no C compiler is here; {compiler.REMEDY}"
    assert export(made("mlp"), schema(), "c", tmp_path / "pump.c") == (None, None)
    assert {each.name for each in tmp_path.iterdir()} == {"pump.c", "pump.h"}


def test_a_compiler_that_fails_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "false")
    with fails("--format c", "false does not compile it", "environment variable CC", kind=ExportError):
        export(made("mlp"), schema(), "c", tmp_path / "pump.c")
    assert list(tmp_path.iterdir()) == []


def test_a_command_line_that_is_none_is_told(monkeypatch):
    monkeypatch.setenv("CC", "'gcc -O2")
    with fails("CC", "is no command line", "'gcc -O2", "correct it", kind=ExportError):
        C().unread()


def test_a_program_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv("CC", "arm-none-such-gcc -O2")
    with fails("CC", "names no program", "arm-none-such-gcc -O2", "unset it", kind=ExportError):
        C().unread()


def test_ziglang_compiles_it_where_the_system_has_no_compiler(tmp_path, monkeypatch):
    pytest.importorskip("ziglang")
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    assert compiler.compiler() == compiler.zig()
    network = MLP(width=3).module(
        MLP(width=3).init_params(Columns(2), 1, torch.Generator().manual_seed(0), torch.float64),
        Columns(2),
        Encoding([0.0] * 2, [1.0] * 2),
        torch.zeros(1).double(),
        torch.ones(1).double(),
    )
    worst, _ = export(network, schema(Encoding([0.0] * 2, [1.0] * 2)), "c", tmp_path / "small.c")
    assert worst < 1e-5


def test_a_compiler_without_the_machines_instructions_compiles_for_speed_anyway(monkeypatch):
    flags = []

    def loaded(source, *given):
        flags.append(given)
        if compiler.NATIVE in given:
            raise ExportError("--format c", "does not compile it")
        return source

    monkeypatch.setattr(compiler, "loaded", loaded)
    assert compiler.fastest("int x;") == "int x;"
    assert flags == [(*compiler.FAST, compiler.NATIVE), compiler.FAST]
