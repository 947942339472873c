"""The registry of teacher formats, by name; ``base`` holds the interface."""

from dfkd_tune.teachers.boosted.catboost_file import load_catboost
from dfkd_tune.teachers.boosted.lightgbm_file import load_lightgbm
from dfkd_tune.teachers.boosted.xgboost_file import load_xgboost
from dfkd_tune.teachers.formats.base import TeacherFormat
from dfkd_tune.teachers.formats.json_file import load_json
from dfkd_tune.teachers.formats.onnx_file import load_onnx
from dfkd_tune.teachers.formats.pickles import load_pickle
from dfkd_tune.teachers.formats.pt2 import load_pt2
from dfkd_tune.teachers.formats.skops_file import load_skops
from dfkd_tune.teachers.formats.state_dict import load_safetensors, load_torch
from dfkd_tune.utils.plugins import Registry

FORMATS: Registry[TeacherFormat] = Registry(
    "teachers",
    TeacherFormat,
    {
        "pt2": TeacherFormat((".pt2",), load_pt2),
        "safetensors": TeacherFormat((".safetensors",), load_safetensors),
        "json": TeacherFormat((".json",), load_json),
        "torch": TeacherFormat((".pt", ".pth", ".ckpt", ".ts", ".bin"), load_torch),
        "onnx": TeacherFormat((".onnx",), load_onnx),
        "skops": TeacherFormat((".skops",), load_skops),
        "xgboost": TeacherFormat((".ubj",), load_xgboost),
        "lightgbm": TeacherFormat((".txt",), load_lightgbm),
        "catboost": TeacherFormat((".cbm",), load_catboost),
        "pickle": TeacherFormat((".joblib", ".pkl", ".pickle"), load_pickle),
    },
)


def format_of(suffix: str) -> TeacherFormat | None:
    """The format of files with a suffix; None if no format reads it."""
    return next((known for _, known in FORMATS.usable() if suffix in known.suffixes), None)


def suffixes() -> list[str]:
    """Suffixes of all files that can be read."""
    return [suffix for _, known in FORMATS.usable() for suffix in known.suffixes]
