"""Databases that are broken: told in a line with what to do, by every command; and what the remedy says is true."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest
import yaml
from asked import assert_refused

pytestmark = pytest.mark.usefixtures("undrawn")


def middle(data: bytearray) -> bytes:
    start = len(data) // 3
    data[start : start + len(data) // 3] = bytes(7 * i % 251 for i in range(len(data) // 3))
    return data


def zeros(data: bytearray) -> bytes:
    data[4096 : len(data) // 2] = bytes(len(data) // 2 - 4096)
    return data


DAMAGES = {
    "middle": middle,
    "zeros": zeros,
    "cut short": lambda data: data[: len(data) // 2],
    "header": lambda data: b"junk" * 100 + data[400:],
    "another file": lambda data: b"not a database at all, but a text of some length\n" * 200,
}


@pytest.fixture(scope="module")
def whole(store, finished, tmp_path_factory) -> Path:
    """Copies of both databases, each in a single file."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("optuna.db", "mlflow.db"):
        with (
            contextlib.closing(sqlite3.connect(store.home / "mlruns" / name)) as there,
            contextlib.closing(sqlite3.connect(folder / name)) as here,
        ):
            there.backup(here)
    return folder


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_study_is_told(dfkd, tmp_path, store, tree, whole, damage):
    file = tmp_path / "optuna.db"
    file.write_bytes(damage(bytearray((whole / "optuna.db").read_bytes())))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("finished")))
    url = ["--storage", f"sqlite:///{file}"]
    for argv in (
        ["show", "finished"],
        ["report", "finished", *store.options[2:]],
        ["worker", "finished", *store.options[2:]],
        ["sync", "finished", *store.options[2:]],
        ["study", "study.yaml", "--workers", "1", *store.options[2:]],
    ):
        ended = dfkd(*argv, *url)
        assert_refused(ended, str(file), "is damaged: ", "put a copy of it back, or start anew", "another --storage")


def test_a_damaged_study_is_told_before_its_teacher_is_asked(dfkd, tmp_path, store, tree):
    (tmp_path / "junk.db").write_bytes(DAMAGES["another file"](b""))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("fresh") | {"teacher": {"path": "missing.pt2"}}))
    ended = dfkd("study", "study.yaml", "--storage", f"sqlite:///{tmp_path}/junk.db", *store.options[2:])
    assert_refused(ended, "junk.db", "is damaged: ")


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_mlflow_is_told(dfkd, tmp_path, store, tree, whole, damage):
    file = tmp_path / "mlflow.db"
    file.write_bytes(damage(bytearray((whole / "mlflow.db").read_bytes())))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("fresh")))
    url = ["--tracking-uri", f"sqlite:///{file}"]
    for argv in (
        ["register", "finished", "--model", "m"],
        ["export", "finished", "--out", "x.pt2"],
        ["distill", "--run", "0" * 32, "--out", "x"],
        ["ui"],
        ["report", "finished", *store.options[:2]],
        ["sync", "finished", *store.options[:2]],
        ["study", "study.yaml", "--workers", "1", *store.options[:2]],
    ):
        assert_refused(
            dfkd(*argv, *url), str(file), "is damaged: ", "dfkd-tune sync NAME makes the runs of a study again"
        )


def test_a_value_that_nobody_wrote_is_damage(dfkd, tmp_path, whole):
    """Bytes may change within a value, which SQLite does not see."""
    file = tmp_path / "optuna.db"
    for wrong in (
        "UPDATE study_user_attributes SET value_json = '{\"teach' WHERE key = 'identity'",
        "UPDATE trials SET state = 'KOMPLETE'",
        "UPDATE trial_user_attributes SET value_json = CAST(x'fffe22' AS TEXT)",
    ):
        shutil.copy(whole / "optuna.db", file)
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute(wrong)
            connection.commit()
        assert_refused(dfkd("show", "finished", "--storage", f"sqlite:///{file}"), str(file), "is damaged: ")


def test_mlflow_is_made_again_from_what_the_study_left(dfkd, tmp_path, store, tree):
    """As the remedy says."""
    store.hand_out(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("lost", trials=1, reruns=0)))
    here = [f"sqlite:///{tmp_path}/mlruns/{name}.db" for name in ("optuna", "mlflow")]
    options = ["--storage", here[0], "--tracking-uri", here[1]]
    assert dfkd("study", "study.yaml", "--quiet", *options).status == 0
    store.hand_out(tmp_path / "fresh")
    shutil.copy(tmp_path / "fresh" / "mlruns" / "mlflow.db", tmp_path / "mlruns" / "again.db")
    options[-1] = f"sqlite:///{tmp_path}/mlruns/again.db"  # this process keeps the first one open
    synced = dfkd("sync", "lost", *options)
    assert synced.status == 0 and "batches written" in synced.out, synced
    assert dfkd("export", "lost", "--out", "x.pt2", *options[2:]).status == 0
