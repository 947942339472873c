"""Load a teacher from a file, an MLflow URI or a module path.

A teacher maps raw inputs to outputs in its own units and is never trained. It is asked flat rows ``(N, D)``, which a
``Layout`` turns into its own arguments. Loading a file runs
none of its code unless the user trusts its author. A module path ``package.module:function`` is the exception: its code
is imported.
"""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.endpoints.address import SCHEMES as ENDPOINTS
from dfkd_tune.teachers.endpoints.endpoint import load_endpoint
from dfkd_tune.teachers.formats.kinds import format_of, suffixes
from dfkd_tune.teachers.formats.mlflow_model import FILE, load_mlflow, load_model
from dfkd_tune.teachers.formats.python_function import load_function
from dfkd_tune.teachers.formats.state_dict import index_in, load_shards
from dfkd_tune.teachers.fused.forward import with_fused_forward
from dfkd_tune.teachers.signatures.arranged import arranged
from dfkd_tune.teachers.sources import IN_MEMORY, MLFLOW, require_file
from dfkd_tune.utils.object_reference import MODULE_PATH, one_line


def load_teacher(
    source: str | PathLike[str], architecture: str | PathLike[str] | None = None, trust_pickle: bool = False
) -> Teacher:
    """Load a teacher.

    Args:
        source: path of a file in one of ``formats.kinds.FORMATS``; a folder with an ``MLmodel`` file or a shard index; an
            MLflow model, ``models:/name@alias`` or ``runs:/id/path``; the address of an endpoint, ``http://...``; or ``package.module:function``, which returns a
            module or a callable.
        architecture: YAML file with layers and activations, for files that hold only weights.
        trust_pickle: also load pickles, which can run any code.

    Raises:
        TeacherError: the teacher cannot be loaded.
    """
    return prepared(_load(fspath(source), None if architecture is None else Path(architecture), trust_pickle))


def prepared(teacher: Teacher) -> Teacher:
    """A teacher that was just loaded, as a function of flat rows and with a fused forward pass, where that is possible."""
    teacher = arranged(teacher)
    return with_fused_forward(teacher) if teacher.fast is None else teacher


def _load(source: str, architecture: Path | None, trust_pickle: bool) -> Teacher:
    if source.startswith(IN_MEMORY):
        rule = "was given in Python, and no file holds it"
        raise TeacherError(source, rule, remedy="give it again in Python: dfkd_tune.tune(teacher, name=...)")
    if source.startswith(ENDPOINTS):
        return load_endpoint(source)
    if MODULE_PATH.fullmatch(source):
        return load_function(source)
    if source.startswith("file:"):
        raise TeacherError(source, "is an address of a file", remedy=f"give its path, {unquote(urlsplit(source).path)}")
    if source.startswith(MLFLOW):
        return load_mlflow(source, lambda path: _load_file(path, architecture, trust_pickle), trust_pickle)
    try:
        return _load_file(Path(source), architecture, trust_pickle)
    except OSError as error:
        raise TeacherError(source, f"cannot be read: {error.strerror or one_line(error)}") from None


def _load_file(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    if path.is_dir():
        if (path / FILE).is_file():
            return load_model(path, path, lambda file: _load_file(file, architecture, trust_pickle), trust_pickle)
        if index := index_in(path):
            return load_shards(index, architecture, trust_pickle)
        raise TeacherError(path, "is a directory, not a model file", remedy="name the file in it")
    require_file(path)
    known_format = format_of(path.suffix)
    if known_format is None:
        remedy = f"known: {', '.join(suffixes())}, models:/..., package.module:function"
        if path.suffix == ".py":
            remedy = f"name a function in it, from its folder: {path.stem}:FUNCTION"
        raise TeacherError(path, f"unknown kind of model file {path.suffix!r}", remedy=remedy)
    if path.stat().st_size == 0:
        raise TeacherError(path, "the file is empty")
    return known_format.load(path, architecture, trust_pickle)
