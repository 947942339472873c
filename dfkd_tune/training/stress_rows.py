"""Choose the rows of the stress bank, which imitate real rows with undeclared tails, and its weight in the objective."""

from __future__ import annotations

from dataclasses import dataclass

from dfkd_tune.generators.heavy_tailed import HeavyTailed
from dfkd_tune.generators.skewed import Skewed
from dfkd_tune.inputs.encoding import encoder
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.teachers.probe import Probe


@dataclass(frozen=True)
class StressRows:
    """Where the rows of the stress bank come from, before they are moved to large gaps.

    Args:
        rows: generator of the rows; None for rows near the center with one feature far out.
        weight: weight of the stress bank in the objective ``robust``.
    """

    rows: Skewed | HeavyTailed | None = None
    weight: float = 0.25


SKEWED = StressRows(Skewed(spread=1.0, shared=0.3), 0.75)
WINDOWS = StressRows(Skewed(spread=0.5, shared=0.3), 0.25)
BY_KIND = {"shallow": StressRows(), "deep": SKEWED, "black box": SKEWED}
OVER_WINDOWS = BY_KIND | {"deep": WINDOWS, "black box": WINDOWS}
"""``Probe.kind`` -> rows for teachers over windows. What moves a slow channel moves it at all steps, so that skewed rows leave real windows sooner."""
STRETCHED = StressRows(HeavyTailed(spread=0.5), 0.25)
"""For teachers from which skewness and correlations of the inputs can be inferred.

Rows and weights were fitted on students of good recipes, to maximize the rank correlation of ``robust`` with the RMSE on real rows:

- shallow, 440 students of five teachers: .64 with weight .25, .55 with .5; .64 with the prior alone, .35 with the stress bank alone;
- deep and black box, mean over four kinds of teachers on two tables, 16 students each: .61 with skewed rows and weight .75, .11 with
  the prior alone;
- over windows, mean over nine teachers as black boxes and with gradients, 14 students each: .86, and .70 with the rows and the weight
  for tables (``benchmarks/stress_rows.py``);
- inferred prior, 16 students of a ReLU network on each of two tables: .75 and .97; .51 and .91 with the prior alone.
"""


def stress_policy(found: Probe, inputs: Inputs) -> StressRows:
    """The stress rows for a teacher, by its kind and by what is known about the tails of its inputs."""
    if inputs.inferred is None or inputs.shapeless.any():
        return (OVER_WINDOWS if encoder(inputs).columns.kind == "window" else BY_KIND)[found.kind]
    return StressRows() if inputs.inferred.shape is None else STRETCHED
