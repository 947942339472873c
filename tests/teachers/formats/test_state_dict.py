"""Weights alone, and the architecture file that says what they belong to."""

import pytest
import torch
from safetensors.torch import save_file
from teacher_files import FEATURES, ROWS, answers, fails, network, save_architecture
from torch import nn

from dfkd_tune.errors import SpecError
from dfkd_tune.teachers.formats.state_dict import read_architecture
from dfkd_tune.teachers.loader import load_teacher


@pytest.mark.parametrize("name", ["net.safetensors", "state.pt", "checkpoint.pth"])
def test_weights_need_an_architecture(files, name):
    with fails(files[name], "weights alone", "--architecture"):
        load_teacher(files[name])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("layers: [3, 8, 2]\nactivation: swoosh", ["unknown activation 'swoosh'", "tanh", "relu"]),
        ("layers: [3, 8, 2]\nactivation: [tanh, relu]", ["1 hidden layers need 1 activations", "found 2"]),
        ("layers: [3, 8, 2]\nkeys: [a]", ["2 layers need 2 keys", "found 1"]),
        ("layers: [3]", ["layers", "at least 2"]),
        ("layers: [3, 0, 2]", ["layers.1", "greater than or equal to 1", "got 0"]),
        ("layers: [3, 8.5, 2]", ["layers.1", "integer", "got 8.5"]),
        ("layers: [3, yes, 2]", ["layers.1", "integer", "got True"]),
        ("layers: three", ["layers", "list", "got 'three'"]),
        ("activation: tanh", ["layers", "required"]),
        ("layers: [3, 8, 2]\ndepth: 2", ["depth", "unknown key", "layers, activation, keys"]),
        ("layers: [3, 8, 2]\n1: 2", ["a key must be a word", "got 1"]),
        ("- 3\n- 8", ["must be a mapping"]),
        ("layers: [3, 8", ["not valid YAML"]),
        ("", ["must be a mapping"]),
    ],
)
def test_architecture_files_that_say_something_impossible(tmp_path, text, words):
    path = save_architecture(tmp_path, text)
    with fails(path, *words, kind=SpecError):
        read_architecture(path)


def test_missing_architecture_file(files, tmp_path):
    with fails(tmp_path / "none.yaml", "no such file", kind=SpecError):
        load_teacher(files["state.pt"], architecture=tmp_path / "none.yaml")


@pytest.mark.parametrize("name", ["net.safetensors", "state.pt"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("layers: [3, 9, 2]", ["layer 0", "(9, 3)", "0 (8, 3)", "2 (2, 8)"]),
        ("layers: [3, 8]", ["no layer uses", "2.weight", "2.bias"]),
        ("layers: [3, 8, 2, 1]", ["layer 2", "(1, 2)", "no *.weight"]),
        ("layers: [3, 8, 2]\nkeys: ['2', '0']", ["layer 0", "(8, 3)"]),
    ],
)
def test_weights_that_do_not_fit_their_architecture(files, tmp_path, name, text, words):
    architecture = save_architecture(tmp_path, text)
    with fails(files[name], str(architecture), *words):
        load_teacher(files[name], architecture=architecture)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": torch.zeros(3)}, ["no layer uses", "mean"]),
        ({"0.bias": torch.zeros(5)}, ["0.bias", "(8,)", "(5,)"]),
        ({"0.weight": torch.zeros(8, 3, dtype=torch.int8)}, ["0.weight", "floating-point", "int8"]),
    ],
)
def test_no_tensor_is_dropped_or_guessed(tmp_path, change, words):
    path = tmp_path / "net.safetensors"
    save_file(network().state_dict() | change, path)
    with fails(path, *words):
        load_teacher(path, architecture=save_architecture(tmp_path))


def test_layers_of_one_shape_are_taken_in_natural_order_or_by_their_keys(tmp_path):
    torch.manual_seed(0)
    layers = [nn.Linear(FEATURES, FEATURES).double() for _ in range(11)]
    with torch.no_grad():
        expected = ROWS
        for i, layer in enumerate(layers):
            expected = layer(torch.relu(expected) if i else expected)
    path = tmp_path / "net.safetensors"
    relu = f"layers: {[FEATURES] * 12}\nactivation: relu"

    def save(names):
        save_file({f"{n}.{k}": v for n, m in zip(names, layers, strict=True) for k, v in m.state_dict().items()}, path)

    save([f"layer{i}" for i in range(11)])
    torch.testing.assert_close(answers(load_teacher(path, save_architecture(tmp_path, relu))), expected)
    words = list("kjihgfedcba")
    save(words)
    with fails(path, "same shape", "keys"):
        load_teacher(path, save_architecture(tmp_path, relu))
    architecture = save_architecture(tmp_path, f"{relu}\nkeys: {words}")
    torch.testing.assert_close(answers(load_teacher(path, architecture)), expected)


def test_a_layer_without_bias_and_an_activation_for_each_layer(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4, bias=False), nn.SiLU(), nn.Linear(4, 5), nn.Sigmoid(), nn.Linear(5, 1)).double()
    path = tmp_path / "net.pt"
    torch.save(net.state_dict(), path)
    architecture = save_architecture(tmp_path, "layers: [3, 4, 5, 1]\nactivation: [silu, sigmoid]")
    with torch.no_grad():
        torch.testing.assert_close(answers(load_teacher(path, architecture)), net(ROWS))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_student_with_levels_is_a_teacher(tmp_path, dtype):
    net = network(torch.float32)
    save_file(net.state_dict(), tmp_path / "student.safetensors")
    encoding = f"encoding: {{center: [1, 0], scale: [2, 1], dtype: {dtype}, levels: {{1: [4, 7]}}}}"
    path = save_architecture(tmp_path, f"layers: [{FEATURES}, 8, 2]\n{encoding}\n")
    teacher = load_teacher(tmp_path / "student.safetensors", path)
    assert (teacher.width, teacher.dtype) == (2, getattr(torch, dtype))
    rows = torch.tensor([[3.0, 4.0], [1.0, 7.0]], dtype=teacher.dtype)
    encoded = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    with torch.no_grad():
        torch.testing.assert_close(teacher(rows).float(), net(encoded))


@pytest.mark.parametrize("levels", ["[7, 4]", "[4, 4]"])
def test_levels_of_an_encoding_rise(tmp_path, levels):
    path = save_architecture(
        tmp_path, f"layers: [3, 8, 2]\nencoding: {{center: [0, 0], scale: [1, 1], levels: {{1: {levels}}}}}\n"
    )
    with pytest.raises(SpecError, match="levels of feature 1 must rise"):
        read_architecture(path)
