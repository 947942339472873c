"""``ui``: it serves the runs to this machine alone, at a free port."""

import json
import socket
import urllib.request

import psutil
import pytest
from asked import assert_refused

pytestmark = pytest.mark.usefixtures("undrawn")


def test_ui_serves_the_runs(mlflow_server):
    with urllib.request.urlopen(mlflow_server.url, timeout=30) as page:
        assert b"MLflow" in page.read()
    body = json.dumps({"max_results": 100}).encode()
    address = f"{mlflow_server.url}/api/2.0/mlflow/experiments/search"
    with urllib.request.urlopen(
        urllib.request.Request(address, body, {"Content-Type": "application/json"}), timeout=30
    ) as answer:
        assert "finished" in [experiment["name"] for experiment in json.load(answer)["experiments"]]
    main = psutil.Process(mlflow_server.process.pid)
    sockets = [each for process in (main, *main.children(recursive=True)) for each in process.net_connections()]
    assert {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_a_busy_port_is_told(dfkd, store, finished):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        assert_refused(dfkd("ui", "--port", port, *store.options[2:]), f"port {port}", "--port")


def test_a_server_has_its_own_ui(dfkd):
    ended = dfkd("ui", "--tracking-uri", "http://ann:s3cret@tracking.example:5000")
    assert ended.status == 0
    assert ended.out == "these runs are at http://tracking.example:5000\n"
