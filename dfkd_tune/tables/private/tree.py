"""A noised tree of counts over a range, and the distribution that it tells.

Every node of the tree counts the rows in its part of the range; four children share the part of their parent. A row is in one node of
each layer, so it changes the counts by ``sqrt(depth)`` in Euclidean norm. The counts of all layers together tell more of each than
its own (Hay et al. 2010, ``make_consistent_b_ary_tree`` of OpenDP). From the root down, the rows of a node are then divided among those
children that stand out of the noise; where none does, they are spread evenly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BRANCHES = 4
LEAST = 2.0
"""Smallest count of a child that is kept, in standard deviations of its noise. It keeps noise from filling empty parts of a range."""
SPREAD = 0.01
"""Share of rows that are spread over the whole range or all levels. A rare value drowns in the noise, and must not be left out."""


def layers(counts: np.ndarray, depth: int) -> list[np.ndarray]:
    """Counts of the nodes from the four below the root to the leaves.

    Args:
        counts: ``(leaves,)`` whole numbers, at most ``BRANCHES ** depth`` of them.
        depth: number of layers.
    """
    leaves = np.zeros(BRANCHES**depth, dtype=counts.dtype)
    leaves[: len(counts)] = counts
    return [leaves.reshape(BRANCHES**layer, -1).sum(axis=1) for layer in range(1, depth + 1)]


def distribution(noised: Sequence[np.ndarray], leaves: int, noise: float) -> np.ndarray:
    """Shares ``(leaves,)`` of rows in the leaves, which sum to 1.

    Args:
        noised: counts of the layers with noise.
        leaves: number of leaves that a row can be in.
        noise: standard deviation of the noise.
    """
    from opendp.mod import enable_features
    from opendp.transformations import make_consistent_b_ary_tree

    enable_features("contrib")

    depth = len(noised)
    root = noised[0].sum(keepdims=True)
    rows = max(float(root[0]), 1.0)
    made = make_consistent_b_ary_tree(BRANCHES)
    consistent = np.array(made(np.concatenate([root, *noised]).astype(np.int64).tolist()))
    kept = np.array([rows])
    for layer in range(1, depth + 1):
        nodes = consistent.reshape(BRANCHES**layer, -1).sum(axis=1)
        below = BRANCHES ** (depth - layer)
        deviation = noise * ((BRANCHES - 1) * below / (BRANCHES * below - 1)) ** 0.5
        held = np.arange(BRANCHES**layer) * below < leaves
        kept = _divided(kept, nodes.reshape(-1, BRANCHES), held.reshape(-1, BRANCHES), LEAST * deviation)
    return spread(kept[:leaves])


def spread(counts: np.ndarray) -> np.ndarray:
    """Shares of cells from their noised counts: negative ones count as 0, and ``SPREAD`` of the rows are spread evenly."""
    counts = counts.clip(min=0)
    total = counts.sum()
    even = np.full(len(counts), 1 / len(counts))
    return even if total <= 0 else (1 - SPREAD) * counts / total + SPREAD * even


def _divided(rows: np.ndarray, children: np.ndarray, held: np.ndarray, least: float) -> np.ndarray:
    """Divide the rows of nodes among their children.

    Args:
        rows: ``(M,)`` rows of the nodes.
        children: ``(M, BRANCHES)`` estimates of the children's rows.
        held: ``(M, BRANCHES)`` whether any row can be in a child.
        least: smallest estimate of a child that is kept.
    """
    children = np.where(held, children, 0.0)
    off = rows - children.sum(axis=1)
    children = np.where(held, children + (off / held.sum(axis=1).clip(min=1))[:, None], 0.0)
    kept = held & (children > least)
    divided = children
    for _ in range(BRANCHES):  # each turn leaves out at least one child, or changes nothing
        spare = (rows - np.where(kept, children, 0.0).sum(axis=1)) / kept.sum(axis=1).clip(min=1)
        divided = np.where(kept, children + spare[:, None], 0.0)
        kept &= divided >= 0
    even = np.where(held, (rows / held.sum(axis=1).clip(min=1))[:, None], 0.0)
    return np.where(kept.any(axis=1, keepdims=True), divided.clip(min=0), even).ravel()
