"""Load ONNX files, including external files with weights."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dfkd_tune.errors import TeacherError
from dfkd_tune.layouts.signature import Argument, Output, Signature
from dfkd_tune.teachers.base import Teacher, hash_bytes
from dfkd_tune.teachers.black_box import from_numpy, missing
from dfkd_tune.teachers.formats import file_parts
from dfkd_tune.teachers.safety import archives
from dfkd_tune.utils.object_reference import one_line
from dfkd_tune.utils.quoting import named, quoted

if TYPE_CHECKING:
    import onnx

DTYPES = {
    "tensor(float)": torch.float32,
    "tensor(double)": torch.float64,
    "tensor(float16)": torch.float16,
    "tensor(int64)": torch.int64,
    "tensor(int32)": torch.int32,
    "tensor(int16)": torch.int16,
    "tensor(int8)": torch.int8,
    "tensor(uint8)": torch.uint8,
    "tensor(bool)": torch.bool,
}
"""The types of inputs and outputs."""
LARGE = 256 * 2**20
"""Size in bytes that a tensor for a single row may have in any graph."""
GROWTH = 8
"""Largest such size beyond ``LARGE``, as a multiple of the size of the model's files."""
EXPORT_REMEDY = "export it again: torch.onnx.export(model, (x,), FILE, dynamic_shapes=({0: torch.export.Dim('rows')},))"


def load_onnx(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """Load an ``.onnx`` network, to run in onnxruntime on the CPU.

    External weight files are read here and are part of the hash; onnxruntime itself opens no file.

    Raises:
        TeacherError: a file cannot be read, the graph needs too much memory, or an input or output is no tensor of numbers.
    """
    for package in ("onnx", "onnxruntime"):
        if find_spec(package) is None:
            raise missing(path, package, "onnx")
    import onnx

    data = archives.read(path)
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:
        raise TeacherError(
            path, f"not an ONNX network, or cut short ({one_line(error)})", remedy=EXPORT_REMEDY
        ) from None
    if not model.graph.node:
        raise TeacherError(path, "not an ONNX network, or cut short (it computes nothing)", remedy=EXPORT_REMEDY)
    beside = _beside(path, model)
    _modest(path, model, len(data) + sum(map(len, beside.values())))
    session = _session(path, model, data, beside)
    signature = _signature(path, session)
    flat = signature.arguments[0] if signature.flat else None
    function = _flat(session) if flat is not None else _by_name(session)
    sha256 = file_parts.hash_files(data, beside) if beside else hash_bytes(data)
    dtype = flat.dtype if flat is not None and flat.dtype is not None else torch.float32
    width = flat.width if flat is not None and flat.shape is not None else None
    return Teacher(str(path), function, dtype, sha256, width=width, signature=signature)


def _signature(path: Path, session: Any) -> Signature:
    """The inputs and outputs of a network; a shape is None where a dimension beside the first is free.

    Raises:
        TeacherError: an input or output is no tensor of numbers, or has no batch.
    """
    arguments = []
    for each in session.get_inputs():
        if each.type not in DTYPES or not each.shape:
            rule = f"its input {each.name} is {each.type} of shape {each.shape}; a teacher takes numbers, with the batch first"
            raise TeacherError(
                path, rule, remedy="export a module that takes tensors of numbers and converts them itself"
            )
        fixed = all(isinstance(n, int) for n in each.shape[1:])
        arguments.append(Argument(each.name, tuple(each.shape[1:]) if fixed else None, DTYPES[each.type]))
    outputs = []
    for each in session.get_outputs():
        dtype = DTYPES.get(each.type)
        if dtype is None or not dtype.is_floating_point:
            rule = f"its output {each.name} is {each.type}; a teacher must answer real numbers, not classes"
            raise TeacherError(path, rule, remedy="export the network without this output")
        outputs.append(Output(each.name, tuple(each.shape[1:]), dtype))
    free = any(not isinstance(n, int) for each in outputs for n in each.shape) or not all(
        each.shape for each in session.get_outputs()
    )
    if not arguments:
        raise TeacherError(path, "takes no input", remedy=EXPORT_REMEDY)
    return Signature.positional(arguments, None if free else outputs)


def _flat(session: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """A network with one input and one output, as a function of flat rows."""
    name = session.get_inputs()[0].name
    return from_numpy(lambda x: session.run(None, {name: x})[0])


def _by_name(session: Any) -> Callable[..., torch.Tensor | tuple[torch.Tensor, ...]]:
    """A network as a function of its inputs in order."""
    names = [each.name for each in session.get_inputs()]

    def answer(*tensors: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        given = {name: tensor.detach().cpu().numpy() for name, tensor in zip(names, tensors, strict=True)}
        found = tuple(
            torch.from_numpy(np.array(each, copy=True)).to(tensors[0].device) for each in session.run(None, given)
        )
        return found[0] if len(found) == 1 else found

    return answer


def _beside(path: Path, model: onnx.ModelProto) -> dict[str, bytes]:
    """Read the external weight files of a model: name -> content; each must be as long as its tensors need."""
    needed: dict[str, int] = {}
    for tensor in _weights(model):
        if tensor.data_location != tensor.EXTERNAL:
            continue
        place = {entry.key: entry.value for entry in tensor.external_data}
        name = place.get("location", "")
        if isinstance(name, bytes):  # invalid text in a damaged file
            name = name.decode(errors="replace")
        try:
            offset, size = int(place.get("offset") or 0), _size(tensor)
            length = int(place.get("length") or size)
        except (ValueError, KeyError):
            offset = length = size = -1
        if offset < 0 or length != size:
            told = named(place.get("length"))
            held = f"{quoted(tensor.name)} does not fit the {told} bytes of {quoted(name)} that it names"
            raise TeacherError(path, held, remedy=EXPORT_REMEDY)
        needed[name] = max(needed.get(name, 0), offset + size)
    for tensor in _constants(model):
        if tensor.data_location == tensor.EXTERNAL:
            raise TeacherError(path, "a constant of its graph lies in another file", remedy=EXPORT_REMEDY)
    return file_parts.read_parts(path, needed)


def _size(tensor: onnx.TensorProto) -> int:
    """Size of a tensor in bytes, from its shape and type."""
    from onnx import TensorProto, helper

    if any(n < 0 for n in tensor.dims):
        raise ValueError
    count = math.prod(tensor.dims)
    if tensor.data_type in (TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1):
        return (count + 1) // 2
    return count * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def _graphs(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    """A graph and all subgraphs in its nodes."""
    found, left = [], [graph]
    while left:
        found.append(left.pop())
        for attribute in (a for node in found[-1].node for a in node.attribute):
            left += [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
    return found


def _weights(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    return [tensor for graph in _graphs(model.graph) for tensor in graph.initializer]


def _constants(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Tensors that are not initializers: in nodes, in functions, and the parts of sparse tensors."""
    graphs = _graphs(model.graph)
    sparse = [one for graph in graphs for one in graph.sparse_initializer]
    nodes = [node for graph in graphs for node in graph.node] + [node for f in model.functions for node in f.node]
    attributes = [attribute for node in nodes for attribute in node.attribute]
    sparse += [one for each in attributes for one in (*each.sparse_tensors, each.sparse_tensor)]
    found = [tensor for one in sparse for tensor in (one.values, one.indices)]
    return found + [tensor for each in attributes for tensor in (*each.tensors, each.t)]


def _modest(path: Path, model: onnx.ModelProto, size: int) -> None:
    """Refuse a graph that needs far more memory than its files, before it runs; removes the weights from ``model``."""
    import onnx

    for tensor in _weights(model):
        if math.prod(tensor.dims) > 1024 or tensor.data_location == tensor.EXTERNAL:
            for field in ("raw_data", "float_data", "double_data", "int32_data", "int64_data", "uint64_data"):
                tensor.ClearField(field)  # its shape is enough
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception:
        return  # onnxruntime reports what is wrong, and its memory is limited
    for value in (value for graph in _graphs(inferred.graph) for value in graph.value_info):
        kind = value.type.tensor_type
        try:
            item = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize
        except KeyError:
            continue
        row = item * math.prod(n.dim_value if n.HasField("dim_value") else 1 for n in kind.shape.dim)
        if row > max(LARGE, GROWTH * size):
            held = archives.readable(size)
            raise TeacherError(
                path,
                f"{quoted(value.name)} in its graph takes {archives.readable(row)} for a single row, its files have {held}",
                remedy="check what was exported: no network needs so much",
            )


def _session(path: Path, model: onnx.ModelProto, data: bytes, beside: dict[str, bytes]) -> Any:
    import onnxruntime

    _limit_memory()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.use_env_allocators", "1")
    if beside:
        names, contents = [*beside], [*beside.values()]
        options.add_external_initializers_from_files_in_memory(names, contents, [len(each) for each in contents])
    try:
        return onnxruntime.InferenceSession(
            data,
            options,
            providers=["CPUExecutionProvider"],
            # Constant folding at load time uses memory outside the limit.
            disabled_optimizers=["ConstantFolding"],
            enable_fallback=0,  # it would print and retry the same
        )
    except Exception as error:
        raise _refused(path, model, str(error), one_line(error)) from None


@cache
def _limit_memory() -> None:
    """Limit the memory of all sessions of this process together to a share of the free memory."""
    import onnxruntime

    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    place = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(archives.room(), -1, -1, -1))


def _refused(path: Path, model: onnx.ModelProto, text: str, reason: str) -> TeacherError:
    """The error for a network that onnxruntime refuses, with a remedy."""
    import onnxruntime

    here = f"onnxruntime {onnxruntime.__version__}"
    update = "or a newer onnxruntime: pip install -U onnxruntime"
    if found := re.search(r"max supported IR version: (\d+)", text):
        return TeacherError(
            path,
            f"its IR version is {model.ir_version}, {here} takes up to {found[1]}",
            remedy=f"save it again with model.ir_version = {found[1]}, {update}",
        )
    if found := re.search(r"Opset (\d+) is under development.*domain (\S+) is till opset (\d+)", text, re.DOTALL):
        domain = "opset" if found[2] == "ai.onnx" else f"opset of {found[2]}"
        return TeacherError(
            path,
            f"its {domain} is {found[1]}, {here} takes up to {found[3]}",
            remedy=f"export it again with opset_version={found[3]}, {update}",
        )
    return TeacherError(
        path, f"an ONNX network that {here} does not take: {reason}", remedy=f"{EXPORT_REMEDY}; {update}"
    )
