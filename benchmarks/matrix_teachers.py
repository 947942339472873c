"""Teachers of every form that the tool takes, trained on real data in seconds, each with its held-out inputs.

For ``matrix.py``. Windows and tables are the weather of ``series.py``; images are the digits that scikit-learn ships. Networks take
standardized inputs, all others raw ones.
"""

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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import window_kinds
from series import SOURCES, load
from torch import Tensor, nn

NUMBERS = ["dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
WORDS = ["origin", "season"]
TARGET = "temp"
ROWS = 6_000
"""Rows of the table; a quarter is held out."""
NOTHING = "nothing"


@dataclass(frozen=True)
class Case:
    """A teacher as a user has it.

    Args:
        source: its path or address.
        held: held-out inputs: tensors for each argument, or a frame of named columns.
        lines: what a user writes beside the path, in words.
        features: content of the features file, or a frame that ``describe`` reads; None for nothing.
        trusted: whether it is a pickle.
    """

    source: str
    held: Sequence[Tensor] | pd.DataFrame
    lines: str = NOTHING
    features: Any = None
    trusted: bool = False
    stop: Callable[[], None] = field(default=lambda: None, repr=False)


@lru_cache(maxsize=1)
def table() -> tuple[pd.DataFrame, pd.Series, np.ndarray]:
    """Hourly weather with missing pressures, its temperature, and a mask of the training rows."""
    rows = pd.read_csv(SOURCES["weather"].path)
    rows = rows[rows[[*NUMBERS[:4], "visib", TARGET]].notna().all(axis=1) & (rows["wind_speed"] < 100)]
    rows = rows.sample(ROWS, random_state=0).reset_index(drop=True)
    seasons = ["winter", "spring", "summer", "autumn"]
    frame = (
        rows[NUMBERS]
        .astype(float)
        .assign(origin=rows["origin"].astype(str), season=[seasons[month % 12 // 3] for month in rows["month"]])
    )
    return frame[[*WORDS, *NUMBERS]], rows[TARGET].astype(float), np.arange(ROWS) % 4 > 0


def standardized() -> tuple[Tensor, Tensor, Tensor]:
    """Numbers ``(N, 6)`` without missing values, codes of the airports ``(N,)`` and temperatures ``(N,)``, standardized."""
    frame, y, train = table()
    x = frame[NUMBERS].fillna(frame[NUMBERS].median())
    x, y = (x - x[train].mean()) / x[train].std(), (y - y[train].mean()) / y[train].std()
    site = frame["origin"].astype("category").cat.codes
    return torch.tensor(x.to_numpy("f4")), torch.tensor(site.to_numpy("i8")), torch.tensor(y.to_numpy("f4"))


def split(*tensors: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Training rows and held-out rows of each."""
    train = torch.from_numpy(table()[2])
    return [each[train] for each in tensors], [each[~train] for each in tensors]


def trained(network: nn.Module, x: Sequence[Tensor], y: Tensor, epochs: int = 12) -> nn.Module:
    """Train a network on arguments ``x`` and goals ``y`` ``(N,)``, or ``(N, O)``; its outputs may be nested."""
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    rng = torch.Generator().manual_seed(0)
    goal = y.reshape(len(y), -1)
    for _ in range(epochs):
        for part in torch.randperm(len(y), generator=rng).split(64):
            optimizer.zero_grad()
            out = flat(network(*(each[part] for each in x)))
            (out - goal[part]).square().mean().backward()
            optimizer.step()
    return network.eval().requires_grad_(False)


def flat(out: Any) -> Tensor:
    """The outputs of a network as rows ``(N, O)``."""
    leaves = torch.utils._pytree.tree_leaves(out)
    return torch.cat([leaf.reshape(len(leaf), -1) for leaf in leaves], dim=1)


def pt2(network: nn.Module, example: tuple, file: Path) -> str:
    """Export a network, whose arguments may be nested."""
    free = {0: torch.export.Dim("rows", min=1)}
    few = torch.utils._pytree.tree_map(lambda each: each[:2], example)
    shapes = torch.utils._pytree.tree_map(lambda _: free, few)
    torch.export.save(torch.export.export(network, few, dynamic_shapes=tuple(shapes)), file)
    return str(file)


def onnx(network: nn.Module, example: Sequence[Tensor], file: Path, inputs: list[str], outputs: list[str]) -> str:
    """Export a network with named inputs and outputs."""
    free = {name: {0: "rows"} for name in (*inputs, *outputs)}
    few = tuple(each[:2] for each in example)
    names = {"input_names": inputs, "output_names": outputs, "dynamic_axes": free}
    torch.onnx.export(network, few, str(file), dynamo=False, **names)
    return str(file)


def window(kind: str, folder: Path) -> Case:
    """A teacher over windows of 24 hours and 6 channels."""
    series = load("weather")
    rows = torch.randperm(len(series.train), generator=torch.Generator().manual_seed(0))[:ROWS]
    x, y = torch.from_numpy(series.train)[rows], torch.from_numpy(series.goals)[rows]
    torch.manual_seed(0)
    made = {"lstm": lambda: window_kinds.Recurrent(6, cell=nn.LSTM)}.get(kind, lambda: window_kinds.KINDS[kind](6))()
    network = window_kinds.fit(made, x, y, torch.Generator().manual_seed(0), epochs=4)
    return Case(pt2(network, (x,), folder / f"{kind}.pt2"), [torch.from_numpy(series.test)])


@lru_cache(maxsize=1)
def digits() -> tuple[Tensor, Tensor, Tensor]:
    """Images ``(N, 8, 8)`` with mean 0 and deviation 1, the value of each digit, and a mask of the training images."""
    from sklearn.datasets import load_digits

    images = load_digits()
    x = torch.tensor(images.images, dtype=torch.float32)
    return (x - x.mean()) / x.std(), torch.tensor(images.target, dtype=torch.float32), torch.arange(len(x)) % 4 > 0


class Images(nn.Module):
    """A convolutional network over ``(N, 1, 8, 8)``, or ``(N, 8, 8, 1)`` as TensorFlow has them."""

    def __init__(self, norm: bool, last: bool = False):
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((1, 16), (16, 32)):
            layers += [nn.Conv2d(before, after, 3, padding=1)]
            layers += [nn.BatchNorm2d(after)] if norm else []
            layers += [nn.ReLU(), nn.AvgPool2d(2)]
        self.net, self.last = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 1)), last

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image.permute(0, 3, 1, 2) if self.last else image)


def images(folder: Path, norm: bool = False, last: bool = False) -> Case:
    """A convolutional network of the value of a digit; with channels last, an ONNX file."""
    x, y, train = digits()
    x = x[..., None] if last else x[:, None]
    torch.manual_seed(0)
    network = trained(Images(norm, last), [x[train]], y[train])
    if last:
        source = onnx(network, [x], folder / "images.onnx", ["image"], ["value"])
    else:
        source = pt2(network, (x,), folder / f"images-{norm}.pt2")
    return Case(source, [x[~train]])


class Mixed(nn.Module):
    """Numbers and a category that selects a row of an embedding."""

    def __init__(self, outputs: int = 1):
        super().__init__()
        self.site = nn.Embedding(3, 4)
        self.net = nn.Sequential(nn.Linear(10, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, outputs))

    def forward(self, numbers: Tensor, site: Tensor) -> Any:
        return self.net(torch.cat([numbers, self.site(site)], dim=1))


class Dicts(Mixed):
    """A dict in, a dict out."""

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        y = super().forward(batch["numbers"], batch["site"])
        return {"temp": y[:, 0], "squared": y[:, 1:]}


def mixed(folder: Path, nested: bool = False) -> Case:
    """A network over numbers and a category."""
    (x, site, y), held = split(*standardized())
    torch.manual_seed(0)
    if not nested:
        network = trained(Mixed(), [x, site], y)
        return Case(pt2(network, (x, site), folder / "mixed.pt2"), held[:2])
    network, goals = Dicts(2), torch.stack([y, y.square()], dim=1)
    inner = trained(_Calling(network), [x, site], goals)
    source = pt2(inner.network, ({"numbers": x, "site": site},), folder / "dicts.pt2")
    return Case(source, held[:2])


class _Calling(nn.Module):
    """A network of a dict, called with positional arguments."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, numbers: Tensor, site: Tensor) -> Any:
        return self.network({"numbers": numbers, "site": site})


def perceptron(outputs: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 128), nn.Tanh(), nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, outputs))


def half(folder: Path, dtype: torch.dtype) -> Case:
    """A network whose weights, arguments and outputs have another dtype."""
    (x, _, y), (held, *_) = split(*standardized())
    network = trained(perceptron(), [x], y).to(dtype)
    return Case(pt2(network, (x.to(dtype),), folder / f"{str(dtype)[6:]}.pt2"), [held.to(dtype)])


class Columns(nn.Module):
    """One input a column."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, *columns: Tensor) -> Tensor:
        return self.inner(torch.cat(columns, dim=1))


class Two(Columns):
    """Two outputs."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.inner(x)
        return y[:, :1], y[:, 1:]


def graph(folder: Path, columns: bool) -> Case:
    """An ONNX file with one input a column, or with two outputs."""
    (x, _, y), (held, *_) = split(*standardized())
    if columns:
        network = Columns(trained(perceptron(), [x], y)).eval()
        each, own = [x[:, i : i + 1] for i in range(6)], [held[:, i : i + 1] for i in range(6)]
        return Case(onnx(network, each, folder / "columns.onnx", NUMBERS, [TARGET]), own)
    network = Two(trained(perceptron(2), [x], torch.stack([y, y.square()], dim=1))).eval()
    return Case(onnx(network, [x], folder / "two.onnx", ["x"], ["temp", "squared"]), [held])


DESCRIBED = "`describe --missing level` of the table"


def pipeline() -> Any:
    """A fitted pipeline over named columns with words and missing values."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame, y, train = table()
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    encode = ColumnTransformer([("words", OneHotEncoder(), WORDS), ("numbers", numbers, NUMBERS)])
    return make_pipeline(encode, MLPRegressor(hidden_layer_sizes=(64,), max_iter=60, random_state=0)).fit(
        frame[train], y[train]
    )


def skops(folder: Path) -> Case:
    from skops.io import dump

    frame, _, train = table()
    dump(pipeline(), folder / "pipeline.skops")
    return Case(str(folder / "pipeline.skops"), frame[~train], DESCRIBED, frame[train])


def boosted(folder: Path, library: str, words: bool) -> Case:
    """Boosted trees in their library's own format, over numbers or also over categories."""
    frame, y, train = table()
    frame = frame if words else frame[NUMBERS]
    given = frame.astype(dict.fromkeys(WORDS, "category")) if words and library != "catboost" else frame
    name = folder / f"{library}-{words}"
    if library == "xgboost":
        from xgboost import XGBRegressor

        file = name.with_suffix(".ubj")
        XGBRegressor(n_estimators=100, max_depth=5, n_jobs=1, enable_categorical=words).fit(
            given[train], y[train]
        ).save_model(str(file))
    elif library == "lightgbm":
        from lightgbm import LGBMRegressor

        file = name.with_suffix(".txt")
        LGBMRegressor(verbose=-1, n_jobs=1).fit(given[train], y[train]).booster_.save_model(str(file))
    else:
        from catboost import CatBoostRegressor

        file = name.with_suffix(".cbm")
        model = CatBoostRegressor(iterations=200, verbose=0, allow_writing_files=False, thread_count=1)
        model.fit(given[train], y[train], cat_features=WORDS if words else None).save_model(str(file))
    if words and library == "catboost":  # its file holds hashes of the words
        named = [{"name": name, "levels": sorted(frame[name].unique())} for name in WORDS]
        return Case(str(file), frame[~train], "levels of the words", {"features": [*named, *NUMBERS]})
    return Case(str(file), frame[~train])


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
            time.sleep(0.2)
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


CASES: dict[str, Callable[[Path], Case]] = {
    "LSTM": lambda folder: window("lstm", folder),
    "GRU": lambda folder: window("gru", folder),
    "TCN": lambda folder: window("tcn", folder),
    "Transformer": lambda folder: window("transformer", folder),
    "CNN": images,
    "CNN, batch normalization": lambda folder: images(folder, norm=True),
    "numbers and an embedding": mixed,
    "dict in, dict out": lambda folder: mixed(folder, nested=True),
    "float64": lambda folder: half(folder, torch.float64),
    "bfloat16": lambda folder: half(folder, torch.bfloat16),
    "ONNX, channels last": lambda folder: images(folder, last=True),
    "ONNX, one input a column": lambda folder: graph(folder, columns=True),
    "ONNX, two outputs": lambda folder: graph(folder, columns=False),
    "pipeline, words and missing values": skops,
    "XGBoost": lambda folder: boosted(folder, "xgboost", words=False),
    "LightGBM": lambda folder: boosted(folder, "lightgbm", words=False),
    "CatBoost": lambda folder: boosted(folder, "catboost", words=False),
    "XGBoost, categories": lambda folder: boosted(folder, "xgboost", words=True),
    "LightGBM, categories": lambda folder: boosted(folder, "lightgbm", words=True),
    "CatBoost, categories": lambda folder: boosted(folder, "catboost", words=True),
    "MLflow's scoring server": scoring,
    "Open Inference Protocol": inference,
}
"""Row of the table -> what makes its teacher in a folder."""
