"""A recorded student leaves as C, by the command and from Python."""

import re
from pathlib import Path

import pytest
import torch

import dfkd_tune as dt
from dfkd_tune.export.formats.c.compiler import loaded
from dfkd_tune.registry.stored_student import load_trial

pytestmark = pytest.mark.usefixtures("undrawn")


def test_the_command_writes_source_and_header(study, dfkd, store, tmp_path):
    argv = ["export", study, "--out", "pump.c", *store.options[2:]]
    ended = dfkd(*argv)
    assert ended.status == 0, ended.err
    assert "on 8,000 rows its outputs differ" in ended.out and "of the file as it was reloaded" in ended.out
    assert {each.name for each in tmp_path.iterdir()} == {"pump.c", "pump.h"}
    header, (student, result, run) = (tmp_path / "pump.h").read_text(), load_trial(store.tracking, study, None)
    assert f"Study {study}, " in header and f", run {run.info.run_id}." in header and result["teacher_sha256"] in header
    assert "On inputs drawn from the declared prior, the RMSE between student and teacher is" in header
    assert "tanhf" in header and "PUMP_FEATURES = 3" in header
    x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    answer = loaded((tmp_path / "pump.c").read_text())
    torch.testing.assert_close(answer(x), student(x).detach(), rtol=1e-5, atol=1e-5)
    assert dfkd(*argv, "--no-libm").status == 0
    assert "Approximated: tanh within" in (tmp_path / "pump.h").read_text()
    assert "tanhf" not in (tmp_path / "pump.c").read_text()


def test_what_is_for_c_alone_is_refused_elsewhere(study, dfkd, store, tmp_path):
    for out in ("student.pt2", "student.safetensors"):
        ended = dfkd("export", study, "--out", out, "--no-libm", *store.options[2:])
        assert (ended.status, len(ended.err.splitlines())) == (1, 1)
        assert "--no-libm: is for --format c alone" in ended.err
    (tmp_path / "pump.h").write_text("mine")
    ended = dfkd("export", study, "--out", "pump.c", *store.options[2:])
    assert ended.status == 1 and "needs pump.h beside it, where another file is" in ended.err
    assert (tmp_path / "pump.h").read_text() == "mine" and not (tmp_path / "pump.c").exists()


@pytest.mark.parametrize("file, beside", [("pump.c", "pump.h"), ("pump.npz", "pump.py")])
def test_only_a_file_of_an_earlier_export_is_replaced(study, dfkd, store, tmp_path, file, beside):
    argv = ["export", study, "--out", file, *store.options[2:]]
    assert dfkd(*argv).status == 0 == dfkd(*argv).status
    (tmp_path / beside).write_text("mine\n")
    ended = dfkd(*argv)
    assert ended.status == 1 and f"needs {beside} beside it, where another file is" in ended.err
    assert (tmp_path / beside).read_text() == "mine\n"


def test_python_writes_the_same(study, store, tmp_path, monkeypatch):
    result = dt.load_result(study, storage=store.storage, tracking_uri=store.tracking)
    rmse = result.export(tmp_path / "pump.c", libm=False)
    assert rmse == pytest.approx(result.export(tmp_path / "pump.pt2"), rel=1e-3)
    with pytest.raises(dt.DfkdError, match="libm=False: is for"):
        result.export(tmp_path / "again.pt2", libm=False)
    monkeypatch.setattr("dfkd_tune.export.formats.c.format.compiler", lambda: None)
    with pytest.warns(UserWarning, match="was not compared with the student: no C compiler"):
        assert result.export(tmp_path / "other.c") is None
    assert Path(tmp_path / "other.c").exists()


def test_int8_is_not_written_where_it_cannot_be_certified(study, dfkd, store, tmp_path, monkeypatch):
    monkeypatch.setattr("dfkd_tune.export.formats.c.format.compiler", lambda: None)
    argv = ["export", study, "--out", "pump.c", "--precision", "int8", "--within", "100000%"]
    ended = dfkd(*argv, *store.options[2:])
    (line,) = ended.err.strip().splitlines()
    assert ended.status == 1 and "--precision int8: a certificate is of the file as it was read: no C compiler" in line
    assert not [*tmp_path.iterdir()]


def test_the_command_tells_bytes_and_certifies_them(study, dfkd, store, tmp_path):
    pytest.importorskip("ziglang")
    argv = ["export", study, "--out", "pump.c", "--precision", "int8", "--within", "100000%"]
    ended = dfkd(*argv, *store.options[2:])
    assert ended.status == 0, ended.err
    told = re.search(r"Cortex-M4: (\S+) bytes of flash, (\S+) of RAM", ended.out)
    assert told and "Cortex-M0+" in ended.out and told[0] in (tmp_path / "pump.h").read_text()
    certificate = (tmp_path / "pump.c.certificate.json").read_text()
    assert f'"flash": {told[1].replace(",", "")}' in certificate and "int8_t" in (tmp_path / "pump.c").read_text()
    assert dfkd(*argv, "--precision", "bf16", *store.options[2:]).status == 2
