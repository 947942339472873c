"""Random study, features, recipe and architecture files, and damaged models: only our own errors, in one line, and no hang."""

import copy
import faulthandler
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from dfkd_tune.errors import DfkdError, FeaturesError, SpecError
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.recipes.presets import FAITHFUL, PRESETS
from dfkd_tune.recipes.recipe import from_tree
from dfkd_tune.search.space.search_space import make_space
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.teachers.formats.state_dict import Architecture
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.teachers.signatures.width import infer_width
from dfkd_tune.utils import yaml_io
from dfkd_tune.utils.strategy import build

PATIENCE = 20
"""Seconds that one input may take."""

SPEC = {
    "study": {"name": "pump", "trials": 200, "seed": 0, "objective": "robust", "population": 8, "leaders": 3},
    "teacher": {"path": "teacher.pt2", "architecture": "teacher.yaml"},
    "features": "features.yaml",
    "student": {"max_parameters": 1151},
    "budget": {"steps": 20000, "batch": 100, "pool": 5000, "bank": 200},
    "preset": "paper",
    "search": {
        "generator.kind": ["gaussian", "adversarial", "direct"],
        "bound": {"kind": ["none", "clip", "target"], "threshold": {"low": 0.02, "high": 2.0, "log": True}},
        "student.width": {"low": 8, "high": 64},
        "optimizer.lr": {"low": 1e-4, "high": 1e-2, "log": True},
    },
}
FEATURES = {
    "features": [
        "plain",
        {"name": "load", "quantiles": {0.01: 0.2, 0.25: 0.9, 0.5: 1.4, 0.75: 2.2, 0.99: 9.1}},
        {"name": "valve", "levels": [0, 1], "probabilities": [0.9, 0.1]},
        {"name": "speed", "mean": 10.0, "std": 3.0},
        {"name": "count", "range": [0.0, 9.0], "integer": True},
    ],
    "rank_correlation": [[1], [0.31, 1], [0, 0.1, 1], [0, 0, 0.2, 1], [0, 0, 0, 0, 1]],
}
WINDOW = {
    "window": {
        "steps": 3,
        "channels": [
            "plain",
            {"name": "temp", "mean": 20.0, "std": 4.0, "autocorrelation": [0.9, 0.7]},
            {"name": "valve", "levels": [0, 1], "time_constant": 3.5},
        ],
        "correlation": [[1], [0.3, 1], [0, 0.2, 1]],
        "order": "channels_first",
    }
}
GRID = {
    "arguments": {
        "image": {
            "grid": {
                **{"height": 2, "width": 3, "channels": 2, "mean": [1, 2], "std": [1.0, 0.5], "range": [0.0, 9.0]},
                **{"correlation_length": 1.5, "correlation": [[1], [0.5, 1]]},
            },
            "dtype": "float32",
        }
    }
}
RECIPE = PRESETS["faithful"].tree()
ARCHITECTURE = {"layers": [3, 16, 16, 1], "activation": ["tanh", "relu"], "keys": ["0", "2", "4"]}

ODD = [None, True, "", "none", "direct", "mlp", "../../etc/passwd", "a\0b", 0, -1, 1, 2**63, 10**30, 0.5, -0.0]
ODD += [float("nan"), float("inf"), 1e308, 5e-324, [], {}, [[]], {"kind": "direct"}, {"low": 1, "high": 0}, "1e-3"]
LEAVES = st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.sampled_from(["kind", "low", "high", "log", "name", "path", "layers", "range", "levels", "steps"]) | st.text(
    max_size=6
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def places(tree: object, path: tuple = ()) -> list[tuple]:
    """Where the nodes of a tree are."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(place for key, child in inner for place in places(child, (*path, key)))]


@st.composite
def changed(draw, valid: dict) -> object:
    """A valid tree with nodes replaced, taken away or put elsewhere; now and then nothing of it is left.

    What is drawn is copied: a later change must not reach the choices themselves.
    """
    tree = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 4))):
        where = draw(st.sampled_from(places(tree)))
        if not where:
            return copy.deepcopy(draw(TREES))
        parent = tree
        for key in where[:-1]:
            parent = parent[key]
        how = draw(st.sampled_from(["replace", "odd", "remove", "add", "double"]))
        if how == "remove":
            del parent[where[-1]]
        elif how == "add" and isinstance(parent, dict):
            parent[draw(KEYS)] = copy.deepcopy(draw(TREES))
        elif how == "double" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[where[-1]]))
        else:
            parent[where[-1]] = copy.deepcopy(draw(TREES if how == "replace" else LEAVES))
    return tree


@st.composite
def texts(draw, valid: dict) -> str:
    """A valid file with characters changed, or characters at random."""
    text = yaml.safe_dump(valid)
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        odd = st.sampled_from(
            ["&a ", "*a", "!!int ", "!!python/object:os.system ", "<<: ", "? ", "|", "\t", "\0", "- "]
        )
        text = text[:start] + draw(odd | st.text(max_size=6)) + text[end:]
    return text


def read_spec(tree: object) -> None:
    spec = parse_spec(tree, "study.yaml")
    assert spec.name
    spec.student.parameters(10_000)
    make_space(spec.recipe(FAITHFUL), spec.search, (Columns(3), 1), spec.student.parameters(10_000))


def read_features(tree: object) -> None:
    inputs = parse_features(tree, "features.yaml")
    if len(inputs) <= 64:
        inputs.draw(8, torch.Generator().manual_seed(0))


def read_recipe(tree: object) -> None:
    from_tree(tree, "recipe.yaml")


def read_architecture(tree: object) -> None:
    if not isinstance(tree, dict):
        raise SpecError("architecture.yaml", "must be a mapping")  # as ``read_architecture`` says of a file
    build(Architecture, tree, "architecture.yaml")


READERS = {
    "spec": (SPEC, read_spec),
    "features": (FEATURES, read_features),
    "window": (WINDOW, read_features),
    "grid": (GRID, read_features),
    "recipe": (RECIPE, read_recipe),
    "architecture": (ARCHITECTURE, read_architecture),
}


def in_time(call: Callable[[], None]) -> None:
    """Only our own errors, in one line, in time."""

    def late(number, frame):
        raise AssertionError(f"took longer than {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    try:
        call()
    except DfkdError as error:
        assert len(str(error).splitlines()) == 1, repr(str(error))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fuzz(count: int, seed: int | None, strategy, check: Callable[[object], None]) -> None:
    """Check so many inputs; the same ones without a seed."""
    about = settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=seed is None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=True,
    )
    about(given(strategy)(check))()


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("count", [60, pytest.param(2500, marks=pytest.mark.slow)])
def test_odd_trees(kind, count):
    valid, read = READERS[kind]
    read(copy.deepcopy(valid))
    fuzz(count, count if count > 100 else None, changed(valid), lambda tree: in_time(lambda: read(tree)))


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("count", [25, pytest.param(1250, marks=pytest.mark.slow)])
def test_odd_texts(kind, count):
    valid, read = READERS[kind]
    error = FeaturesError if kind == "features" else SpecError
    fuzz(
        count,
        count if count > 100 else None,
        texts(valid),
        lambda text: in_time(lambda: read(yaml_io.parse(text, "file.yaml", error))),
    )


def models(folder: Path) -> dict[str, tuple[Path, Path | None]]:
    """A small real model of every kind that is loaded without trust, with the architecture of those that need one."""
    import numpy as np
    import onnx
    import skops.io
    from onnx import TensorProto, helper, numpy_helper
    from sklearn.svm import SVR

    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).eval()
    layout = folder / "teacher.yaml"
    layout.write_text("layers: [3, 8, 1]\n")
    save_file(network.state_dict(), folder / "teacher.safetensors")
    torch.save(network.state_dict(), folder / "teacher.pt")
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    torch.export.save(torch.export.export(network, (torch.zeros(2, 3),), dynamic_shapes=shapes), folder / "teacher.pt2")
    w = [numpy_helper.from_array(p.detach().numpy(), f"p{i}") for i, p in enumerate(network.parameters())]
    nodes = [
        helper.make_node("Gemm", ["x", "p0", "p1"], ["h"], transB=1),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("Gemm", ["t", "p2", "p3"], ["y"], transB=1),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])
    graph = helper.make_graph(nodes, "g", [x], [y], w)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "teacher.onnx"
    )
    rows = np.random.default_rng(0).standard_normal((50, 3))
    fitted = SVR().fit(rows, rows.sum(1))
    skops.io.dump(fitted, folder / "teacher.skops")
    return {
        "safetensors": (folder / "teacher.safetensors", layout),
        "state dict": (folder / "teacher.pt", layout),
        "pt2": (folder / "teacher.pt2", None),
        "onnx": (folder / "teacher.onnx", None),
        "skops": (folder / "teacher.skops", None),
    }


def damaged(data: bytes, dice: random.Random) -> bytes:
    """A file cut short, with bits flipped, with a piece lost, doubled or overwritten."""
    data = bytearray(data)
    how = dice.choice(["cut", "flip", "flip", "flip", "lose", "double", "zero", "number"])
    start = dice.randrange(len(data))
    end = min(len(data), start + dice.choice([1, 4, 16, 200, 5000]))
    if how == "cut":
        del data[start:]
    elif how == "lose":
        del data[start:end]
    elif how == "double":
        data[start:start] = data[start:end]
    elif how == "zero":
        data[start:end] = bytes(end - start)
    elif how == "number":
        data[start : start + 4] = dice.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"9999"])
    else:
        for _ in range(dice.choice([1, 1, 2, 8, 64])):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(data)


def use(path: Path, architecture: Path | None) -> None:
    """What a study does with a teacher before it starts."""
    from dfkd_tune.inputs.prior import Inputs

    teacher = load_teacher(path, architecture)
    probe(teacher, Inputs.unknown(infer_width(teacher)))


def damage(counts: dict[str, int], seed: int, folder: str) -> None:
    """Damage models of each kind so often, in a process of its own: native code that crashes takes it along."""
    faulthandler.enable()
    torch.set_num_threads(1)
    made, wrong = Path(folder), []
    for kind, (path, architecture) in models(made).items():
        whole, dice = path.read_bytes(), random.Random(seed)
        use(path, architecture)
        for number in range(counts.get(kind, 0)):
            data = damaged(whole, dice)
            path.write_bytes(data)
            (made / "current").write_text(f"{kind} #{number}")
            try:
                in_time(lambda path=path, architecture=architecture: use(path, architecture))
            except BaseException as error:
                wrong.append(f"{kind} #{number}: {type(error).__name__}: {str(error)[:200]}")
                (made / f"bad-{number}{path.suffix}").write_bytes(data)
    print(f"{counts}: {len(wrong)} faults", *wrong[:40], sep="\n")
    sys.stdout.flush()
    os._exit(1 if wrong else 0)


FEW = {"safetensors": 20, "state dict": 10, "pt2": 3, "onnx": 10, "skops": 6}
MANY = {"safetensors": 4000, "state dict": 1500, "pt2": 700, "onnx": 2000, "skops": 800}


@pytest.mark.parametrize("counts", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"])
def test_damaged_models(counts, start, tmp_path):
    process = start(damage, counts, sum(counts.values()), str(tmp_path))
    status = process.wait(3600)
    current = tmp_path / "current"
    assert status == 0, (process.said, current.read_text() if current.exists() else "before the first")
