"""Public functions whose work the command line does as well, with errors in words of Python."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from dfkd_tune.api.error_words import in_python
from dfkd_tune.errors import SpecError
from dfkd_tune.inputs import features_file
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.layouts.signature import Signature
from dfkd_tune.registry import register as registry
from dfkd_tune.registry.register import Registered
from dfkd_tune.registry.sources import Sources
from dfkd_tune.teachers import loader
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.tracking.connection import reaching
from dfkd_tune.utils.given.checks import FLAG, NUMBER, PATH, SHARE, TEXT, Kind, require

ADDRESS = Kind("a path or an address; distill and tune take a model in memory", PATH.fits)
SIGNATURE = Kind("a Signature", lambda value: isinstance(value, Signature))
SOURCES = Kind("Sources", lambda value: isinstance(value, Sources))


def load_teacher(
    source: str | PathLike[str], architecture: str | PathLike[str] | None = None, trust_pickle: bool = False
) -> Teacher:
    """Load a teacher.

        teacher = dt.load_teacher("models:/pump@champion")
        dt.distill(teacher, features=["load", "flow"])

    Args:
        source: path of a file; a folder with an ``MLmodel`` file or a shard index; an MLflow model, ``models:/name@alias`` or
            ``runs:/id/path``; the address of an endpoint, ``http://...``; or ``package.module:function``, which returns a module or a
            callable.
        architecture: YAML file with layers and activations, for files that hold only weights.
        trust_pickle: also load pickles, which can run any code.

    Raises:
        SpecError: an argument is of another kind.
        TeacherError: the teacher cannot be loaded.
    """
    texts = {"source": (source, ADDRESS), "architecture": (architecture, PATH)}
    require("load_teacher", {**texts, "trust_pickle": (trust_pickle, FLAG)}, "source")
    with in_python("load_teacher"):
        return loader.load_teacher(source, architecture, trust_pickle)


def read_features(path: str | Path, signature: Signature | None = None) -> Inputs:
    """Read a features file.

        dt.read_features("features.yaml").names

    Args:
        path: the file.
        signature: the arguments of its teacher; None for flat rows, or if the file says them.

    Raises:
        FeaturesError: the file is invalid or does not fit the signature; the message names the feature and the rule.
    """
    require("read_features", {"path": (path, PATH), "signature": (signature, SIGNATURE)}, "path")
    with in_python("read_features"):
        return features_file.read_features(path, signature)


def register(
    uri: str,
    study: str,
    model: str,
    trial: int | None = None,
    alias: str = "champion",
    sources: Sources | None = None,
    within: float | None = None,
    *,
    typed_columns: bool = False,
) -> Registered:
    """Register a trial's student, with its certificate, as a version of ``model`` and point ``alias`` at it.

    A trial without a certificate gets one, which queries the teacher again. Before the alias moves, the outputs of the reloaded
    model are compared with the student's on rows of the declared prior. A version that differs is deleted.

        dt.register("sqlite:///mlruns/mlflow.db", "pump", "pump", alias="challenger").report_rmse

    Args:
        uri: MLflow tracking URI.
        study, trial: study and number of the trial; the study's best student if ``trial`` is None.
        model, alias: name of the registered model and alias of the new version.
        sources: current paths of teacher and features, if they have moved.
        within: without ``trial``, take the smallest student whose objective is at most this share above the best one's.
        typed_columns: declare the features in the version's signature, by name and type. MLflow then refuses tables with other types,
            such as int64 where a feature is a ``double``, before the student gets them.

    Raises:
        SpecError: if an argument is of another kind, MLflow does not allow the name or alias, or ``typed_columns`` is given for a teacher
            that takes tensors, which a version declares anyway.
        NotFound: if there is no such study or trial, or a file that the certificate needs is missing.
        StudyMismatch: if the teacher or the features are not those of the study.
        ExportError: if the outputs of the reloaded model differ, or it refuses the student's own rows.
        TrackingError: if MLflow cannot be reached or written.
    """
    texts = {"uri": (uri, TEXT), "study": (study, TEXT), "model": (model, TEXT), "alias": (alias, TEXT)}
    choice = {"trial": (trial, NUMBER), "within": (within, SHARE), "typed_columns": (typed_columns, FLAG)}
    require("register", {**texts, **choice, "sources": (sources, SOURCES)}, *texts)
    if trial is not None and within is not None:
        raise SpecError(
            "register: within", "is for no trial in particular, got trial as well", remedy="give one of them"
        )
    with in_python("register"), reaching(uri):
        return registry.register(uri, study, model, trial, alias, sources, within, typed_columns)
