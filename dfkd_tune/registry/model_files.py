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
from dfkd_tune.layouts.signature import Argument
from dfkd_tune.ops.pt2_archive import MACHINE_METADATA
from dfkd_tune.registry import model_signature
from dfkd_tune.registry.model_signature import (
    DOUBLE,
    STRING,
    array_dtype,
    by_name,
    column_types,
    has_words,
    is_optional,
)
from dfkd_tune.students.drop_in import drop_in_pt2
from dfkd_tune.utils.text.markdown import escaped
from dfkd_tune.utils.user_code import Confined

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import Model

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


def save(folder: Path, student: nn.Module, result: dict[str, Any], model: Model, typed: bool = False) -> None:
    """Write a student as an MLflow model: flavors ``pytorch`` and ``python_function``, no pickle.

    By default its signature declares only the outputs. MLflow checks a table against declared inputs before the model gets it: with
    double columns it rejects integers, ``bool`` and nullable columns, and with any other type it rejects CSV. The columns are
    described in the model's metadata, example and note instead. A model whose teacher takes tensors declares these.

    Args:
        folder: directory to create.
        student: network in evaluation mode from raw rows to raw outputs.
        result: content of the student's ``result.json``.
        model: MLflow model description, with artifact path and run if known.
        typed: whether the signature of a model that takes tables declares their columns.
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
            signature=model_signature.of_network(rows.dtype, len(names), result["outputs"]),
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
    if layout is not None or typed or by_name(result):
        save_example(model, request(result, rows, typed), str(folder))
    with torch.no_grad():
        answers = student(torch.from_numpy(rows)).numpy().dtype
    if layout is None:
        model.signature = model_signature.of_tables(result, answers, typed)
    else:
        model.signature = model_signature.of_arguments(layout)
    model.metadata = (
        ({} if layout is None else {"layout": layout.tree()})
        | {
            "features": names,
            "levels": result["levels"],
            "gapped": result["gapped"],
            "named": has_names(names),
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


def table(result: dict[str, Any], rows: np.ndarray, typed: bool = False) -> pd.DataFrame:
    """Raw rows ``(N, D)`` as a user's data frame: doubles, and strings for text levels, which the student takes as codes.

    Args:
        result: content of the student's ``result.json``.
        rows: the rows.
        typed: whether columns have the types that a signature of columns declares.
    """
    import pandas as pd
    from mlflow.types import DataType

    columns, types = {}, column_types(result) if typed else {}
    for i, name in enumerate(result["features"]):
        levels, values = result["levels"].get(name, []), rows[:, i].astype(np.float64)
        if typed and types[name] != STRING:
            columns[name] = pd.Series(values.astype(getattr(DataType, types[name]).to_numpy()))
            continue
        if name in result["gapped"]:
            columns[name] = pd.Series(values)
            continue
        given = [
            None if np.isnan(value) else levels[int(value)] if has_words(levels) else value for value in values.tolist()
        ]
        columns[name] = pd.Series(given, dtype=object if None in given or has_words(levels) else np.float64)
    return pd.DataFrame(columns)


def layout_of(result: dict[str, Any]) -> Layout | None:
    """How the teacher's arguments lie in a student's rows; None if it takes rows."""
    return Layout.of(result["layout"]) if "layout" in result else None


def request(result: dict[str, Any], rows: np.ndarray, typed: bool = False) -> Any:
    """Raw rows ``(N, D)`` as a user sends them: a data frame, or the teacher's own arguments as arrays by name, or its only one.

    With ``typed`` it fits the declared columns exactly: a data frame with their types, or a float64 array where they have no names.
    """
    layout = layout_of(result)
    if layout is None and typed and not by_name(result):
        return rows.astype(np.float64)
    if layout is None:
        return table(result, rows, typed)
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


def note(result: dict[str, Any], typed: bool = False) -> str:
    """A Markdown table of a model's input columns or arguments; with ``typed``, of the columns that its signature declares."""
    if (layout := layout_of(result)) is not None:
        parts = [
            f"| {kind} | {escaped(name)} | `{shape}` | {dtype} |"
            for kind, name, shape, dtype in layout.signature.table()
        ]
        return "\n".join(["| | name | shape | dtype |", "| --- | --- | --- | --- |", *parts])[:NOTE]
    lines = ["| column | type | unit | values |", "| --- | --- | --- | --- |"]
    types = column_types(result) if typed else {}
    for name in result["features"]:
        levels = result["levels"].get(name, [])
        kind = STRING if has_words(levels) else types.get(name, DOUBLE)
        about = result.get("declared", {}).get(name, {})
        told = "may be missing" if is_optional(result, name) else ""
        if known := [str(level) for level in levels if level is not None]:
            told = f"one of {', '.join(known[:12])}{', ...' * (len(known) > 12)}" + f"; {told}" * bool(told)
        elif "values" in about:
            told = about["values"] + f"; {told}" * bool(told)
        line = f"| {escaped(name)} | {kind} | {escaped(about.get('unit', ''))} | {escaped(told)} |"
        if sum(map(len, lines)) + len(line) > NOTE:
            lines.append("| ... | | | |")
            break
        lines.append(line)
    head = "Takes a table with these columns, in any order, and leaves others alone"
    head += "; MLflow refuses other types than these:" if typed else ":"
    return "\n".join([head, "", *lines])


def _array(argument: Argument, tensor: torch.Tensor) -> np.ndarray:
    """An argument as a user sends it: words for their codes, and numbers as NumPy has them."""
    if argument.words is not None:
        return np.array(argument.words)[tensor.numpy()]
    return tensor.to(getattr(torch, array_dtype(argument).name)).numpy()
