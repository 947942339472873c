"""Real regression tables, for benchmarks alone: the shared ones, or OpenML's by scikit-learn's fetcher.

Nothing in the package imports this: no row of it can choose anything outside a benchmark that says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from dfkd_tune.teachers.base import Teacher, hash_module
from dfkd_tune.teachers.loader import load_teacher

SHARED = ("compactiv", "cpusmall", "mv", "pole", "puma32h")
OPENML = {"CTScan": "slice_localization", "bikesharing": "Bike_Sharing_Demand"}
"""Tables of the paper that OpenML offers: name here -> name there."""
TRAIN_ROWS = 5_000
VALID_SHARE = 0.1


@dataclass(frozen=True)
class Table:
    """A standardized table.

    Args:
        x: ``(N, D)`` float32, each feature with mean 0 and standard deviation 1 over the whole table, as published.
        y: ``(N,)`` likewise.
    """

    name: str
    x: np.ndarray
    y: np.ndarray

    def split(self, seed: int) -> dict[str, np.ndarray]:
        """Row indices of train, valid and test, split as the paper splits by a seed."""
        from sklearn.model_selection import train_test_split

        rows = np.arange(len(self.x))
        train, rest = train_test_split(rows, train_size=TRAIN_ROWS, random_state=seed)
        valid, test = train_test_split(rest, train_size=VALID_SHARE, random_state=seed)
        return {"train": train, "valid": valid, "test": test}


def load(name: str, shared: Path, cache: Path | None = None) -> Table:
    """A table by name, from the shared folder or through OpenML's cache.

    Raises:
        FileNotFoundError: neither has it.
    """
    file = Path(shared) / "data" / f"{name}.npz"
    if file.exists():
        arrays = np.load(file)
        return Table(name, arrays["X"], arrays["y"])
    if name not in OPENML:
        raise FileNotFoundError(f"{file}: no such table, and OpenML has none of that name; known: {', '.join(OPENML)}")
    return from_openml(name, cache)


def from_openml(name: str, cache: Path | None) -> Table:
    """Fetch a table from OpenML into ``cache``, or read it from there; rows with gaps and constant columns are dropped."""
    from sklearn.datasets import fetch_openml

    found = fetch_openml(
        name=OPENML[name], version=1, as_frame=False, parser="liac-arff", data_home=cache and str(cache)
    )
    x, y = np.asarray(found.data, dtype=np.float64), np.asarray(found.target, dtype=np.float64)
    whole = np.isfinite(x).all(1) & np.isfinite(y)
    x, y = x[whole], y[whole]
    x = x[:, x.std(0) > 0]
    return Table(name, ((x - x.mean(0)) / x.std(0)).astype(np.float32), ((y - y.mean()) / y.std()).astype(np.float32))


def shared_split(name: str, shared: Path) -> dict[str, np.ndarray]:
    """The published split of seed 10, which belongs to the shared teacher."""
    arrays = np.load(Path(shared) / "data" / f"{name}.npz")
    return {key: arrays[key] for key in ("train", "valid", "test")}


def shared_teacher(name: str, shared: Path, folder: Path) -> Teacher:
    """The paper's own teacher of seed 10. ``folder`` takes the architecture file."""
    file = Path(shared) / "teachers" / f"{name}.safetensors"
    with safe_open(file, "pt") as weights:
        hidden, features = weights.get_slice("hidden.weight").get_shape()
    architecture = Path(folder) / f"{name}.architecture.yaml"
    architecture.write_text(f"layers: [{features}, {hidden}, 1]\nactivation: tanh\n")
    return load_teacher(file, architecture)


def as_teacher(name: str, module: torch.nn.Module) -> Teacher:
    """A network trained here, as a teacher."""
    from dfkd_tune.teachers.fused.forward import with_fused_forward

    module.eval().requires_grad_(False)
    return with_fused_forward(Teacher(name, module, torch.float32, hash_module(module)))


def declared(rows: np.ndarray, tier: str, path: Path) -> Path | None:
    """A features file of what is known of rows ``(N, D)`` in a tier, as ``dfkd-tune describe`` writes it; None for ``none``."""
    if tier == "none":
        return None
    from dfkd_tune.tables.describe import describe
    from dfkd_tune.tables.read import Table as Rows
    from dfkd_tune.utils import yaml_io

    names = [f"x{i}" for i in range(rows.shape[1])]
    path.write_text(yaml_io.dump(describe(Rows(names, rows.astype(np.float64)), tier).tree()))
    return path


FEW = 5
"""Largest number of distinct values of a column whose bounds are levels."""


def declared_privately(rows: np.ndarray, epsilon: float, width: float, path: Path) -> Path:
    """A features file of rows ``(N, D)`` in tier T4, as ``dfkd-tune describe --epsilon`` writes it.

    Args:
        rows: real rows.
        epsilon: privacy loss; delta is the default.
        width: width of the declared ranges, in those of the rows.
        path: file to write.
    """
    from dfkd_tune.tables.private.accountant import Privacy
    from dfkd_tune.tables.private.bounds import bounds_of
    from dfkd_tune.tables.private.describe import describe_privately
    from dfkd_tune.tables.read import Table as Rows
    from dfkd_tune.utils import yaml_io

    names = tuple(f"x{i}" for i in range(rows.shape[1]))
    public = []
    for name, column in zip(names, rows.astype(np.float64).T, strict=True):
        values = np.unique(column)
        middle, half = (column.max() + column.min()) / 2, width * (column.max() - column.min()) / 2
        ends = [float(f"{end:.3g}") for end in (middle - half, middle + half)]
        public.append({"name": name} | ({"levels": values.tolist()} if len(values) <= FEW else {"range": ends}))
    limits = bounds_of({"features": public}, names)
    told = describe_privately(Rows(names, rows.astype(np.float64)), "correlation", Privacy(epsilon), limits)
    path.write_text(yaml_io.dump(told.tree()))
    return path
