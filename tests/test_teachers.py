"""Laws of teachers: every format answers alike, nothing a file holds runs, and whatever is wrong is told in one line."""

import importlib.util
import io
import json
import pickle
import sys
import zipfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from dfkd_tune.errors import SpecError, TeacherError
from dfkd_tune.features_file import read_features
from dfkd_tune.inputs import Inputs
from dfkd_tune.teachers import FORMATS, Teacher, load_teacher, probe
from dfkd_tune.teachers.probe import infer_width
from dfkd_tune.teachers.weights import read_architecture

STUDIES = Path(__file__).parent.parent / "studies"
COMPACTIV = Path(__file__).parent.parent.parent / "shared" / "data" / "compactiv.npz"
NETWORKS = (".bin", ".pt", ".pt2", ".pth", ".safetensors", ".ts")
FEATURES, HIDDEN, OUTPUTS = 3, 8, 2
THREE = Inputs.unknown(FEATURES)
ROWS = torch.randn(16, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
torch.set_num_threads(1)


@contextmanager
def fails(place, *words, kind=TeacherError):
    """Expect one line of exactly this kind that names the place and says the words."""
    with pytest.raises(kind) as caught:
        yield
    message = str(caught.value)
    assert type(caught.value) is kind
    assert len(message.splitlines()) == 1
    for word in (str(place), *words):
        assert word in message


def network(dtype=torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, OUTPUTS)).to(dtype)


def save_pt2(module: nn.Module, path: Path, rows=None, dtype=torch.float64) -> Path:
    """Export with any batch size, or with exactly ``rows``."""
    shapes = ({0: torch.export.Dim("batch", min=1)},) if rows is None else None
    x = torch.zeros(rows or 2, FEATURES, dtype=dtype)
    torch.export.save(torch.export.export(module.eval(), (x,), dynamic_shapes=shapes), path)
    return path


def save_architecture(folder: Path, text=f"layers: [{FEATURES}, {HIDDEN}, {OUTPUTS}]") -> Path:
    path = folder / "architecture.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """One network in every format that a file can have."""
    folder = tmp_path_factory.mktemp("formats")
    net = network()
    names = ("net.pt2", "net.safetensors", "state.pt", "checkpoint.pth", "script.pt", "trace.ts", "module.bin")
    files = {name: folder / name for name in names}
    save_pt2(net, files["net.pt2"])
    save_file(net.state_dict(), files["net.safetensors"])
    torch.save(net.state_dict(), files["state.pt"])
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, files["checkpoint.pth"])
    torch.jit.script(net).save(files["script.pt"])
    torch.jit.trace(net, ROWS).save(files["trace.ts"])
    torch.save(net, files["module.bin"])
    save_architecture(folder)
    return files


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A function that makes Python text importable and returns ``module:teacher``."""
    numbers, made = count(), []
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str) -> str:
        name = f"teacher_{tmp_path.name}_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text("import torch\nfrom torch import nn\n" + text)
        importlib.invalidate_caches()
        made.append(name)
        return f"{name}:teacher"

    yield write
    for name in made:
        sys.modules.pop(name, None)


@pytest.fixture
def marker(tmp_path):
    """A file that only code hidden in a teacher makes; it must never appear."""
    path = tmp_path / "marker"
    yield path
    assert not path.exists()


class Payload:
    """Opens the marker for writing when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def answers(teacher: Teacher) -> torch.Tensor:
    with torch.no_grad():
        return teacher(ROWS)


# --- every format -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["net.pt2", "net.safetensors", "state.pt", "checkpoint.pth", "script.pt", "trace.ts", "module.bin"]
)
def test_one_network_answers_alike_in_every_format(files, name):
    path = files[name]
    teacher = load_teacher(path, architecture=path.parent / "architecture.yaml", trust_pickle=name == "module.bin")
    with torch.no_grad():
        expected = network()(ROWS)
    torch.testing.assert_close(answers(teacher), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(teacher.function(ROWS).detach(), expected, rtol=1e-12, atol=1e-12)
    found = probe(teacher, THREE)
    assert (found.features, found.outputs, found.differentiable) == (FEATURES, OUTPUTS, True)
    assert infer_width(teacher) == FEATURES
    assert teacher.dtype == torch.float64
    assert not any(parameter.requires_grad for parameter in teacher.function.parameters())
    assert teacher.source == str(path)


def test_the_network_formats_under_test_are_real(files):
    assert {path.suffix for path in files.values()} == set(NETWORKS) <= set(FORMATS)


def test_hash_follows_the_file_not_the_name(files, tmp_path):
    copy = tmp_path / "copy.pt2"
    copy.write_bytes(files["net.pt2"].read_bytes())
    other = save_pt2(network(torch.float32), tmp_path / "other.pt2", dtype=torch.float32)
    assert load_teacher(copy).sha256 == load_teacher(files["net.pt2"]).sha256 != load_teacher(other).sha256


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_answers_come_in_the_dtype_of_the_question(tmp_path, dtype):
    teacher = load_teacher(save_pt2(network(dtype), tmp_path / "net.pt2", dtype=dtype))
    assert teacher.dtype == dtype
    for asked in (torch.float32, torch.float64):
        assert teacher(ROWS.to(asked)).dtype == asked
    assert probe(teacher, THREE).differentiable


def test_gradients_are_those_of_the_network(files):
    x = ROWS.clone().requires_grad_()
    (expected,) = torch.autograd.grad(network()(x).sum(), x)
    for name in ("net.pt2", "script.pt"):
        (found,) = torch.autograd.grad(load_teacher(files[name])(x).sum(), x)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


class Wide(nn.Module):
    """Convolution, batch norm, dropout, attention: operators and shapes of ordinary networks."""

    def __init__(self):
        super().__init__()
        self.convolve, self.norm = nn.Conv1d(1, 4, 3, padding=1), nn.BatchNorm1d(4)
        self.attend = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.drop, self.out = nn.Dropout(0.5), nn.Linear(4 * FEATURES, OUTPUTS)
        self.register_buffer("shift", torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, x):
        h = self.norm(self.convolve((x - self.shift)[:, None]))
        h = self.attend(torch.nn.functional.gelu(h, approximate="tanh").transpose(1, 2))
        return self.out(self.drop(h.reshape(x.shape[0], -1))) + torch.einsum("ij,ij->i", x, x)[:, None]


def test_the_checks_on_pt2_let_ordinary_networks_pass(tmp_path):
    torch.manual_seed(0)
    module = Wide().double().eval()
    with torch.no_grad():
        expected = module(ROWS)
    teacher = load_teacher(save_pt2(module, tmp_path / "wide.pt2"))
    torch.testing.assert_close(answers(teacher), expected)
    assert probe(teacher, THREE).outputs == OUTPUTS


def test_a_chain_with_something_of_its_own_is_not_taken_for_a_plain_one(code):
    source = code(
        "class Clipped(nn.Sequential):\n    def forward(self, x): return super().forward(x.clamp(-6, 6))\n"
        "def teacher(): return Clipped(nn.Linear(3, 1))\n"
    )
    teacher = load_teacher(source)
    far = torch.full((2, FEATURES), 100.0)
    torch.testing.assert_close(teacher(far), teacher(far.clamp(-6, 6)))


# --- files that are no teacher ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_missing_empty_and_directory(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    with fails(path, "no such file"):
        load_teacher(path)
    path.touch()
    with fails(path, "empty"):
        load_teacher(path)
    path.unlink()
    path.mkdir()
    with fails(path, "directory"):
        load_teacher(path)


@pytest.mark.parametrize("name", ["net.keras", "net", "net.pt2.zip"])
def test_unknown_suffix_lists_the_known_ones(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"anything")
    with fails(path, "unknown kind of model file", *FORMATS):
        load_teacher(path)


def test_a_name_the_system_cannot_take(tmp_path):
    path = tmp_path / ("n" * 300 + ".pt2")
    with fails(path, "cannot be read", "too long"):
        load_teacher(path)


@pytest.mark.parametrize("suffix", NETWORKS)
@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n" + bytes(200), b"a,b,c\n1,2,3\n", b"just some words, renamed\n" * 9, b"<html>", bytes(64)],
    ids=["png", "csv", "text", "html", "zeros"],
)
def test_foreign_files(tmp_path, suffix, content):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    for trust in (False, True):
        if suffix == ".safetensors" or suffix == ".pt2" or not trust:
            with fails(path, "not a", "cut short"):
                load_teacher(path, trust_pickle=trust)
        else:
            with fails(path, "cannot be unpickled"):
                load_teacher(path, trust_pickle=trust)


def test_an_archive_of_something_else(tmp_path):
    for suffix in NETWORKS:
        path = tmp_path / f"net{suffix}"
        with path.open("wb") as file:
            np.savez(file, x=np.zeros(3))
        with fails(path):
            load_teacher(path)


@pytest.mark.parametrize("name", ["net.pt2", "net.safetensors", "state.pt", "script.pt", "module.bin"])
def test_files_cut_short(files, tmp_path, name):
    data = files[name].read_bytes()
    path = tmp_path / name
    for length in (1, 4, 30, 100, len(data) // 4, len(data) // 2, len(data) - 100, len(data) - 1):
        path.write_bytes(data[:length])
        with fails(path, "cut short"):
            load_teacher(path, architecture=files[name].parent / "architecture.yaml")


@pytest.mark.parametrize("name", ["net.pt2", "net.safetensors", "state.pt", "script.pt"])
def test_a_damaged_byte_is_never_a_crash(files, tmp_path, name):
    data = files[name].read_bytes()
    path, refused = tmp_path / name, 0
    for at in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            load_teacher(path, architecture=files[name].parent / "architecture.yaml")
        except TeacherError as error:
            refused += 1
            assert str(path) in str(error) and len(str(error).splitlines()) == 1
    assert refused


def test_files_that_hold_something_else(tmp_path):
    path = tmp_path / "net.pt"
    for held in ([torch.zeros(2)], {"epoch": 3}, {}, torch.zeros(2)):
        torch.save(held, path)
        with fails(path, "not a state dict or a module", type(held).__name__):
            load_teacher(path)


# --- weights and their architecture -----------------------------------------------------------------------------------


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


# --- pickles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ts"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, marker, suffix, zipped):
    path = tmp_path / f"net{suffix}"
    torch.save({"state_dict": Payload(marker)}, path, _use_new_zipfile_serialization=zipped)
    with fails(path, "pickled code", "--trust-pickle"):
        load_teacher(path)


def test_the_payload_of_these_tests_is_live(tmp_path):
    path = tmp_path / "net.pt"
    torch.save(Payload(tmp_path / "marker"), path)
    with fails(path, "not a state dict or a module"):
        load_teacher(path, trust_pickle=True)
    assert (tmp_path / "marker").exists()


def test_a_bare_pickle_is_refused_and_not_run(tmp_path, marker):
    for suffix in (*NETWORKS, ".pkl", ".joblib"):
        path = tmp_path / f"net{suffix}"
        path.write_bytes(pickle.dumps(Payload(marker)))
        with fails(path):
            load_teacher(path)


def test_a_pickled_module_is_taken_when_its_author_is_trusted(files):
    with fails(files["module.bin"], "pickled code", "--trust-pickle"):
        load_teacher(files["module.bin"])
    assert probe(load_teacher(files["module.bin"], trust_pickle=True), THREE).outputs == OUTPUTS


# --- pt2 from strangers -----------------------------------------------------------------------------------------------


@pytest.fixture
def tamper(files, tmp_path):
    """A function that copies the ``.pt2`` with its graph changed in place and entries replaced or added."""

    def write(change=lambda tree: None, entries=None, compression=zipfile.ZIP_STORED) -> Path:
        path, left = tmp_path / "evil.pt2", dict(entries or {})
        with zipfile.ZipFile(files["net.pt2"]) as source, zipfile.ZipFile(path, "w", compression) as target:
            for name in source.namelist():
                root, inner = name.split("/", 1)
                content = left.pop(inner, source.read(name))
                if inner == "models/model.json":
                    tree = json.loads(content)
                    change(tree)
                    content = json.dumps(tree).encode()
                target.writestr(name, content)
            for inner, content in left.items():
                target.writestr(f"{root}/{inner}", content)
        return path

    return write


def nodes(tree) -> list[dict]:
    return tree["graph_module"]["graph"]["nodes"]


def signature(tree) -> dict:
    return tree["graph_module"]["module_call_graph"][0]["signature"]


def insert_call(tree, target: str, *arguments) -> None:
    """Put a node first in the graph that calls ``target`` with ``(name, kind, value)`` arguments."""
    inputs = [{"name": name, "arg": {kind: value}, "kind": 1} for name, kind, value in arguments]
    node = nodes(tree)[0] | {"target": target, "name": "extra", "inputs": inputs}
    nodes(tree).insert(0, node | {"outputs": [{"as_tensor": {"name": "extra"}}]})
    values = tree["graph_module"]["graph"]["tensor_values"]
    values["extra"] = values["p_0_bias"]


def test_an_untampered_copy_still_answers(tamper):
    torch.testing.assert_close(answers(load_teacher(tamper())), answers(Teacher("", network(), torch.float64, "")))


def test_pickled_code_in_the_sample_inputs_is_refused(tamper, marker):
    sample = io.BytesIO()
    torch.save(((ROWS,), {"x": Payload(marker)}), sample)
    for content in (sample.getvalue(), pickle.dumps(Payload(marker))):
        path = tamper(entries={"data/sample_inputs/model.pt": content})
        with fails(path, "more than a network", "pickled code", "--trust-pickle"):
            load_teacher(path)


def test_guards_are_ignored(tamper, marker):
    def change(tree):
        tree["guards_code"] = [f"open({str(marker)!r}, 'w')"]

    assert answers(load_teacher(tamper(change))).shape == (len(ROWS), OUTPUTS)


def test_metadata_is_ignored(tamper):
    def change(tree):
        for node in nodes(tree):
            node["metadata"] = {
                "source_fn_stack": "x,torch.os.system",
                "stack_trace": "'''\nraise SystemExit",
                "custom": "{",
            }
        tree["graph_module"]["metadata"] = {"custom": "{"}

    assert answers(load_teacher(tamper(change))).shape == (len(ROWS), OUTPUTS)


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.load",
        "torch.ops.load_library",
        "torch.hub.load",
        "torch._C._jit_set_profiling_mode",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.ops.higher_order.call_torchbind",
        "torch.ops.profiler._record_function_enter",
        "_operator.methodcaller",
        "_operator.attrgetter",
        "math.__loader__.load_module",
        "#strange:op",
        "torch.ops.aten.tanh.default; x",
    ],
)
def test_operators_beyond_a_network_are_refused(tamper, target):
    def change(tree):
        nodes(tree)[1]["target"] = target

    path = tamper(change)
    with fails(path, "more than a network", "operator", target, "--trust-pickle"):
        load_teacher(path)


def test_an_operator_that_opens_files_is_refused(tamper, marker):
    def change(tree):
        arguments = ("filename", "as_string", str(marker)), ("shared", "as_bool", True), ("size", "as_int", 4)
        insert_call(tree, "torch.ops.aten.from_file.default", *arguments)

    path = tamper(change)
    with fails(path, "operator", "from_file"):
        answers(load_teacher(path))


def test_an_operator_as_an_argument_is_held_to_the_same_rule(tamper):
    def change(tree):
        insert_call(tree, "torch.ops.aten.tanh.default", ("self", "as_operator", "torch.os.system"))

    path = tamper(change)
    with fails(path, "operator", "torch.os.system"):
        load_teacher(path)


@pytest.mark.parametrize(
    "expression",
    [
        "open({!r}, 'w')",
        "Symbol(open({!r}, 'w').name)",
        "().__class__",
        "[s0 for s0 in (open({!r}, 'w'),)]",
        "lambda: 0",
        "__import__('os')",
        "9**9**9**9",
        "Pow(9, Pow(9, 9))",
        "Symbol('a b')",
        "s0 if s0 else s1",
        "((",
    ],
)
def test_shape_expressions_are_arithmetic_only(tamper, marker, expression):
    expression = expression.replace("{!r}", repr(str(marker)))

    def size(tree):
        tree["graph_module"]["graph"]["tensor_values"]["linear"]["sizes"][0]["as_expr"]["expr_str"] = expression

    def constraint(tree):
        tree["range_constraints"] = {expression: {"min_val": 1, "max_val": None}}

    for change in (size, constraint):
        path = tamper(change)
        with fails(path, "more than a network", repr(expression)[:100]):
            load_teacher(path)


@pytest.mark.parametrize("place", ["argument", "node", "parameter", "value"])
def test_names_are_words(tamper, marker, place):
    name = f"x={{}}[open({str(marker)!r}, 'w')]"

    def change(tree):
        if place == "argument":
            signature(tree)["forward_arg_names"] = [name]
        elif place == "node":
            nodes(tree)[1]["name"] = name
        elif place == "parameter":
            tree["graph_module"]["signature"]["input_specs"][0]["parameter"]["parameter_name"] = name
        else:
            values = tree["graph_module"]["graph"]["tensor_values"]
            values[name] = values["tanh"]

    path = tamper(change)
    with fails(path, "more than a network", repr(name)):
        load_teacher(path)


def test_tree_specs_import_nothing(tamper, code, marker):
    module = code(f"open({str(marker)!r}, 'w')\ndef teacher(): pass\n").split(":")[0]
    named = {"__enum__": True, "fqn": f"{module}:teacher", "name": "x"}
    factory = {"default_factory_module": module, "default_factory_name": "teacher", "dict_context": []}

    def enum(tree):
        spec = json.loads(signature(tree)["in_spec"])
        spec[1]["children_spec"][1]["context"] = json.dumps(named)
        signature(tree)["in_spec"] = json.dumps(spec)

    def defaultdict(tree):
        spec = {"type": "collections.defaultdict", "context": factory, "children_spec": []}
        signature(tree)["out_spec"] = json.dumps([1, spec])

    for change, key in ((enum, "in_spec"), (defaultdict, "out_spec")):
        path = tamper(change)
        with fails(path, "more than a network", key):
            load_teacher(path)
        assert module not in sys.modules


def test_constants_and_weights_are_never_pickles(tamper, files, marker):
    with zipfile.ZipFile(files["net.pt2"]) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("model_weights_config.json"))
        weights = json.loads(archive.read(name))
    weights["config"]["0.weight"]["use_pickle"] = True
    evil, sample = pickle.dumps(Payload(marker)), io.BytesIO()
    torch.save(Payload(marker), sample)
    path = tamper(
        entries={
            "data/weights/model_weights_config.json": json.dumps(weights).encode(),
            "data/weights/weight_0": sample.getvalue(),
        }
    )
    with fails(path, "pickled constant"):
        load_teacher(path)
    meta = {"is_param": False, "use_pickle": False, "tensor_meta": None}
    for hidden in ("opaque_obj_0", "opaque_obj_0_constants_config.json", "custom_obj_0_constants_config.json"):
        config = {"config": {"evil": {"path_name": hidden} | meta}}
        path = tamper(
            entries={
                "data/constants/model_constants_config.json": json.dumps(config).encode(),
                f"data/constants/{hidden}": evil,
            }
        )
        with fails(path):
            load_teacher(path)


@pytest.mark.parametrize(
    "entry",
    ["data/aotinductor/model/x.so", "data/weights/model.pt", "data/constants/custom_obj_0", "../x", "models/a.so"],
)
def test_entries_that_no_network_needs_are_refused(tamper, entry):
    path = tamper(entries={entry: b"x"})
    with fails(path, "more than a network", "archive entry", entry):
        load_teacher(path)


def test_compressed_entries_are_refused(tamper):
    path = tamper(compression=zipfile.ZIP_DEFLATED)
    with fails(path, "more than a network", "archive entry"):
        load_teacher(path)


def test_notes_beside_the_network_are_passed_over(tamper):
    path = tamper(entries={"extra/notes.json": b"not JSON", "extra/card.md": b"# A card"})
    assert answers(load_teacher(path)).shape == (len(ROWS), OUTPUTS)


def test_loading_leaves_the_environment_alone(files, tamper, monkeypatch):
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    monkeypatch.delenv(name, raising=False)
    import os

    load_teacher(files["net.pt2"])
    assert name not in os.environ
    monkeypatch.setenv(name, "0")
    with fails("evil.pt2"):
        load_teacher(tamper(lambda tree: nodes(tree)[1].update(target="torch.os.system")))
    assert os.environ[name] == "0"


# --- TorchScript from strangers ---------------------------------------------------------------------------------------


class Writes(nn.Module):
    """Saves its inputs to a file when asked."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def forward(self, x):
        torch.save(x, self.path)
        return x.sum(1)


class WritesWhenLoaded(nn.Module):
    """Saves a tensor to a file when it is loaded."""

    def __init__(self, path: str):
        super().__init__()
        self.path, self.training = path, False

    @torch.jit.export
    def __getstate__(self):
        return (self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]):
        self.path, self.training = state[0], state[1]
        torch.save(torch.zeros(1), state[0])

    def forward(self, x):
        return x.sum(1)


@pytest.mark.parametrize("kind", [Writes, WritesWhenLoaded])
@pytest.mark.parametrize(
    "spelling", ["torch.save(", "ops.aten.save(", 'getattr(torch, "save")(', r'getattr(torch, "\163ave")(']
)
def test_torchscript_that_writes_files_is_refused(tmp_path, marker, kind, spelling):
    plain, path = tmp_path / "plain.pt", tmp_path / "evil.pt"
    torch.jit.script(kind(str(marker))).save(plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(
                name, content.replace(b"torch.save(", spelling.encode()) if name.endswith(".py") else content
            )
    with fails(path, "beyond a network", "--trust-pickle"):
        answers(load_teacher(path))


def test_torchscript_that_does_not_compile_says_why(files, tmp_path):
    path = tmp_path / "net.pt"
    with zipfile.ZipFile(files["script.pt"]) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b"torch.tanh(", b"torch.no_such_word("))
    with fails(path, "cannot be loaded", "no_such_word"):
        load_teacher(path)


def test_torchscript_that_writes_files_does_so_when_trusted(tmp_path):
    torch.jit.script(WritesWhenLoaded(str(tmp_path / "marker"))).save(tmp_path / "net.pt")
    load_teacher(tmp_path / "net.pt", trust_pickle=True)
    assert (tmp_path / "marker").exists()


# --- package.module:function ------------------------------------------------------------------------------------------


def test_a_function_may_return_a_module_or_a_callable(code):
    module = load_teacher(
        code("def teacher(): return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.9), nn.Linear(4, 1))\n")
    )
    assert probe(module, THREE).differentiable
    assert infer_width(module) == FEATURES
    plain = load_teacher(code("def teacher(): return lambda x: (x ** 2).sum(1)\n"))
    torch.testing.assert_close(plain(ROWS)[:, 0], ROWS.square().sum(1), rtol=1e-6, atol=1e-6)
    assert probe(plain, THREE).outputs == 1


def test_a_function_of_the_working_directory_is_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "local_teacher.py").write_text("from torch import nn\ndef make(): return nn.Linear(3, 1)\n")
    importlib.invalidate_caches()
    try:
        assert infer_width(load_teacher("local_teacher:make")) == FEATURES
    finally:
        sys.modules.pop("local_teacher", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_package\n", ["cannot be imported", "no_such_package"]),
        ("torch.no_such_name\n", ["its import raised AttributeError", "no_such_name"]),
        ("raise ValueError('two\\nlines')\n", ["its import raised ValueError", "two"]),
        ("raise SystemExit('bye')\n", ["its import raised SystemExit", "bye"]),
        ("def other(): pass\n", ["has no teacher"]),
        ("teacher = 3\n", ["teacher is a int, not a function"]),
        ("def teacher(): raise RuntimeError('out\\nof order')\n", ["the call raised RuntimeError", "out"]),
        ("def teacher(path): pass\n", ["the call raised TypeError", "path"]),
        ("def teacher(): return 'net.pt2'\n", ["must return an nn.Module or a callable", "str"]),
        ("def teacher(): pass\n", ["must return an nn.Module or a callable", "NoneType"]),
    ],
)
def test_functions_that_give_no_teacher(code, text, words):
    source = code(text)
    with fails(source, *words):
        load_teacher(source)


def test_a_module_that_does_not_exist():
    with fails("no_such_module:make", "cannot be imported", "no_such_module"):
        load_teacher("no_such_module:make")


def test_hash_of_named_code_follows_weights_and_text(code):
    linear = "def teacher():\n    torch.manual_seed({})\n    return nn.Linear(3, 1)\n"
    one, same, other = (load_teacher(code(linear.format(seed))).sha256 for seed in (0, 0, 1))
    assert one == same != other
    text = "def teacher(): return lambda x: x.sum(1) * {}\n"
    one, same, other = (load_teacher(code(text.format(factor))).sha256 for factor in (1, 1, 2))
    assert one == same != other


def test_code_without_text_is_named_instead(code):
    source = code("import functools\nteacher = functools.partial(nn.ReLU)\nexec('def made(): return torch.sin')\n")
    assert load_teacher(source).sha256
    made = source.replace(":teacher", ":made")
    assert load_teacher(made).sha256


# --- the probe --------------------------------------------------------------------------------------------------------


def call(function) -> Teacher:
    return Teacher("here", function, torch.float32, "")


def test_probe_reports_what_it_found():
    found = probe(call(lambda x: torch.stack([x.sum(1), x.prod(1)], dim=1)), THREE)
    assert (found.features, found.outputs, found.differentiable) == (FEATURES, 2, True)
    assert found.rows_per_second > 0


def test_speed_is_that_of_the_forward_pass():
    class Slow(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.sum(1)

        @staticmethod
        def backward(ctx, slope):
            import time

            time.sleep(0.2)
            return slope[:, None].expand(-1, FEATURES)

    assert probe(call(Slow.apply), THREE).rows_per_second > 512 / 0.1


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.from_numpy(np.sin(x.detach().numpy()).sum(1)),
        lambda x: x.detach().sum(1),
        lambda x: x.round().sum(1),
        lambda x: x.abs().sqrt().sum(1).nan_to_num() + 0 * (x * 0).sqrt().sum(1),
    ],
    ids=["numpy", "detached", "steps", "infinite slope"],
)
def test_teachers_without_usable_gradients_are_black_boxes(function):
    assert probe(call(function), THREE).differentiable is False


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: (x.sum(1), x.sum(1)), ["one tensor", "tuple"]),
        (lambda x: x.sum(1).tolist(), ["one tensor", "list"]),
        (lambda x: x.sum(), ["(2, outputs)", "()"]),
        (lambda x: x.sum(0), ["(2, outputs)", "(3, 1)"]),
        (lambda x: x[:, :, None], ["(2, outputs)", "(2, 3, 1)"]),
        (lambda x: x[:3].sum(1), ["7 rows", "(3, 1)", "(7, 1)"]),
        (lambda x: x.reshape(2, FEATURES).sum(1), ["fixed batch size", "1 rows failed", "dynamic batch"]),
        (lambda x: x @ torch.ones(4, 1), ["(2, 3)", "number of features"]),
        (lambda x: x.log().sum(1), ["finite", "of 512"]),
        (lambda x: x.sum(1) / 0, ["finite", "512 of 512"]),
        (lambda x: x.sum(1) + torch.randn(len(x)), ["deterministic", "evaluation mode"]),
        (lambda x: x.sum(1) - x.sum(1).mean(), ["each row by itself", "batch norm"]),
        (lambda x: torch.full((len(x), 1), 0.1), ["output 0", "constant"]),
        (lambda x: torch.stack([x[:, 0] * 1e-6, 0 * x[:, 0] + 123.456], dim=1), ["output 1", "constant"]),
        (lambda x: torch.zeros(len(x)), ["output 0", "constant"]),
    ],
)
def test_probe_refuses_what_cannot_be_distilled(function, words):
    with fails("here", *words):
        probe(call(function), THREE)


def test_answers_in_a_row_of_their_own_become_one_output():
    teacher = call(lambda x: x.sum(1))
    assert teacher(ROWS).shape == (len(ROWS), 1)
    assert probe(teacher, THREE).outputs == 1


def test_small_outputs_are_not_taken_for_constant_ones():
    assert probe(call(lambda x: torch.stack([x[:, 0] * 1e-9, x[:, 1] * 1e9], dim=1)), THREE).outputs == 2


def test_dropout_is_off_in_a_module_and_found_in_a_callable(code):
    text = "net = nn.Sequential(nn.Linear(3, 50), nn.Dropout(0.5), nn.Linear(50, 1)).train()\n"
    assert probe(load_teacher(code(text + "def teacher(): return net\n")), THREE).outputs == 1
    teacher = load_teacher(code(text + "def teacher(): return lambda x: net(x)\n"))
    with fails(teacher.source, "deterministic"):
        probe(teacher, THREE)


@pytest.mark.parametrize("rows", [2, 8])
def test_a_pt2_for_one_batch_size_is_told_apart(tmp_path, rows):
    teacher = load_teacher(save_pt2(network(), tmp_path / "net.pt2", rows=rows))
    assert infer_width(teacher) == FEATURES
    with fails(tmp_path / "net.pt2", "rows", f"equal to {rows}"):
        probe(teacher, THREE)


def test_several_outputs_of_a_file(tmp_path):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network()

        def forward(self, x):
            return self.net(x), x

    teacher = load_teacher(save_pt2(Pair(), tmp_path / "pair.pt2"))
    assert infer_width(teacher) == FEATURES
    with fails(tmp_path / "pair.pt2", "one tensor", "tuple"):
        probe(teacher, THREE)


def test_nan_weights(tmp_path):
    net = network()
    nn.init.constant_(net[2].weight, float("nan"))
    path = save_pt2(net, tmp_path / "net.pt2")
    with fails(path, "finite", "512 of 512"):
        probe(load_teacher(path), THREE)


def test_more_features_declared_than_the_teacher_takes(files):
    with fails(files["net.pt2"], "(2, 4)", "number of features"):
        probe(load_teacher(files["net.pt2"]), Inputs.unknown(4))


def test_width_without_a_weight_to_go_by():
    weight = torch.ones(5, 1)
    assert infer_width(call(lambda x: x @ weight)) == 5
    with fails("here", "number of features", "features file", "1 and 2"):
        infer_width(call(lambda x: x.sum(1)))
    with fails("here", "number of features", "features file", "1 and 5"):
        infer_width(call(lambda x: (x * weight[:, 0]).sum(1)))

    def never(x):
        raise RuntimeError

    with fails("here", "number of features", "4096"):
        infer_width(call(never))


# --- the quickstart's teacher -----------------------------------------------------------------------------------------


def test_the_quickstart_fits_together():
    study = yaml.safe_load((STUDIES / "quickstart.yaml").read_text())
    teacher = load_teacher(STUDIES / study["teacher"])
    features = read_features(STUDIES / study["features"])
    found = probe(teacher, features)
    assert (found.features, found.outputs, found.differentiable) == (21, 1, True)
    assert infer_width(teacher) == 21
    assert features.tier == "T0"
    parameters = sum(p.numel() for p in teacher.function.parameters())
    assert study["student"]["max_parameters"] * 10 >= parameters > study["student"]["max_parameters"]


def test_the_quickstart_teacher_holds_no_trace_of_where_it_was_made():
    data = (STUDIES / "quickstart_teacher.pt2").read_bytes()
    assert len(data) < 100_000
    for trace in (b"stack_trace", b"site-packages", b".py", b"/home", b"/root", b"/usr", str(STUDIES.parent).encode()):
        assert trace not in data


def test_the_training_script_archives_what_it_trained():
    spec = importlib.util.spec_from_file_location("train_teacher", STUDIES / "train_teacher.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    x = torch.randn(40, script.FEATURES)
    y = torch.tanh(x[:, 0])
    rows = torch.arange(40)
    script.EPOCHS = 3
    net = script.train({"x": x, "y": y, "train": rows[:30], "valid": rows[30:], "test": rows[30:]}, seed=1)
    program = torch.export.load(io.BytesIO(script.archive(net)))
    with torch.no_grad():
        torch.testing.assert_close(program.module()(x), net(x))
        assert script.rmse(net, x, y) == pytest.approx(
            float(np.sqrt(np.mean((net(x)[:, 0] - y).numpy() ** 2))), rel=1e-5
        )


@pytest.mark.skipif(not COMPACTIV.exists(), reason="the compactiv table is not shipped")
def test_the_quickstart_teacher_is_as_good_as_its_card_says():
    with np.load(COMPACTIV) as table:
        x, y = (torch.from_numpy(table[key][table["test"]]) for key in ("X", "y"))
    with torch.no_grad():
        rmse = float((load_teacher(STUDIES / "quickstart_teacher.pt2")(x)[:, 0] - y).square().mean().sqrt())
    assert f"| test RMSE | {rmse:.3f}," in (STUDIES / "quickstart_teacher.md").read_text()
