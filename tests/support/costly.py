"""A teacher that writes down how many rows it is asked, in a file that all processes share."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study

LOG = "COSTLY_LOG"
SHIFT = 0.0
"""What is added to every answer."""
ROW_S = 0.0
"""Seconds that each row takes."""
NOWHERE: Callable[[np.ndarray], np.ndarray] = lambda x: np.zeros(len(x), bool)  # noqa: E731
UNDEFINED = NOWHERE
"""Which of the rows ``(N, 3)`` it answers with NaN."""


def answer(x):
    """One output for three features; the rows are written down before they are answered."""
    with open(os.environ[LOG], "a") as file:
        file.write(f"{len(x)}\n")
        file.flush()
    time.sleep(ROW_S * len(x))
    x = np.asarray(x)
    return np.where(UNDEFINED(x), np.nan, np.sin(x[:, 0]) + x[:, 1] * x[:, 2] + SHIFT)


def filled(x):
    """The same for rows in which numbers may be missing."""
    return answer(np.nan_to_num(np.asarray(x)))


def asked(log: Path) -> int:
    """Rows that were asked so far."""
    return sum(map(int, log.read_text().split())) if log.exists() else 0


def costly_tree(name: str, folder: Path, total: int | None, **study) -> dict:
    """A tiny study file with that teacher."""
    features = folder / "features.yaml"
    features.write_text("features: [a, b, c]\n")
    budget = {"steps": 40, "batch": 20} | ({} if total is None else {"total_queries": total})
    return {
        "study": {"name": name, "trials": 4, "leaders": 1, "reruns": 1} | study,
        "teacher": "costly:answer",
        "features": str(features),
        "student": {"max_parameters": 51},
        "budget": budget,
    }


def run(store, tree: dict):
    """Run the study of such a file."""
    return run_study(prepare(parse_spec(tree, "costly"), storage_url=store.storage), store.storage, store.tracking)
