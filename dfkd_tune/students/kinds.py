"""Student architectures, and how they start: one file each.

A student is a frozen dataclass. ``start`` draws one member's weights; ``answer`` maps stacked weights and encoded rows to answers,
``(K, N, D) -> (K, N, O)``, normalized; ``record``, ``weight_gradients`` and ``input_gradients`` are its derivatives; ``match``
is the Sobolev loss with its gradient; ``module`` is one
member's network between the user's raw units.
"""

from dfkd_tune.students.mlp import MLP
from dfkd_tune.students.module import Module
from dfkd_tune.students.rbf import RBF

STUDENTS = {"mlp": MLP, "rbf": RBF, "module": Module}

__all__ = ["MLP", "STUDENTS"]
