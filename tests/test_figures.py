"""Published figures: one data file that benchmarks write and pages show, and no measured number beside it."""

import argparse
import importlib
import re
from itertools import product
from pathlib import Path

import figures
import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
README = ROOT / "README.md"
DIRECTIVE = re.compile(r"\{\{ (\w+) (\w*)[^}]*\}\}")
DATASETS = ("compactiv", "cpusmall", "mv", "pole", "puma32h")
PUBLISHED = {name: {"random": 0.06, "direct_decreasing": 0.05} for name in DATASETS}


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
    "docs/guides/black-box.md": {"10 seconds"},
    "docs/guides/deployment.md": {"90 s"},
    "docs/guides/export-and-serving.md": {"5 %"},
    "docs/guides/features.md": {"0.99999994"},
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


def studies(width: int, tier: str) -> dict:
    """A run of ``fidelity.py``, two seeds."""
    rows = [
        {"dataset": name, "seed": seed, "tier": "T0" if tier == "none" else "T4", "paper": 0.1, "best": best}
        | {"regret": 0.25, "correlation": 0.5, "trials": [{"real": 0.02}]}
        for name in DATASETS
        for seed, best in enumerate((0.02, 0.03))
    ]
    given = argparse.Namespace(tier=tier, width=width, seeds=[0, 1], trials=3, steps=1_000)
    return importlib.import_module("fidelity").entries(rows, PUBLISHED, given)


def ablation(width: int, *tiers: str, only: str = "VARIANTS") -> dict:
    ablation = importlib.import_module("ablation")
    variants = getattr(ablation, only)
    rows = [
        {"dataset": name, "variant": variant, "tier": tier, "seed": seed, "ratio": 0.5 + seed / 10, "prior": 0.1}
        for name in DATASETS
        for variant in (variants if only == "VARIANTS" else variants.values())
        for tier in tiers
        for seed in (0, 1)
    ]
    return ablation.entries(rows, argparse.Namespace(width=width, tiers=[*tiers], seeds=[0, 1], steps=1_000))


def choosing() -> dict:
    module = importlib.import_module("choosing")
    found = {rule: {name: (0.9, 0.1) for name in DATASETS} for rule in (module.ROBUST, module.GROWN)}
    given = [argparse.Namespace(seed=0, students=4, steps=1_000, space=space) for space in ("wide", "default")]
    return module.entries(found, given[0]) | module.entries(found, given[1])


def constants() -> dict:
    """Of two settings, the second is better for all tables but the first one, for which the others choose it all the same."""
    module = importlib.import_module("privacy_constants")
    names = [module.SHIPPED, *(words for words, *_ in module.settings())]
    ratios = [dict.fromkeys(names, 0.5) | {names[1]: 0.9 if table == DATASETS[0] else 0.4} for table in DATASETS]
    found = {f"{table}|{seed}": each for table, each in zip(DATASETS, ratios, strict=True) for seed in (0, 1)}
    assert module.rows_of(*module.table_of(found))[module.CHOSEN][0] == pytest.approx(0.9)
    return module.entries(found, argparse.Namespace(seeds=[0, 1], steps=1_000))


def inversion() -> dict:
    """Of one table, every recipe has half the error of the reference."""
    module = importlib.import_module("inversion")
    names = [f"{name}, {prior}" for prior in module.PRIORS for name in module.VARIANTS]
    found = {f"{table}|{seed}": dict.fromkeys(names, 0.2) | {names[0]: 0.4} for table in DATASETS for seed in (0, 1)}
    assert module.rows_of(found)[names[1]] == [pytest.approx([0.5, 0.0])] * (len(DATASETS) + 1)
    return module.entries(found, argparse.Namespace(seeds=[0, 1], steps=1_000))


def evidence() -> dict:
    """Two recipes: the better objective has the worse student on real rows."""
    module = importlib.import_module("evidence")
    told = [(0, "trial-0000", 0.1, 0.3), (0, "rerun-0000-1", 0.12, 0.2), (1, "trial-0001", 0.2, 0.1)]
    found = [dict(zip(("recipe", "name", "objective", "real"), one, strict=True)) for one in told]
    assert module.regrets(found).keys() == module.RULES.keys()
    assert module.regrets(found)["the best trial"] == pytest.approx(200.0)
    given = argparse.Namespace(seeds=[0], trials=3, steps=1_000)
    return module.entries({f"{name}|0": found for name in DATASETS}, given)


def teachers() -> dict:
    module = importlib.import_module("teachers")
    rows = [
        {"kind": kind, "dataset": name, "ratio": 0.5, "baseline": 0.2, "best_trial_in_hindsight": 0.1}
        for kind in module.TEACHER_DEFAULTS
        for name in ("compactiv", "pole")
    ]
    given = argparse.Namespace(seed=0, trials=3, steps=1_000, datasets=["compactiv", "pole"])
    return module.entries(rows, given)


def paper() -> dict:
    module = importlib.import_module("paper")
    cells = {method: {"mean": 0.1 * (i + 1), "std": 0.01} for i, method in enumerate(module.COLUMNS)}
    published = {str(width): {name: cells for name in DATASETS} for width in (25, 50)}
    rows = [
        {"width": width, "dataset": name, "method": method, "seed": seed, "rmse_labels": cells[method]["mean"] + away}
        for width in (25, 50)
        for name in DATASETS
        for method in module.COLUMNS
        for seed, away in ((1, 0.001), (2, 0.1 if (width, name, method) == (25, "mv", "random") else 0.002))
    ]
    return module.entries(rows, published, argparse.Namespace(checkpoints=400))


def speed() -> dict:
    module = importlib.import_module("speed_figures")
    loops = [{"loop": "plain", "seconds": 6.66, "faster": None}]
    loops += [{"loop": f"K = {k}", "seconds": 0.31, "faster": 21.5} for k in (1, 4, 8, 16)]
    step = {
        "step": 1e-4,
        "ratio": 2.0,
        "floor_seconds": 5e-5,
        "floor_flops": 2e6,
        "floor_activations": 6,
        "floor_bytes": 1e6,
    }
    found = {
        "trial": [{"method": method} | loop for method in module.METHODS for loop in loops],
        "floor": [{"members": k} | step for k in (1, 4, 8, 16)],
        "study": {
            "faster": 12.0,
            "rounds": [{"faster": 12.0} | {who: {"seconds": 40, "best": 0.01} for who in ("handwritten", "own")}],
        },
        "quickstart": {"seconds": 56.2, "peak_bytes": 1.5e9},
        "overhead": {
            "trials": 200,
            "own_milliseconds": 270.0,
            "parts": {part: {"milliseconds": 20.0, "share": 0.07} for part, _ in module.PARTS.values()},
        },
    }
    shipped = importlib.import_module("commands")
    ratio = {"processor": 1.2, "clock": 1.1}
    found |= {"looking": dict.fromkeys(shipped.LOOKING, ratio), "avx2": {"members": 8, "ratio": 2.3}}
    found |= {"seeded": dict.fromkeys(("without a seed", "with a seed"), ratio)}
    found |= {"processes": dict.fromkeys(map(str, shipped.PROCESSES), ratio)}
    given = argparse.Namespace(
        parts=[*found, "growth"], dataset="cpusmall", trials=40, study_steps=20_000, command_trials=8, steps=2_000
    )
    return module.entries(found, given)


RATIOS = {"pytorch": 10.0, "onnxruntime": 2.0, "teacher": 50.0}


def rest() -> dict:
    """What is left: a benchmark of one entry each."""
    two = argparse.Namespace(seeds=[0, 1], steps=1_000, seed=0, trials=3, milliseconds=1.0, rate=4.0, rounds=5)
    two.optimizer, two.lr, two.alpha = "adam", 0.003, "constant"
    by_seed = [("random", 0), ("random", 1), ("adversarial", 0), ("adversarial", 1), ("direct", 0), ("direct", 1)]
    digits = [{"method": name, "seed": seed, "rmse_teacher": 1.5, "seconds": 9.0} for name, seed in by_seed]
    protein = [{"inputs": "shares", "method": name, "labels": [0.1, 0.2]} for name in ("random", "evolution")]
    reached = [{"paper": 9.0, "paper_reached": there, "faithful": 0.2, "sooner": 45.0} for there in (True, False)]
    asked = {"first session": 10, "second session": 1, "best nrmse": 0.05}
    bounds = [("none", None, 1.0), ("target", 0.4, 0.7), ("target", 1.0, 0.8), ("clip", 0.1, 0.9)]
    swept = [
        {"dataset": name, "reach": "steps", "bound": bound, "threshold": threshold, "real": real}
        for name in ("compactiv", "pole")
        for bound, threshold, real in bounds
    ]
    asked_rows = {f"trees, pole|ours|{total}|0": {"rows": total, "real": 0.2} for total in (500, 0)}
    ratios = np.outer([0.4, 0.44, 0.5], np.ones(2 * len(DATASETS))).reshape(3, len(DATASETS), 2)
    priced = argparse.Namespace(
        trials=8, steps=3_000, seeds=[0], totals=[500, 1_000, 2_000, 4_000, 5_000, 10_000, 50_000], plain=[20_000]
    )
    typed = importlib.import_module("served").TYPED
    claims = importlib.import_module("claims")
    timed = {case: dict.fromkeys(("claim", "tell", "p95", "used", "join"), 12.0) for case in claims.TITLES}
    of = importlib.import_module
    step = {"loop": 2_000.0, "own": 250.0, "faster": 8.0}
    bounded = step | {"floor": 125.0, "above": 2.0, "most": 16.0}
    deep = {name: bounded if kind.forward else step for name, kind in of("deep").KINDS.items()}
    knowledge = of("knowledge")
    gained = [
        {"dataset": name, "share": share, "low": -0.1, "high": 0.5, "measured": share + 0.1, "teacher_rows": 5_000}
        for name in (*DATASETS, *knowledge.NEW)
        for share in (0.1, 0.2, 0.3)
    ]
    leaving = figures.load()
    left = {
        key: of("leaving").measured(leaving[key]["rows"], RATIOS if "values" in leaving[key] else {}, "4 trials")
        for key in leaving.keys() & of("leaving").STUDIES.keys()
    }
    few = {f"{cell}, 0": dict.fromkeys((*of("few_rows").WAYS, of("few_rows").SLOPES), 0.4) for cell in "abc"}
    rated = {
        f"{', '.join(cell)}, 2000": {"0.003": 0.2, "0.01": 0.1, "0.02": 0.1}
        for cells in of("rates").GROUPS.values()
        for cell in cells
    }
    ranks = {f"{rows}, {weight}": [0.5, 0.1] for rows in of("stress_rows").ROWS for weight in of("stress_rows").WEIGHTS}
    return (
        left
        | of("stress_rows").entries({"a": ranks}, argparse.Namespace(seed=0, students=14, steps=1_000))
        | of("rates").entries(rated, argparse.Namespace(rates=[0.003, 0.01, 0.02], steps=2_000))
        | of("digits").entries(digits, two)
        | of("protein").entries(protein, two)
        | of("sooner").entries(reached, two)
        | of("slow_teacher").entries([{"budget": budget} | asked for budget in (0, 4_000)], two)
        | of("threshold").entries(swept, two)
        | of("served").entries([{"line": line, "keys": 3, "seconds": 2.0} for line in typed])
        | of("rounds").entries({way: [(0.2, 0.01), (0.1, 0.01)] for way in of("rounds").WAYS}, 120)
        | claims.entries(timed, {0: 30.0}, two)
        | of("deep").entries(deep, two)
        | knowledge.entries(gained, two)
        | of("queries").entries(asked_rows, priced)
        | of("few_rows").entries(few, argparse.Namespace(seeds=[0], steps=1_000, cells=[*"abc"]))
        | constants()
        | inversion()
        | of("privacy").entries(ratios, argparse.Namespace(epsilon=1.0, widths=[1.5, 3.0], seeds=[0, 1], steps=500))
        | of("evaluated").entries({name: (0.1, 0.1) for name in of("fidelity").DATASETS})
        | {"first_study": of("quick").measured("trial 1\nPromoted", 20)}
    )


def windows() -> dict:
    module = importlib.import_module("windows")
    given = argparse.Namespace(students=["gru"], steps=1_500, parameters=1_000, seed=0)
    about = {"student": "gru", "plain": False, "reference": 0.1, "ratio": 0.5}
    pairs = [*product(module.SOURCES, module.KINDS)]
    rows = [about | {"series": s, "teacher": t, "prior": prior} for s, t in pairs for prior in module.PRIORS]
    return module.entries(rows, given)


def forms() -> dict:
    """Teachers of every form, and the students of the digits."""
    matrix, digits = importlib.import_module("matrix"), importlib.import_module("digits_students")
    about = {"lines": "nothing", "ratio": 0.5, "rmse": 0.1, "pt2": "yes", "ONNX": "yes", "served": "no"}
    given = argparse.Namespace(trials=20, steps=1_000, parameters=1_000, seed=0, seeds=[0, 1])
    pairs = product(digits.TEACHERS, digits.KINDS)
    errors = {pair: dict.fromkeys(digits.PRIORS, 1.5) for pair in pairs}
    return matrix.entries([about | {"teacher": name} for name in matrix.CASES], given) | digits.entries(errors, given)


@pytest.fixture(scope="module")
def runs() -> dict:
    """What every benchmark would publish after a run of made-up numbers."""
    full = studies(50, "none") | studies(50, "correlation") | studies(50, "mixture") | studies(50, "private")
    full |= studies(25, "none")
    small = ablation(50, "none") | ablation(25, "none") | ablation(50, "none", "quantiles", "correlation", "mixture")
    small |= ablation(50, "none", only="RECENT") | ablation(25, "none", only="SMALL")
    small |= ablation(25, "none", only="PRESETS") | ablation(50, "none", only="PRESETS")
    return full | small | choosing() | evidence() | teachers() | paper() | speed() | windows() | forms() | rest()


class TestPublishing:
    def test_every_entry_has_a_benchmark_or_says_why_not(self, runs):
        by_hand = {name for name, entry in figures.load().items() if "by_hand" in entry}
        assert set(figures.load()) == set(runs) | by_hand and not by_hand & set(runs)

    def test_a_run_replaces_its_own_entries_with_what_they_come_from(self, runs, tmp_path):
        file = tmp_path / "figures.yaml"
        file.write_text(read(figures.FILE))
        before = figures.load()
        argv = ["somewhere/all.py", "--shared", str(tmp_path), "--of", "two words", "--publish", "--json", "x"]
        figures.publish(runs, argv, file)
        after = figures.load(file)
        assert [*after] == [*before]
        for name, entry in after.items():
            if name not in runs:
                assert entry == before[name]
                continue
            assert entry["command"] == "python benchmarks/all.py --shared DIR --of 'two words'"
            assert (entry["seeds"], entry["budget"], entry["tier"]) == (
                [*runs[name].seeds],
                runs[name].budget,
                runs[name].tier,
            )
            assert figures.table(entry) if "rows" in entry else entry["values"]

    def test_cells_are_means_and_deviations(self, runs, tmp_path):
        file = tmp_path / "figures.yaml"
        file.write_text(read(figures.FILE))
        figures.publish(studies(50, "none"), ["fidelity.py"], file)
        entry = figures.load(file)["fidelity"]
        expected = ["0.0600", "0.0500", "0.1000", "0.0250 ± 0.0050", "0.50", "0.40", "0.39"]
        assert figures.cells(entry, "pole") == expected
        assert figures.cells(entry, "geometric mean")[4] == "0.50"
        assert entry["values"]["regret_range_percent"] == "25 to 25"
        assert runs["ablation"].rows["without L-BFGS"][0] == pytest.approx([0.55, 0.05])
        assert runs["ablation_25"].rows["one run of `faithful`"][-1] == pytest.approx(1.0)
        assert runs["narrow"].rows["preset `narrow`"][-2:] == [pytest.approx([1.0, 0.05 / 0.55]), pytest.approx(1.0)]
        assert runs["privacy"].values == {"cost_percent": 10, "cost_wide_percent": 25}
        assert list(runs["paper_outliers"].rows) == ["mv, random, student 25"]

    def test_a_partial_run_is_refused(self, tmp_path):
        file = tmp_path / "figures.yaml"
        file.write_text(read(figures.FILE))
        some = figures.Measured([0], "", {"random sampling": ["1", "2", "3"]})
        for wrong in ({"digits": some}, {"unheard": some}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                figures.publish(wrong, ["digits.py"], file)
        assert read(file) == read(figures.FILE)

    def test_an_entry_that_does_not_fit_is_refused(self, tmp_path):
        file = tmp_path / "figures.yaml"
        about = {"command": "", "seeds": [0], "budget": "", "tier": "T0", "unit": ""}
        for wrong in ({"seeds": [0]}, about | {"column": []}, about | {"columns": ["a"], "rows": {"x": [1, 2]}}):
            file.write_text(yaml.safe_dump({"entry": wrong}))
            with pytest.raises(ValueError, match="entry"):
                figures.load(file)

    @pytest.mark.parametrize("file", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda file: file.stem)
    def test_every_benchmark_can_be_imported(self, file):
        importlib.import_module(file.stem)
