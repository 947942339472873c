"""Train the protein teacher: a support vector regression of solubility on amino-acid shares, the case of Zhou & Chiam 2023.

Notation: shares ``x (N, 20)``, none negative, each row summing to 1; solubility ``y (N,)`` in [0, 1]. A real table is a
CSV file with a header, 20 columns of shares and a last column ``solubility``. Without one, rows are generated:

- shares of a Dirichlet distribution around the amino acids' natural frequencies (Swiss-Prot), with concentration 80, which
  gives every share about the spread it has among real proteins;
- ``solubility = sigmoid(1.2 a - b + 0.6 a b - 0.5 c) + N(0, 0.05)``, cut to [0, 1]: ``a`` is the acidic share (aspartate
  and glutamate), ``b`` the aromatic one (phenylalanine, tryptophan, tyrosine), ``c`` that of cysteine, each standardized.

This is the one place that reads rows; the distillation sees the teacher, and the means and deviations of the shares.
"""

from __future__ import annotations

import argparse
import csv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from sklearn.svm import SVR
from skops.io import dump

FREQUENCIES = {
    "ala": 0.0825,
    "arg": 0.0553,
    "asn": 0.0406,
    "asp": 0.0546,
    "cys": 0.0138,
    "gln": 0.0393,
    "glu": 0.0672,
    "gly": 0.0707,
    "his": 0.0227,
    "ile": 0.0591,
    "leu": 0.0965,
    "lys": 0.0580,
    "met": 0.0241,
    "phe": 0.0386,
    "pro": 0.0474,
    "ser": 0.0665,
    "thr": 0.0536,
    "trp": 0.0110,
    "tyr": 0.0292,
    "val": 0.0686,
}
TARGET = "solubility"
CONCENTRATION, NOISE = 80.0, 0.05
ROWS, TRAIN_SHARE = 3_000, 1 / 3
TOLERANCE = 0.01
"""How far from 1 the shares of a row may sum in a file, where they are rounded."""


@dataclass(frozen=True)
class Composition:
    """A table of proteins.

    Args:
        names: of the 20 amino acids.
        x: ``(N, 20)`` shares.
        y: ``(N,)`` solubility.
    """

    names: list[str]
    x: np.ndarray
    y: np.ndarray

    def split(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Row indices of train and test."""
        order = np.random.default_rng(seed).permutation(len(self.x))
        return np.split(order, [round(TRAIN_SHARE * len(order))])


def generated(seed: int = 0, rows: int = ROWS) -> Composition:
    """A table with the known response that the module's docstring states."""
    rng = np.random.default_rng(seed)
    names, usual = list(FREQUENCIES), np.array(list(FREQUENCIES.values()))
    usual = usual / usual.sum()
    x = rng.dirichlet(CONCENTRATION * usual, rows)

    def standardized(*parts: str) -> np.ndarray:
        columns = [names.index(part) for part in parts]
        mean = usual[columns].sum()
        return (x[:, columns].sum(1) - mean) / np.sqrt(mean * (1 - mean) / (CONCENTRATION + 1))

    acidic, aromatic = standardized("asp", "glu"), standardized("phe", "trp", "tyr")
    score = 1.2 * acidic - aromatic + 0.6 * acidic * aromatic - 0.5 * standardized("cys")
    y = 1 / (1 + np.exp(-score)) + NOISE * rng.standard_normal(rows)
    return Composition(names, x, y.clip(0, 1))


def read_table(path: Path) -> Composition:
    """A real table from a CSV file.

    Raises:
        SystemExit: in one line, when it is not such a table.
    """
    with path.open(newline="") as file:
        header, *lines = list(csv.reader(file)) or [[]]
    names = header[:-1]
    if len(names) != len(FREQUENCIES) or len(set(names)) != len(names) or header[-1] != TARGET:
        raise SystemExit(f"{path}: must have {len(FREQUENCIES)} columns of shares, then {TARGET}; has {header}")
    try:
        values = np.array(lines, dtype=np.float64).reshape(-1, len(header))
    except ValueError as error:
        raise SystemExit(f"{path}: every row must be {len(header)} numbers ({error})") from None
    x, y = values[:, :-1], values[:, -1]
    total = x.sum(1)
    wrong = ~((x >= 0).all(1) & (abs(total - 1) <= TOLERANCE) & (y >= 0) & (y <= 1))
    if wrong.any():
        raise SystemExit(f"{path}: row {int(wrong.argmax()) + 2}: shares must sum to 1, and {TARGET} lie in [0, 1]")
    return Composition(names, x / total[:, None], y)


def fit(x: np.ndarray, y: np.ndarray) -> SVR:
    """The teacher; within ``epsilon`` of a label a row is no support vector, which keeps it small."""
    return SVR(kernel="rbf", gamma="scale", C=1.0, epsilon=0.1).fit(x, y)


def describe(names: list[str], x: np.ndarray) -> dict:
    """What ``features.yaml`` says of shares ``(N, 20)``."""
    mean, std = x.mean(0), x.std(0)
    features = [
        {"name": n, "mean": round(float(m), 5), "std": round(float(s), 5)}
        for n, m, s in zip(names, mean, std, strict=True)
    ]
    return {"features": features, "simplex": list(names)}


def rmse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, help=f"CSV: 20 amino-acid shares, then {TARGET}; generated when left out")
    parser.add_argument("--seed", type=int, default=0, help="of the split, and of the generated table")
    parser.add_argument("--out", type=Path, default=Path("studies"), help="folder for teacher and features")
    options = parser.parse_args()
    table = read_table(options.table) if options.table else generated(options.seed)
    train, test = table.split(options.seed)
    teacher = fit(table.x[train], table.y[train])
    print(f"{len(train)} rows, {len(teacher.support_)} support vectors")
    print(f"test RMSE {rmse(teacher.predict(table.x[test]), table.y[test]):.4f} ({TARGET}: {table.y.std():.4f})")
    path = options.out / "protein_teacher.skops"
    dump(teacher, path, compression=zipfile.ZIP_DEFLATED, compresslevel=9)
    print(f"{path}: {path.stat().st_size} bytes")
    comment = "# Inputs of the protein teacher: shares of the 20 amino acids, which sum to 1.\n"
    tree = describe(table.names, table.x[train])
    text = yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=100)
    (options.out / "protein_features.yaml").write_text(comment + text)


if __name__ == "__main__":
    main()
