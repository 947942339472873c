"""Laws of a description: it says what the table is like, and no row, extreme or rare value of it."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from drawn_tables import ROWS, kept, made
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, spearmanr

from dfkd_tune.errors import ExportError, FeaturesError
from dfkd_tune.inputs.features_file import parse_features, read_features
from dfkd_tune.tables.delimited import Layout
from dfkd_tune.tables.describe import describe, describe_file
from dfkd_tune.tables.read import Reading, Table

K = 10


def table(frame: pd.DataFrame) -> Table:
    return Table(tuple(frame.columns), frame.to_numpy(dtype=np.float64))


def described(columns, tier="quantiles", at_least=K) -> list[dict]:
    columns = np.asarray(columns, dtype=np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    return describe(Table(tuple(f"x{i}" for i in range(columns.shape[1])), columns), tier, at_least).features


# --- it says what the table is like -----------------------------------------------------------------------------------


def test_what_is_drawn_from_a_description_is_like_the_table():
    frame = made()
    told = describe(table(frame), "correlation", K)
    inputs = parse_features(told.tree(), "here")
    z = inputs.draw(ROWS, torch.Generator().manual_seed(0))
    x = (z * inputs.scale + inputs.center).numpy()
    assert inputs.tier == "T4"
    for i, name in enumerate(frame.columns):
        column = frame[name].to_numpy()
        assert ks_2samp(np.round(x[:, i], 6), np.round(column, 6)).statistic < 0.04, name
        assert inputs.features[i].scale == pytest.approx(column.std() or 1.0, rel=0.25), name
    live = [i for i, name in enumerate(frame.columns) if name != "still"]
    real, found = spearmanr(frame.to_numpy()[:, live]).statistic, spearmanr(x[:, live]).statistic
    assert np.abs(real - found).max() < 0.08


def test_kinds_of_columns():
    features = {item["name"]: item for item in described_frame(made())}
    assert features["still"] == {"name": "still", "levels": [2.5]}
    assert features["switch"]["levels"] == [0.0, 1.0]
    assert sum(features["switch"]["probabilities"]) == pytest.approx(1.0, abs=1e-5)
    assert features["count"]["integer"] is True
    assert [name for name, item in features.items() if "integer" in item] == ["count"]
    assert list(features["mixed"]["quantiles"].values()).count(0.0) == 2
    assert list(features["mixed"]["quantiles"].values()).count(5.0) == 2


def described_frame(frame, tier="quantiles", at_least=K) -> list[dict]:
    return describe(table(frame), tier, at_least).features


def test_tiers_tell_what_they_say():
    told = {tier: describe(table(made()), tier, K) for tier in ("moments", "quantiles", "correlation")}
    keys = {tier: set().union(*(item.keys() for item in found.features)) for tier, found in told.items()}
    assert keys["moments"] == {"name", "mean", "std", "levels", "probabilities", "integer"}
    assert keys["quantiles"] == keys["correlation"] == {"name", "quantiles", "levels", "probabilities", "integer"}
    assert told["moments"].rank_correlation is None and told["quantiles"].rank_correlation is None
    names = [parse_features(found.tree(), "here").tier for found in told.values()]
    assert names == ["T2", "T3", "T4"]


def test_correlations_are_spearmans_to_three_digits():
    frame = made()
    rows = describe(table(frame), "correlation", K).rank_correlation
    with np.errstate(invalid="ignore"):
        real = frame.corr(method="spearman").fillna(0.0).to_numpy()
    assert [len(row) for row in rows] == list(range(1, len(rows) + 1))
    for i, row in enumerate(rows):
        assert row[i] == 1.0
        assert row[:i] == pytest.approx(real[i, :i].tolist(), abs=5.1e-4)
        assert row == [round(value, 3) for value in row]


def test_a_small_spread_beside_a_large_value_keeps_its_digits():
    quantiles = described(made()["offset"])[0]["quantiles"]
    assert len(set(quantiles.values())) == len(quantiles)


# --- it says nothing else ---------------------------------------------------------------------------------------------


@st.composite
def columns(draw) -> tuple[np.ndarray, int]:
    """Columns with ties and tails, and how many rows are behind every number at least."""
    at_least = draw(st.integers(2, 30))
    rows = draw(st.integers(10 * at_least, 30 * at_least))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = np.exp(draw(st.floats(0.1, 3.0)) * rng.normal(size=rows))
    tied = rng.random(rows) < draw(st.sampled_from([0.0, 0.3, 0.9]))
    x[tied] = rng.choice(draw(st.lists(st.floats(-2, 5), min_size=1, max_size=5)), tied.sum())
    return x, at_least


@given(columns())
@settings(max_examples=60, deadline=None)
def test_every_quantile_has_enough_rows_on_both_sides(drawn):
    x, at_least = drawn
    (item,) = described(x, at_least=at_least)
    if "levels" in item:
        counts = [int((x == value).sum()) for value in item["levels"]]
        assert min(counts) >= at_least
        return
    room = 1e-5 * np.abs(x).max()
    for p, value in item["quantiles"].items():
        assert (x <= value + room).sum() >= at_least and (x >= value - room).sum() >= at_least
        assert min(p, 1 - p) * len(x) >= at_least - 0.01


@given(columns(), st.floats(2, 1e9))
@settings(max_examples=40, deadline=None)
def test_the_extremes_may_be_anything(drawn, factor):
    x, at_least = drawn
    (before,) = described(x, at_least=at_least)
    if "levels" in before:
        return
    y = np.sort(x)
    y[-1], y[0] = abs(y[-1]) * factor + 1, -abs(y[0]) * factor - 1
    (after,) = described(y, at_least=at_least)
    atoms = [v for v in (x.max(), x.min()) if (x == v).sum() >= at_least]
    assert atoms or before["quantiles"] == after["quantiles"]


@pytest.mark.parametrize("at_least", [2, 10, 25])
@pytest.mark.parametrize("row", [0, 1, 30, 150, 271, 299])
def test_a_row_moves_one_quantile_by_its_share_at_most(row, at_least):
    """So that neither a told number nor the difference of two is a row's."""
    x = np.arange(300.0) + 0.25
    y = x.copy()
    y[row] += 0.5
    before, after = (described(column, at_least=at_least)[0]["quantiles"] for column in (x, y))
    assert before.keys() == after.keys()
    moved = [abs(before[p] - after[p]) for p in before if before[p] != after[p]]
    assert len(moved) <= 1
    assert all(step <= 0.5 / at_least + 1e-3 for step in moved)


def test_no_value_of_a_table_without_ties_is_told():
    x = np.random.default_rng(0).normal(size=ROWS)
    told = list(described(x)[0]["quantiles"].values())
    assert min(told) > x.min() and max(told) < x.max()
    assert np.abs(np.subtract.outer(told, x)).min() > 0


@pytest.mark.parametrize("at_least", [2, 10, 40])
def test_rare_levels_are_withheld(at_least):
    counts = {0.0: 600, 1.0: 300, 2.0: 40, 3.0: 39, 4.0: 10, 5.0: 9, 6.0: 1, 7.0: 1}
    x = np.repeat(list(counts), list(counts.values()))
    found = describe(Table(("x",), x[:, None]), "quantiles", at_least)
    (item,) = found.features
    if "levels" not in item:
        assert at_least == 40  # too many rows would have gone
        return
    often = [value for value, count in counts.items() if count >= at_least]
    assert item["levels"] == often
    assert item["probabilities"] == pytest.approx([counts[v] / sum(counts[o] for o in often) for v in often], abs=1e-5)
    assert found.withheld == {"x": len(counts) - len(often)}
    assert f"withheld: {len(counts) - len(often)} rare levels, of x" in found.lines()


@pytest.mark.parametrize("rare", [[1.0], [1.0] * 9, [math.nan] * 9, list(range(1, 40))])
def test_correlations_do_not_tell_in_which_rows_a_withheld_value_is(rare):
    rng, rows = np.random.default_rng(0), 1000
    other, at_least = np.sort(rng.normal(size=rows)), max(K, 2 * len(rare) * (len(rare) > K))
    trees = []
    for begin in (0, rows - len(rare)):
        flag = np.zeros(rows)
        flag[begin : begin + len(rare)] = rare
        trees.append(describe(Table(("flag", "other"), np.stack([flag, other], 1)), "correlation", at_least, 4).tree())
    assert trees[0] == trees[1]
    flag, moving = trees[0]["window"]["channels"]
    assert "autocorrelation" not in flag and moving["autocorrelation"][0] > 0.9


@pytest.mark.parametrize("stray", [1, 5, 9])
def test_few_rows_beside_an_atom_are_not_told(stray):
    rng = np.random.default_rng(0)
    between, tail = rng.uniform(1.2, 1.8, stray), rng.uniform(3, 4, 400)
    x = np.concatenate([np.full(300, 1.0), between, np.full(300, 2.0), tail, -rng.random(stray)])
    quantiles = described(x)[0]["quantiles"]
    assert {value for value in quantiles.values() if value < 3} == {1.0, 2.0}
    parse_features({"features": [{"name": "x", "quantiles": quantiles}]}, "here")


# --- files ------------------------------------------------------------------------------------------------------------


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
    told = describe(table(frame.drop(columns="answer")), "correlation", K)
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


def test_probabilities_are_the_rows_shares():
    x = np.random.default_rng(1).normal(size=ROWS)
    for p, value in described(x)[0]["quantiles"].items():
        assert abs((x <= value).mean() - p) < K / ROWS
        assert math.isfinite(value)


def test_rare_missing_values_and_levels_keep_their_share():
    rows = 3_000_000
    column = np.broadcast_to(np.arange(1_000.0), (rows // 1_000, 1_000)).flatten()
    column[0] = np.nan
    (item,) = describe(Table(("a",), column[:, None]), "moments", at_least=1).features
    assert item["missing"] == pytest.approx(1 / rows, rel=1e-5)
    column[:] = column > 0
    column[0] = 2.0
    (item,) = describe(Table(("a",), column[:, None]), "moments", at_least=1).features
    assert item["levels"] == [0.0, 1.0, 2.0] and min(item["probabilities"]) == pytest.approx(1 / rows, rel=1e-5)
