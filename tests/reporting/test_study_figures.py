"""Figures of a study: any study has some, no label is cut off, and the page gives them their colors."""

import json
import re

import optuna
from made_trials import of, trial
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

from dfkd_tune.recipes.presets import PAPER
from dfkd_tune.reporting.findings import find
from dfkd_tune.reporting.plot_style import png, svg
from dfkd_tune.reporting.study_figures import figures
from dfkd_tune.reporting.summary_text import headline
from dfkd_tune.search.loaded import load_study


def test_figures_take_any_study():
    """Few trials, missing leaves, one choice, values far apart."""
    study = optuna.create_study(study_name="odd")
    assert figures(find(study)) == {}
    study.add_trial(trial(1.0))
    assert {*figures(find(study))} == {"history"}
    space = {"bound.threshold": FloatDistribution(0.01, 10, log=True)}
    for value, threshold in ((1e-6, 0.02), (1.0, 9.0), (1e6, 0.5)):
        made = create_trial(
            params={"bound.threshold": threshold},
            distributions=space,
            values=[value],
            user_attrs={"rmse": value} | SIZED,
        )
        study.add_trial(made)
    drawn = figures(find(study))
    assert {"history", "threshold"} <= {*drawn}
    assert headline(find(study)).startswith("A student with 100 parameters matches the teacher with an RMSE of 1e-06")


SIZED = {"parameters": 100.0, "recipe": json.dumps(PAPER.tree())}


def test_no_label_of_a_picture_is_cut_off(done):
    """At the resolution of the file, where letters are as wide as they are drawn."""
    for name, figure in figures(find(load_study(done.storage_url, done.name))).items():
        png(figure)
        paper = figure.get_window_extent()
        for axes in figure.axes:
            drawn = axes.get_tightbbox()
            assert paper.x0 <= drawn.x0 and drawn.x1 <= paper.x1, name


def test_figures_leave_their_neutral_colors_to_the_page():
    """So that they can be read on a dark one: no text keeps a color of its own."""
    study = optuna.create_study(study_name="dark")
    for each in of(direct=[0.5, 0.4, 0.7, 0.45], gaussian=[0.6, 0.8, 0.9]):
        each.user_attrs["parameters"] = 1000 * each.values[0]
        study.add_trial(each)
    for name, figure in figures(find(study)).items():
        for style in re.findall(r'<text[^>]*style="([^"]*)"', svg(figure, name)):
            assert "fill: var(--" in style, (name, style)
