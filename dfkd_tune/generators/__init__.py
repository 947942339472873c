"""Synthetic data generators: one file each.

A generator is a frozen dataclass. ``start`` makes one member's evolving state, a dict of tensors that the population
stacks; ``draw`` is called with the stacked hyper-parameters, the stacked state and the ``Contest`` of the members that
share its structure, and returns synthetic inputs ``(k, G, D)`` in standardized units.
"""

from .adversarial import Adversarial
from .contest import Contest
from .direct import Direct
from .gaussian import Gaussian

GENERATORS = {"gaussian": Gaussian, "adversarial": Adversarial, "direct": Direct}

__all__ = ["GENERATORS", "Contest"]
