"""Prior rows as they are: no row is moved, none is copied, and none is queried."""

from generator_contexts import LIKE, context

from dfkd_tune.generators.gaussian import Gaussian
from dfkd_tune.utils.strategy import Stacked


def test_the_rows_are_the_origin_itself():
    """A copy would be taken for new rows, and queried."""
    made = context()
    assert Gaussian.sample(Stacked([Gaussian()] * 2, LIKE), {}, made) is made.origin and made.queries == [0, 0]
