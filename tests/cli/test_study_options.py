"""Options replace what a study file says, and only what they name."""

from dataclasses import replace

import pytest
import yaml
from asked import fails

from dfkd_tune.cli.study_options import Changes, spec_of
from dfkd_tune.errors import FeaturesError, SpecError, TeacherError
from dfkd_tune.search.study_file import read_spec


@pytest.fixture
def file(tmp_path) -> str:
    tree = {"study": {"name": "pump", "trials": 7}, "features": "features.yaml", "budget": {"steps": 40}}
    teacher = {"path": "teacher.safetensors", "architecture": "teacher.yaml"}
    (tmp_path / "pump.yaml").write_text(yaml.safe_dump(tree | {"teacher": teacher}))
    return str(tmp_path / "pump.yaml")


def test_without_options_it_is_the_file(file, tmp_path):
    assert spec_of(file, Changes()) == read_spec(tmp_path / "pump.yaml")
    assert spec_of(None, Changes()).name == "quickstart"


def test_an_option_replaces_what_it_names(file, tmp_path):
    read = read_spec(tmp_path / "pump.yaml")
    given = {"n_trials": 9, "name": "valve", "pareto": "latency", "seed": 0, "timeout": 60.0, "within": 0.05}
    study = replace(read.study, trials=9, name="valve", pareto="latency", seed=0, timeout=60.0, within=0.05)
    assert spec_of(file, Changes(**given)) == replace(read, study=study, seeded=True)
    assert not spec_of(file, Changes(n_trials=9)).seeded


def test_another_teacher_has_neither_the_layers_nor_the_features_of_the_first(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("other.pt2", "own.yaml", "layers.yaml"):
        (tmp_path / name).touch()
    made = spec_of(file, Changes(teacher="other.pt2"))
    assert (made.teacher.path, made.teacher.architecture, made.features) == ("other.pt2", None, None)
    made = spec_of(file, Changes(teacher="other.pt2", features="own.yaml"))
    assert made.features == "own.yaml"
    made = spec_of(file, Changes(architecture="layers.yaml"))
    assert made.teacher.path.endswith("teacher.safetensors") and made.teacher.architecture == "layers.yaml"
    assert made.features is not None


@pytest.mark.parametrize(("teacher", "name"), [("some/net.pt2", "net"), ("package.module:make", "package.module")])
def test_a_teacher_alone_is_a_study(tmp_path, monkeypatch, teacher, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "net.pt2").touch()
    made = spec_of(None, Changes(teacher=teacher))
    assert (made.teacher.path, made.name) == (teacher, name)


@pytest.mark.parametrize("name", ["a/b", "", ".x", "x" * 101])
def test_a_name_that_is_none_is_told(file, name):
    with fails("--name", "must be letters, digits", repr(name), kind=SpecError):
        spec_of(file, Changes(name=name))


@pytest.mark.parametrize(
    ("option", "kind"), [("teacher", TeacherError), ("architecture", TeacherError), ("features", FeaturesError)]
)
def test_a_file_that_an_option_names_is_there(file, option, kind):
    with fails("none.yaml", "no such file", kind=kind):
        spec_of(file, Changes(**{option: "none.yaml"}))


def test_a_share_of_all_is_none(file):
    with fails("--within", "must be below 100%", kind=SpecError):
        spec_of(file, Changes(within=1.5))


@pytest.mark.parametrize(
    ("given", "option", "value"),
    [
        ({"max_queries": 300}, "--max-queries", "300"),
        ({"max_queries": 10**9}, "--max-queries", "1000000000"),
        ({"n_trials": 10**7}, "--n-trials", "10000000"),
        ({"seed": 2**63}, "--seed", str(2**63)),
    ],
    ids=str,
)
def test_a_value_that_the_file_could_not_have_is_refused_by_its_option(file, given, option, value):
    with pytest.raises(SpecError) as refused:
        spec_of(file, Changes(**given))
    assert refused.value.place == option and value in refused.value.rule and "file" not in refused.value.remedy


def test_an_option_that_a_key_of_the_file_excludes_is_refused_by_that_key(file, tmp_path):
    tree = yaml.safe_load((tmp_path / "pump.yaml").read_text())
    (tmp_path / "pump.yaml").write_text(yaml.safe_dump(tree | {"budget": {"pool": 500}}))
    with fails("--max-queries", "leave pool out", "correct the file", kind=SpecError):
        spec_of(file, Changes(max_queries=500))
