"""``committee``: rows on which the students of different trials disagree, for a teacher that cannot be asked at will."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.generators.rounds.base import Answer, RoundGenerator
from dfkd_tune.utils.strategy import strategy

BLOCK = 512
"""Rows that are chosen from one set of candidates, which bounds the work."""
FLOOR = 1e-12


@strategy
class Committee(RoundGenerator):
    """Scrambled Sobol rows in the first round; later rows where a committee of students disagrees.

    The disagreement at ``z`` is ``d(z)^2 = mean_o var_m S_m(z)_o`` over M students and the outputs, in standard deviations of the
    teacher: what two clones tell in DisGUIDE (Rosenthal et al. 2023), by the population that a study has anyway. Rows are drawn
    from ``candidates`` candidates each, one after the other, with probability proportional to
    ``min(d(z), threshold)^2 * min_j |z - z_j|^2`` over the rows ``z_j`` chosen before: the weighted D^2 sampling of k-means++ (Arthur &
    Vassilvitskii 2007). The threshold bounds the difference that is sought, and the distance keeps the rows apart.

    Args:
        candidates: candidates for each row.
        threshold: largest disagreement that counts, in standard deviations of the teacher.
    """

    threshold: Annotated[float, Field(gt=0)] = 1.0

    def choose(
        self, candidates: Tensor, rows: int, asked: Tensor, committee: Sequence[Answer], rng: torch.Generator
    ) -> Tensor:
        """As ``RoundGenerator.choose``; with fewer than two students, the first candidates."""
        if len(committee) < 2:
            return torch.arange(rows)
        answers = torch.stack([student(candidates).double().cpu() for student in committee])
        apart = answers.var(0, correction=0).mean(-1).nan_to_num(0.0, 0.0, 0.0).clamp(max=self.threshold**2)
        z, found = candidates.double().cpu(), []
        for part, share in zip(*(_parts(n, -(-rows // BLOCK)) for n in (len(z), rows)), strict=True):
            here = torch.arange(part.start, part.stop)
            found.append(here[_apart(z[here], apart[here] + FLOOR, len(range(share.start, share.stop)), rng)])
        return torch.cat(found)


def _parts(count: int, parts: int) -> list[slice]:
    edges = [count * k // parts for k in range(parts + 1)]
    return [slice(low, high) for low, high in itertools.pairwise(edges)]


def _apart(z: Tensor, weight: Tensor, rows: int, rng: torch.Generator) -> Tensor:
    """Indices ``(rows,)`` of rows ``(N, D)``, none twice, drawn by weight ``(N,)`` times squared distance to those before."""
    near = torch.ones(len(z), dtype=z.dtype)
    chosen: list[int] = []
    for k in range(rows):
        chance = weight * near
        chance[chosen] = 0.0
        if not chance.sum() > 0:  # only copies are left
            chance = torch.ones(len(z), dtype=z.dtype)
            chance[chosen] = 0.0
        index = int(torch.multinomial(chance, 1, generator=rng))
        chosen.append(index)
        distance = (z - z[index]).square().sum(1)
        near = torch.minimum(near, distance) if k else distance
    return torch.tensor(chosen, dtype=torch.long)
