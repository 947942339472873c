"""One teacher, all its files: each is read from where the model lies, is part of its hash, and none is looked for elsewhere."""

import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file
from sklearn.ensemble import RandomForestRegressor
from teacher_files import FEATURES, ROWS, answers, fails, network, save_architecture
from torch import nn

from dfkd_tune.teachers.loader import load_teacher


def wide(seed: int) -> nn.Sequential:
    """Large enough that torch writes its weights beside the graph."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(FEATURES, 512), nn.Tanh(), nn.Linear(512, 1)).eval().requires_grad_(False)


def save_onnx(folder: Path, seed: int, name="wide.onnx") -> Path:
    """As torch's documentation says, and with one file a tensor where the name asks for it."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        wide(seed),
        (torch.zeros(2, FEATURES),),
        folder / name,
        dynamic_shapes=({0: torch.export.Dim("rows")},),
        verbose=False,
    )
    return folder / name


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[Path, Path]:
    """Two networks that differ by their weights alone, each with a file of them."""
    folder = tmp_path_factory.mktemp("exported")
    one, other = save_onnx(folder / "one", 0), save_onnx(folder / "other", 1)
    shutil.copy(one, other)  # the graphs differ by names alone
    return one, other


@pytest.fixture
def copied(exported, tmp_path) -> Path:
    """The first of them, to be changed."""
    return Path(shutil.copytree(exported[0].parent, tmp_path / "model")) / "wide.onnx"


def test_a_model_that_is_a_link_lies_where_the_link_leads_to(exported, tmp_path):
    one, other = exported
    link = tmp_path / "wide.onnx"
    link.symlink_to(one)
    assert load_teacher(link).sha256 == load_teacher(one).sha256
    shutil.copy(other.with_name("wide.onnx.data"), tmp_path)  # beside the link lies another model's
    torch.testing.assert_close(answers(load_teacher(link)).float(), wide(0)(ROWS.float()), rtol=1e-5, atol=1e-6)


def test_a_cache_keeps_a_model_and_its_parts_as_links_into_one_folder(exported, tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "1"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for i, name in enumerate(("wide.onnx", "wide.onnx.data")):
        shutil.copy(exported[0].with_name(name), blobs / f"{i}abc")
        (snapshot / name).symlink_to(f"../../blobs/{i}abc")
    torch.testing.assert_close(
        answers(load_teacher(snapshot / "wide.onnx")).float(), wide(0)(ROWS.float()), rtol=1e-5, atol=1e-6
    )
    outside = tmp_path / "outside"
    shutil.copy(blobs / "1abc", outside)
    (snapshot / "wide.onnx.data").unlink()
    (snapshot / "wide.onnx.data").symlink_to(outside)
    with fails("wide.onnx.data", "is a link out of the folder"):
        load_teacher(snapshot / "wide.onnx")


def test_onnx_is_loaded_with_the_weights_beside_it_wherever_it_is_asked_from(exported, monkeypatch):
    one, other = exported
    monkeypatch.chdir(other.parent)  # which holds a file of the same name, with other weights
    teacher = load_teacher(one)
    torch.testing.assert_close(answers(teacher).float(), wide(0)(ROWS.float()), rtol=1e-5, atol=1e-6)
    assert one.read_bytes() == other.read_bytes()
    assert teacher.sha256 != load_teacher(other).sha256
    monkeypatch.chdir(one.parent)
    assert load_teacher("wide.onnx").sha256 == teacher.sha256


def split(path: Path) -> onnx.ModelProto:
    model = onnx.load(path)
    onnx.save_model(model, path, save_as_external_data=True, all_tensors_to_one_file=False, size_threshold=0)
    return model


def test_onnx_with_a_file_for_each_tensor(copied):
    expected = answers(load_teacher(copied))
    split(copied)
    (copied.parent / "wide.onnx.data").unlink()
    assert len(list(copied.parent.iterdir())) > 3
    teacher = load_teacher(copied)
    torch.testing.assert_close(answers(teacher), expected)
    part = copied.parent / "0.weight"
    part.write_bytes(bytes(part.stat().st_size))
    assert load_teacher(copied).sha256 != teacher.sha256


def test_onnx_without_other_files_has_the_hash_of_its_bytes(copied):
    import hashlib

    onnx.save_model(onnx.load(copied), copied)
    (copied.parent / "wide.onnx.data").unlink()
    assert load_teacher(copied).sha256 == hashlib.sha256(copied.read_bytes()).hexdigest()


def test_a_part_of_an_onnx_model_that_is_missing_or_short_is_named(copied, exported, monkeypatch):
    monkeypatch.chdir(exported[1].parent)
    data = copied.parent / "wide.onnx.data"
    data.write_bytes(data.read_bytes()[:-100])
    with fails(data, "cut short", "wide.onnx needs"):
        load_teacher(copied)
    data.unlink()
    with fails(data, "missing", "wide.onnx keeps weights in it"):
        load_teacher(copied)


@pytest.mark.parametrize("name", ["../wide.onnx.data", "/etc/hostname", "a/../../x", "", "..\\x", "C:\\x"])
def test_a_name_that_leads_out_of_the_folder_is_refused(copied, name):
    shutil.copy(copied.parent / "wide.onnx.data", copied.parent.parent)
    model = onnx.load(copied, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = name
    copied.write_bytes(model.SerializeToString())
    with fails(copied, "does not lie in its folder"):
        load_teacher(copied)


def test_a_link_out_of_the_folder_is_refused(copied):
    data = copied.parent / "wide.onnx.data"
    shutil.move(data, copied.parent.parent / "elsewhere")
    data.symlink_to(copied.parent.parent / "elsewhere")
    with fails(data, "is a link out of the folder"):
        load_teacher(copied)


def test_weights_that_do_not_fit_their_part_are_refused(copied):
    model = onnx.load(copied, load_external_data=False)
    model.graph.initializer[0].dims[0] = 10**9
    copied.write_bytes(model.SerializeToString())
    with fails(copied, "does not fit"):
        load_teacher(copied)


def graph(size: int, ir: int = 10, opset: int = 18, kind=TensorProto.FLOAT) -> onnx.ModelProto:
    """Adds a sum of ``size`` ones to its input ``(n, 3)``."""
    one = helper.make_tensor("one", kind, [1], [1])
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["ones"], value=one),
        helper.make_node("ReduceSum", ["ones"], ["total"], keepdims=0),
        helper.make_node("Add", ["x", "total"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, kind, ["n", 3]) for name in "xy"]
    size = helper.make_tensor("size", TensorProto.INT64, [1], [size])
    made = helper.make_graph(nodes, "g", ends[:1], ends[1:], [size])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = ir
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (graph(2**31), ["'ones' in its graph takes 8.6 GB", "a single row"]),
        (graph(3, ir=99), ["its IR version is 99", "takes up to", "model.ir_version ="]),
        (graph(3, opset=99), ["its opset is 99", "takes up to", "opset_version="]),
        (graph(3, kind=TensorProto.INT64), ["output y is tensor(int64)", "not classes"]),
        (onnx.ModelProto(), ["computes nothing"]),
    ],
    ids=["gigabytes", "ir", "opset", "int64", "empty"],
)
def test_onnx_networks_that_are_refused_with_the_reason(tmp_path, model, words):
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString() or b"\n\x00")
    with fails(path, *words):
        load_teacher(path)


def test_an_onnx_network_of_reasonable_size_loads(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(graph(1000).SerializeToString())
    torch.testing.assert_close(answers(load_teacher(path)).float(), ROWS.float() + 1000)


# --- shards -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path) -> Path:
    """The list of two shards, as Hugging Face writes them, and their architecture."""
    state = network().state_dict()
    files = {name: f"model-0000{1 + (name > '1')}-of-00002.safetensors" for name in state}
    for file in set(files.values()):
        save_file({k: v for k, v in state.items() if files[k] == file}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": files}))
    save_architecture(tmp_path)
    return index


def test_shards_load_by_their_list_or_folder_and_all_are_hashed(shards):
    architecture = shards.parent / "architecture.yaml"
    teacher = load_teacher(shards, architecture)
    torch.testing.assert_close(answers(teacher), network()(ROWS).detach())
    assert load_teacher(shards.parent, architecture).sha256 == teacher.sha256
    shard = shards.parent / "model-00002-of-00002.safetensors"
    save_file({"2.weight": torch.zeros(2, 8).double(), "2.bias": torch.zeros(2).double()}, shard)
    assert load_teacher(shards, architecture).sha256 != teacher.sha256
    with fails(shard, "one of several files", shards.name):
        load_teacher(shard, architecture)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"0.weight": "model-00003-of-00003.safetensors"}, ["model-00003-of-00003.safetensors", "missing"]),
        ({"0.weight": "../up.safetensors"}, ["does not lie in its folder"]),
        ({"9.weight": "model-00001-of-00002.safetensors"}, ["lists '9.weight'", "does not hold it"]),
        ([], ["weight_map"]),
    ],
)
def test_lists_of_shards_that_are_refused(shards, files, words):
    shards.write_text(json.dumps({"weight_map": files}))
    with fails(shards.parent, *words):
        load_teacher(shards, shards.parent / "architecture.yaml")


# --- MLflow -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logged(tmp_path_factory, exported) -> Path:
    """Models as MLflow saves them, a folder a flavor."""
    folder = tmp_path_factory.mktemp("logged")
    x = np.random.default_rng(0).normal(size=(40, FEATURES))
    example = {"input_example": x[:2].astype("f4"), "pip_requirements": ["torch"]}
    mlflow.pytorch.save_model(wide(0), folder / "pt2", serialization_format="pt2", **example)
    mlflow.pytorch.save_model(wide(0), folder / "pth", serialization_format="pickle", pip_requirements=["torch"])
    mlflow.onnx.save_model(onnx.load(exported[0]), folder / "onnx", pip_requirements=["onnx"])
    forest = RandomForestRegressor(2, random_state=0).fit(x, x[:, 0])
    trusted = {"skops_trusted_types": ["sklearn.tree._tree.Tree"], "pip_requirements": ["scikit-learn"]}
    mlflow.sklearn.save_model(forest, folder / "skops", serialization_format="skops", **trusted)
    mlflow.sklearn.save_model(forest, folder / "pickle", serialization_format="pickle", **trusted)
    return folder


@pytest.mark.parametrize("flavor", ["pt2", "onnx"])
def test_a_folder_of_mlflow_is_a_teacher(logged, flavor):
    teacher = load_teacher(logged / flavor)
    torch.testing.assert_close(answers(teacher).float(), wide(0)(ROWS.float()), rtol=1e-5, atol=1e-6)
    assert teacher.dtype == torch.float32 and teacher.width == FEATURES


def test_pickled_flavors_need_trust(logged):
    for flavor in ("pth", "pickle"):
        with fails(logged / flavor, "only a pickled model", "--trust-pickle"):
            load_teacher(logged / flavor)
    module = load_teacher(logged / "pth", trust_pickle=True)
    torch.testing.assert_close(answers(module).float(), wide(0)(ROWS.float()), rtol=1e-5, atol=1e-6)
    forest = load_teacher(logged / "pickle", trust_pickle=True)
    assert torch.equal(answers(forest), answers(load_teacher(logged / "skops")))
    assert forest.estimator is not None


def test_mlmodel_says_which_file_is_the_model(logged, tmp_path):
    model = Path(shutil.copytree(logged / "pt2", tmp_path / "model"))
    expected = load_teacher(model)
    decoy = wide(1)
    program = torch.export.export(decoy, (torch.zeros(2, FEATURES),))
    (model / "a").mkdir()
    torch.export.save(program, model / "a" / "a.pt2")
    torch.export.save(program, model / "data" / "a.pt2")
    found = load_teacher(model)
    torch.testing.assert_close(answers(found), answers(expected))
    assert found.sha256 != expected.sha256, "every part is in the hash"


def test_parts_of_a_folder_of_mlflow_that_are_missing_or_elsewhere(logged, tmp_path):
    model = Path(shutil.copytree(logged / "onnx", tmp_path / "model"))
    (data,) = model.glob("*.data")
    data.unlink()
    with fails(data, "missing"):
        load_teacher(model)
    about = model / "MLmodel"
    about.write_text(about.read_text().replace("model.onnx", "../up.onnx"))
    with fails(about, "does not lie in its folder"):
        load_teacher(model)
    about.write_text("flavors: [")
    with fails(about, "cannot be read"):
        load_teacher(model)
