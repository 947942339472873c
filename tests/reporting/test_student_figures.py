"""Pictures of a student."""

import matplotlib.pyplot as plt
import torch

from dfkd_tune.reporting.student_figures import synthetic


def test_a_value_that_is_missing_in_every_row_is_no_marginal():
    rows = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    rows[:, 1] = torch.nan
    figure = synthetic(rows, rows + 0.1, ["load", "gone", "rare"])
    drawn = {axes.get_title(): len(axes.patches) for axes in figure.axes}
    assert drawn["gone"] == 0 and drawn["load"] > 0 and drawn["rare"] > 0
    plt.close(figure)
