"""What differs from a study of the same name is told by its leaves, and files by where they lie."""

import os

import pytest

from dfkd_tune.study.agreement.differences import difference, located

FILES = {"teacher": {"path": "/a/teacher.pt2"}, "features": "/a/features.yaml", "budget": {"steps": 40, "pool": 500}}
IDENTITY = {"teacher": "1", "features": "2", "seed": 0, "space": {"search": {"optimizer.lr": [0.1]}}}


def changed(tree: dict, **leaves) -> dict:
    return {
        key: value | leaves.pop(key, {}) if isinstance(value, dict) else leaves.pop(key, value)
        for key, value in tree.items()
    } | leaves


@pytest.mark.parametrize(
    ("mine", "now", "told"),
    [
        ({"seed": 1}, {"study": {"seed": 1}}, "study.seed: absent -> 1"),
        ({"teacher": "3"}, {"teacher": {"path": "/b.pt2"}}, 'teacher.path: "/a/teacher.pt2" -> "/b.pt2"'),
        ({"teacher": "3"}, {}, 'teacher: "1" -> "3"'),  # the same path, and another content
        (
            {"teacher": "3", "features": "4"},
            {"teacher": {"path": "/b.pt2"}},
            'teacher.path: "/a/teacher.pt2" -> "/b.pt2"',
        ),
        ({"features": "4"}, {"features": "/b.yaml"}, 'features: "/a/features.yaml" -> "/b.yaml"'),
        ({"space": {}}, {"budget": {"steps": 41, "pool": 600}}, "budget.steps: 40 -> 41"),  # the pool may differ
        ({"space": {"search": {"optimizer.lr": [0.2]}}}, {}, "space.search.optimizer.lr: [0.1] -> [0.2]"),
        ({"space": {}}, {"search": {"x": list(range(99))}}, "search.x: absent -> [0, 1, 2, 3...99"[:24]),
    ],
)
def test_what_differs_is_told_without_what_follows_from_it(mine, now, told):
    found = difference(IDENTITY, IDENTITY | mine, FILES, changed(FILES, **now))
    assert found.startswith(told) and len(found) < 100, found


def test_an_empty_section_is_no_difference_beside_its_keys():
    now = FILES | {"student": {"kind": "mlp"}}
    assert (
        difference(IDENTITY, IDENTITY | {"space": {}}, FILES | {"student": {}}, now) == 'student.kind: absent -> "mlp"'
    )


def test_sampler_and_pruner_are_no_difference():
    now = FILES | {"sampler": "random", "budget": {"steps": 41, "pool": 500}}
    assert difference(IDENTITY, IDENTITY | {"space": {}}, FILES, now) == "budget.steps: 40 -> 41"


def test_reruns_are_a_difference_only_by_the_steps_of_trials():
    before, now = ({**FILES, "study": {"name": "a", "reruns": count}} for count in (0, 2))
    short = difference(IDENTITY | {"space": {}}, IDENTITY | {"space": {"trial_steps": 10}}, before, now)
    assert short == "study.reruns: 0 -> 2 and so other steps of a trial (budget.trial_share sets them)"
    assert difference(IDENTITY, IDENTITY | {"seed": -1}, before, now).startswith("seed: ")


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
