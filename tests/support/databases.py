"""Empty databases on the PostgreSQL server of this machine."""

import contextlib
import importlib
import os
import uuid
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def empty_database(statement: str = "CREATE DATABASE {}") -> Iterator[str]:
    """The URL of a database that ``statement`` makes, dropped afterwards. Without a server the test is skipped, but not in CI."""
    name = f"dfkd_{uuid.uuid4().hex[:12]}"
    demanded = bool(os.environ.get("CI"))
    psycopg2 = importlib.import_module("psycopg2") if demanded else pytest.importorskip("psycopg2")
    try:
        admin = psycopg2.connect(host="127.0.0.1", port=5432, user="postgres", dbname="postgres", connect_timeout=5)
    except psycopg2.OperationalError as error:
        if demanded:
            raise
        pytest.skip(f"no PostgreSQL: {str(error).splitlines()[0]}")
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(statement.format(name))
    try:
        yield f"postgresql://postgres@127.0.0.1:5432/{name}"
    finally:
        with admin.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        admin.close()
