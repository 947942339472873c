"""Synthetic data generators: one file an idea.

A generator is a frozen dataclass. ``start`` makes one member's evolving state, a dict of tensors that the population
stacks; ``draw`` is called with the stacked hyper-parameters, the stacked state and the ``GeneratorContext`` of the members that
share its structure, and returns synthetic inputs ``(k, G, D)`` in standardized units. A ``Sampled`` generator looks at
nothing and is asked for whole blocks instead.

Three facts say what else matters: ``uses_gap`` (it looks at the gap, so a difference bound applies), ``starts_from_prior`` (it starts at
prior rows, so an input bound applies), ``needs_gradients`` (of the teacher).
"""

from dfkd_tune.generators.adversarial import Adversarial
from dfkd_tune.generators.context import GeneratorContext
from dfkd_tune.generators.direct import Direct
from dfkd_tune.generators.evolution import Evolution
from dfkd_tune.generators.gaussian import Gaussian
from dfkd_tune.generators.heavy_tailed import HeavyTailed
from dfkd_tune.generators.impressions import Impressions
from dfkd_tune.generators.low_discrepancy import Halton, LatinHypercube, Sampled, Sobol, Uniform
from dfkd_tune.generators.skewed import Skewed
from dfkd_tune.generators.zeroth_order import ZerothOrder

GENERATORS = {
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
    "zeroth_order": ZerothOrder,
    "evolution": Evolution,
}

__all__ = ["GENERATORS", "Gaussian", "GeneratorContext", "Sampled"]
