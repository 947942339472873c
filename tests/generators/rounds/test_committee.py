"""A committee asks where its students disagree, within a bound, and not twice at one place."""

import torch

from dfkd_tune.generators.rounds.committee import Committee

NONE = torch.zeros(0, 2)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


CANDIDATES = torch.rand(2_000, 2, generator=rng(), dtype=torch.float64) * 2 - 1


def disagreeing(size: float = 1.0, others: float = 0.0):
    """Two students that differ by ``size`` where the first coordinate is above 0.8, and by ``others`` elsewhere."""
    return [
        lambda z: torch.where(z[:, :1] > 0.8, size, others),
        lambda z: torch.zeros(len(z), 1, dtype=z.dtype),
    ]


def test_rows_are_where_students_disagree():
    chosen = Committee().choose(CANDIDATES, 50, NONE, disagreeing(), rng())
    assert len(set(chosen.tolist())) == 50
    assert (CANDIDATES[chosen, 0] > 0.8).float().mean() > 0.95


def test_a_disagreement_above_the_threshold_counts_no_more():
    committee = disagreeing(size=100.0, others=1.0)
    free = Committee(threshold=1e6).choose(CANDIDATES, 50, NONE, committee, rng())
    bound = Committee(threshold=0.2).choose(CANDIDATES, 50, NONE, committee, rng())
    assert (CANDIDATES[free, 0] > 0.8).float().mean() > 0.9 > 0.5 > (CANDIDATES[bound, 0] > 0.8).float().mean()


def test_rows_are_apart():
    even = disagreeing(size=1.0, others=1.0)
    chosen = CANDIDATES[Committee().choose(CANDIDATES, 40, NONE, even, rng())]
    plain = CANDIDATES[torch.randperm(len(CANDIDATES), generator=rng())[:40]]

    def nearest(z):
        return (torch.cdist(z, z) + 9 * torch.eye(len(z))).amin(1).mean()

    assert nearest(chosen) > 1.2 * nearest(plain)


def test_one_student_does_not_disagree_and_large_rounds_are_chosen_in_parts():
    assert Committee().choose(CANDIDATES, 3, NONE, disagreeing()[:1], rng()).tolist() == [0, 1, 2]
    many = Committee().choose(CANDIDATES, 1_100, NONE, disagreeing(1.0, 0.5), rng())
    assert len(set(many.tolist())) == 1_100


def test_copies_do_not_end_the_choice():
    same = torch.zeros(20, 2, dtype=torch.float64)
    assert len(set(Committee().choose(same, 15, NONE, disagreeing(), rng()).tolist())) == 15
