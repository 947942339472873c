"""Published figures: pages show one data file, and no measured number beside it."""

import re
from pathlib import Path

import figures
import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
README = ROOT / "README.md"
DIRECTIVE = re.compile(r"\{\{ (\w+) (\w*)[^}]*\}\}")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


class TestPages:
    def test_every_figure_is_shown_and_every_shown_one_is_there(self):
        shown = {
            name for page in PAGES for kind, name in DIRECTIVE.findall(read(page)) if kind in ("table", "value", "cell")
        }
        assert shown == set(figures.load())

    def test_every_value_is_shown(self):
        shown = set(re.findall(r"\{\{ value (\w+ \w+) \}\}", "".join(map(read, PAGES))))
        there = {f"{name} {key}" for name, entry in figures.load().items() for key in entry.get("values", {})}
        assert shown == there

    def test_commands_run_what_there_is(self):
        for name, entry in figures.load().items():
            for file in re.findall(r"[\w/]+\.(?:py|yaml)\b", entry["command"] + " " + entry["budget"]):
                assert (ROOT / file).exists(), (name, file)

    def test_the_data_file_is_as_it_is_written(self):
        """So that a run of a benchmark changes its own lines alone."""
        assert read(figures.FILE) == figures.text(figures.load())


MEASURED = re.compile(r"[<>]? ?\d*\.\d+|\d[\d,]* ?%|\d[\d,]* (?:ns|µs|ms|s|seconds|minutes|kB|MB|GB|times)\b")
"""A decimal fraction, a share, a time, a size or a factor."""
SHOWN = re.compile(
    r"```.*?```|^    [^\n]*$|\{\{.*?\}\}|`[^`\n]*`|\$[^$]*\$|\]\([^)]*\)|<small>.*?</small>", re.DOTALL | re.MULTILINE
)
"""What is no prose: code, directives, equations, addresses."""
DECLARED = {
    "README.md": {"3.11", "2301.04338", "2.0"},
    "docs/index.md": {"2301.04338"},
    "docs/explanation/method.md": {"0.2", "0.3"},
    "docs/explanation/speed.md": {"1 MB"},
    "docs/getting-started/installation.md": {"3.11"},
    "docs/getting-started/own-teacher.md": {"5 %"},
    "docs/guides/black-box.md": {"10 seconds", "2 %", "6 %", "20 %", "40 %"},
    "docs/guides/deployment.md": {"90 s"},
    "docs/guides/export-and-serving.md": {"1 %", "5 %"},
    "docs/guides/features.md": {"0.99999994", "0.99", "0.9999", "80 %"},
    "docs/guides/guarantees.md": {"1 %", "0.5"},
    "docs/guides/many-studies.md": {"95 %"},
    "docs/guides/search-space.md": {"5 %"},
}
"""Page -> numbers that nobody measures: limits and settings of the program, versions, names."""


class TestProse:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
    def test_a_page_holds_no_measured_number_of_its_own(self, page):
        found = {number.strip() for number in MEASURED.findall(SHOWN.sub("", read(page)))}
        assert found == DECLARED.get(page.relative_to(ROOT).as_posix(), set())

    def test_the_rule_finds_numbers(self):
        text = "It takes 12 s, or 0.3 of it; 7 % more, 2 times, `5 ms`, 40 trials, {{ value a b }} %."
        assert MEASURED.findall(SHOWN.sub("", text)) == ["12 s", " 0.3", "7 %", "2 times"]

    def test_the_readme_shows_published_numbers_alone(self):
        known = {part for entry in figures.load().values() for part in numbers(entry)}
        shown = {number.strip() for number in MEASURED.findall(SHOWN.sub("", read(README)))}
        assert {number.removesuffix(" s").removesuffix(" %") for number in shown - DECLARED["README.md"]} <= known

    def test_the_readmes_table_is_the_published_one(self):
        entry = figures.load()["fidelity"]
        columns = [entry["columns"].index(name) for name in ("published direct", "study", "study / published direct")]
        expected = [[name, *(figures.cells(entry, name)[i] for i in columns)] for name in entry["rows"]]
        lines = read(README).partition("## Results")[2].partition("## Limits")[0].splitlines()
        shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][2:]
        assert shown == [row for row in expected if row[0] != "geometric mean"]

    def test_the_readmes_sentences_are_the_published_ones(self):
        known, text = figures.load(), " ".join(read(README).split())
        values, studies = known["fidelity"]["values"], known["handwritten"]["rows"]
        ours, by_hand = (row[0] for row in studies.values())
        told = figures.cells(known["fidelity_mixture"], "study")[-1]
        for sentence in (
            f"`dfkd-tune describe --tier mixture` tells the study of its inputs, it is {told}.",
            f"The geometric mean is {values['geometric_mean']}.",
            f"{values['regret_median_percent']} % of RMSE at the median ({values['regret_range_percent']} %)",
            f"A study of 40 trials takes {ours} s on two cores; one written by hand",
            f"takes {by_hand} s.",
        ):
            assert sentence in text, sentence

    def test_the_readmes_output_is_the_recorded_one(self):
        (block,) = re.findall(r"```text\n(.*?)```", read(README), re.DOTALL)
        recorded = figures.load()["first_study"]["values"]["output"].splitlines()
        assert len(block.splitlines()) > 5 and set(block.splitlines()) <= set(recorded)


def numbers(entry: dict) -> list[str]:
    """All numbers that a page shows of an entry, as text."""
    shown = [cell for name in entry.get("rows", {}) for cell in figures.cells(entry, name)]
    return re.findall(r"\d[\d,.]*", " ".join([*shown, *map(str, entry.get("values", {}).values())]))
