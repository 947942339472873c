"""The registry of generators by their YAML kind; ``base`` has the interface."""

from dfkd_tune.generators.adversarial import Adversarial
from dfkd_tune.generators.ascending.direct import Direct
from dfkd_tune.generators.ascending.inversion import Inversion
from dfkd_tune.generators.ascending.zeroth_order import ZerothOrder
from dfkd_tune.generators.base import Generator
from dfkd_tune.generators.evolution import Evolution
from dfkd_tune.generators.gaussian import Gaussian
from dfkd_tune.generators.heavy_tailed import HeavyTailed
from dfkd_tune.generators.impressions import Impressions
from dfkd_tune.generators.learned.disagreement import Disagreement
from dfkd_tune.generators.learned.pairwise_coverage import PairwiseCoverage
from dfkd_tune.generators.low_discrepancy import Halton, LatinHypercube, Sobol, Uniform
from dfkd_tune.generators.rounds.committee import Committee
from dfkd_tune.generators.rounds.coverage import Coverage
from dfkd_tune.generators.skewed import Skewed
from dfkd_tune.utils.plugins import Registry

GENERATORS: Registry[type[Generator]] = Registry(
    "generators",
    Generator,
    {
        "gaussian": Gaussian,
        "uniform": Uniform,
        "latin_hypercube": LatinHypercube,
        "sobol": Sobol,
        "halton": Halton,
        "heavy_tailed": HeavyTailed,
        "skewed": Skewed,
        "impressions": Impressions,
        "adversarial": Adversarial,
        "direct": Direct,
        "inversion": Inversion,
        "zeroth_order": ZerothOrder,
        "evolution": Evolution,
        "disagreement": Disagreement,
        "pairwise_coverage": PairwiseCoverage,
        "committee": Committee,
        "coverage": Coverage,
    },
)
