"""The registry of student architectures by their YAML kind; ``base`` has the interface."""

from dfkd_tune.students.base import Student
from dfkd_tune.students.convolutional.conv1d import Conv1d
from dfkd_tune.students.convolutional.conv2d import Conv2d
from dfkd_tune.students.gru import GRU
from dfkd_tune.students.mlp import MLP
from dfkd_tune.students.module import Module
from dfkd_tune.students.rbf import RBF
from dfkd_tune.utils.plugins import Registry

STUDENTS: Registry[type[Student]] = Registry(
    "students",
    Student,
    {"mlp": MLP, "rbf": RBF, "module": Module, "gru": GRU, "conv1d": Conv1d, "conv2d": Conv2d},
)
