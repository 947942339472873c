"""Cases of teachers: files that should load, and teachers that are hostile or careless."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import time
import zipfile
from contextlib import closing

import yaml
from cases_lab import RECIPE, TEACHER, Ended, Lab, Outcome, told


def elsewhere(lab: Lab) -> Outcome:
    """A model in two files, asked from a folder that holds another model's data under the same name."""
    shutil.copytree(lab.cases / "onnx", lab.here / "model")
    lab.write("recipe.yaml", yaml.safe_dump(RECIPE))
    data = (lab.here / "model" / "wide.onnx.data").read_bytes()

    def asked(out: str) -> Ended:
        return lab.ask("distill", "--teacher", "model/wide.onnx", "--recipe", "recipe.yaml", "--out", out)

    def sha256(out: str) -> str:
        return json.loads((lab.here / out / "result.json").read_text())["teacher_sha256"]

    first = asked("one")
    (lab.here / "wide.onnx.data").write_bytes(bytes(len(data)))
    second = asked("two")
    (lab.here / "model" / "wide.onnx.data").write_bytes(data[:-4] + data[:4])
    third = asked("three")
    if first.status or second.status or third.status:
        return told(next(each for each in (first, second, third) if each.status), False)
    same, apart = sha256("one") == sha256("two"), sha256("one") != sha256("three")
    words = f"a decoy changes the hash: {'no' if same else 'yes'}; its own data do: {'yes' if apart else 'no'}"
    return Outcome(f"{first}; {words}", same and apart)


def loads(lab: Lab, folder: str, teacher: str, *options: str) -> Outcome:
    """``check`` of a study of a teacher's file."""
    shutil.copytree(lab.cases / folder, lab.here, dirs_exist_ok=True)
    if not (lab.here / "features.yaml").exists():
        lab.teacher()
    lab.spec(teacher)
    ended = lab.ask("check", "study.yaml", "--no-estimate", *options)
    line = next((line for line in ended.out.splitlines() if line.startswith("teacher")), ended.last)
    return Outcome(f"exit {ended.status}, {ended.seconds:.0f} s: {line}", ended.status == 0)


def columns(lab: Lab) -> Outcome:
    shutil.copytree(lab.cases / "columns", lab.here, dirs_exist_ok=True)
    lab.spec("pipeline.skops")
    ended = lab.ask("study", "study.yaml", "--quiet")
    return told(ended, ended.status == 0)


def newer(lab: Lab, what: str) -> Outcome:
    import onnx

    shutil.copytree(lab.cases / "onnx", lab.here, dirs_exist_ok=True)
    model = onnx.load(lab.here / "wide.onnx")
    if what == "opset":
        model.opset_import[0].version = 99
    else:
        model.ir_version = 99
    onnx.save(model, lab.here / "new.onnx")
    lab.teacher()
    lab.spec("new.onnx")
    ended = lab.ask("check", "study.yaml", "--no-estimate")
    return told(ended, ended.refused("99", "pset" if what == "opset" else "IR version"))


STATES = """import torch, pickle
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(3, 40), nn.Tanh(), nn.Linear(40, 1)).eval()
state = net.state_dict()
torch.save({"model_state_dict": state, "epoch": 3}, "wrapped.pt")
torch.save({"state_dict": state, "pytorch-lightning_version": "2.0"}, "light.ckpt")
torch.save(torch.optim.swa_utils.AveragedModel(net).state_dict(), "swa.pt")
normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 40)), nn.Tanh(), nn.Linear(40, 1))
torch.save(normed.state_dict(), "normed.pt")
pickle.dump(__import__("sklearn.linear_model").linear_model.Ridge().fit([[0, 0, 0], [1, 2, 3]], [0, 1]), open("m.pickle", "wb"))
"""


def state(lab: Lab, file: str, words: tuple[str, ...] = ()) -> Outcome:
    """Loads; or, with words, is refused with a remedy that fits."""
    lab.python(STATES)
    lab.teacher()
    lab.spec(file)
    tree = yaml.safe_load((lab.here / "study.yaml").read_text())
    if not words:
        lab.write("net.yaml", "layers: [3, 40, 1]\nactivation: tanh\n")
        tree["teacher"] = {"path": file, "architecture": "net.yaml"}
    lab.write("study.yaml", yaml.safe_dump(tree))
    ended = lab.ask("check", "study.yaml", "--no-estimate")
    line = next((line for line in ended.out.splitlines() if line.startswith("teacher")), ended.last)
    return Outcome(f"exit {ended.status}: {line}", ended.refused(*words) if words else ended.status == 0)


COUNTING = (
    TEACHER.replace("def make", "def network")
    + """
def make():
    inner = network()
    def asked(x):
        with open("asked.txt", "a") as file:
            print(len(x), file=file)
        with torch.no_grad():
            return inner(x)
    return asked
"""
)


def teacher_rows(lab: Lab) -> Outcome:
    """The total that ``check`` predicts, beside what a counting teacher was asked."""
    lab.teacher(COUNTING)
    lab.spec(trials=4)
    tree = yaml.safe_load((lab.here / "study.yaml").read_text())
    tree["budget"] = {"steps": 300, "batch": 50, "pool": 2000, "bank": 2000, "teacher_rows": 1000}
    lab.write("study.yaml", yaml.safe_dump(tree))
    checked = lab.ask("check", "study.yaml", "--no-estimate")
    said, counted = checked.number(r"about ([\d,]+) teacher rows in all"), lab.here / "asked.txt"
    by_check = sum(map(int, counted.read_text().split()))
    counted.unlink()
    ended = lab.ask("study", "study.yaml", "--quiet")
    rows = sum(map(int, counted.read_text().split()))
    named = "budget.pool" in checked.out and "budget.bank" in checked.out
    good = ended.status == 0 and named and abs(said / rows - 1) <= 0.05
    return Outcome(f"check says {said:,.0f} and asks {by_check:,} itself; the study asked {rows:,}", good)


HOSTILE = """import os, sys, torch
calls = [0]
def answer(x): return torch.sin(x).sum(1)
def quits(): return lambda x: sys.exit(0)
def late():
    def asked(x):
        calls[0] += 1
        if calls[0] > int(os.environ.get("AFTER", 40)): raise ValueError("first line\\n" + "x" * 5000 + "\\nlast")
        return answer(x)
    return asked
def prints():
    def asked(x):
        print("hello from the teacher")
        return answer(x)
    return asked
def noisy(): return lambda x: answer(x) * (1 + 1e-6 * torch.randn(len(x)))
"""


def hostile(lab: Lab, teacher: str) -> Ended:
    lab.teacher(HOSTILE)
    lab.spec(f"teacher:{teacher}", trials=2)
    return lab.ask("study", "study.yaml", "--json" if teacher == "prints" else "--quiet")


def quits(lab: Lab) -> Outcome:
    ended = hostile(lab, "quits")
    return told(ended, ended.refused("teacher:quits"))


def raises(lab: Lab) -> Outcome:
    ended = hostile(lab, "late")
    return told(ended, ended.status == 1 and "last" in ended.last and len(ended.last) < 1500)


def prints(lab: Lab) -> Outcome:
    ended = hostile(lab, "prints")
    try:
        lines = [json.loads(line) for line in ended.out.splitlines()]
    except ValueError as error:
        return Outcome(f"exit {ended.status}: a line that is no JSON: {error}", False)
    heard = "hello from the teacher" in ended.err
    words = f"exit {ended.status}: {len(lines)} JSON lines; the teacher's on stderr: {'yes' if heard else 'no'}"
    return Outcome(words, ended.status == 0 and bool(lines))


def noisy(lab: Lab) -> Outcome:
    ended = hostile(lab, "noisy")
    return told(ended, ended.status == 0)


def bomb() -> str:
    lists = [f"&a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]" for i in range(9)]
    return f"[{', '.join(lists)}]"


def at_once(lab: Lab, word: str) -> Outcome:
    """``check`` refuses it in less than twice what a command takes to start, on this machine at this time."""
    start = lab.ask("check", "absent.yaml")
    ended = lab.ask("check", "study.yaml", limit=start.seconds + 60)
    return told(ended, ended.refused(word) and ended.seconds < 2 * start.seconds + 5)


def aliases(lab: Lab, where: str) -> Outcome:
    lab.teacher()
    lab.spec()
    if where == "search":
        lab.spec(search={"optimizer.lr": "BOMB"})
        lab.write("study.yaml", (lab.here / "study.yaml").read_text().replace("BOMB", bomb()))
    else:
        lab.write("features.yaml", f"features: [a, b, {{name: c, levels: {bomb()}}}]\n")
    return at_once(lab, "study.yaml" if where == "search" else "features.yaml")


def large_features(lab: Lab) -> Outcome:
    lab.teacher()
    lab.spec()
    with (lab.here / "features.yaml").open("w") as file:
        file.write("features:\n")
        for _ in range(190):
            file.write("- {name: a, mean: 0.000, std: 1.000}\n" * 27_000)
    return at_once(lab, "features.yaml")


def unfolding(lab: Lab) -> Outcome:
    lab.teacher()
    with zipfile.ZipFile(lab.here / "m.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", "{}")
        for i in range(88):
            archive.writestr(f"{i}.npy", bytes(100_000_000 if i < 5 else 10_000_000))
    lab.spec("m.skops")
    return at_once(lab, "m.skops")


JOBLIB = """from dfkd_tune import Distillation
def made(**more): return Distillation("pipeline.joblib", features="features.yaml", steps=200, **more)
try:
    made()
except Exception as error:
    print(error)
made(trust_pickle=True)
print("loads with trust_pickle=True")
"""


def joblib(lab: Lab) -> Outcome:
    shutil.copytree(lab.cases / "columns", lab.here, dirs_exist_ok=True)
    ended = lab.python(JOBLIB)
    first = ended.out.splitlines()[0] if ended.out else ended.last
    good = ended.status == 0 and "trust_pickle=True" in first and "--trust-pickle" not in first
    return Outcome(f"exit {ended.status}: {first}; {ended.last}", good)


SLOW = """import os, time, torch
def make():
    def asked(x):
        time.sleep(float(os.environ["NAP"]))
        return torch.sin(x).sum(1)
    return asked
"""


def slow_check(lab: Lab) -> Outcome:
    lab.teacher(SLOW)
    lab.spec()
    ended = lab.ask("check", "study.yaml", "--no-estimate", NAP="5")
    line = next((line for line in ended.err.splitlines() if "waiting" in line), "not a word")
    return Outcome(f"exit {ended.status}, {ended.seconds:.0f} s: {line}", "waiting for the teacher" in line)


def late_worker(lab: Lab) -> Outcome:
    """A study of one trial is at work with a slow teacher while a worker joins."""
    lab.teacher(SLOW)
    lab.spec(trials=1)
    lab.write("study.yaml", (lab.here / "study.yaml").read_text().replace("steps: 300", "steps: 20000"))
    first = lab.start(
        [sys.executable, "-m", "dfkd_tune", "study", "study.yaml", "--json", "--workers", "1"], NAP="0.05"
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and not _trials(lab):
        time.sleep(0.5)
    ended = lab.ask("worker", "pump", "--storage", "sqlite:///mlruns/optuna.db", limit=60, NAP="0.05")
    lab.stop(first)
    said = (ended.out + ended.err).splitlines()
    line = next((line.strip() for line in said if "waiting" in line), f"not a word of waiting: {ended.last}")
    return Outcome(line, line.startswith("waiting"))


def _trials(lab: Lab) -> bool:
    try:
        with closing(sqlite3.connect(f"file:{lab.here}/mlruns/optuna.db?mode=ro", uri=True)) as there:
            return bool(there.execute("SELECT 1 FROM trials WHERE state = 'RUNNING'").fetchone())
    except sqlite3.OperationalError:
        return False
