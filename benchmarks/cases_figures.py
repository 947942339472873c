"""Reported and true figures of students, by every way that a student leaves: what the tool says of it, and what it does on exact rows."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from cases_lab import RECIPE, Lab, Outcome, agree

TRUTH = Path(__file__).parent / "cases_truth.py"
TEACHERS = {
    "gear_teacher:make": ("levels", "features.yaml"),
    "gear.pt2": ("levels", "features.yaml"),
    "onehot_ignore.skops": ("levels", "features4.yaml"),
    "onehot_error.skops": ("levels", "features4.yaml"),
    "stamp.skops": ("offset", "features.yaml"),
}
"""Teacher -> its folder among the cases and its features file."""
FORMATS = ("pt2", "onnx", "safetensors")
DISTILLED = ["out/student.pt2", "out/student.safetensors"]
RMSE = r"RMSE ([\d.e+-]+)"


@dataclass(frozen=True)
class Figure:
    """One RMSE as a command tells it, and the true one of what it wrote."""

    teacher: str
    said_by: str
    reported: float
    true: float

    @property
    def cells(self) -> tuple[str, ...]:
        good = "yes" if agree(self.reported, self.true) else "no"
        return self.teacher, self.said_by, f"{self.reported:.4g}", f"{self.true:.4g}", good


def placed(lab: Lab, teacher: str) -> str:
    """Copy a case's files beside the commands; its features file."""
    folder, features = TEACHERS[teacher]
    shutil.copytree(lab.cases / folder, lab.here, dirs_exist_ok=True)
    return features


def truth(lab: Lab, teacher: str, students: list[str]) -> dict[str, float]:
    uri = f"sqlite:///{lab.here}/mlruns/mlflow.db"
    ended = lab.run(
        [sys.executable, str(TRUTH), str(lab.cases), teacher, *students], PYTHONPATH="", MLFLOW_TRACKING_URI=uri
    )
    if ended.status:
        raise RuntimeError(ended.last)
    return json.loads(ended.out.splitlines()[-1])


def distilled(lab: Lab, teacher: str) -> Outcome:
    """``distill`` by the preset random, against the student's true figure."""
    features = placed(lab, teacher)
    ended = lab.ask("distill", "--teacher", teacher, "--features", features, "--preset", "random", "--out", "out")
    if ended.status != 0:
        return Outcome(str(ended), False)
    true, reported = truth(lab, teacher, DISTILLED), ended.number(RMSE + " of student.pt2")
    good = all(agree(reported, value) for value in true.values())
    return Outcome(f"exit 0, {ended.seconds:.0f} s: reported {reported:.4g}, true {true[DISTILLED[0]]:.4g}", good)


def figures(lab: Lab, teacher: str) -> list[Figure]:
    """A student distilled; and a study of two trials, its student registered and exported in each format.

    Raises:
        RuntimeError: with the last line of a command that failed.
    """
    features = placed(lab, teacher)
    lab.spec(teacher, features, trials=2, preset="random", search={})
    lab.write("study.yaml", (lab.here / "study.yaml").read_text().replace("bank: 500", "bank: 20000"))
    lab.write("recipe.yaml", yaml.safe_dump(RECIPE))
    given = ("--teacher", teacher, "--features", features, "--recipe", "recipe.yaml")
    commands = {
        "distill": ("distill", *given, "--out", "out"),
        "study": ("study", "study.yaml", "--quiet"),
        "register": ("register", "pump", "--model", "m"),
        **{f"export, {each}": ("export", "pump", "--format", each, "--out", f"x.{each}") for each in FORMATS},
    }
    said = {}
    for name, argv in commands.items():
        ended = lab.ask(*argv)
        if ended.status != 0:
            raise RuntimeError(f"{name}: {ended}")
        said[name] = ended
    shown = json.loads(lab.ask("show", "pump", "--json").out)["attributes"]["promoted"]
    folder = next(lab.here.glob("mlruns/artifacts/pump/*/artifacts/certificate")).parent
    certificate = json.loads((folder / "certificate" / "certificate.json").read_text())
    student = str(folder / "student" / "student.safetensors")
    files = {f"export, {each}": f"x.{each}" for each in FORMATS}
    true = truth(lab, teacher, [*DISTILLED, student, "models:/m@champion", *files.values()])
    found = [
        (f"distill, {Path(each).suffix[1:]}", said["distill"].number(RMSE + " of student.pt2"), each)
        for each in DISTILLED
    ]
    found += [("study", shown["rmse"], student), ("certificate", certificate["report"]["rmse"], "models:/m@champion")]
    found.append(("register", said["register"].number(RMSE), "models:/m@champion"))
    found += [(name, said[name].number(RMSE), file) for name, file in files.items()]
    return [Figure(teacher, name, reported, true[each]) for name, reported, each in found]
