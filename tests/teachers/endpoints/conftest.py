"""A server of both protocols, and what it does wrong."""

import json

import pytest
from processes import inferring

from dfkd_tune.teachers.loader import load_teacher


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def server(home):
    with inferring(home) as address:
        yield address


@pytest.fixture
def trouble(home):
    """Tells the server what to do wrong."""
    yield lambda **what: (home / "trouble.json").write_text(json.dumps(what))
    (home / "trouble.json").unlink(missing_ok=True)


@pytest.fixture(params=["/invocations", "/v2/models/m", "/v2/models/m/infer"])
def teacher(request, server):
    return load_teacher(server + request.param)
