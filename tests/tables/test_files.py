"""Laws of a described file: it is written whole and reads back, or one line says why there is none."""

import numpy as np
import pandas as pd
import pytest
import torch
from drawn_tables import kept, made

import dfkd_tune as dt
from dfkd_tune.errors import ExportError, FeaturesError
from dfkd_tune.inputs.features_file import parse_features, read_features
from dfkd_tune.tables.delimited import Layout
from dfkd_tune.tables.describe import describe
from dfkd_tune.tables.files import Guarded, describe_file, guarded_by, reading_for
from dfkd_tune.tables.private.accountant import Privacy
from dfkd_tune.tables.read import Reading, Table
from dfkd_tune.tables.series import Windows


def table(frame: pd.DataFrame) -> Table:
    return Table(tuple(frame.columns), frame.to_numpy(dtype=np.float64))


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
def test_a_file_is_written_and_reads_back(tmp_path, name):
    frame = made()
    data, out = kept(frame, tmp_path, name), tmp_path / "new" / "features.yaml"
    with pytest.raises(ExportError, match=r"there is no folder .*new; make it"):
        describe_file(data, out)
    out.parent.mkdir()
    said = describe_file(data, out, "correlation", ("answer",))
    inputs = read_features(out)
    assert inputs.names == [name for name in frame.columns if name != "answer"]
    told = describe(table(frame.drop(columns="answer")), "correlation")
    assert inputs.fingerprint() == parse_features(told.tree(), "here").fingerprint()
    assert {path.name for path in out.parent.iterdir()} == {"features.yaml"}
    assert said == [
        f"{data}: 4,000 rows, 7 features, without answer",
        *(f"  {line}" for line in told.lines()),
        f"tier T4, every number of 10 rows or more; wrote {out}; no row leaves this machine",
    ]


def test_flags_and_whole_columns_are_numbers(tmp_path):
    rows = np.arange(200)
    frame = pd.DataFrame({"flag": rows % 3 == 0, "id": rows, "small": (rows % 7).astype(np.int8)})
    frame["nullable"] = pd.array(rows / 7, dtype="Float64")
    inputs_of = tmp_path / "f.yaml"
    describe_file(kept(frame, tmp_path, "data.parquet"), inputs_of)
    inputs = read_features(inputs_of)
    assert inputs.features[0].levels == [0.0, 1.0]
    assert inputs.features[1].integer and inputs.features[1].quantiles
    assert inputs.features[2].levels == [float(i) for i in range(7)]
    assert inputs.features[3].quantiles


GOOD = pd.DataFrame({"a": np.arange(200) / 7, "b": np.arange(200) % 2})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ["no such file"]),
        ("", ["holds no table", "empty"]),
        ("a,b\n", ["names of 2 columns and no rows", "give a table with rows"]),
        ("a,b\n1,2\n3,4\n", ["its number of rows is 2", "100 are needed", "--at-least"]),
        ("a,b\n" + "1,x\n" * 199 + "1,2\n", [": b", "must hold numbers", "199 of 200"]),
        ("a,b\n" + "1,2\n" * 199 + "1,\n", ["of 200 rows values are missing: b 1", "--missing drop"]),
        ("a,b\n" + "1,2\n" * 198 + "inf,2\n-inf,2\n", [": a", "2 of 200 values are infinite"]),
        ("a,b\n" + "1,2,3\n" * 200, ["line 2 has 3 fields, and the names are 2"]),
        ("a,b\n1,2\n" + "1,2,3\n" * 200, ["line 3 has 3 fields"]),
        ("1.5,2\n" + "1,2\n" * 200, ["its first line holds numbers", "names", "--header"]),
        ("a,a\n" + "1,2\n" * 200, [": a", "two columns have this name"]),
        (",a\n" + "1,2\n" * 200, ["column 1", "has no name", "index"]),
        ("a,b\n" + "1,2\n" * 199 + "1,\xff\n", [": b", "1 of 200 cells are none; the first is in row 200"]),
        ("a,b\n" + "1,2\n" * 199 + "1,\x81\n", ["not text in utf-8 nor cp1252", "--encoding"]),
        ("a~b\n" + "1~2\n" * 200, ["no known separator", "every line holds '~' 1 times", "--separator '~'"]),
        ("a\n" + "1e308\n-1e308\n" * 200, ["levels"]),
    ],
)
def test_tables_that_cannot_be_described(tmp_path, text, words):
    path, out = tmp_path / "data.csv", tmp_path / "features.yaml"
    if text is not None:
        path.write_text(text, encoding="latin-1")
    with pytest.raises(FeaturesError) as caught:
        describe_file(path, out)
    assert str(caught.value).startswith(str(path)) and len(str(caught.value).splitlines()) == 1
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert not out.exists()


def test_names_that_an_array_gets_are_names(tmp_path):
    describe_file(kept(GOOD.set_axis(["0", "1"], axis=1), tmp_path), tmp_path / "f.yaml")
    assert read_features(tmp_path / "f.yaml").names == ["0", "1"]


def test_text_of_any_usual_suffix_is_read(tmp_path):
    for name in ("data.txt", "data.dat", "data.txt.gz"):
        GOOD.to_csv(tmp_path / name, sep="\t", index=False)
        assert "2 features" in describe_file(tmp_path / name, tmp_path / "f.yaml")[0]
    other = tmp_path / "tilde.txt"
    other.write_text("a~b\n" + "1~2\n" * 200)
    given = Reading(layout=Layout(separator="~"))
    assert "2 features" in describe_file(other, tmp_path / "f.yaml", reading=given)[0]


@pytest.mark.parametrize("write", ["to_parquet", "to_feather"])
def test_a_table_of_names_alone_is_told(tmp_path, write):
    path = tmp_path / f"empty.{write.removeprefix('to_')}"
    getattr(GOOD[:0], write)(path)
    with pytest.raises(FeaturesError, match="holds the names of 2 columns and no rows"):
        describe_file(path, tmp_path / "f.yaml")


def test_rows_that_all_lack_a_value_are_told(tmp_path):
    path = tmp_path / "gaps.csv"
    path.write_text("a,b\n" + "1,\n,2\n" * 100)
    with pytest.raises(FeaturesError, match=r"a value is missing in each of its 200 rows; .*--target"):
        describe_file(path, tmp_path / "f.yaml", reading=Reading(missing="drop"))


def test_choices_that_cannot_be(tmp_path):
    data = kept(GOOD, tmp_path)
    other = data.rename(tmp_path / "data.xyz")
    with pytest.raises(FeaturesError, match=r"suffix '.xyz' is of no known table; known: .csv, .*give --format csv"):
        describe_file(other, tmp_path / "f.yaml")
    with pytest.raises(FeaturesError, match="cannot be read as parquet"):
        describe_file(other, tmp_path / "f.yaml", reading=Reading("parquet"))
    with pytest.raises(FeaturesError, match=r"y: no such column; columns: a, b"):
        describe_file(other, tmp_path / "f.yaml", targets=("y",), reading=Reading("csv"))
    with pytest.raises(FeaturesError, match="no column is left of 2; leave fewer columns out"):
        describe_file(other, tmp_path / "f.yaml", targets=("a", "b"), reading=Reading("csv"))
    with pytest.raises(FeaturesError, match="is the table itself"):
        describe_file(other, other, reading=Reading("csv"))
    with pytest.raises(ExportError, match="is a file; make it"):
        describe_file(other, other / "f.yaml", reading=Reading("csv"))
    assert {path.name for path in tmp_path.iterdir()} == {"data.xyz"}


# --- with differential privacy ----------------------------------------------------------------------------------------

BOUNDS = {"features": [{"name": "age", "range": [0, 120], "integer": True}, {"name": "color", "levels": ["red", "blue"]}, {"name": "load", "range": [0, 9]}]}  # fmt: skip


def people(rows: int, **first) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(20, 60, rows), "color": np.where(rng.random(rows) < 0.7, "red", "blue")})
    frame["load"] = frame["age"] / 10 + rng.random(rows)
    for name, value in first.items():
        frame[name] = [value, *frame[name][1:]]
    return frame


def test_a_private_file_holds_no_word_and_no_extreme_of_one_row(tmp_path):
    pytest.importorskip("opendp")
    data, out = kept(people(3_000, color="Zebulon", load=1e12), tmp_path), tmp_path / "f.yaml"
    lines = describe_file(data, out, "correlation", guarded=Guarded(Privacy(1.0), BOUNDS))
    text = out.read_text()
    assert "Zebulon" not in text and "e+12" not in text and "10000000" not in text and text.startswith("# about ")
    inputs = read_features(out)
    age, color, load = inputs.features
    assert age.integer and color.levels == ["red", "blue"] and color.weights[0] == pytest.approx(0.7, abs=0.06)
    assert load.support[1] <= 9 and inputs.tier == "T4"
    assert lines[0].startswith(f"{data}: about ") and "epsilon 1, delta 1e-06" in lines[-1]
    comments = [line for line in text.splitlines() if line.startswith("# ")]
    assert any(line.split()[:2] == ["#", "together"] and line.endswith("1.000") for line in comments)


def test_a_student_is_distilled_with_a_private_file(tmp_path):
    pytest.importorskip("opendp")
    frame = people(2_000)[["age", "load"]]
    bounds = {"features": [BOUNDS["features"][0], BOUNDS["features"][2]]}
    describe_file(kept(frame, tmp_path), tmp_path / "f.yaml", "correlation", guarded=Guarded(Privacy(1.0), bounds))
    torch.manual_seed(0)
    teacher = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).requires_grad_(False)
    teacher[0].weight /= 60  # ages are in years
    student = dt.distill(teacher, features=tmp_path / "f.yaml", max_parameters=20, steps=20)
    assert torch.isfinite(student(torch.tensor([[30.0, 3.0]]))).all()


def test_a_column_with_one_value_and_gaps_is_described(tmp_path):
    pytest.importorskip("opendp")
    frame = people(500).assign(load=[3.0] + [np.nan] * 499)
    warnings = []
    guarded = Guarded(Privacy(1.0), BOUNDS)
    describe_file(kept(frame, tmp_path), tmp_path / "f.yaml", guarded=guarded, warn=warnings.append)
    assert read_features(tmp_path / "f.yaml").names == ["age", "color", "load"]
    assert any("of no declared level" in each and "load " in each for each in warnings)


@pytest.mark.parametrize(
    ("tier", "reading", "place"),
    [
        ("moments", Reading(), "--tier"),
        ("quantiles", Reading(windows=Windows(6, None, None)), "--window"),
        ("quantiles", Reading(at_least=20), "--at-least"),
        ("quantiles", Reading(missing="drop"), "--missing"),
    ],
)
def test_what_does_not_go_with_differential_privacy(tier, reading, place):
    pytest.importorskip("opendp")
    assert reading_for(reading, tier, None) is reading
    with pytest.raises(FeaturesError, match=rf"^{place}: .*--epsilon"):
        reading_for(reading, tier, Guarded(Privacy(1.0), BOUNDS))


def test_a_guarantee_is_asked_for_as_a_whole():
    pytest.importorskip("opendp")
    assert guarded_by(None, None, None) is None
    assert guarded_by(2.0, None, BOUNDS) == Guarded(Privacy(2.0, 1e-6), BOUNDS)
    for given, place, remedy in (
        ((None, 1e-6, None), "--delta", "give --epsilon"),
        ((None, None, BOUNDS), "--bounds", "give --epsilon"),
        ((1.0, None, None), "--epsilon", "give --bounds"),
    ):
        with pytest.raises(FeaturesError, match=f"^{place}: .*; {remedy}"):
            guarded_by(*given)
