"""Pairwise coverage: pairs of bins are visited more evenly than by the prior, and no row is invented."""

import torch
from generator_contexts import LIKE, context, drawn

from dfkd_tune.generators.learned.bins import bins_of
from dfkd_tune.generators.learned.pairwise_coverage import PairwiseCoverage
from dfkd_tune.recipes.gap_bounds import Unbounded
from dfkd_tune.utils.strategy import Stacked

BINS, STEPS, FEATURES = 4, 60, 3
OFF_DIAGONAL = ~torch.block_diag(*[torch.ones(BINS, BINS, dtype=torch.bool)] * FEATURES)


def bend(z):
    return torch.tanh(3 * (z[..., :1] - 1))


def correlated(rng):
    """A prior that seldom pairs a low value of one feature with a high one of another."""

    def prior(n, k):
        z = torch.randn(n, FEATURES, generator=rng, dtype=torch.float64)
        z[:, 1] = 0.9 * z[:, 0] + 0.19**0.5 * z[:, 1]
        return z, bend(z)

    return prior


def steps(candidates):
    """Rows ``(k, STEPS * G, D)`` and the state after them, of two members."""
    item = PairwiseCoverage(bins=BINS, candidates=candidates)
    state = {name: torch.stack([one] * 2) for name, one in item.init_state(FEATURES, 1, None, torch.float64).items()}
    rng, rows, queries = torch.Generator().manual_seed(0), [], 0
    for clock in range(STEPS):
        here = context(function=bend, clocks=[clock] * 2, prior=correlated(rng))
        rows.append(PairwiseCoverage.sample(Stacked([item] * 2, LIKE), state, here))
        queries += sum(here.queries)
    return torch.cat(rows, dim=1), state, queries


def rarest(state):
    """Share of the rows in the pair of bins that is held least."""
    return state["counts"][:, OFF_DIAGONAL].amin(1) * BINS**2


def test_pairs_are_visited_more_evenly_the_more_candidates_there_are():
    few, many = (steps(candidates) for candidates in (2, 64))
    spread = [found[1]["counts"][:, OFF_DIAGONAL].std(1) for found in (few, many)]
    assert (spread[1] < 0.7 * spread[0]).all() and (rarest(many[1]) > rarest(few[1])).all()
    assert few[2] == many[2] == 0  # the prior rows' outputs are known


def test_counts_are_those_of_the_rows():
    rows, state, _ = steps(4)
    for k in range(2):
        expected = torch.zeros_like(state["counts"][k])
        for place in bins_of(rows[k], state["edges"][k]):
            expected[place[:, None], place] += 1
        assert torch.equal(state["counts"][k], expected)
    assert not torch.equal(state["counts"][0], state["counts"][1])


def test_bins_are_learned_once_from_the_teacher():
    _, state, _ = steps(2)
    edges = state["edges"]
    assert (edges[:, 0, -1] > 0.9).all() and (edges[:, 2, -1] < 0.9).all()  # the upper quartile is at 0.67


def test_rows_are_prior_rows_also_with_one_feature():
    item = PairwiseCoverage(bins=2, candidates=3)
    state = {name: one[None] for name, one in item.init_state(1, 1, None, torch.float64).items()}
    pool = drawn(5_000, 1)
    levels = torch.round(pool)
    rng = torch.Generator().manual_seed(0)

    def prior(n, k):
        z = levels[torch.randint(len(levels), (n,), generator=rng)]
        return z, z

    here = context([Unbounded()], prior=prior)
    here.origin = here.origin[..., :1]
    rows = PairwiseCoverage.sample(Stacked([item], LIKE), state, here)
    assert rows.shape == here.origin.shape and torch.isin(rows, levels).all()
