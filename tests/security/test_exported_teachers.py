"""Exported programs (``.pt2``) from strangers: nothing that a file hides runs, reads or writes."""

import io
import json
import pickle
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from teacher_files import OUTPUTS, ROWS, Payload, answers, fails, network

from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.loader import load_teacher


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
