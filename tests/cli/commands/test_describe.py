"""``describe``: from a table to a features file, with what it takes to read the table."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from drawn_tables import kept, made
from written_tables import GAPS, given

from dfkd_tune.inputs.features_file import read_features


def test_options_of_windows_need_one(dfkd, tmp_path):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 3)).cumsum(0), columns=[*"abc"])
    frame.assign(t=np.arange(300)).to_csv(tmp_path / "data.csv", index=False)
    ended = dfkd("describe", "data.csv", "-o", "told.yaml", "--time", "t", cwd=tmp_path)
    assert ended.status == 2 and "give --window" in ended.err
    ended = dfkd("describe", "data.csv", "-o", "told.yaml", "--window", "6", "--time", "t", cwd=tmp_path)
    assert ended.status == 0 and len(read_features(tmp_path / "told.yaml")) == 18


def test_the_command(dfkd, tmp_path):
    frame = made().drop(columns="still")
    kept(frame, tmp_path)
    ended = dfkd(
        "describe", "data.csv", "-o", "f.yaml", "--tier", "correlation", "--target", "answer", "--target", "heavy"
    )
    assert ended.status == 0 and not ended.err
    assert ended.out.splitlines()[0] == "data.csv: 4,000 rows, 5 features, without answer, heavy"
    assert "withheld: 1 rare levels, of switch" in ended.out
    assert ended.out.splitlines()[-1].endswith("wrote f.yaml; no row leaves this machine")
    ended = dfkd("describe", "data.csv", "-o", "g.yaml", "--at-least", "500")
    assert ended.status == 1 and len(ended.err.splitlines()) == 1 and "data.csv" in ended.err
    assert dfkd("describe", "data.csv", "-o", "g.yaml", "--at-least", "1").status == 2
    assert dfkd("describe", "data.csv").status == 2
    assert not (tmp_path / "g.yaml").exists()


def test_its_help_imports_nothing_heavy():
    code = """
import sys
from dfkd_tune.cli.main import main
sys.argv = ["dfkd-tune", "describe", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code
heavy = {"torch", "optuna", "mlflow", "numpy", "pandas", "pyarrow", "scipy"} & sys.modules.keys()
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    for option in ("--tier", "--target", "--at-least", "--format", "--epsilon", "--bounds", "-o"):
        assert option in ended.stdout


def test_the_command_takes_what_a_table_needs(dfkd, tmp_path):
    given(tmp_path, GAPS.replace(",", ";").replace("2.5", "2,5"), "gaps.csv")
    ended = dfkd("describe", "gaps.csv", "-o", "f.yaml", "--target", "b", "--at-least", "5")
    assert ended.status == 1 and "--missing drop" in ended.err
    ended = dfkd("describe", "gaps.csv", "-o", "f.yaml", "--target", "b", "--at-least", "5", "--missing", "drop")
    assert ended.status == 0 and "  read with --separator semicolon --decimal ," in ended.out.splitlines()
    assert "  25 of 101 rows left out, in which a value is missing" in ended.out.splitlines()
    given(tmp_path, "2019~2020\n" + "1,5~2\n2,5~3\n" * 100, "years.txt", "utf-16")
    options = ["--format", "csv", "--separator", "~", "--decimal", ",", "--encoding", "utf-16", "--header"]
    ended = dfkd("describe", "years.txt", "-o", "g.yaml", *options)
    assert ended.status == 0 and read_features(tmp_path / "g.yaml").names == ["2019", "2020"]


BOUNDS = """
features:
- {name: load, range: [0, 10]}
- {name: gear, levels: [0, 1, 2]}
"""


def test_differential_privacy_on_the_command_line(dfkd, tmp_path):
    pytest.importorskip("opendp")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"load": rng.random(60) * 9, "gear": rng.integers(0, 3, 60), "y": 0})
    frame.to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "bounds.yaml").write_text(BOUNDS)
    command = ["describe", "data.csv", "-o", "f.yaml", "--target", "y"]
    ended = dfkd(*command, "--epsilon", "1", cwd=tmp_path)
    assert ended.status == 1 and "give --bounds" in ended.err and len(ended.err.splitlines()) == 1
    ended = dfkd(*command, "--epsilon", "0.1", "--bounds", "bounds.yaml", "--tier", "correlation", cwd=tmp_path)
    assert ended.status == 0 and "are few for epsilon 0.1" in ended.err and "in a rank correlation" in ended.err
    assert "epsilon 0.1, delta 1e-06; wrote f.yaml" in ended.out and ended.out.startswith("data.csv: about ")
    assert read_features(tmp_path / "f.yaml").names == ["load", "gear"]
    ended = dfkd(*command, "--delta", "1e-6", cwd=tmp_path)
    assert ended.status == 1 and "give --epsilon" in ended.err
    ended = dfkd(*command, "--epsilon", "-1", "--bounds", "bounds.yaml", cwd=tmp_path)
    assert ended.status == 1 and "--epsilon: must be greater than 0" in ended.err
