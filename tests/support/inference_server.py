"""A server of both protocols in a process of its own: ``python inference_server.py PORT KIND [SECRET]``.

It answers ``2 a + b ** 2`` and ``-a`` for rows of two features, as MLflow's scoring does and as the Open Inference Protocol
asks. A file ``trouble.json`` in its working directory says what goes wrong: ``{"status": 429, "headers": {"Retry-After": "1"},
"times": 2}``, ``{"text": "<html>"}``, ``{"seconds": 5}``; ``times`` is how often, and always where it is left out. It appends
the number of rows of each answered request to ``asked.txt``.

The kinds ``several``, ``open`` and ``promised`` take several arguments and answer two outputs: ``quality = state * window sum + count`` and
``power = 10 half[0] + flag + (5 if site is "south" else 0)``. The metadata of ``open`` leave sizes open and tell of no output;
those of ``promised`` tell of a third.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TROUBLE, ASKED = Path("trouble.json"), Path("asked.txt")
INPUTS = {
    "array": [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}],
    "other": [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}],
    "single": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "columns": [
        {"name": "a", "datatype": "FP64", "shape": [-1]},
        {"name": "b", "datatype": "INT64", "shape": [-1, 1]},
        {"name": "kind", "datatype": "BYTES", "shape": [-1, 1]},
    ],
    "eight": [{"name": "x", "datatype": "FP64", "shape": [8, 2]}],
    "image": [{"name": "x", "datatype": "UINT8", "shape": [-1, 8, 8]}],
    "silent": [],
    "several": [
        {"name": "state", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "window", "datatype": "FP64", "shape": [-1, 3, 2]},
        {"name": "count", "datatype": "INT32", "shape": [-1]},
        {"name": "flag", "datatype": "BOOL", "shape": [-1, 1]},
        {"name": "half", "datatype": "FP16", "shape": [-1, 2]},
        {"name": "site", "datatype": "BYTES", "shape": [-1]},
    ],
    "classes": [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}],
    "strange": [{"name": "x", "datatype": "COMPLEX", "shape": [-1, 2]}],
}
INPUTS["open"] = [
    each | {"shape": [-1, -1, -1] if each["name"] == "window" else each["shape"]} for each in INPUTS["several"]
]
INPUTS["promised"] = INPUTS["several"]
OUTPUTS = {
    "several": [
        {"name": "quality", "datatype": "FP64", "shape": [-1, 2]},
        {"name": "power", "datatype": "FP32", "shape": [-1]},
    ],
    "classes": [{"name": "label", "datatype": "INT64", "shape": [-1]}],
}
OUTPUTS["promised"] = [*OUTPUTS["several"], {"name": "third", "datatype": "FP64", "shape": [-1]}]
MOST_ROWS = 100
"""Largest number of rows in a request."""
KINDS = {"low": 0.0, "high": 10.0}


def answer(rows: list[list], kind: str) -> list[list[float]]:
    shift = 1.0 if kind == "other" else 0.0
    return [[2 * row[0] + row[1] ** 2 + shift + (KINDS[row[2]] if len(row) > 2 else 0.0), -row[0]] for row in rows]


TYPES = {"FP32": float, "FP64": float, "FP16": float, "INT32": int, "BOOL": bool, "BYTES": str}


def flattened(value) -> list:
    return [one for each in value for one in flattened(each)] if isinstance(value, list) else [value]


def several(given: dict[str, list]) -> dict[str, list]:
    """The outputs for arguments, each a flat list."""
    rows = len(given["count"])
    sums = [sum(given["window"][6 * i : 6 * i + 6]) for i in range(rows)]
    quality = [given["state"][2 * i + j] * sums[i] + given["count"][i] for i in range(rows) for j in range(2)]
    power = [
        10 * given["half"][2 * i] + given["flag"][i] + (5.0 if given["site"][i] == "south" else 0.0)
        for i in range(rows)
    ]
    return {"quality": quality, "power": power}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, which are 40 ms apart in two
    kind, secret = "array", None

    def send(self, status: int, text: str, headers: dict | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def in_trouble(self) -> bool:
        try:
            trouble = json.loads(TROUBLE.read_text())
        except (OSError, ValueError):
            return False
        left = trouble.get("times")
        if left is not None:
            trouble["times"] = left - 1
            TROUBLE.write_text(json.dumps(trouble)) if left > 1 else TROUBLE.unlink()
        time.sleep(trouble.get("seconds", 0))
        if "status" in trouble or "text" in trouble:
            self.send(trouble.get("status", 200), trouble.get("text", "{}"), trouble.get("headers"))
            return True
        return False

    def do_GET(self) -> None:
        if self.path == "/v2/models/m":
            if not self.in_trouble():
                told = {"name": "m", "versions": ["1"], "platform": "tests", "inputs": INPUTS[self.kind]}
                told["outputs"] = OUTPUTS.get(self.kind, [])
                self.send(200, json.dumps(told))
        elif self.path == "/ping":
            self.send(200, "{}")
        else:
            self.send(404, json.dumps({"error": "Model is not found"}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.in_trouble():
            return
        if self.secret is not None and self.headers.get("Authorization") != f"Bearer {self.secret}":
            return self.send(401, "{}")
        if self.kind in ("several", "open", "promised"):
            return self.several(body)
        rows = self.rows(body)
        if rows is None:
            return self.send(400, json.dumps({"error": "unknown form of request"}))
        if len(rows) > MOST_ROWS:
            return self.send(413, "{}")
        with ASKED.open("a") as file:
            file.write(f"{len(rows)}\n")
        found = answer(rows, self.kind)
        if self.path == "/invocations":
            return self.send(200, json.dumps({"predictions": found}))
        flat = [value for row in found for value in row]
        output = {"name": "y", "shape": [len(rows), 2], "datatype": "FP64", "data": flat}
        self.send(200, json.dumps({"model_name": "m", "outputs": [output]}))

    def several(self, body: dict) -> None:
        told, given = {each["name"]: each for each in INPUTS["several"]}, {}
        if self.path == "/invocations":
            given = {name: flattened(value) for name, value in body["inputs"].items()}
        else:
            for each in body["inputs"]:
                about, count = told[each["name"]], body["inputs"][0]["shape"][0]
                assert (each["datatype"], each["shape"]) == (about["datatype"], [count, *about["shape"][1:]]), each
                assert all(type(value) is TYPES[each["datatype"]] for value in each["data"]), each
                given[each["name"]] = each["data"]
        found = several(given)
        rows = len(given["count"])
        if rows > MOST_ROWS:
            return self.send(413, "{}")
        with ASKED.open("a") as file:
            file.write(f"{rows}\n")
        if self.path == "/invocations":
            quality = [found["quality"][2 * i : 2 * i + 2] for i in range(rows)]
            return self.send(200, json.dumps({"predictions": found | {"quality": quality}}))
        shapes = {"quality": [rows, 2], "power": [rows]}
        outputs = [{"name": n, "shape": shapes[n], "datatype": "FP64", "data": d} for n, d in found.items()]
        self.send(200, json.dumps({"model_name": "m", "outputs": outputs if self.kind == "open" else outputs[::-1]}))

    def rows(self, body: dict) -> list[list] | None:
        if self.path == "/invocations":
            if self.kind == "array":  # a model of tensors
                return body.get("inputs")
            if "dataframe_split" not in body:
                return None
            frame = body["dataframe_split"]
            order = [frame["columns"].index(name) for name in ("a", "b", "kind")[: len(frame["columns"])]]
            return [[row[i] for i in order] for row in frame["data"]]
        if self.path != "/v2/models/m/infer":
            return None
        told = body["inputs"]
        if self.kind == "columns":
            assert [each["name"] for each in told] == ["a", "b", "kind"]
            assert all(isinstance(value, int) for value in told[1]["data"])
            return [list(row) for row in zip(*(each["data"] for each in told), strict=True)]
        count, width = told[0]["shape"]
        if self.kind == "eight" and count != 8:
            return None
        data = told[0]["data"]
        return [data[i * width : (i + 1) * width] for i in range(count)]

    def log_message(self, *arguments) -> None:
        pass


if __name__ == "__main__":
    port, Handler.kind = int(sys.argv[1]), sys.argv[2]
    Handler.secret = sys.argv[3] if len(sys.argv) > 3 else None
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
