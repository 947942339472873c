"""A study is prepared from its file: what it searches, where its files lie, and what differs from one of the same name."""

import os

from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import located, prepare


def test_a_path_is_found_from_any_folder_and_anything_else_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    assert located("sub/../teacher.pt2") == f"{tmp_path}/teacher.pt2"
    assert [located(path) for path in ("package.module:make", "models:/pump@champion")] == [
        "package.module:make",
        "models:/pump@champion",
    ]
    assert "s3cret" not in located("https://ann:s3cret@host/invocations")


def test_links_are_not_followed(tmp_path, monkeypatch):
    """Kubernetes mounts a folder under another name in each pod."""
    (tmp_path / "pod-1").mkdir()
    (tmp_path / "pod-1" / "teacher.pt2").touch()
    (tmp_path / "mount").symlink_to("pod-1")
    monkeypatch.chdir(tmp_path)
    assert located("mount/teacher.pt2") == f"{tmp_path}/mount/teacher.pt2"
    assert os.path.samefile(located("mount/../pod-1/teacher.pt2"), tmp_path / "pod-1" / "teacher.pt2")


def test_the_default_space_tries_small_students(tree):
    def widths(**about):
        made = tree("widths", student={"max_parameters": 1000}, **about)
        del made["search"]
        return prepare(parse_spec(made, "widths")).space.domains["student.width"]

    plain, wide = widths(), widths(pareto="parameters")
    assert (plain.high, wide.high) == (199, 199)
    assert (plain.low, wide.low) == (197, 10) and wide.log
