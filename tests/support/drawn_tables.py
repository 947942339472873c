"""Tables that tests describe."""

import numpy as np
import pandas as pd

ROWS = 4_000


def made(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """A table with tails, atoms, levels and dependence."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(3, rows))
    rare = np.where(rng.random(rows) < 0.001, 7.0, (a + c > 0.5).astype(float))
    rare[:3] = 7.0
    return pd.DataFrame(
        {
            "heavy": np.exp(1.2 * a),
            "mixed": np.where(a + b < 0.3, 0.0, np.where(c > 1.2, 5.0, np.abs(0.6 * b + a))),
            "offset": 1e6 + 0.01 * b,
            "count": np.floor(np.exp(0.5 * c + 3)),
            "switch": rare,
            "still": np.full(rows, 2.5),
            "normal": 0.8 * a - 0.6 * c,
            "answer": a,
        }
    )


def kept(frame: pd.DataFrame, folder, name: str = "data.csv"):
    path = folder / name
    frame.to_csv(path, index=False) if name.endswith("csv") else frame.to_parquet(path)
    return path
