"""Cases of what is kept and told: studies' stores, MLflow, tables, registered and exported students."""

from __future__ import annotations

import http.server
import json
import os
import tempfile
import threading
from pathlib import Path

import yaml
from cases_lab import Ended, Lab, Outcome, told


def foreign(lab: Lab) -> Outcome:
    lab.teacher()
    lab.spec()
    made = lab.python((lab.cases / "foreign" / "make.py").read_text())
    asked = [lab.ask(*argv) for argv in (["study", "study.yaml"], ["show", "pump"], ["report", "pump"])]
    good = made.status == 0 and all(each.refused("not made by dfkd-tune", "take another name") for each in asked)
    return told(asked[0], good)


def small_study(lab: Lab, *options: str, folder: str = ".", **env: str) -> Ended:
    inner = Lab(lab.here / folder, lab.cases)
    inner.here.mkdir(exist_ok=True)
    inner.teacher()
    inner.spec()
    return inner.ask("study", "study.yaml", "--quiet", *options, **env)


def quoted_folder(lab: Lab) -> Outcome:
    ended = small_study(lab, folder="My%20Project")
    return told(ended, ended.status == 0 and (lab.here / "My%20Project/mlruns/optuna.db").exists())


def with_timeout(lab: Lab) -> Outcome:
    ended = small_study(lab, "--storage", "sqlite:///o.db?timeout=60")
    shown = lab.ask("show", "pump", "--storage", "sqlite:///o.db?timeout=60")
    return told(ended, ended.status == shown.status == 0 and (lab.here / "o.db").exists())


def address(lab: Lab, words: tuple[str, ...], storage: str | None = None, tracking: str | None = None) -> Outcome:
    """An address that cannot be used is refused before anything is written, with what to write."""
    ended = small_study(
        lab, *(("--storage", storage) if storage else ()), **({"MLFLOW_TRACKING_URI": tracking} if tracking else {})
    )
    return told(ended, ended.refused(*words) and not (lab.here / "mlruns" / "spool").exists())


PREDICT = """import mlflow, pandas as pd
model = mlflow.pyfunc.load_model("models:/m@champion")
frame = pd.DataFrame({"a": [1, 2, 3], "b": [True, False, True], "c": pd.array([1, 2, 3], dtype="Int64")})
plain = model.predict(frame.astype(float))
print(abs(pd.DataFrame(model.predict(frame)).to_numpy() - pd.DataFrame(plain).to_numpy()).max())
"""


def frames(lab: Lab) -> Outcome:
    small_study(lab)
    registered = lab.ask("register", "pump", "--model", "m")
    ended = lab.python(PREDICT, MLFLOW_TRACKING_URI=f"sqlite:///{lab.here}/mlruns/mlflow.db")
    good = registered.status == ended.status == 0 and float(ended.last) == 0
    return Outcome(f"exit {ended.status}: answers that differ from those to doubles by {ended.last}", good)


def described(lab: Lab, file: str, options: tuple[str, ...], words: tuple[str, ...]) -> Outcome:
    """``describe`` of a table is read as it was written, or refused by words that name the option."""
    ended = lab.ask(
        "describe",
        lab.cases / "tables" / file,
        "-o",
        "f.yaml",
        "--target",
        "2021" if "numeric" in file else "y",
        *options,
    )
    if words:
        return told(ended, ended.refused(*words))
    if ended.status != 0:
        return told(ended, False)
    names = [each["name"] for each in yaml.safe_load((lab.here / "f.yaml").read_text())["features"]]
    return Outcome(
        f"exit 0: features {', '.join(map(str, names))}", [*map(str, names)] in (["age", "load"], ["2019", "2020"])
    )


def int8(lab: Lab) -> Outcome:
    lab.teacher()
    lab.spec(preset="random", search={}, student={"max_parameters": 337})
    lab.ask("study", "study.yaml", "--quiet")
    ended = lab.ask("export", "pump", "--format", "onnx", "--precision", "int8", "--within", "500%", "--out", "x.onnx")
    plain = lab.ask("export", "pump", "--format", "onnx", "--out", "plain.onnx")
    if ended.status or plain.status:
        return told(ended if ended.status else plain, False)
    beside = next(lab.here.glob("x*.json")), next(lab.here.glob("x*.html"))
    said = json.loads(beside[0].read_text())["student"]["parameters"]
    shown = json.loads(lab.ask("show", "pump", "--json").out)
    width = {each["parameters"] for each in _dicts(shown) if isinstance(each.get("parameters"), int | float)}
    sizes = [(lab.here / name).stat().st_size for name in ("x.onnx", "plain.onnx")]
    warned = "leave --precision out" in ended.err
    good = said in width and f"{said:,}" in beside[1].read_text() and warned == (sizes[0] > sizes[1])
    words = f"certificate says {said} parameters, the study {sorted(width)}; {sizes[0]} bytes beside {sizes[1]}"
    return Outcome(f"{words}, {'warned' if warned else 'not warned'}", good)


def _dicts(tree):
    if isinstance(tree, dict):
        yield tree
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _dicts(each)


BAD = "<img src=x onerror=alert(1)>"


def escaped(lab: Lab) -> Outcome:
    lab.teacher()
    lab.write(
        "features.yaml", yaml.safe_dump({"features": [{"name": n, "mean": 0, "std": 1} for n in (BAD, "b", "c")]})
    )
    lab.python(f"import torch, teacher\ntorch.jit.trace(teacher.make(), torch.ones(2, 3)).save({BAD + '.pt'!r})")
    lab.spec(f"{BAD}.pt")
    ended, reported = lab.ask("study", "study.yaml", "--quiet"), lab.ask("report", "pump")
    if ended.status or reported.status:
        return told(ended if ended.status else reported, False)
    notes = lab.python(
        "import mlflow\nclient = mlflow.MlflowClient()\n"
        "for each in client.search_experiments():\n"
        "    print(each.tags.get('mlflow.note.content', ''))\n"
        "    for run in client.search_runs([each.experiment_id]):\n"
        "        print(run.data.tags.get('mlflow.note.content', ''))\n",
        MLFLOW_TRACKING_URI=f"sqlite:///{lab.here}/mlruns/mlflow.db",
    )
    pages = [*lab.here.rglob("*.html"), *lab.here.rglob("*.md")]
    raw = [page.name for page in pages if "<img src=x" in page.read_text()] + ["a note"] * ("<img src=x" in notes.out)
    good = not raw and "img src" in notes.out and len(pages) > 1
    return Outcome(f"exit 0, {len(pages)} pages and the notes: raw in {', '.join(raw) or 'none'}", good)


def damaged(lab: Lab) -> Outcome:
    small_study(lab)
    file = lab.here / "mlruns" / "optuna.db"
    data = bytearray(file.read_bytes())
    data[len(data) // 3 : 2 * len(data) // 3] = b"junk" * (len(data) // 12)
    for part in ("-wal", "-shm"):
        Path(f"{file}{part}").unlink(missing_ok=True)
    file.write_bytes(data)
    asked = [lab.ask(*argv) for argv in (["show", "pump"], ["report", "pump"], ["study", "study.yaml"])]
    return told(asked[0], all(each.refused("optuna.db", "damaged") for each in asked))


def read_only(lab: Lab) -> Outcome:
    """As somebody whom permissions bind: root gives up the capabilities that pass them by."""
    small_study(lab)
    prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-chown,-fowner") if os.getuid() == 0 else ()
    paths = [lab.here / "mlruns", *(lab.here / "mlruns").rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    with tempfile.TemporaryDirectory() as out:
        argv = (
            ["show", "pump"],
            ["report", "pump", "--out", f"{out}/r.html"],
            ["export", "pump", "--out", f"{out}/x.pt2"],
        )
        asked = [lab.ask(*each, prefix=prefix) for each in argv]
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)
    words = "; ".join(f"{argv[0]} exit {each.status}" for argv, each in zip(argv, asked, strict=True))
    return Outcome(f"{words}: {asked[-1].last}", all(each.status == 0 for each in asked))


def deleted(lab: Lab) -> Outcome:
    small_study(lab)
    uri = f"sqlite:///{lab.here}/mlruns/mlflow.db"
    lab.python(
        "import mlflow\nclient = mlflow.MlflowClient()\n"
        "client.delete_experiment(client.get_experiment_by_name('pump').experiment_id)",
        MLFLOW_TRACKING_URI=uri,
    )
    refused, synced = lab.ask("register", "pump", "--model", "m"), lab.ask("sync", "pump")
    after = lab.ask("register", "pump", "--model", "m")
    good = refused.refused("deleted", "sync pump") and synced.status == after.status == 0 and "restored" in synced.out
    return Outcome(f"register: {refused}; sync: {synced}", good)


class Starting(http.server.BaseHTTPRequestHandler):
    """A server that says it is well, and is not ready for anything else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *arguments) -> None:
        pass


def starting(lab: Lab) -> Outcome:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Starting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    uri = f"http://127.0.0.1:{server.server_address[1]}"
    empty = lab.ask("export", "pump", "--out", "x.pt2", "--tracking-uri", "nothing://")  # what a start takes alone
    ended = lab.ask("register", "pump", "--model", "m", "--tracking-uri", uri)
    server.shutdown()
    took = ended.seconds - empty.seconds
    return Outcome(f"{ended} ({took:.0f} s beyond the command's start)", ended.refused(uri) and took <= 10)


def twice(lab: Lab) -> Outcome:
    small_study(lab)
    argv = ("register", "pump", "--model", "m", "--trial", "0")
    first, second = lab.ask(*argv), lab.ask(*argv, "--alias", "second")
    versions = [each.number(r"version (\d+)") for each in (first, second)]
    return told(second, first.status == second.status == 0 and versions == [1, 1])
