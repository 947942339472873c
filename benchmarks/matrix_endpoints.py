"""Teachers behind an address: MLflow's scoring server, and a server of the Open Inference Protocol."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch
from matrix_data import DESCRIBED, Case, perceptron, split, standardized, table, trained
from matrix_tables import pipeline
from torch import nn


@contextlib.contextmanager
def answering(command: list[str], url: str, folder: Path) -> Iterator[None]:
    """A server that answers at an address."""
    with (folder / "serving.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        for _ in range(600):
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(url, timeout=5).close()
                break
            time.sleep(0.5)
        else:
            raise SystemExit((folder / "serving.log").read_text())
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def scoring(folder: Path) -> Case:
    """The pipeline behind ``mlflow models serve``."""
    import mlflow

    frame, _, train = table()
    about = {"serialization_format": "cloudpickle", "pip_requirements": [], "input_example": frame[:2]}
    mlflow.sklearn.save_model(pipeline(), folder / "model", **about)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder / "model")]
    command += ["--port", str(port), "--env-manager", "local", "--workers", "1"]
    stack = contextlib.ExitStack()
    stack.enter_context(answering(command, f"http://127.0.0.1:{port}/ping", folder))
    address = f"http://127.0.0.1:{port}/invocations"
    return Case(address, frame[~train], DESCRIBED, frame[train], stop=stack.close)


class Inference(BaseHTTPRequestHandler):
    """A network by the Open Inference Protocol."""

    protocol_version, wbufsize = "HTTP/1.1", -1
    network: nn.Module

    def do_GET(self) -> None:
        tensor = {"datatype": "FP32", "shape": [-1, 6]}
        self.answer({"name": "m", "inputs": [{"name": "x"} | tensor], "outputs": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        (given,) = body["inputs"]
        with torch.no_grad():
            y = self.network(torch.tensor(given["data"]).reshape(given["shape"]))
        told = {"name": "y", "datatype": "FP32", "shape": [len(y), 1], "data": y[:, 0].tolist()}
        self.answer({"model_name": "m", "outputs": [told]})

    def answer(self, document: dict) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def inference(folder: Path) -> Case:
    """A network behind a server of the Open Inference Protocol."""
    (x, _, y), (held, *_) = split(*standardized())
    handler = type("Handler", (Inference,), {"network": trained(perceptron(), [x], y)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return Case(f"http://127.0.0.1:{server.server_address[1]}/v2/models/m", [held], stop=server.shutdown)
