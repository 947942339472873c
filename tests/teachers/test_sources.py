"""What names a teacher: a path is a file, whatever else it looks like."""

import pytest

from dfkd_tune.teachers.sources import IN_MEMORY, is_file


@pytest.mark.parametrize(
    "source",
    [
        "teacher.pt2",
        "a/b.onnx",
        "/tmp/x.skops",
        "model.v2:final.pt",
        "C:\\models\\net.pt2",
        "models/net.pt2",
        "my model:v1",
    ],
)
def test_paths_are_files(source):
    assert is_file(source)


@pytest.mark.parametrize(
    "source",
    [
        "package.module:function",
        "module:Class",
        "models:/pump/3",
        "runs:/abc/model",
        "http://h/invocations",
        f"{IN_MEMORY}Sequential",
    ],
)
def test_uris_functions_and_objects_are_none(source):
    assert not is_file(source)
