"""Each row of the first round is held out of one fold."""

import torch

from dfkd_tune.training.answered.folds import FOLDS, folds, folds_trained


def test_every_first_row_is_held_out_of_one_fold_and_no_later_row_of_any():
    held = torch.zeros(200)
    for fold in folds(100, 50, 50):
        outside = torch.cat([fold.pruning, fold.selection, fold.stress])
        assert sorted(torch.cat([fold.training, outside]).tolist()) == [*range(200)]
        held[outside] += 1
    assert held[:150].eq(1).all() and held[150:].eq(0).all()
    assert folds_trained(100) == FOLDS and folds_trained(100_000) == 1
