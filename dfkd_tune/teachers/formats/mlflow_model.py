"""Load MLflow models: ``models:/name@alias``, ``models:/name/3``, ``runs:/id/path``, or a folder with ``MLmodel``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dfkd_tune.errors import TeacherError
from dfkd_tune.layouts.signature import Argument, Signature
from dfkd_tune.teachers.base import Teacher, freeze, hash_bytes
from dfkd_tune.teachers.black_box import as_tensors, from_estimator, from_numpy
from dfkd_tune.teachers.formats import file_parts, torchscript
from dfkd_tune.teachers.formats.dtypes import likely_dtype
from dfkd_tune.teachers.mlflow_columns import ColumnModel
from dfkd_tune.teachers.safety import archives
from dfkd_tune.utils.object_reference import one_line

if TYPE_CHECKING:
    from mlflow.models import Model

FILE = "MLmodel"
"""The file that describes a model in its folder."""
DATA = {"pytorch": "model_data", "onnx": "data", "sklearn": "pickled_model"}
"""Flavor -> the key of its file or folder, for flavors that are read without MLflow's loaders."""
PICKLED = (".pth", ".pkl", ".pickle")
"""Suffixes of files that MLflow's loaders unpickle."""
LIKELY = (".pt2", ".onnx", ".skops", ".safetensors")
"""Suffixes of model files in a folder without ``MLmodel``, best first."""
ABOUT = (
    FILE,
    "conda.yaml",
    "python_env.yaml",
    "requirements.txt",
    "registered_model_meta",
    "input_example*",
    "serving_input*",
)
"""Files of a model that do not affect its outputs."""
LOG = "log it with serialization_format='pt2' or 'skops', or as onnx, or --trust-pickle if you trust its author"
DTYPES = {"float32": torch.float32, "float64": torch.float64, "float": torch.float32, "double": torch.float64}


def load_mlflow(source: str, load_file: Callable[[Path], Teacher], trust_pickle: bool) -> Teacher:
    """Download a model and load its network.

    Args:
        source: URI of the model.
        load_file: function that loads one model file.
        trust_pickle: also load pickled flavors.

    Raises:
        TeacherError: the model cannot be downloaded, or holds only a pickle and ``trust_pickle`` is false.
    """
    from mlflow.artifacts import download_artifacts

    folder = tempfile.TemporaryDirectory()
    try:
        local = Path(download_artifacts(source, dst_path=folder.name))
    except Exception as error:
        raise TeacherError(
            source,
            f"cannot be had from MLflow: {one_line(error)}",
            remedy="check its name, version or alias, and --tracking-uri or MLFLOW_TRACKING_URI",
        ) from None
    if local.is_file():
        teacher = load_file(local)
    elif (local / FILE).is_file():
        teacher = load_model(source, local, load_file, trust_pickle)
    else:
        teacher = load_file(_likely(source, local))
    function = teacher.function
    if not isinstance(function, torch.nn.Module):
        # A model may read its files again at a call, so the folder must live as long as the model.
        teacher = replace(teacher, function=_Kept(function, folder))
    return replace(teacher, source=source)


class _Kept:
    """A function that keeps the temporary folder of its model alive."""

    def __init__(self, function: Callable[..., Any], folder: tempfile.TemporaryDirectory[str]) -> None:
        self.function, self.folder = function, folder

    def __call__(self, *given: torch.Tensor) -> Any:
        return self.function(*given)


def load_model(source: object, folder: Path, load_file: Callable[[Path], Teacher], trust_pickle: bool) -> Teacher:
    """Load the network of a folder with an ``MLmodel`` file, which names the network's file.

    Raises:
        TeacherError: a file is missing or outside the folder, or there is only a pickle and ``trust_pickle`` is false.
    """
    from mlflow.models import Model

    try:
        model = Model.load(str(folder))
    except Exception as error:
        raise TeacherError(
            folder / FILE, f"cannot be read: {one_line(error)}", remedy="log or copy the model again"
        ) from None
    sha256 = _hash(folder)
    for flavor, key in DATA.items():
        if flavor in model.flavors:
            named = model.flavors[flavor].get(key)
            if not isinstance(named, str):
                raise TeacherError(
                    folder / FILE, f"its flavor {flavor} names no file under {key}", remedy="log the model again"
                )
            place = _below(folder, named)
            file = _network(place) if place.is_dir() else place
            if file.suffix not in PICKLED or (not trust_pickle and torchscript.is_script(archives.read(file))):
                return replace(load_file(file), source=str(source), sha256=sha256)
            if not trust_pickle:
                raise TeacherError(
                    source, f"holds only a pickled model, {file.name}, of the flavor {flavor}", remedy=LOG
                )
            return _pickled(source, flavor, folder, model, sha256)
    if not trust_pickle:
        flavors = ", ".join(model.flavors) or "none"
        raise TeacherError(
            source, f"holds only a pickled model, or runs code of its own (flavors: {flavors})", remedy=LOG
        )
    return _pickled(source, "pyfunc", folder, model, sha256)


def _likely(source: str, folder: Path) -> Path:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = [path for suffix in LIKELY for path in files if path.suffix == suffix]
    if not found:
        raise TeacherError(source, "holds no MLmodel, and no file of a model", remedy="name the model's folder or file")
    if sum(path.suffix == found[0].suffix for path in found) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in found[:4])
        raise TeacherError(source, f"holds several models: {names}", remedy="name one of them, runs:/ID/PATH")
    return found[0]


def _network(folder: Path) -> Path:
    """The model file in the folder of a flavor: preferably named ``model``, preferably with a suffix in ``LIKELY``."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    named = [path for path in files if path.stem == "model"]
    likely = [path for path in files if path.suffix in LIKELY]
    found = named or likely or files
    if not found:
        raise TeacherError(folder, "holds no file", remedy="log or copy the model again")
    return min(found, key=lambda path: path.suffix not in LIKELY)


def _below(folder: Path, name: str) -> Path:
    """The path of a file or folder that ``MLmodel`` names, which must be inside the model's folder."""
    place = (folder / name).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise TeacherError(
            folder / FILE, f"names {name[:100]!r}, which does not lie in its folder", remedy=file_parts.PARTS_REMEDY
        )
    if not place.exists():
        raise TeacherError(folder / name, "missing: MLmodel names it", remedy=file_parts.PARTS_REMEDY)
    return place


def _hash(folder: Path) -> str:
    """SHA-256 of the files that affect the outputs: of a single file, or of several with their names."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(_answering(folder))}
    archives.fits(folder, sum(path.stat().st_size for path in files.values()), "its files have")
    if len(files) == 1:
        return hash_bytes(next(iter(files.values())).read_bytes())
    return file_parts.hash_files(b"", {name: path.read_bytes() for name, path in files.items()})


def _answering(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        top = Path(path.relative_to(folder).parts[0])
        if path.is_file() and not any(top.match(pattern) for pattern in ABOUT):
            if not path.resolve().is_relative_to(folder.resolve()):
                raise TeacherError(path, "is a link out of the model's folder", remedy=file_parts.PARTS_REMEDY)
            yield path


def _pickled(source: object, flavor: str, folder: Path, model: Model, sha256: str) -> Teacher:
    """Load a trusted pickle with MLflow's loader for its flavor."""
    from mlflow import pyfunc, pytorch, sklearn

    loaders: dict[str, Callable[[str], Any]] = {
        "pytorch": lambda path: pytorch.load_model(path, map_location="cpu"),
        "sklearn": lambda path: sklearn.load_model(path),
    }
    try:
        loaded = loaders.get(flavor, pyfunc.load_model)(str(folder))
    except Exception as error:
        raise TeacherError(
            source,
            f"cannot be loaded: {one_line(error)}",
            remedy="install what it was logged with: requirements.txt in it",
        ) from None
    if isinstance(loaded, torch.nn.Module):
        module = freeze(loaded)
        return Teacher(str(source), module, _signed(model) or likely_dtype(module), sha256)
    if flavor == "sklearn":
        return from_estimator(source, loaded, sha256)
    inputs = model.signature.inputs if model.signature is not None else None
    signature = _of_tensors(inputs) if inputs is not None and inputs.is_tensor_spec() else None
    if inputs is not None and signature is not None and not signature.flat:
        function = _asked(loaded, inputs.input_names() if inputs.has_input_names() else None)
        return Teacher(str(source), function, torch.float32, sha256, signature=signature)
    dtype = _signed(model) or torch.float64
    if inputs is None or inputs.is_tensor_spec():
        return Teacher(str(source), from_numpy(loaded.predict), dtype, sha256)
    if not inputs.has_input_names():
        return Teacher(str(source), from_numpy(loaded.predict), dtype, sha256, width=len(inputs.inputs))
    return replace(from_estimator(source, ColumnModel(source, loaded, inputs), sha256), dtype=dtype)


def _signed(model: Model) -> torch.dtype | None:
    """The input dtype in the signature, if it is float32 or float64 for all inputs; else None."""
    inputs = model.signature.inputs if model.signature is not None else None
    names = {str(getattr(kind, "name", kind)) for kind in inputs.input_types()} if inputs is not None else set()
    return DTYPES.get(next(iter(names))) if len(names) == 1 else None


def _of_tensors(inputs: Any) -> Signature:
    """The arguments in a tensor-based signature; a shape is None where a dimension beside the first is free."""
    arguments = []
    for spec in inputs.inputs:
        shape = tuple(int(n) for n in spec.shape[1:])
        dtype = torch.from_numpy(np.empty(0, spec.type)).dtype
        arguments.append(Argument(spec.name or "x", None if -1 in shape else shape, dtype))
    return Signature.positional(arguments)


def _asked(loaded: Any, names: list[str] | None) -> Callable[..., Any]:
    """A predict function as one of tensors: it gets arrays by these names, or its only array."""

    def answer(*tensors: torch.Tensor) -> Any:
        arrays = [tensor.detach().cpu().numpy() for tensor in tensors]
        return as_tensors(loaded.predict(arrays[0] if names is None else dict(zip(names, arrays, strict=True))))

    return answer
