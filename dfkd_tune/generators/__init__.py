"""Synthetic data generators: one file an idea.

A generator is a frozen dataclass. ``start`` makes one member's evolving state, a dict of tensors that the population
stacks; ``draw`` is called with the stacked hyper-parameters, the stacked state and the ``Contest`` of the members that
share its structure, and returns synthetic inputs ``(k, G, D)`` in standardized units. A ``Sampled`` generator looks at
nothing and is asked for whole blocks instead.

Three facts say what else matters: ``seeks`` (it looks at the gap, so a difference bound applies), ``travels`` (it starts at
prior rows, so an input bound applies), ``needs_gradients`` (of the teacher).
"""

from .adversarial import Adversarial
from .contest import Contest
from .direct import Direct
from .evolution import Evolution
from .gaussian import Gaussian
from .heavy_tailed import HeavyTailed
from .impressions import Impressions
from .sampled import Halton, LatinHypercube, Sampled, Sobol, Uniform
from .skewed import Skewed
from .zeroth_order import ZerothOrder

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

__all__ = ["GENERATORS", "Contest", "Gaussian", "Sampled"]
