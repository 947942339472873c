"""``check``: it draws the search space, estimates time and memory, and takes a teacher as ``study`` does."""

import json
import re

import pytest
import yaml
from asked import files_of
from costly import LOG, asked, costly_tree

from dfkd_tune.utils.given.totals import LEAST

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def log(tmp_path, monkeypatch):
    file = tmp_path / "asked.txt"
    monkeypatch.setenv(LOG, str(file))
    return file


DECLARED = yaml.safe_dump({"features": [{"name": name, "mean": 1.0, "std": 2.0} for name in "abc"]})


def test_check_takes_a_teacher_as_study_does(dfkd, tmp_path, small_teacher):
    given = ["--teacher", small_teacher["path"], "--architecture", small_teacher["architecture"]]
    ended = dfkd("check", *given, "--no-estimate")
    assert ended.status == 0, ended.err
    assert "3 features, 1 output" in ended.out and "tier T0" in ended.out
    (tmp_path / "features.yaml").write_text(DECLARED)
    declared = dfkd("check", *given, "--features", "features.yaml", "--no-estimate")
    assert declared.status == 0 and "tier T0" not in declared.out
    assert files_of(tmp_path) == {"features.yaml"}


def test_check_takes_the_options_that_change_a_study(dfkd, tmp_path, small_teacher):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"study": {"name": "p"}, "teacher": small_teacher}))
    ended = dfkd("check", "study.yaml", "--n-trials", 9, "--pareto", "--seed", 5, "--name", "pump", "--no-estimate")
    assert ended.status == 0, ended.err
    assert re.search(r"pump: 9 trials .*, seed 5, objective robust against parameters", ended.out)


@pytest.mark.parametrize(
    ("given", "preset"),
    [
        ({}, "no limit; preset shallow, the default here"),
        ({"student": {"max_parameters": 6}}, "at most 6 parameters; preset shallow, the default here"),
        ({"student": {"max_parameters": 6}, "preset": "paper"}, "at most 6 parameters; preset paper\n"),
    ],
    ids=["default", "limit", "named"],
)
def test_check_names_the_preset(dfkd, tmp_path, small_teacher, given, preset):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"study": {"name": "p"}, "teacher": small_teacher} | given))
    ended = dfkd("check", "study.yaml", "--no-estimate")
    assert ended.status == 0, ended.err
    assert preset in ended.out


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({}, "each for up to 8 re-runs and the baseline,"),
        ({"trials": 2}, "each for up to 6 re-runs and the baseline,"),
        ({"reruns": 0}, "each for the baseline,"),
        ({"within": "5%"}, "each for up to 8 re-runs and up to 24 pruned students and the baseline,"),
    ],
)
def test_check_counts_the_students_that_train_all_steps(dfkd, tmp_path, small_teacher, about, told):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"study": {"name": "c"} | about, "teacher": small_teacher}))
    ended = dfkd("check", "study.yaml", "--no-estimate")
    assert ended.status == 0 and told in ended.out, ended.out


def test_check_draws_the_space_and_tells_what_it_takes(dfkd, tmp_path, tree):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("checked", trials=7)))
    ended = dfkd("check", "study.yaml")
    assert ended.status == 0, ended.err
    assert re.search(r"^time +about \d+:\d\d of training", ended.out, re.MULTILINE)
    assert re.search(r"^memory +about [\d,]+ MiB", ended.out, re.MULTILINE)
    drawn = re.sub(r"[│├└─ ]+", " ", ended.out)
    assert (
        "\n bound (adversarial, direct)\n kind none, clip, target\n threshold 0.02 to 2, logarithmic (clip, target)\n"
        in drawn
    )
    assert drawn.index(" generator\n kind ") < drawn.index(" bound (adversarial, direct)")
    assert "\x1b" not in ended.out
    assert {path.name for path in tmp_path.iterdir()} == {"study.yaml"}
    assert "\ntime " not in dfkd("check", "study.yaml", "--no-estimate").out
    (tmp_path / "nothing.yaml").write_text(yaml.safe_dump(tree("nothing", search={})))
    assert "search: nothing, the preset as it is" in dfkd("check", "nothing.yaml", "--no-estimate").out


def test_check_tells_what_more_knowledge_would_buy(dfkd, tmp_path, tree):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("buying")))
    printed = dfkd("check", "study.yaml")
    assert printed.status == 0, printed.err
    (line,) = (line for line in printed.out.splitlines() if line.startswith("knowledge"))
    assert "--tier quantiles -o features.yaml" in line and re.search(r"about \d+ % of the error", line)
    told = json.loads(dfkd("check", "study.yaml", "--json").out)
    gain = told["knowledge"]
    assert gain["tier"] == "quantiles" and gain["low"] < gain["share"] < gain["high"] and gain["teacher_rows"] > 0
    assert gain["command"] in line and told["search"] and "tier T0" in told["inputs"]
    assert json.loads(dfkd("check", "study.yaml", "--json", "--no-estimate").out)["knowledge"] is None


def test_check_asks_no_row_to_tell_it_of_a_teacher_whose_rows_are_counted(dfkd, tmp_path, tree):
    (tmp_path / "features.yaml").write_text(DECLARED)
    made = tree("dear", preset="few_queries", search={}, features="features.yaml") | {
        "budget": {"steps": 40, "batch": 20}
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(made))
    before = dfkd("check", "study.yaml", "--max-queries", 600, "--no-estimate")
    ended = dfkd("check", "study.yaml", "--max-queries", 600)
    assert ended.status == 0, ended.err
    assert "knowledge not estimated, as an estimate would ask for rows, which are counted" in ended.out
    asked = [re.search(r"this check asked ([\d,]+) more", each.out)[1] for each in (before, ended)]
    assert asked[0] == asked[1]


def test_check_tells_why_a_committee_of_the_file_labels_nothing(dfkd, tmp_path, tree):
    (tmp_path / "features.yaml").write_text(DECLARED)
    more = {"preset": "few_queries", "search": {}, "features": "features.yaml", "budget": {"steps": 40, "batch": 20}}
    nothing = "the committee labels nothing: "
    cases = [(10, 1, nothing + "trials share"), (600, 0, nothing + "study.reruns is 0"), (600, 1, "best trials label")]
    for most, reruns, told in cases:
        made = tree("labeled", reruns=reruns) | more | {"assistant": {"kind": "committee", "most_answered": most}}
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(made))
        ended = dfkd("check", "study.yaml", "--max-queries", 600)
        assert ended.status == 0, ended.err
        assert told in " ".join(ended.out.split())


def test_check_refuses_to_estimate_within_a_total_and_asks_nothing(dfkd, log, tmp_path):
    (tmp_path / "costly.yaml").write_text(yaml.safe_dump(costly_tree("costly-timed", tmp_path, None)))
    for given in (["--max-queries", 600, "--estimate"], ["--estimate", "--max-queries", 600]):
        ended = dfkd("check", "costly.yaml", *given)
        assert ended.status == 1 and asked(log) == 0
        (line,) = ended.err.strip().splitlines()
        assert "--estimate: asks" in line and "a total of 600 queries" in line and "leave --estimate out" in line


def test_check_tells_what_a_total_may_be(dfkd, tmp_path):
    assert f"at least {LEAST}" in " ".join(dfkd("check", "--help").out.split())
    for value in ("abc", LEAST - 1):
        ended = dfkd("check", "--max-queries", value)
        assert ended.status == 2 and "'--max-queries'" in ended.err and f"{value}' is not" in ended.err
