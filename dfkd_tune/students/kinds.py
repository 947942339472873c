"""Every student architecture by its kind; ``base`` says what one must do."""

from dfkd_tune.students.mlp import MLP
from dfkd_tune.students.module import Module
from dfkd_tune.students.rbf import RBF

STUDENTS = {"mlp": MLP, "rbf": RBF, "module": Module}
