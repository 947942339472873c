"""A mixture of Gaussian copulas: margins stay, groups go together as declared, and a file that breaks a rule is refused."""

import copy

import pytest
import torch
from scipy.stats import kstest, spearmanr

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.dependence.copula_mixture import MOST_GROUPS, copula_mixture
from dfkd_tune.inputs.features_file import parse_features, tree_of

GROUPS = [
    {"share": 0.7, "mean": [-0.5, -0.5], "covariance": [[0.6], [0.5, 0.6]]},
    {"share": 0.3, "mean": [1.2, 1.2], "covariance": [[0.5], [-0.4, 0.5]]},
]
TREE = {"features": [{"name": "a", "quantiles": {0.05: -1, 0.5: 0, 0.95: 3}}, "b"], "copula_mixture": GROUPS}


def scores_of(groups, rows=20_000):
    (mixer,) = copula_mixture(groups, 2, "file").mixings(lambda columns: torch.empty(0))
    return mixer.of(torch.randn(rows, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64))


def test_every_score_alone_is_standard_normal():
    scores = scores_of(GROUPS)
    for column in scores.T:
        assert kstest(column.numpy(), "norm").pvalue > 1e-3


def test_one_group_is_a_gaussian_copula():
    scores = scores_of([{"share": 1, "mean": [3, -2], "covariance": [[2], [1.2, 2]]}])
    assert torch.corrcoef(scores.T)[0, 1] == pytest.approx(0.6, abs=0.02)


def test_groups_go_together_in_their_own_way():
    scores = scores_of(GROUPS)
    high = scores.sum(1) > 2.5  # almost all of the second group
    low = scores.sum(1) < 0
    assert spearmanr(scores[low].numpy()).statistic > 0.2 > -0.2 > spearmanr(scores[high].numpy()).statistic


def test_the_choice_of_a_group_uses_up_no_randomness():
    """The first score is uniform again within its group, and independent of the others."""
    apart = [{"share": 0.4, "mean": [-9, 0], "covariance": [[1], [0, 1]]}]
    apart += [{"share": 0.6, "mean": [9, 0], "covariance": [[1], [0, 1]]}]
    scores = scores_of(apart)
    assert (scores[:, 0] < torch.special.ndtri(torch.tensor(0.4))).double().mean() == pytest.approx(0.4, abs=0.01)
    assert kstest(scores[:, 0].numpy(), "norm").pvalue > 1e-3
    assert abs(spearmanr(scores.numpy()).statistic) < 0.03


def test_extreme_scores_stay_finite():
    (mixer,) = copula_mixture(GROUPS, 2, "file").mixings(lambda columns: torch.empty(0))
    assert mixer.of(torch.tensor([[-9.0, 9.0], [9.0, -9.0], [0.0, 0.0]], dtype=torch.float64)).isfinite().all()


def test_a_file_with_a_mixture_is_read_drawn_and_written():
    inputs = parse_features(TREE, "file")
    assert (
        inputs.tier == "T4"
        and inputs.fingerprint() != parse_features({"features": TREE["features"]}, "f").fingerprint()
    )
    drawn = inputs.draw(4_000, torch.Generator().manual_seed(0))
    alone = parse_features({"features": TREE["features"]}, "file").draw(4_000, torch.Generator().manual_seed(1))
    for mine, other in zip(drawn.T, alone.T, strict=True):
        assert kstest(mine.numpy(), other.numpy()).pvalue > 1e-3
    assert "a mixture of 2 Gaussian copulas, 30 to 70 % of the rows each" in inputs.together[0][1]
    assert parse_features(tree_of(inputs), "again").fingerprint() == inputs.fingerprint()


BROKEN = {
    "no list": (lambda tree: tree.update(copula_mixture={"share": 1}), "copula_mixture: must be a list"),
    "none": (lambda tree: tree.update(copula_mixture=[]), "must be a list of 1 to 64 groups, got 0 groups"),
    "many": (lambda tree: tree.update(copula_mixture=GROUPS * MOST_GROUPS), "got 128 groups"),
    "shares": (lambda tree: tree["copula_mixture"][0].update(share=0.1), "the shares must sum to 1, got 0.4"),
    "share": (lambda tree: tree["copula_mixture"][0].update(share=True), r"\[0\].share: must be a number above 0"),
    "key": (lambda tree: tree["copula_mixture"][0].pop("mean"), "must hold share, mean, covariance, got"),
    "mean": (lambda tree: tree["copula_mixture"][1].update(mean=[0]), r"\[1\].mean: must be a list of 2 numbers"),
    "infinite": (lambda tree: tree["copula_mixture"][1].update(mean=[0, float("inf")]), r"mean\[1\]: must be a number"),
    "rows": (lambda tree: tree["copula_mixture"][0].update(covariance=[[1]]), "must be a list of 2 rows"),
    "row": (lambda tree: tree["copula_mixture"][0].update(covariance=[[1], [1]]), r"covariance\[1\]: must hold 2 numbers"),
    "variance": (lambda tree: tree["copula_mixture"][0].update(covariance=[[1], [0, 0]]), "a variance is above 0"),
    "impossible": (lambda tree: tree["copula_mixture"][0].update(covariance=[[1], [2, 1]]), "no data have these"),
    "both": (lambda tree: tree.update(rank_correlation=[[1], [0, 1]]), "excludes copula_mixture"),
    "window": (
        lambda tree: tree.update(window={"steps": 2, "channels": [{"name": "t", "time_constant": 2}]}) or tree.pop("features"),
        "a window or grid says how its own go together",
    ),
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
def test_what_breaks_a_rule_is_refused_by_name(broken):
    change, words = BROKEN[broken]
    tree = copy.deepcopy(TREE)
    change(tree)
    with pytest.raises(FeaturesError, match=words):
        parse_features(tree, "file")
