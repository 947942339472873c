"""A package of somebody else's, installed into a fresh environment: its kinds are checked, searched, recorded, replayed and exported."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import torch
import yaml
from processes import asking
from safetensors.torch import save_file

from dfkd_tune.generators.base import Generator
from dfkd_tune.utils.plugins import Registry

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "plugin"
MISTAKES = {
    "plain": "tiny_kinds.mistakes:Plain",
    "raises": "tiny_kinds.mistakes:Raises",
    "misshapen": "tiny_kinds.mistakes:Misshapen",
    "broken": "tiny_kinds.nowhere:Ring",
    "wrong": "tiny_kinds.gap_bound:Quartic",
    "gaussian": "tiny_kinds.generator:Ring",
}


WRONG = """
from dfkd_tune.generators.base import BlockGenerator, StepGenerator
from dfkd_tune.utils.strategy import strategy

class Plain(BlockGenerator):
    def engine(self, features, seed): ...
    def block(self, inputs, steps, rows, engine): ...

@strategy
class Raises(StepGenerator):
    @staticmethod
    def sample(h, state, context):
        raise KeyError("oops")

@strategy
class Misshapen(StepGenerator):
    @staticmethod
    def sample(h, state, context):
        return context.origin[..., :1]
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """The Python of a fresh environment that has the package, and sees what this one has."""
    folder = tmp_path_factory.mktemp("plugins")
    package = Path(shutil.copytree(EXAMPLE, folder / "tiny-kinds"))
    text, ring = (package / "pyproject.toml").read_text(), 'ring = "tiny_kinds.generator:Ring"\n'
    mistakes = "".join(f'{name} = "{value}"\n' for name, value in MISTAKES.items())
    (package / "pyproject.toml").write_text(text.replace(ring, ring + mistakes))
    venv.create(folder / "env", symlinks=True)
    (site,) = (folder / "env").glob("lib/*/site-packages")
    (site / "here.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    python = folder / "env" / "bin" / "python"
    quiet = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    (package / "tiny_kinds" / "mistakes.py").write_text(WRONG)
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", *quiet, str(package)]
    subprocess.run(install, check=True, capture_output=True, text=True)
    return python


@pytest.fixture(scope="module")
def ask(environment, tmp_path_factory):
    """The command line of that environment, in a folder with a teacher of the package's own format."""
    folder = tmp_path_factory.mktemp("study")
    save_file({"weight": torch.randn(3, 1, generator=torch.Generator().manual_seed(0))}, folder / "teacher.flat")
    tree = {
        "study": {"name": "own", "trials": 2, "seed": 0, "population": 2, "reruns": 0},
        "teacher": "teacher.flat",
        "budget": {"steps": 40, "batch": 20, "pool": 500, "bank": 200},
        "preset": "paper",
        "search": {
            "generator.kind": ["ring", "direct"],
            "generator.radius": {"low": 0.5, "high": 2.0},
            "bound.kind": ["quartic"],
            "student.kind": ["sine"],
        },
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(tree))

    lean = {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    env = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | lean
    with asking(environment, folder, env) as run:
        yield run


def done(ended: subprocess.CompletedProcess) -> str:
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_kinds_of_an_installed_package_are_as_good_as_our_own(ask):
    checked = done(ask("-m", "dfkd_tune", "check", "study.yaml", "--no-estimate"))
    assert "tiny-kinds 1.2: " in checked.replace("\n", " ") and "ring (generators)" in checked and "ring" in checked
    done(ask("-m", "dfkd_tune", "study", "study.yaml", "--quiet"))
    shown = json.loads(done(ask("-m", "dfkd_tune", "show", "own", "--json")))
    assert {each["params"]["generator.kind"] for each in shown["trials"]} == {"ring", "direct"}
    look = "import mlflow, json; runs = mlflow.MlflowClient('sqlite:///mlruns/mlflow.db'); "
    look += (
        "found = runs.search_runs([runs.get_experiment_by_name('own').experiment_id], \"tags.`dfkd.kind` = 'trial'\"); "
    )
    look += "print(json.dumps([[r.info.run_id, r.data.params, r.data.tags] for r in found]))"
    runs = json.loads(done(ask("-c", look)).splitlines()[-1])
    assert {params["bound.kind"] for _, params, _ in runs if params["generator.kind"] == "direct"} == {"quartic"}
    assert all(params["student.kind"] == "sine" for _, params, _ in runs)
    ring = next(run for run, params, _ in runs if params["generator.kind"] == "ring")
    assert all('"tiny-kinds": "1.2"' in tags["dfkd.versions"] for *_, tags in runs)
    again = done(ask("-m", "dfkd_tune", "distill", "--run", ring, "--out", "again"))
    assert "differ" in again or "same" in again, again
    assert "wrote" in done(ask("-m", "dfkd_tune", "export", "own", "--format", "script", "--out", "own.ts"))
    done(ask("-c", "import torch; assert torch.jit.load('own.ts')(torch.zeros(2, 3)).shape == (2, 1)"))


def test_laws_are_there_to_be_imported(ask):
    laws = "check_generator('ring'); check_gap_bound('quartic'); check_student('sine'); check_export('script')"
    laws += (
        "; import torch, pathlib; from safetensors.torch import load_file"
        "; weight = load_file('teacher.flat')['weight']; model = torch.nn.Sequential(torch.nn.Linear(3, 1, False), torch.nn.Tanh())"
        "; model[0].weight.data = weight.T; check_teacher_format(pathlib.Path('teacher.flat'), model, 3)"
    )
    done(ask("-c", f"from dfkd_tune.testing import *; {laws}"))


def test_a_broken_kind_hurts_who_asks_for_it_alone(ask, environment):
    for kind, words in {
        "broken": "cannot be imported: ModuleNotFoundError",
        "wrong": "must name a subclass of Generator",
    }.items():
        code = f"from dfkd_tune.recipes.recipe import from_tree; from_tree({{'generator': {{'kind': '{kind}'}}}})"
        ended = ask("-c", code)
        last = ended.stderr.strip().splitlines()[-1]
        assert f"entry point '{kind}' of dfkd_tune.generators, in tiny-kinds 1.2: {words}" in last
    (folder := environment.parents[2] / "wrong").mkdir()
    for kind, words in {
        "raises": "plug-in tiny-kinds 1.2: raised KeyError: 'oops'",
        "misshapen": "plug-in tiny-kinds 1.2: generator Misshapen must draw floating-point rows of shape (1, 10, 3), drew (1, 10, 1)",
    }.items():
        recipe = folder / f"{kind}.yaml"
        recipe.write_text(f"generator: {{kind: {kind}}}\nsteps: 40\nbatch: 20\n")
        ended = ask("-m", "dfkd_tune", "distill", "--teacher", "teacher.flat", "--recipe", str(recipe), "--out", "no")
        assert ended.returncode == 1 and words in ended.stderr, ended.stderr
    code = "from dfkd_tune.generators.kinds import GENERATORS; print(GENERATORS['gaussian'].__module__)"
    assert done(ask("-c", code)).strip() == "dfkd_tune.generators.gaussian"  # our own name is ours


def test_an_unknown_kind_is_no_plug_in():
    registry = Registry("generators", Generator, {})
    assert "nobody" not in registry
    with pytest.raises(KeyError):
        registry["nobody"]
