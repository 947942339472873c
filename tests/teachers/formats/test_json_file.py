"""JSON files: whose model a document is."""

import pytest
from teacher_files import fails

from dfkd_tune.teachers.loader import load_teacher


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"oblivious_trees": []}', ["CatBoost", ".cbm"]),
        ('{"tree_info": []}', ["LightGBM", ".txt"]),
        ("{", ["JSON"]),
        ("[" * 100_000, ["JSON"]),
        ("[]", ["weight_map"]),
        ("{}", ["weight_map"]),
    ],
)
def test_json_of_something_else_is_named(text, words, tmp_path):
    (tmp_path / "model.json").write_text(text)
    with fails(tmp_path / "model.json", *words):
        load_teacher(tmp_path / "model.json")
