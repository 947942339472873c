"""Credentials in addresses reach no message, no log, no record and no list of processes."""

import contextlib
import os
import sqlite3
import subprocess
from pathlib import Path

import psycopg2
import pytest
import yaml
from asked import files_of
from processes import command_line, free_port

from dfkd_tune.locations.paths import absolute, without_credentials

pytestmark = pytest.mark.usefixtures("undrawn")

SECRET = "hunter2"
ADDRESSES = {
    "user": "http://ann:hunter2@127.0.0.1:{port}",
    "at sign": "http://ann:hunt@hunter2@127.0.0.1:{port}/base",
    "slash": "http://ann:x/hunter2@127.0.0.1:{port}",
    "token alone": "http://hunter2@127.0.0.1:{port}",
    "token": "http://127.0.0.1:{port}/?token=hunter2",
    "access token": "http://127.0.0.1:{port}/base?x=1&access_token=hunter2#top",
    "database": "postgresql://ann:hunter2@127.0.0.1:{port}/db",
    "database, slash": "postgresql://ann:12/hunter2@127.0.0.1:{port}/db",
    "database, query": "postgresql://127.0.0.1:{port}/db?user=ann&password=hunter2",
}
READERS = {
    "register": ["register", "finished", "--model", "m", "--tracking-uri"],
    "export": ["export", "finished", "--out", "x.pt2", "--tracking-uri"],
    "distill": ["distill", "--run", "0" * 32, "--out", "x", "--tracking-uri"],
    "ui": ["ui", "--tracking-uri"],
    "show": ["show", "finished", "--storage"],
    "report": ["report", "finished", "--storage"],
    "worker": ["worker", "finished", "--storage"],
    "sync": ["sync", "finished", "--storage"],
}


def assert_told(ended) -> None:
    """In one line, without the secret."""
    assert SECRET not in ended.out + ended.err
    assert ended.status == 1, ended
    assert len(ended.err.splitlines()) == 1 and "127.0.0.1" in ended.err, ended.err


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_a_wrong_address_is_told_without_them(dfkd, tmp_path, tree, address):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("secret")))
    wrong = address.format(port=free_port())
    assert_told(dfkd("study", "study.yaml", "--tracking-uri", wrong))
    assert files_of(tmp_path) == {"study.yaml"}
    if wrong.startswith("postgresql"):
        assert_told(dfkd("study", "study.yaml", "--storage", wrong))


@pytest.mark.parametrize("argv", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    "address", ["http://ann:hunter2@127.0.0.1:{port}", "postgresql://ann:1/hunter2@127.0.0.1:{port}/d"]
)
def test_every_command_tells_a_wrong_address_without_them(dfkd, argv, address):
    if argv[0] == "ui" and address.startswith("http"):
        pytest.skip("it only says where that server is")
    assert_told(dfkd(*argv, address.format(port=free_port())))


def test_usage_and_bugs_are_told_without_them(dfkd, monkeypatch):
    wrong = "http://ann:hunter2@127.0.0.1:9/?token=hunter2"
    ended = dfkd("show", "finished", wrong)
    assert ended.status == 2 and SECRET not in ended.out + ended.err

    def fault(*arguments):
        raise RuntimeError(f"cannot get {wrong}")

    monkeypatch.setattr("dfkd_tune.search.loaded.load_study", fault)
    ended = dfkd("show", "finished")
    assert ended.status == 3 and SECRET not in ended.out + ended.err
    log = Path(ended.err.strip().rpartition("the traceback is in ")[2])
    assert "cannot get http://127.0.0.1:9/?token=" in log.read_text() and SECRET not in log.read_text()
    log.unlink()


def test_the_arguments_of_a_server_can_be_seen_by_anybody(dfkd, monkeypatch):
    started = []
    monkeypatch.setattr(os, "execve", lambda *given: started.append(given))
    for look in ("preflight", "open_client"):  # nobody listens there
        monkeypatch.setattr(f"dfkd_tune.tracking.connection.{look}", lambda uri: None)
    uri = "postgresql://ann:hunter2@127.0.0.1:9/mlflow"
    ended = dfkd("ui", "--port", free_port(), "--tracking-uri", uri)
    ((_, argv, environment),) = started
    assert SECRET not in ended.out + ended.err + " ".join(argv)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == absolute(uri)


def test_nothing_that_a_study_leaves_holds_them(start, tmp_path, tree, store, mlflow_server, postgresql):
    """A study in a repository whose remote has a token, on a database and a server with passwords."""
    storage = postgresql.replace("postgres@", "postgres:hunter2@")
    uri = mlflow_server.url.replace("://", "://ann:hunter2@")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("discreet", trials=2)))
    (tmp_path / "dfkd-tune").write_text("the program that MLflow takes this for\n")
    for command in (
        ["init", "-q"],
        ["remote", "add", "origin", "https://ann:hunter2@example.com/x.git"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("discreet", trials=3)))
    process = start(command_line, tmp_path, "study", "study.yaml", "--storage", storage, "--tracking-uri", uri)
    assert process.wait() == 0, process.said
    assert SECRET not in process.said

    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True).stdout.strip()
    (run,) = store.runs("discreet", "study")
    assert run.data.tags["dfkd.git"] == f"{commit} with uncommitted changes"
    assert run.data.tags["mlflow.source.git.repoURL"] == "https://example.com/x.git"
    with contextlib.closing(psycopg2.connect(postgresql)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT * FROM {table}")
            assert SECRET not in str(cursor.fetchall()), table
    with contextlib.closing(sqlite3.connect(store.home / "mlruns" / "mlflow.db")) as connection:
        assert SECRET not in "\n".join(connection.iterdump())
    folders = [tmp_path / "mlruns", store.home / "mlruns"]
    assert sum(file.is_file() for folder in folders for file in folder.rglob("*")) > 10
    # By another process: one that closes a file of SQLite loses its locks on it, and those of its connections with them.
    found = subprocess.run(["grep", "-rlaF", SECRET, *folders], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (1, ""), found


@pytest.mark.parametrize(
    ("text", "shown"),
    {
        "postgresql+psycopg2://u:pa/s@s@h:5/db?x=1": "postgresql+psycopg2://h:5/db?x=1",
        "https://a.blob/x?sv=1&sig=zzz&se=2": "https://a.blob/x?sv=1&sig=&se=2",
        "https://s3/x?AWSAccessKeyId=A&X-Amz-Signature=5": "https://s3/x?AWSAccessKeyId=&X-Amz-Signature=",
        "host=h password='a b' dbname=d": "host=h password= dbname=d",
        "no answer (url: /?token=a/api/2.0 (Caused by x))": "no answer (url: /?token= (Caused by x))",
        "http://host:5000/models/name@champion": "http://host:5000/models/name@champion",
        "models:/name@champion": "models:/name@champion",
        "sqlite:////a/b@c/x.db": "sqlite:////a/b@c/x.db",
        "author=me": "author=me",
    }.items(),
)
def test_what_is_left_out_and_what_is_not(text, shown):
    assert without_credentials(text) == shown
