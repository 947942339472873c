"""The architectures of networks other than chains of linear layers, by the key ``kind`` of an architecture file."""

from dfkd_tune.networks.base import ShapedArchitecture
from dfkd_tune.networks.conv1d import Conv1dArchitecture
from dfkd_tune.networks.conv2d import Conv2dArchitecture
from dfkd_tune.networks.gru import GRUArchitecture
from dfkd_tune.networks.rbf import RBFArchitecture

ARCHITECTURES: dict[str, type[ShapedArchitecture]] = {
    each.kind: each for each in (GRUArchitecture, Conv1dArchitecture, Conv2dArchitecture, RBFArchitecture)
}
