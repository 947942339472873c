"""Pages: what stands between backticks is code, and everything else is text."""

from markupsafe import Markup

from dfkd_tune.utils.text import html


def test_words_between_backticks_are_code_and_all_is_escaped():
    assert html.code("give `--pareto` <b>") == Markup("give <code>--pareto</code> &lt;b&gt;")
    assert html.code(Markup("<i>`x`</i>")) == Markup("<i><code>x</code></i>")
