"""Studies of somebody else, to read and not to write: reading works, and what would write is told."""

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from processes import script_that_may_not_write, who_may_not_write

pytestmark = [
    pytest.mark.usefixtures("undrawn"),
    pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's"),
]


@pytest.fixture
def theirs(tmp_path, store, finished, tree):
    """A folder whose ``mlruns/`` nobody may write, and one to work in; both are given back afterwards."""
    home = tmp_path / "home"
    # Who copies a database's file drops the locks that SQLite holds there for this process, so SQLite copies it.
    shutil.copytree(store.home / "mlruns", home / "mlruns", ignore=shutil.ignore_patterns("answers", "*.db", "*.db-*"))
    for name in ("optuna.db", "mlflow.db"):
        with (
            closing(sqlite3.connect(store.home / "mlruns" / name)) as there,
            closing(sqlite3.connect(home / "mlruns" / name)) as here,
        ):
            there.backup(here)
            here.execute("PRAGMA journal_mode=WAL")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("theirs")))
    paths = [home / "mlruns", *(home / "mlruns").rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield home
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)


def files(folder: Path) -> set[tuple]:
    return {(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def test_who_may_read_reads(tmp_path, theirs, start):
    before = files(theirs)
    where = [f"sqlite:///{theirs}/mlruns/{name}.db" for name in ("optuna", "mlflow")]
    both = ["--storage", where[0], "--tracking-uri", where[1]]
    for argv, words in (
        (["show", "finished", *both[:2]], "6 complete"),
        (["report", "finished", "--out", tmp_path / "r.html", *both], "wrote "),
        (["export", "finished", "--out", tmp_path / "x.pt2", *both[2:]], "wrote "),
    ):
        process = start(who_may_not_write, tmp_path, *argv)
        assert process.wait() == 0, process.said
        assert words in process.said
    assert "certificate" in (tmp_path / "r.html").read_text().lower()
    for argv in (
        ["register", "finished", "--model", "m", *both[2:]],
        ["sync", "finished", *both],
        ["ui", *both[2:]],
        ["study", tmp_path / "study.yaml", "--workers", "1", *both],
        [
            "study",
            tmp_path / "study.yaml",
            "--workers",
            "1",
            "--storage",
            where[0],
            "--tracking-uri",
            f"sqlite:///{tmp_path}/mlflow.db",
        ],
        ["worker", "finished", *both],
    ):
        process = start(who_may_not_write, tmp_path, *argv)
        assert process.wait() == 1, process.said
        told = process.said.splitlines()
        assert len(told) == 1 and "writ" in told[0] and str(theirs) in told[0], process.said
    assert files(theirs) == before


LOOK = """import os
import dfkd_tune as dt
from matplotlib.figure import Figure
where = {{"storage": {storage!r}, "tracking_uri": {tracking!r}}}
result = dt.load_result("finished", **where)
assert len(result.trials) == 6 and result.best.values and result.rmse > 0 and result.findings.best is not None
assert result.student is not None and result.certificate.report.rmse > 0 and "<h4>" in result._repr_html_()
for draw in (result.plot_parity, result.plot_history, result.plot_generators):
    draw(ax=Figure().subplots())
assert result.report("page.html").exists() and result.export("student.pt2") > 0
print("LOOKED")
def refused(call):
    try:
        call()
    except dt.DfkdError as error:
        print("TOLD", str(error).replace(chr(10), " ~ "))
refused(lambda: result.register("m"))
refused(lambda: dt.register(where["tracking_uri"], "finished", "m"))
small = {{"budget": {{"steps": 20, "batch": 20, "pool": 200, "bank": 100}}, "n_trials": 1, "progress": False}}
refused(lambda: dt.tune(lambda rows: rows[:, 0], features=["a"], name="mine", **where, **small))
refused(lambda: dt.tune({teacher!r}, architecture={architecture!r}, name="mine", workers=1, **where, **small))
"""


def test_who_may_read_reads_from_python(tmp_path, theirs, start, small_teacher):
    before = files(theirs)
    storage, tracking = (f"sqlite:///{theirs}/mlruns/{name}.db" for name in ("optuna", "mlflow"))
    about = {"teacher": small_teacher["path"], "architecture": small_teacher["architecture"]}
    code = LOOK.format(storage=storage, tracking=tracking, **about)
    process = start(script_that_may_not_write, tmp_path, code)
    assert process.wait() == 0 and "LOOKED" in process.said, process.said
    told = [line for line in process.said.splitlines() if line.startswith("TOLD")]
    assert len(told) == 4, process.said
    for line in told:
        assert str(theirs) in line and ("writ" in line or "cannot be made: Permission" in line), line
        assert " --" not in line and " ~ " not in line, line
    assert files(theirs) == before


def test_an_address_may_be_for_reading_alone(dfkd, tmp_path, store, finished):
    file = store.home / "mlruns" / "optuna.db"
    url = f"sqlite:///file:{file}?mode=ro&uri=true"
    assert "6 complete" in dfkd("show", "finished", "--storage", url).out
    ended = dfkd("worker", "finished", "--storage", url, *store.options[2:])
    assert ended.status == 1 and f"{file}: cannot be written" in ended.err
    assert not [name for name in os.listdir(tmp_path) if name.startswith("optuna")]
