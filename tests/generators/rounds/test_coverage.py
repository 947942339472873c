"""Coverage asks pairs of feature bins that were asked least."""

import torch

from dfkd_tune.generators.rounds.coverage import Coverage

NONE = torch.zeros(0, 3, dtype=torch.float64)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


CANDIDATES = torch.randn(4_000, 3, generator=rng(), dtype=torch.float64)


def pairs(rows: torch.Tensor, bins: int = 4) -> int:
    """Number of different pairs of bins in rows; bins are quantiles of the candidates."""
    edges = CANDIDATES.quantile(torch.arange(1, bins).double() / bins, dim=0).T.contiguous()
    places = torch.searchsorted(edges, rows.T.contiguous()).T
    return sum(len(places[:, [i, j]].unique(dim=0)) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_more_pairs_are_covered_than_by_the_prior_and_no_row_is_taken_twice():
    chosen = Coverage(bins=4).choose(CANDIDATES, 24, NONE, [], rng())
    assert len(set(chosen.tolist())) == 24
    assert pairs(CANDIDATES[chosen]) >= 1.15 * pairs(CANDIDATES[:24])


def test_what_was_asked_before_is_not_asked_again():
    low = CANDIDATES[(CANDIDATES < 0).all(1)]
    asked = low.repeat(20, 1)
    free, bound = (CANDIDATES[Coverage().choose(CANDIDATES, 200, rows, [], rng())] for rows in (NONE, asked))
    assert (bound < 0).all(1).sum() < 0.5 * (free < 0).all(1).sum()


def test_few_candidates_and_copies_do_not_end_the_choice():
    same = torch.zeros(20, 2, dtype=torch.float64)
    assert len(set(Coverage().choose(same, 15, same[:0], [lambda z: z[:, :1]], rng()).tolist())) == 15
    assert Coverage().choose(same[:2], 1, same[:0], [], rng()).shape == (1,)
