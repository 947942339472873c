"""``show``: a study and its trials, best first, in a terminal, a pipe and as JSON."""

import json
import re

import pytest

pytestmark = pytest.mark.usefixtures("undrawn")


def test_a_piped_table_is_not_folded_and_a_recipe_is_plain(dfkd, two):
    ended = dfkd("show", "valve", cwd=two.home)
    lines = ended.out.splitlines()
    rows = lines[lines.index(next(line for line in lines if line.startswith("trial "))) + 1 :]
    numbers = [
        int(row.split()[0])
        for row in rows[: rows.index(next(row for row in rows if row.startswith("all:") or not row.strip()))]
    ]
    assert sorted(numbers) == [0, 1, 2]  # one line a trial
    plain = json.loads(dfkd("show", "valve", "--json", cwd=two.home).out)
    assert all("kind" in trial["attributes"]["recipe"]["generator"] for trial in plain["trials"])


def test_show_takes_the_last_changed(dfkd, two):
    assert dfkd("show", cwd=two.home).out == dfkd("show", "valve", cwd=two.home).out
    assert json.loads(dfkd("show", "--json", cwd=two.home).out)["study"] == "valve"


def test_show(dfkd, store, finished):
    shown = dfkd("show", "finished", *store.options[:2])
    assert shown.status == 0
    assert "6 complete" in shown.out
    assert "untuned baseline: robust " in shown.out
    assert f"promoted: trial {finished.promoted.trial}, the student of run {finished.promoted.run}" in shown.out
    rows = re.findall(r"^ +(\d+) +([\d.e+-]+) +[\d.e+-]+ ", shown.out, re.MULTILINE)
    assert len(rows) == 6
    trials = sorted(store.trials("finished"), key=lambda trial: trial.value)
    assert [int(number) for number, _ in rows] == [trial.number for trial in trials]
    assert [float(value) for _, value in rows] == pytest.approx([t.value for t in trials], rel=1e-3)
    assert int(rows[0][0]) == finished.best[1]

    plain = json.loads(dfkd("show", "finished", "--json", *store.options[:2]).out)
    assert plain["study"] == "finished"
    trials = store.trials("finished")
    assert [t["value"] for t in plain["trials"]] == [t.value for t in trials]
    assert [t["params"] for t in plain["trials"]] == [t.params for t in trials]
    assert {t["state"] for t in plain["trials"]} == {"COMPLETE"}
