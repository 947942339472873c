"""The shared cases, small inputs on which the tool failed, run as a user runs them: what is expected, and what happens now.

    python benchmarks/cases.py --shared ../shared [--only PATTERN] [--out FILE]

Prints a Markdown table of cases, and one of reported and true figures. ``--only`` takes the cases whose name holds a regular
expression; "figures TEACHER" are names too.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from functools import partial
from pathlib import Path

import cases_shapes as shapes
import cases_stores as stores
import cases_teachers as teachers
from cases_figures import TEACHERS, distilled, figures
from cases_lab import Case, Outcome, cases_not_written, in_a_folder

READ = "read: age, load"
CASES = (
    Case("`levels/` gear_teacher:make", "the figures agree", partial(distilled, teacher="gear_teacher:make")),
    Case("`levels/` gear_teacher:make", "the figures agree", partial(distilled, teacher="gear.pt2"), "gear.pt2"),
    Case("`levels/` onehot_ignore", "the figures agree", partial(distilled, teacher="onehot_ignore.skops")),
    Case("`levels/` onehot_error", "works, the figures agree", partial(distilled, teacher="onehot_error.skops")),
    Case("`offset/` stamp", "the figures agree", partial(distilled, teacher="stamp.skops")),
    Case("`onnx/` wide", "loads; its data are part of the hash", teachers.elsewhere),
    Case("`columns/` pipeline", "works; strings as levels", teachers.columns),
    *(
        Case("`trees/`", "loads", partial(teachers.loads, folder="trees", teacher=f"{each}.skops"), each)
        for each in ("gradient", "hist", "forest", "process")
    ),
    Case("`foreign/make.py`", "refused by study, show, report: not made by dfkd-tune", stores.foreign),
    Case("a working directory called", "works", stores.quoted_folder),
    Case("`--storage 'sqlite:///o.db?timeout", "works", stores.with_timeout),
    Case(
        "`--storage sqlite://`",
        "refused at the start",
        partial(stores.address, words=("sqlite://", "memory"), storage="sqlite://"),
    ),
    *(
        Case(
            "`--storage postgres://...`",
            "taken, or refused with what to write",
            partial(stores.address, words=words, **given),
            part,
        )
        for part, words, given in (
            (
                "postgres://, taken",
                ("postgresql+psycopg2://127.0.0.1:9", "cannot be opened"),
                {"storage": "postgres://nobody@127.0.0.1:9/none"},
            ),
            ("optuna.db", ("sqlite:///optuna.db",), {"storage": "optuna.db"}),
            ("journal.log", ("sqlite:///",), {"storage": "journal.log"}),
            ("databricks", ("databricks",), {"tracking": "databricks"}),
        )
    ),
    Case("registered student asked", "answers", stores.frames),
    *(
        Case(
            "`tables/`",
            READ if not words else f"refused, naming {words[-1]}",
            partial(stores.described, file=file, words=words, options=options),
            part,
        )
        for part, file, options, words in (
            ("decimal comma", "decimal_comma.csv", (), ()),
            ("tab", "tab.tsv", (), ()),
            ("sep= line", "sep_line.csv", (), ()),
            ("header with spaces", "header_spaces.csv", (), ()),
            ("comments", "comments.csv", (), ()),
            ("missing values", "missing.csv", (), ("load", "--missing")),
            ("missing values, --missing drop", "missing.csv", ("--missing", "drop"), ()),
            ("gz", "packed.csv.gz", (), ()),
            ("numeric names", "numeric_names.csv", (), ("numbers", "--header")),
            ("numeric names, --header", "numeric_names.csv", ("--header",), ()),
            ("DECIMAL", "decimal.parquet", (), ()),
        )
    ),
    *(
        Case("an ONNX file whose opset", "the reason", partial(teachers.newer, what=each), each)
        for each in ("opset", "IR")
    ),
    *(
        Case("two inputs, dict", "a drop-in, the figures agree", partial(shapes.drop_in, part=part), part)
        for part in shapes.SHAPES
    ),
    Case("two inputs, dict", "refused, naming the batch", shapes.fixed_batch, "fixed batch 1"),
    *(
        Case(
            '`{"model_state_dict"',
            "loads" if not words else f"refused, naming {words[-1]}",
            partial(teachers.state, file=file, words=words),
            part,
        )
        for part, file, words in (
            ("model_state_dict", "wrapped.pt", ()),
            (".ckpt", "light.ckpt", ()),
            ("weight_norm", "normed.pt", ()),
            ("n_avg", "swa.pt", ()),
            (".pickle", "m.pickle", ("m.pickle", "--trust-pickle")),
        )
    ),
    Case(
        "`export NAME --format onnx --precision int8`", "one number of parameters; a warning where larger", stores.int8
    ),
    Case("`teacher_rows: 1000", "`check` predicts the total", teachers.teacher_rows),
    Case("a feature or teacher called", "escaped everywhere", stores.escaped),
    Case("optuna.db damaged", "one line, what to do", stores.damaged),
    Case("`mlruns/` read-only", "show, report, export elsewhere work", stores.read_only),
    Case("a teacher that `sys.exit(0)`s", "an error of the teacher, exit 1", teachers.quits, "exits"),
    Case(
        "a teacher that `sys.exit(0)`s",
        "an error of the teacher, exit 1, its last line",
        teachers.raises,
        "raises in mid-study",
    ),
    Case("a teacher that `sys.exit(0)`s", "`--json` is JSON", teachers.prints, "prints"),
    Case("a teacher that `sys.exit(0)`s", "tolerated", teachers.noisy, "varies by 1e-6"),
    Case("nested YAML aliases", "refused at once", partial(teachers.aliases, where="features"), "features"),
    Case("nested YAML aliases", "refused at once", partial(teachers.aliases, where="search"), "search"),
    Case("nested YAML aliases", "refused at once", teachers.large_features, "190 MB"),
    Case("nested YAML aliases", "refused at once", teachers.unfolding, "skops that unfolds"),
    Case("the experiment deleted", "says deleted, and what sync restored", stores.deleted),
    Case("an MLflow server that is still", "at most 10 s", stores.starting),
    Case("`register NAME --trial N` twice", "the same version gets the alias", stores.twice),
    Case("`Distillation` of a .joblib", "trust_pickle=True, words for Python", teachers.joblib),
    Case("a worker that joins", "says what it waits for", teachers.late_worker, "worker"),
    Case("a worker that joins", "says what it waits for", teachers.slow_check, "slow check"),
)


def cell(text: str) -> str:
    """A text in a cell of a Markdown table, its middle left out where it is long."""
    text = text if len(text) <= 300 else f"{text[:200]} ... {text[-100:]}"
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def line(row: tuple[str, ...]) -> str:
    return "| " + " | ".join(map(cell, row)) + " |"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(map(line, (head, ("---",) * len(head), *rows))) + "\n"


WORDS = {True: "yes", False: "no"}
HEADS = (("case", "expected", "now", "as expected"), ("teacher", "by", "reported RMSE", "true RMSE", "within 5 %"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of the shared cases")
    parser.add_argument("--written", type=Path, help="folder that make.py wrote before, which takes a while")
    parser.add_argument("--only", default="", metavar="PATTERN", help="cases whose name holds it")
    parser.add_argument("--out", type=Path, help="file for the tables, written after every case")
    asked = parser.parse_args()
    rows, found = [], []

    def say(row: tuple[str, ...], to: list) -> None:
        to.append(row)
        print(line(row), flush=True)
        if asked.out:
            asked.out.write_text("\n".join(map(table, HEADS, (rows, found))))

    with tempfile.TemporaryDirectory(prefix="cases-") as folder:
        cases = Path(folder)
        if asked.written:
            cases = asked.written.resolve()
        elif reason := cases_not_written(asked.shared, cases):
            print(f"skipped: {reason}")
            return
        for case in CASES:
            if re.search(asked.only, case.name):
                outcome = in_a_folder(case.run, cases)
                say((case.name, case.expected, outcome.now, WORDS[outcome.good]), rows)
        for teacher in TEACHERS:
            if re.search(asked.only, f"figures {teacher}"):
                measured = in_a_folder(partial(figures, teacher=teacher), cases)
                broken = [(teacher, measured.now, "", "", "no")] if isinstance(measured, Outcome) else None
                for row in broken or [figure.cells for figure in measured]:
                    say(row, found)


if __name__ == "__main__":
    main()
