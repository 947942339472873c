"""``evaluate`` in words."""

import torch

from dfkd_tune import Feature, Inputs
from dfkd_tune.cli.commands.evaluate import in_words
from dfkd_tune.registry.exports.real_rows import compare


def test_every_figure_is_a_line():
    inputs = Inputs([Feature("load", mean=0.0, std=1.0)])
    x = torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None]
    said = "\n".join(in_words(compare("t.csv", "0", inputs, x, x, 1.1 * x, ["power"], x + 1, None)))
    for words in (
        "t.csv, 50 rows: RMSE",
        "output power: RMSE to the table",
        "worst rows",
        "load: mean",
        "selection set",
    ):
        assert words in said
    assert "such as were declared" not in said


def test_an_unknown_table_is_told_in_one_line(dfkd, store, finished):
    ended = dfkd("evaluate", "finished", "--data", "none.csv", *store.options[2:])
    assert ended.status != 0 and len(ended.err.splitlines()) == 1 and "none.csv" in ended.err


def test_a_table_in_a_layout_of_its_own_is_told_by_options(dfkd, store, finished, tmp_path):
    rows = "\n".join("~".join(f"{0.01 * (i + j):.2f}".replace(".", ",") for j in range(5)) for i in range(40))
    (tmp_path / "rows.csv").write_text(f"{'~'.join(f'x{j}' for j in range(5))}\n{rows}\n", encoding="utf-16")
    asked = ["evaluate", "finished", "--data", "rows.csv", *store.options[2:]]
    ended = dfkd(*asked)
    assert ended.status != 0 and "--separator" in ended.err
    ended = dfkd(*asked, "--separator", "~", "--decimal", ",", "--encoding", "utf-16")
    assert ended.status == 0 and "rows.csv, 40 rows" in ended.out
