"""Values of options as people write them: a share is a share in any form, a typo is told, and completion is never in the way."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfkd_tune.cli.options import duration, export_format, share, studies, total


@given(st.floats(0, 0.999))
def test_a_share_is_one_in_percent_and_as_a_number(value):
    assert share(repr(value)) == value
    assert share(f" {100 * value!r}% ") == pytest.approx(value)


@pytest.mark.parametrize(
    ("read", "value", "words"),
    [
        (share, "5", "would be 500%; write 5% or 0.05"),
        (share, "-5%", "is not at least 0%"),
        (share, "nan", "is not at least 0%"),
        (share, "inf%", "is not at least 0%"),
        (share, "five", "is not a share such as 5%"),
        (duration, "soon", "is not a duration such as 90s, 30m or 2h"),
        (duration, "-1h", "is not a duration"),
        (total, "abc", "is not a whole number of rows, such as 5000"),
        (total, "399", "is not from 400 to 100000000 rows"),
        (export_format, "docx", "is not one of pt2, onnx, safetensors"),
    ],
)
def test_what_is_none_is_told(read, value, words):
    with pytest.raises(click.BadParameter, match=words) as refusal:
        read(value)
    assert repr(value) in str(refusal.value)


def test_completion_lists_the_studies_of_a_storage_the_last_first(store, finished, tmp_path, monkeypatch):
    def offered(storage: str | None, incomplete: str = "") -> list[str]:
        context = click.Context(click.Command("show"))
        context.params = {"storage": storage}
        return studies(context, click.Argument(["name"]), incomplete)

    assert "finished" in offered(store.storage) and "finished" in offered(store.storage, "fin")
    assert "finished" not in offered(store.storage, "pump")
    (tmp_path / "text.db").write_text("no database")
    monkeypatch.chdir(tmp_path)
    for nothing in (None, "sqlite:///text.db", "postgresql://db/x", "not a url", "sqlite:////dfkd-no-such/x.db"):
        assert offered(nothing) == []
    assert [path.name for path in tmp_path.iterdir()] == ["text.db"]
