"""What the batch normalization of a teacher recollects of its inputs is found again, and believed only where it can be."""

from pathlib import Path

import pytest
import torch
import yaml
from asked import GOOD
from torch import nn

from dfkd_tune.evaluation.stress_bank import stress_bank
from dfkd_tune.inputs.features_file import parse_features, read_features
from dfkd_tune.inputs.marginals.sinh_arcsinh import SinhArcsinh
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.inputs.summary import in_words, meaning
from dfkd_tune.prior_inference.batch_norm import infer
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.search.space.defaults import TEACHER_DEFAULTS
from dfkd_tune.teachers.base import Teacher, freeze
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.testing.problems import make_problem
from dfkd_tune.training.stress_rows import STRETCHED, stress_policy

pytestmark = pytest.mark.usefixtures("undrawn")

WIDTH = 4


def rows(seed: int, number: int = 4_000) -> torch.Tensor:
    """Standardized rows of which the first two go together, the third runs against the second, and the last is skewed to the right."""
    rng = torch.Generator().manual_seed(seed)
    s = torch.randn(number, WIDTH, generator=rng)
    y = torch.stack([s[:, 0], 0.9 * s[:, 0] + 0.44 * s[:, 1], -0.7 * s[:, 0] + 0.71 * s[:, 2], s[:, 3]], dim=1)
    y[:, 3] = torch.exp(y[:, 3])
    return (y - y.mean(0)) / y.std(0)


class Nested(nn.Module):
    """A network that no chain is: its answer goes around a layer."""

    def __init__(self, layers):
        super().__init__()
        self.first, self.second, self.last = layers[:3], layers[3:6], layers[6]

    def forward(self, x):
        h = self.first(x)
        return self.last(h + self.second(h))


def network(seen: torch.Tensor | None = None, shift: float = 0.0, scale: float = 1.0) -> nn.Sequential:
    """Two normalized layers whose running moments are those of the rows it has seen, in their raw units."""
    torch.manual_seed(0)
    norm = lambda: nn.BatchNorm1d(24, momentum=None)  # noqa: E731
    layers = (nn.Linear(WIDTH, 24), norm(), nn.Tanh(), nn.Linear(24, 24), norm(), nn.ReLU(), nn.Linear(24, 1))
    made = nn.Sequential(*layers)
    if seen is not None:
        made.train()(seen * scale + shift)
    return freeze(made)


def exported(folder: Path) -> Path:
    """The network as a file."""
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    program = torch.export.export(network(rows(1)), (torch.zeros(2, WIDTH),), dynamic_shapes=shapes)
    torch.export.save(program, folder / "net.pt2")
    return folder / "net.pt2"


def teacher(module: nn.Module) -> Teacher:
    return Teacher("here", module, torch.float32, "sha")


def correlations(inputs: Inputs) -> torch.Tensor:
    return torch.corrcoef(inputs.draw(20_000, torch.Generator().manual_seed(5)).T)


def skewness(z: torch.Tensor) -> torch.Tensor:
    return ((z - z.mean(0)) / z.std(0)).pow(3).mean(0)


@pytest.fixture(scope="module")
def known() -> Inputs:
    return with_inputs(teacher(network(rows(1))), None)[1]


def test_what_goes_together_and_what_is_skewed_is_found_again(known):
    z = known.draw(20_000, torch.Generator().manual_seed(5))
    assert torch.allclose(torch.corrcoef(z.T), torch.corrcoef(rows(2).T).double(), atol=0.12)
    assert skewness(z)[3] > 1.5
    assert skewness(z)[:3].abs().max() < 0.5
    assert z.mean(0).abs().max() < 0.05
    assert (z.std(0) - 1).abs().max() < 0.1


def test_it_is_the_same_on_any_number_of_threads():
    told, unknown, threads, seen = teacher(network(rows(1))), Inputs.unknown(WIDTH), torch.get_num_threads(), set()
    told.function.register_forward_hook(lambda *_: seen.add(torch.get_num_threads()))
    first = infer(told, unknown)
    torch.set_num_threads(threads + 1)
    try:
        second = infer(told, unknown)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert seen == {1}
    first, second = (each.inferred.shape for each in (first, second))
    assert torch.equal(first.mixing, second.mixing) and torch.equal(first.skew, second.skew)


def test_what_is_recollected_is_known_by_its_fingerprint(known):
    again = with_inputs(teacher(network(rows(1))), None)[1]
    assert known.fingerprint() == again.fingerprint() != Inputs.unknown(WIDTH).fingerprint()


def test_declared_units_are_kept(tmp_path):
    file = tmp_path / "features.yaml"
    file.write_text("features: [" + ", ".join(f"{{name: f{i}, mean: 50, std: 8}}" for i in range(WIDTH)) + "]")
    raw = with_inputs(teacher(network(rows(1), 50.0, 8.0)), file)[1]
    assert raw.tier == "T2"
    assert "go together was found from the teacher's batch normalization" in meaning(raw)
    assert torch.allclose(correlations(raw), torch.corrcoef(rows(2).T).double(), atol=0.12)
    assert raw.raw(raw.draw(5_000, torch.Generator().manual_seed(0))).mean() == pytest.approx(50, abs=1)


def test_every_form_of_a_network_is_heard(tmp_path, known):
    assert torch.allclose(
        correlations(with_inputs(load_teacher(exported(tmp_path)), None)[1]), correlations(known), atol=0.02
    )
    nested = Nested(network())
    nested.train()(rows(1))
    assert torch.allclose(correlations(with_inputs(teacher(freeze(nested)), None)[1]), correlations(known), atol=0.15)


UNKNOWN = {
    "nothing normalizes": lambda: nn.Sequential(nn.Linear(WIDTH, 8), nn.Tanh(), nn.Linear(8, 1)),
    "never trained": network,
    "by the batch": lambda: nn.Sequential(
        nn.Linear(WIDTH, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.ReLU(), nn.Linear(8, 1)
    ),
    "another width": lambda: network(rows(1))[3:],
    "no gradient": lambda: nn.Sequential(Rounded(), *network(rows(1))),
}


class Rounded(nn.Module):
    def forward(self, x):
        return x.detach()


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_recollected_is_not_made_up(name):
    assert infer(teacher(freeze(UNKNOWN[name]())), Inputs.unknown(WIDTH)) is None


def test_a_function_recollects_nothing():
    assert infer(teacher(lambda x: x.sum(1)), Inputs.unknown(WIDTH)) is None


QUANTILES = "{0.01: -0.7, 0.25: -0.55, 0.5: -0.3, 0.75: 0.1, 0.99: 4}"


def test_features_keep_what_is_declared_of_each(tmp_path):
    """With ranges and quantiles declared, the correlations alone are found."""
    file = tmp_path / "features.yaml"
    told = f"features: [a, {{name: b, range: [-2, 2], mean: 0, std: 1}}, c, {{name: d, quantiles: {QUANTILES}}}]"
    file.write_text(told)
    declared = read_features(file)
    raw = with_inputs(teacher(network(rows(1))), file)[1]
    assert raw.tier == declared.tier == "T3" and raw.features == declared.features
    assert "how features go together was found from the teacher's batch normalization" in meaning(raw)
    assert torch.allclose(correlations(raw), torch.corrcoef(rows(2).T).double(), atol=0.12)


def test_channels_of_a_convolution_recollect_images():
    """Neighboring pixels go together where the moments of filters say so; each pixel keeps its range."""
    side, rng = 4, torch.Generator().manual_seed(3)
    smooth = nn.functional.avg_pool2d(torch.randn(4_000, 1, side + 2, side + 2, generator=rng), 3, stride=1)
    images = (0.5 + smooth.flatten(1) * 0.6).clamp(0, 1)
    torch.manual_seed(0)
    layers = nn.Unflatten(1, (1, side, side)), nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12, momentum=None)
    made = nn.Sequential(*layers, nn.Tanh(), nn.Flatten(), nn.Linear(12 * side * side, 1))
    made.train()(images)
    mean, std = float(images.mean()), float(images.std())
    grid = parse_features({"grid": {"height": side, "width": side, "range": [0, 1], "mean": [mean], "std": [std]}}, "x")
    found = infer(teacher(freeze(made)), grid)
    known, expected = correlations(found), torch.corrcoef(images.T).double()
    apart = torch.cdist(*2 * [torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0))])
    for distance in (1, 2):
        pairs = apart == distance
        assert float(known[pairs].mean()) == pytest.approx(float(expected[pairs].mean()), abs=0.25)
    assert float(known[apart == 1].mean()) > float(known[apart == 2].mean()) + 0.1
    apiece = {"height": side, "width": side, "range": [0, 1], "mean": [mean + 0.001 * i for i in range(side * side)]}
    told = parse_features({"grid": {**apiece, "std": [std] * side * side}}, "x")
    assert infer(teacher(freeze(made)), told) is None


DECLARED = {
    "correlations": "features: [a, b, c, d]\nrank_correlation: [[1], [0, 1], [0, 0, 1], [0, 0, 0, 1]]",
    "a simplex": "features: [a, b, c, d]\nsimplex: [a, b]",
}


@pytest.mark.parametrize("name", DECLARED)
def test_what_is_declared_comes_first(name, tmp_path):
    file = tmp_path / "features.yaml"
    file.write_text(DECLARED[name])
    assert with_inputs(teacher(network(rows(1))), file)[1].inferred is None


def test_rows_of_another_shape_are_not_searched_where_the_shape_is_recollected(known):
    for kind in TEACHER_DEFAULTS.values():
        offered = kind.searched(known)
        assert "skewed" not in offered["generator.kind"]
        assert "generator.shared" not in offered
        assert "generator.spread" in offered or "heavy_tailed" not in offered["generator.kind"]


def test_where_inputs_are_known_from_is_said(known):
    assert known.tier == "T0"
    assert "batch normalization" in meaning(known)
    assert "batch normalization" in in_words(known)[-1]["declared"]
    assert meaning(Inputs.unknown(3)) != meaning(known)


def test_a_study_and_its_certificates_know_the_same_inputs(dfkd, store, finished, tmp_path):
    spec = {
        **GOOD,
        "study": {"name": "heard", "trials": 1, "reruns": 0},
        "teacher": str(exported(tmp_path)),
        "preset": "faithful",
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(spec | {"search": {}}))
    store.hand_out(tmp_path)
    checked = dfkd("check", "study.yaml", "--no-estimate")
    assert checked.status == 0, checked.err
    assert "tier T0: nothing is declared of the inputs; how each feature is distributed" in " ".join(
        checked.out.split()
    )
    assert dfkd("study", "study.yaml").status == 0
    registered = dfkd("register", "heard", "--model", "heard", "--trial", 0)
    assert registered.status == 0, registered.err


def test_a_problem_draws_what_is_recollected(known):
    problem = make_problem(inputs=known)
    drawn = torch.corrcoef(problem.banks["report"].z.T.double())
    assert drawn[0, 1] == pytest.approx(float(correlations(known)[0, 1]), abs=0.1)
    assert not problem.inputs.shapeless.any()
    assert problem.inputs.open_ended.all()


@pytest.mark.parametrize("seed", range(3))
def test_every_member_of_the_family_is_standardized(seed):
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(3, 3, generator=rng, dtype=torch.float64)
    skew, tails = 0.5 * torch.randn(2, 3, generator=rng, dtype=torch.float64)
    family = SinhArcsinh(mixing / mixing.norm(dim=1, keepdim=True), skew, 0.5 * tails)
    z = family.push(torch.randn(200_000, 3, generator=rng, dtype=torch.float64))
    assert z.mean(0).abs().max() < 0.02
    assert (z.std(0) - 1).abs().max() < 0.05
    assert torch.equal(skewness(z).sign()[skew.abs() > 0.2], skew.sign()[skew.abs() > 0.2])


def test_the_normal_distribution_is_one_of_them():
    normal = SinhArcsinh(torch.eye(3, dtype=torch.float64), torch.zeros(3).double(), torch.zeros(3).double())
    scores = torch.randn(50, 3, dtype=torch.float64)
    assert torch.allclose(normal.push(scores), scores)


def test_students_are_chosen_by_rows_stretched_further(known):
    problem = make_problem(inputs=known)
    still = stress_bank(problem, [], far=False).z
    stretched = stress_bank(problem, []).z
    assert stress_policy(problem.probe, known) is STRETCHED
    assert problem.answer(stretched).isfinite().all()
    ratio = stretched / still  # one factor a row and one a feature, none of which turns a row around
    assert (ratio > 0).all()
    assert ratio.log().std() == pytest.approx(0.5 * 2**0.5, rel=0.1)


def test_a_unit_that_never_changed_in_training_is_no_obstacle():
    seen = rows(1)
    net = nn.Sequential(nn.Linear(WIDTH, 24), nn.ReLU(), nn.BatchNorm1d(24, momentum=None), nn.Linear(24, 1))
    torch.manual_seed(0)
    nn.init.normal_(net[0].weight)
    nn.init.constant_(net[0].bias[3], -60.0)
    net.train()(seen)
    assert net[2].running_var[3] == 0
    found = infer(teacher(freeze(net)), Inputs.unknown(WIDTH))
    assert found is None or correlations(found)[0, 1] > 0.3
