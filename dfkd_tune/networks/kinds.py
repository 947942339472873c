"""The architectures of networks over windows and grids, by the key ``kind`` of an architecture file."""

from dfkd_tune.networks.base import ShapedArchitecture
from dfkd_tune.networks.conv1d import Conv1dArchitecture
from dfkd_tune.networks.conv2d import Conv2dArchitecture
from dfkd_tune.networks.gru import GRUArchitecture

ARCHITECTURES: dict[str, type[ShapedArchitecture]] = {
    each.kind: each for each in (GRUArchitecture, Conv1dArchitecture, Conv2dArchitecture)
}
