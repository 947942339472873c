"""A study as it is told while it runs: redrawn in a terminal, in lines or JSON where there is none; what completes its name."""

import io
import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dfkd_tune.reporting.terminal_progress import BARS, sparkline, view, watch
from dfkd_tune.search.progress import FinishedTrial, Progress, RunningTrial

pytestmark = pytest.mark.usefixtures("undrawn")


def progress(**changes) -> Progress:
    landed = {
        0: FinishedTrial(0, "COMPLETE", 0.5, None),
        1: FinishedTrial(1, "PRUNED", None, "among the worst quarter at step 300"),
    }
    landed[2] = FinishedTrial(2, "COMPLETE", 0.25, None)
    running = [RunningTrial("trial-0003", 300, 6000, 0.125), RunningTrial("trial-0004", 0, 6000, None)]
    known = {
        "done": 2,
        "pruned": 1,
        "running": 2,
        "best": (0.25, 2),
        "baseline": 1.5,
        "share": 0.5,
        "typical": 9.0,
        "seconds": 60.0,
    }
    return Progress(6, **known | {"running_trials": running, "finished_trials": landed, "before": 1} | changes)


def shown(made: Progress, **console) -> str:
    out = Console(file=io.StringIO(), width=120, **console)
    out.print(view("pump", made))
    return out.file.getvalue()


def test_the_view_shows_who_flies_and_who_was_given_up():
    text = shown(progress())
    for needed in (
        "pump",
        "3/6 trials",
        "best 0.25 (trial 2)",
        "1:00 left",
        "2.0 trials a minute",
        "untuned baseline 1.5",
    ):
        assert needed in text
    assert re.search(r"trial-0003 .* step 300 of 6,000 +RMSE 0.125", text)
    assert "trial 1 given up: among the worst quarter at step 300" in text
    assert f"{BARS[-1]}{BARS[0]}" in text
    many = [RunningTrial(f"trial-{n:04d}", 1, 10, None) for n in range(30)]
    assert "and 22 more" in shown(progress(running_trials=many))
    assert shown(Progress(6))  # before anything has happened
    assert "left" not in shown(progress(typical=None))  # before a trial tells what one takes


def test_what_trains_after_the_trials_is_told():
    over = {"done": 5, "running": 0, "running_trials": [], "reruns": (4, 6)}
    assert "re-running leaders 4/6" in shown(progress(**over))
    text = shown(progress(**over | {"reruns": (6, 6), "pruned_students": (3, 14)}))
    assert "training pruned students 3/14" in text and "re-running" not in text


def test_lines_of_pruned_students_are_not_those_of_an_end():
    pipe = io.StringIO()
    over = {"done": 5, "running": 0, "running_trials": [], "reruns": (6, 6)}
    with watch(Console(file=pipe, force_terminal=False, width=100), "pump") as tell:
        tell(progress(**over))
        for count in range(14):
            tell(progress(**over, pruned_students=(count, 14)))
    assert pipe.getvalue().count("\n") == 1


@given(st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=50))
def test_a_sparkline_rises_with_its_values(values):
    line = sparkline(values, width=20)
    assert len(line) == min(20, len(values))
    last = values[-20:]
    for i, low in enumerate(last):
        for j, high in enumerate(last):
            assert (low <= high) <= (BARS.index(line[i]) <= BARS.index(line[j]))


def test_a_terminal_is_redrawn_and_a_pipe_is_not():
    pipe, terminal = io.StringIO(), io.StringIO()
    for file, is_terminal in ((pipe, False), (terminal, True)):
        with watch(Console(file=file, force_terminal=is_terminal, width=100), "pump") as tell:
            tell(progress())
            tell(progress(done=5, running=0, running_trials=[]))
    assert pipe.getvalue().count("\n") == 2 and "\x1b" not in pipe.getvalue()
    assert "\x1b[" in terminal.getvalue() and "trial 1 given up" in terminal.getvalue()


def events(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


def test_json_is_a_line_for_every_event(dfkd, tmp_path, store, tree):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("piped", trials=3, reruns=1)))
    ended = dfkd("study", "study.yaml", "--json", *store.options)
    assert ended.status == 0, ended.err
    told = events(ended.out)
    assert told[0] == {"event": "start", "study": "piped", "trials": 3, "ended": 0}
    landed = [each for each in told if each["event"] == "trial"]
    assert {each["trial"]: each["objective"] for each in landed} == {t.number: t.value for t in store.trials("piped")}
    assert landed[-1]["ended"] == 3
    assert {each["total"] for each in told if each["event"] == "reruns"} == {2}
    (end,) = (each for each in told if each["event"] == "end")
    assert end is not None and told[-1] == end
    (parent,) = store.runs("piped", "study")
    assert end["promoted"]["run"] == parent.data.tags["dfkd.promoted"]
    assert end["report_rmse"] == pytest.approx(parent.data.metrics["certificate/rmse"])

    (tmp_path / "small.yaml").write_text(yaml.safe_dump(tree("piped-small", trials=2, reruns=1, within=0.99)))
    told = events(dfkd("study", "small.yaml", "--json", *store.options).out)
    counts = [each["done"] for each in told if each["event"] == "pruned_students"]
    assert counts and counts == sorted(counts)

    again = events(dfkd("study", "study.yaml", "--json", *store.options).out)
    assert again[0]["ended"] == 3 and not [each for each in again if each["event"] == "trial"]

    quiet = dfkd("study", "study.yaml", "--quiet", *store.options)
    assert quiet.out.startswith("Promoted: trial") and quiet.out.count("\n") == 1
    assert dfkd("study", "study.yaml", "--quiet", "--json", *store.options).status == 2
