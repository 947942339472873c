"""Names that would be HTML, a link or a formula: shown as their letters wherever MLflow or a page shows them."""

import shlex
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from mlflow import MlflowClient

from dfkd_tune import register
from dfkd_tune.reporting.html_report import report
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study
from dfkd_tune.utils.text.markdown import argument, escaped

HOSTILE = "<img src=x onerror=alert(1)>"
SIGNS = "\\`*_{}[]()#+-.!|~$<>&\"'@:/ abw1\n"


class _Page(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def shown(markdown: str) -> tuple[set[str], str]:
    """Tags and text of a page that takes the HTML in its Markdown."""
    page = _Page()
    page.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))
    return {*page.tags}, page.text


@given(st.text(SIGNS, min_size=1, max_size=30).filter(str.strip))
@settings(max_examples=200, deadline=None)
@example(HOSTILE)
@example("[x](javascript:alert(1))")
@example("`a`**b**__c__~~d~~")
@example("https://www.x.org @me")
def test_a_name_in_a_sentence_is_its_letters(name):
    tags, text = shown(f"Made of {escaped(name)} today")
    assert tags == {"p"} and text.strip() == f"Made of {' '.join(name.split())} today"
    assert "<" not in escaped(name) and "://" not in escaped(name) and "@" not in escaped(name)


def test_ordinary_names_stay_readable():
    assert escaped("teacher-v2.pt2, 12 % (RMSE)") == "teacher-v2.pt2, 12 % (RMSE)"
    assert argument("models:/pump@champion") == "models:/pump@champion"
    assert argument("my teacher.pt2") == "'my teacher.pt2'"


@pytest.mark.parametrize("name", [HOSTILE, "a b", "$(touch x)", "a'b\\c", "a\nb\n<script>", "`x`", "größe<", "\x07"])
def test_an_argument_is_one_word_to_a_shell(name):
    word = argument(name)
    assert "\n" not in word and "<" not in word
    if not word.startswith("$'"):
        assert shlex.split(word) == [name]
    if shell := shutil.which("bash"):
        done = subprocess.run(
            [shell, "-c", f"printf %s {word}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
        )
        assert done.stdout.decode() == name


def test_hostile_names_end_to_end(tree, store, tmp_path, small_teacher):
    """The notes of run and experiment, the description of a version, the report, the figures."""
    teacher = tmp_path / f"{HOSTILE}{Path(small_teacher['path']).suffix}"
    shutil.copy(small_teacher["path"], teacher)
    features = tmp_path / "<b>$features^.yaml"
    features.write_text(yaml.safe_dump({"features": [f"$x^{HOSTILE}", "[a](b)", "**c**"]}))
    spec = parse_spec(
        tree("hostile", trials=2, teacher=small_teacher | {"path": str(teacher)}, features=str(features)), "here"
    )
    done = run_study(prepare(spec), f"sqlite:///{tmp_path}/optuna.db", store.tracking)
    made = MlflowClient(store.tracking)
    registered = register(store.tracking, "hostile", "hostile")
    (parent,) = store.runs("hostile", "study")
    notes = [
        parent.data.tags["mlflow.note.content"],
        made.get_experiment(parent.info.experiment_id).tags["mlflow.note.content"],
        made.get_model_version("hostile", str(registered.version)).description,
    ]
    for note in notes:
        tags, _ = shown(note)
        assert "<" not in note.replace(" < ", "") and not tags & {"img", "b", "script"}
    assert f"matches {teacher.name} with" in shown(notes[0])[1]
    assert teacher.name in shown(notes[1])[1]
    page = report(done.storage_url, store.tracking, "hostile")
    assert HOSTILE not in page and "&lt;img src=x" in page
