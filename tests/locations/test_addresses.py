"""Where a study may live: any folder, whatever its name, and any address of a database; others are refused at the start."""

import os
from pathlib import Path

import pytest
import yaml
from asked import assert_refused, files_of
from processes import free_port
from sqlalchemy.engine import URL

from dfkd_tune.errors import StorageError, TrackingError
from dfkd_tune.locations.addresses import file_of, in_memory, parse, plain_file, write
from dfkd_tune.locations.paths import (
    absolute,
    optuna_url,
    spool_folder,
    sqlite_file,
    sqlite_url,
    store_of,
    tracking_url,
)

pytestmark = pytest.mark.usefixtures("undrawn")

ODD = "My%20Project a?b=c#d &é'\"+%2F"
"""A folder's name with all that means something in an address, in a shell or in SQL."""
SUPERSEDED = {
    "sqlite:///o.db": "o.db",
    "sqlite:///./sub/../o.db": "o.db",
    "sqlite:///o.db?timeout=60": "o.db",
    "sqlite+pysqlite:///o.db": "o.db",
    "SQLite:///o.db": "o.db",
    "sqlite:///a%20b%3F.db": "a b?.db",
    "sqlite:///a b#c.db": "a b#c.db",
    "sqlite:///file:o.db?uri=true": "o.db",
    "sqlite:///file:a%2520b.db?mode=rw&uri=true": "a b.db",
    "sqlite:///file:o.db": "file:o.db",
}
MEMORY = ("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file::memory:?cache=shared&uri=true")
MEMORY += ("sqlite:///file:x?mode=memory&uri=true", ":memory:", "file::memory:", "sqlite:///file::memory:")
STORAGES = {
    "optuna.db": "write sqlite:///optuna.db",
    "./a/optuna.sqlite3": "write sqlite:///./a/optuna.sqlite3",
    "sqlite:optuna.db": "write sqlite:///optuna.db",
    "sqlite:file:a%20b.db": "write sqlite:///a b.db",
    "file:a%20b.db": "write sqlite:///a b.db",
    "file:///x/a.db": "write sqlite:////x/a.db",
    "sqlite:/o.db": "write sqlite:////o.db",
    "sqlite://o.db": "write sqlite:///o.db",
    "sqlite://sub/o.db": "write sqlite:///sub/o.db",
    "sqlite+aiosqlite:///o.db": "write sqlite:///o.db",
    "sqlite:///o.db?timeout=soon": "could not convert string to float: 'soon'",
    "sqlite:///o.db?tmeout=60": "'tmeout'",
    "journal.log": "write sqlite:///mlruns/optuna.db",
    "redis://localhost:6379": "write sqlite:///mlruns/optuna.db",
    "http://localhost:13000": "is a server, and a study is kept in a database",
    "grpc://localhost:13000": "is a server",
    "oracle://h/d": "no database that a study can be kept in (oracle)",
    "mysql://ann:hunter2@h/d": "driver MySQLdb is not installed; pip install mysqlclient",
    "mysql+pymysql://h/d": "driver pymysql is not installed; pip install pymysql",
    "postgresql+pg8000://h/d": "driver pg8000 is not installed; pip install pg8000",
    "postgresql+nothing://h/d": "unknown driver (nothing); write postgresql://",
    "postgresql+asyncpg://h/d": "asynchronous driver (asyncpg); write postgresql://",
}
STORES = {
    "mlflow.db": "write sqlite:///mlflow.db",
    "sqlite:/mlflow.db": "write sqlite:////mlflow.db",
    "databricks": "Databricks, which is not supported",
    "databricks://profile": "Databricks, which is not supported",
    "databricks-uc": "Databricks, which is not supported",
    "uc:http://localhost:8080": "Unity Catalog",
    "mlruns": "directory of files, which MLflow no longer takes; write sqlite:///mlruns/mlflow.db",
    "./mlruns": "directory of files",
    "/data/mlruns": "directory of files",
    "file:./mlruns": "directory of files",
    "file:///data/mlruns": "directory of files",
    "s3://bucket/runs": "no store of MLflow (s3); write sqlite:///mlruns/mlflow.db or the address of a server",
    "gs://bucket": "no store of MLflow (gs)",
    "mariadb://h/d": "no store of MLflow (mariadb)",
    "arn:aws:sagemaker:x:1:mlflow-tracking-server/y": "is no URL of a database",
    "mssql+pyodbc://h/d": "driver pyodbc is not installed",
}
CUT = ["sqlite:///v?y.db", "sqlite:////data/a?", "sqlite:///v.db?timeout=30&x"]
"""Addresses whose file's name a question mark would cut."""


@pytest.mark.parametrize(("url", "file"), SUPERSEDED.items(), ids=SUPERSEDED)
@pytest.mark.parametrize("folder", ["plain", ODD.replace("/", "")], ids=["plain", "odd"])
def test_a_file_is_the_same_from_any_directory(tmp_path, monkeypatch, url, file, folder):
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    there, taken = Path(file).resolve(), (optuna_url(url), tracking_url(url))
    monkeypatch.chdir("/")
    for each in taken:
        assert sqlite_file(each) == there
        assert absolute(each) == each
        assert ("timeout=60" in each) == ("timeout=60" in url)
        assert store_of(each) == sqlite_url(there)
        assert spool_folder(each, "pump") == there.parent / "spool" / "pump"
    assert files_of(tmp_path) == {folder}


@pytest.mark.parametrize(
    "url", [*SUPERSEDED, *MEMORY, *STORAGES, *STORES, *CUT, f"sqlite:///{ODD}", "sqlite:///a:b@c/d e#f&g"]
)
def test_what_is_read_without_sqlalchemy_is_read_as_by_it(url):
    plain = plain_file(url)
    if plain is not None:
        read = parse(url)
        assert file_of(read) == plain and write(read) == url
        assert read.get_dialect().is_async is False and not in_memory(read)


@pytest.mark.parametrize("name", ["o.db", "a b#c.db", "a%20b.db", "v?y=z.db", "é:@.db"])
def test_the_url_of_a_file_is_that_of_sqlalchemy(name):
    assert sqlite_url(Path(f"/data/{name}")) == write(URL.create("sqlite", database=f"/data/{name}"))
    assert file_of(parse(sqlite_url(Path(f"/data/{name}")))) == Path(f"/data/{name}")


def test_names_of_postgresql_are_one():
    assert optuna_url("postgres://u:p%40@h:1/d?sslmode=require") == optuna_url(
        "postgresql://u:p%40@h:1/d?sslmode=require"
    )
    assert optuna_url("postgres://h/d") == "postgresql+psycopg2://h/d" == optuna_url("postgresql+psycopg2://h/d")
    assert tracking_url("postgres://h/d") == tracking_url("postgresql://h/d")


def test_a_plugin_of_mlflow_may_bring_a_store(tmp_path, monkeypatch):
    with pytest.raises(TrackingError, match="no store of MLflow"):
        tracking_url("brought://h")
    about = tmp_path / "brought-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[mlflow.tracking_store]\nbrought = brought:Store\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert tracking_url("brought://h") == "brought://h"


@pytest.mark.parametrize("url", [*STORAGES, *MEMORY])
def test_storages_that_cannot_be_used(url):
    with pytest.raises(StorageError) as refusal:
        optuna_url(url)
    assert STORAGES.get(url, "is in memory, and lost when the command ends; write sqlite:///optuna.db") in str(
        refusal.value
    )
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("url", [*STORES, *MEMORY])
def test_stores_that_cannot_be_used(monkeypatch, url):
    words = STORES.get(url, "is in memory, and lost when the command ends; write sqlite:///mlflow.db")
    with pytest.raises(TrackingError) as refusal:
        tracking_url(url)
    assert words in str(refusal.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    with pytest.raises(TrackingError) as refusal:
        tracking_url(None)
    assert str(refusal.value).startswith("MLFLOW_TRACKING_URI=") and words in str(refusal.value)


@pytest.mark.parametrize("url", CUT)
def test_a_question_mark_in_a_name_is_quoted(url):
    for taken, kind in ((optuna_url, StorageError), (tracking_url, TrackingError)):
        with pytest.raises(kind, match=r"write %3F for a '\?' in a name"):
            taken(url)
    assert sqlite_file(absolute("sqlite:////data/v%3Fy.db")) == Path("/data/v?y.db")


COMMANDS = {
    "study": ["study", "nowhere.yaml"],
    "worker": ["worker", "pump"],
    "show": ["show", "pump"],
    "report": ["report", "pump"],
    "sync": ["sync", "pump"],
    "register": ["register", "pump", "--model", "m"],
    "export": ["export", "pump", "--out", "x.pt2"],
    "distill": ["distill", "--run", "0" * 32, "--out", "x"],
    "ui": ["ui"],
}


@pytest.mark.parametrize("argv", COMMANDS.values(), ids=COMMANDS)
def test_every_command_refuses_them_at_the_start(dfkd, tmp_path, monkeypatch, argv):
    if argv[0] in ("study", "worker", "show", "report", "sync"):
        assert_refused(dfkd(*argv, "--storage", "sqlite://"), "sqlite://: is in memory", "write sqlite:///optuna.db")
    if argv[0] not in ("show", "worker"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")
        assert_refused(dfkd(*argv), "MLFLOW_TRACKING_URI=databricks", "not supported")
    assert files_of(tmp_path) == set()


def test_a_folder_may_be_called_anything(dfkd, tmp_path, tree, monkeypatch):
    """A whole study, with all that follows it, by relative addresses with arguments; nothing is left beside the folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = tmp_path / ODD.replace("/", "")
    home.mkdir()
    (home / "study.yaml").write_text(yaml.safe_dump(tree("pump", trials=2)))

    def ask(*argv):
        ended = dfkd(*argv, cwd=home)
        assert ended.status == 0, ended.err
        return ended.out

    storage = ["--storage", "sqlite:///mlruns/optuna.db?timeout=30"]
    out = ask("study", "study.yaml", "--workers", "1", *storage)
    assert "dfkd-tune report pump --storage 'sqlite:///mlruns/optuna.db?timeout=30'" in out
    assert "2 complete" in ask("show", "pump")
    assert "wrote pump-report.html" in ask("report", "pump")
    assert "wrote x.pt2" in ask("export", "pump", "--out", "x.pt2")
    assert ", version 1: " in ask("register", "pump", "--model", "m")
    assert "runs in MLflow; nothing was missing" in ask("sync", "pump")
    started = []
    monkeypatch.setattr(os, "execve", lambda *given: started.append(given))
    ask("ui", "--port", free_port())
    ((_, _, environment),) = started
    assert sqlite_file(environment["MLFLOW_BACKEND_STORE_URI"]) == home / "mlruns" / "mlflow.db"
    assert {path.name for path in tmp_path.iterdir()} == {home.name}
    kept = {path.name for path in home.iterdir()}
    assert kept == {"study.yaml", "mlruns", "pump-report.html", "x.pt2"}
