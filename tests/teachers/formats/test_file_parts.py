"""One teacher, all its files: each is read from where the model lies, is part of its hash, and none is looked for elsewhere."""

import json
import shutil
from pathlib import Path

import onnx
import pytest
import torch
from safetensors.torch import save_file
from teacher_files import FEATURES, ROWS, answers, fails, network, save_architecture, wide

from dfkd_tune.teachers.loader import load_teacher


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
