"""Write an MLflow model: the network for PyTorch, and the code that takes data frames."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from dfkd_tune.compat.mlflow import save_example, without_scan_of_packages
from dfkd_tune.export.schema import has_names
from dfkd_tune.inputs.domain import rule
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.layouts.signature import Argument, Output, dtype_name
from dfkd_tune.ops.pt2_archive import MACHINE_METADATA
from dfkd_tune.students.drop_in import drop_in_pt2
from dfkd_tune.utils.markdown import escaped
from dfkd_tune.utils.user_code import Confined

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature

CODE = Path(__file__).with_name("served_model.py")
"""The code inside the model; it runs without this package."""
DROP_IN = Path(__file__).with_name("served_drop_in.py")
"""The same for a student whose teacher takes tensors."""
FRAMES = "frame_rows.py"
"""Name of the copy of ``layouts.frame_rows`` beside it, by which a student reads tables."""
RULE = "domain_rule.py"
"""Name of the copy of ``inputs.domain.rule`` beside it, by which a guarded student says whether rows are in its domain."""
NOTE = 4000
"""Largest number of characters in a model's note."""
TAG = 1000
"""Largest number of characters in a tag with names."""


def save(folder: Path, student: nn.Module, result: dict[str, Any], model: Model) -> None:
    """Write a student as an MLflow model: flavors ``pytorch`` and ``python_function``, no pickle.

    Its signature declares only the outputs. MLflow checks a table against declared inputs before the model gets it: with double
    columns it rejects integers, ``bool`` and nullable columns, and with any other type it rejects CSV. The columns are described in
    the model's metadata, example and note instead. A model whose teacher takes tensors declares these.

    Args:
        folder: directory to create.
        student: network in evaluation mode from raw rows to raw outputs.
        result: content of the student's ``result.json``.
        model: MLflow model description, with artifact path and run if known.
    """
    from mlflow import pyfunc, pytorch

    from dfkd_tune.layouts import frame_rows

    names, rows = result["features"], example(result)
    layout = layout_of(result)
    with Confined(), without_scan_of_packages():  # PyTorch's export asks a standard output that may be closed
        pytorch.save_model(
            student,
            str(folder),
            mlflow_model=model,
            signature=_tensors(rows.dtype, len(names), result["outputs"]),
            input_example=rows,
            pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
        )
    if layout is None:
        _strip(folder / "data" / "model.pt2")
    else:
        (folder / "data" / "model.pt2").write_bytes(drop_in_pt2(student, torch.from_numpy(rows), layout))
    code = CODE if layout is None else DROP_IN
    shutil.copyfile(code, folder / code.name)
    if layout is None:
        shutil.copyfile(frame_rows.__file__, folder / FRAMES)
    domain = result["domain"] if layout is None else None
    if domain is not None:
        shutil.copyfile(rule.__file__, folder / RULE)
    pyfunc.add_to_model(
        model,
        loader_module="mlflow.pyfunc.loaders.code_model",
        model_code_path=code.name,
        conda_env="conda.yaml",
        python_env="python_env.yaml",
    )
    named = has_names(names)
    if layout is not None or named:
        save_example(model, request(result, rows), str(folder))
    with torch.no_grad():
        answers = student(torch.from_numpy(rows)).numpy().dtype
    model.signature = _answers(result, answers, named) if layout is None else _arguments(layout)
    model.metadata = (
        ({} if layout is None else {"layout": layout.tree()})
        | {
            "features": names,
            "levels": result["levels"],
            "gapped": result["gapped"],
            "named": named,
            "outputs": result["outputs"],
            "dtype": rows.dtype.name,
            "domain": domain,
        }
        | {key: result[key] for key in ("study", "teacher_sha256") if key in result}
    )
    model.save(str(folder / "MLmodel"))


def _strip(file: Path) -> None:
    """Rewrite an exported network without file paths of this machine."""
    program = torch.export.load(file)
    for node in program.graph.nodes:
        for key in MACHINE_METADATA:
            node.meta.pop(key, None)
    torch.export.save(program, file)


def example(result: dict[str, Any]) -> np.ndarray:
    """Two raw rows ``(2, D)`` of the declared prior in the student's dtype; no real rows."""
    rows = [[np.nan if value is None else value for value in row] for row in result["example"][:2]]
    return np.array(rows, dtype=result["dtype"])


def table(result: dict[str, Any], rows: np.ndarray) -> pd.DataFrame:
    """Raw rows ``(N, D)`` as a user's data frame: doubles, and strings for text levels, which the student takes as codes."""
    import pandas as pd

    columns = {}
    for i, name in enumerate(result["features"]):
        levels, values = result["levels"].get(name, []), rows[:, i].astype(np.float64)
        if name in result["gapped"]:
            columns[name] = pd.Series(values)
            continue
        given = [
            None if np.isnan(value) else levels[int(value)] if _texts(levels) else value for value in values.tolist()
        ]
        columns[name] = pd.Series(given, dtype=object if None in given or _texts(levels) else np.float64)
    return pd.DataFrame(columns)


def layout_of(result: dict[str, Any]) -> Layout | None:
    """How the teacher's arguments lie in a student's rows; None if it takes rows."""
    return Layout.of(result["layout"]) if "layout" in result else None


def request(result: dict[str, Any], rows: np.ndarray) -> Any:
    """Raw rows ``(N, D)`` as a user sends them: a data frame, or the teacher's own arguments as arrays by name, or its only one."""
    layout = layout_of(result)
    if layout is None:
        return table(result, rows)
    tensors = layout.to_arguments(torch.from_numpy(rows))
    arrays = {each.name: _array(each, tensor) for each, tensor in zip(layout.arguments, tensors, strict=True)}
    return arrays if len(arrays) > 1 else next(iter(arrays.values()))


def flat_answers(answers: Any) -> np.ndarray:
    """What a model answered as flat outputs ``(N, O)``."""
    parts = answers.values() if isinstance(answers, dict) else [answers]
    return np.concatenate([np.asarray(part).reshape(len(part), -1) for part in parts], axis=1)


def column_names(result: dict[str, Any]) -> str:
    """Names of a model's features, as many as a tag holds."""
    text, more = ", ".join(result["features"]), ", ..."
    return text if len(text) <= TAG else text[: TAG - len(more)].rpartition(", ")[0] + more


def note(result: dict[str, Any]) -> str:
    """A Markdown table of a model's input columns or arguments."""
    if (layout := layout_of(result)) is not None:
        parts = [
            f"| {kind} | {escaped(name)} | `{shape}` | {dtype} |"
            for kind, name, shape, dtype in layout.signature.table()
        ]
        return "\n".join(["| | name | shape | dtype |", "| --- | --- | --- | --- |", *parts])[:NOTE]
    lines = ["| column | type | unit | values |", "| --- | --- | --- | --- |"]
    for name in result["features"]:
        levels = result["levels"].get(name, [])
        kind = "string" if _texts(levels) else "double"
        about = result.get("declared", {}).get(name, {})
        told = "may be missing" if None in levels or name in result["gapped"] else ""
        if known := [str(level) for level in levels if level is not None]:
            told = f"one of {', '.join(known[:12])}{', ...' * (len(known) > 12)}" + f"; {told}" * bool(told)
        elif "values" in about:
            told = about["values"] + f"; {told}" * bool(told)
        line = f"| {escaped(name)} | {kind} | {escaped(about.get('unit', ''))} | {escaped(told)} |"
        if sum(map(len, lines)) + len(line) > NOTE:
            lines.append("| ... | | | |")
            break
        lines.append(line)
    return "\n".join(["Takes a table with these columns, in any order, and leaves others alone:", "", *lines])


def _texts(levels: list[Any]) -> bool:
    return any(isinstance(level, str) for level in levels)


def _tensors(dtype: np.dtype, features: int, outputs: int) -> ModelSignature:
    """The signature ``(N, D) -> (N, O)``, with which MLflow exports the network for any number of rows."""
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    inputs, answers = (Schema([TensorSpec(dtype, (-1, width))]) for width in (features, outputs))
    return ModelSignature(inputs=inputs, outputs=answers)


def _array(argument: Argument, tensor: torch.Tensor) -> np.ndarray:
    """An argument as a user sends it: words for their codes, and numbers as NumPy has them."""
    if argument.words is not None:
        return np.array(argument.words)[tensor.numpy()]
    return tensor.to(getattr(torch, _array_dtype(argument).name)).numpy()


def _array_dtype(part: Argument | Output) -> np.dtype:
    """The dtype of arrays for an argument or output; NumPy has no bfloat16."""
    if isinstance(part, Argument) and part.words is not None:
        return np.dtype("str")
    return np.dtype("float32" if part.dtype == torch.bfloat16 else dtype_name(part.dtype or torch.float32))


def _arguments(layout: Layout) -> ModelSignature:
    """The signature of tensors: the teacher's arguments by name, or its only one, and its outputs."""
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    parts = [(each.name, (-1, *(each.shape or ())), _array_dtype(each)) for each in layout.arguments]
    answers = [(each.name, (-1, *each.shape), _array_dtype(each)) for each in layout.outputs]
    inputs, outputs = (
        Schema([TensorSpec(kind, shape, name if len(given) > 1 else None) for name, shape, kind in given])
        for given in (parts, answers)
    )
    return ModelSignature(inputs=inputs, outputs=outputs)


def _answers(result: dict[str, Any], dtype: np.dtype, named: bool) -> ModelSignature:
    """The signature of the outputs: columns ``0``, ``1``, ... of a data frame, or an array ``(N, O)``; and of the guard's parameter."""
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    guarded = [] if result["domain"] is None else [ParamSpec("in_domain", DataType.boolean, False)]
    params: Any = ParamSchema(guarded) if guarded else None  # MLflow takes None, which its annotation leaves out
    if not named:
        return ModelSignature(outputs=Schema([TensorSpec(dtype, (-1, result["outputs"]))]), params=params)
    kind = {"float32": "float", "float64": "double"}[dtype.name]
    return ModelSignature(outputs=Schema([ColSpec(kind, str(i)) for i in range(result["outputs"])]), params=params)
