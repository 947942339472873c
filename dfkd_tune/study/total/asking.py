"""``Asking``: which rows a study with a total asks its teacher, and when.

One process asks at a time, and all of them read what it was answered. The first round fills the prior; each later one is asked
after its share of the trials, where the students of the best of them disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from dfkd_tune.errors import FeaturesError, QueriesSpent
from dfkd_tune.evaluation.stress_bank import outlying
from dfkd_tune.generators.base import BlockGenerator, Generator
from dfkd_tune.generators.rounds.base import Answer, RoundGenerator
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.search.locks import ASKING, StudyLock
from dfkd_tune.study.total.different import different_rows
from dfkd_tune.study.total.division import PRIOR, REPORT, ROUND, STRESS
from dfkd_tune.study.total.opening import Total
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.metering.meter import CERTIFICATE
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.training.answered.problem import Answered, AnsweredProblem
from dfkd_tune.utils.seeding import derive, stream

CALL_ROWS, CALL_SHARE = 256, 0.05
"""Most rows of one call, and their share of the total: they are lost together if the process dies in it."""
FEWEST_CALL_ROWS = 16
"""Rows of a call of a small total."""
REPEATS = 20
"""Draws for each wanted row, after which a part of a study with few different rows ends."""
STUDENTS = "students"
"""Folder, in that of the answered rows, with the weights of finished students."""
FEWEST = 50
"""Fewest answered rows of the first round to train on."""

Draw = Callable[[int], Tensor]
"""Makes the first n rows ``(n, D)`` of a part, standardized."""


@dataclass(frozen=True)
class Asking:
    """How one process asks the rows of a study.

    Args:
        total: the study's total.
        teacher, inputs, probe: the teacher and its inputs.
        generator: generator of the rows of the prior; one of rounds chooses those of later rounds.
        seed: seed of the study.
        check_cancelled: called while another process asks, and between calls; may raise to cancel.
    """

    total: Total
    teacher: Teacher
    inputs: Inputs
    probe: Probe
    generator: Generator
    seed: int
    check_cancelled: Callable[[], None]

    def problem(self, device: str) -> AnsweredProblem:
        """Ask the rows that every trial needs, as far as they are not answered, and make the problem of what is answered so far.

        Raises:
            QueriesSpent: too few rows were answered before the total was used up.
        """
        parts = self.total.division
        with self._alone():
            if parts.different:
                self._ask(PRIOR, self._different())
                self._ask(STRESS, self._stress(parts.stress))
            else:
                self._fill(REPORT, parts.report, self._report)
                self._fill(PRIOR, parts.prior, lambda n: self._blind(PRIOR, n))
                self._fill(STRESS, parts.stress, self._stress)
        answered = self.answered(0)
        fewest = min(len(answered.report[0]), len(answered.prior[0]), len(answered.stress[0]))
        if fewest < min(FEWEST, parts.report, parts.stress) // 2:
            place = f"study {self.total.ledger.study.study_name!r}"
            if self.total.left > 0:
                rule = f"only {fewest:,} different rows of a part were found in what is declared of the inputs"
                raise FeaturesError(place, rule, remedy="declare more values of the features")
            rule = f"only {fewest:,} rows of a part were answered before the total was used up"
            raise QueriesSpent(place, rule)
        kept = self.total.rows.count(CERTIFICATE)  # a worker that died may have asked them for the same student
        left = min(parts.certificate - self.total.ledger.claimed().get(CERTIFICATE, 0), self.total.ledger.left)
        return AnsweredProblem(
            self.teacher,
            self.inputs,
            self.probe,
            answered,
            seed=self.seed,
            device=device,
            students=self.total.rows.folder / STUDENTS,
            attack_rows=max(0, left + kept),
        )

    def answered(self, rounds: int) -> Answered:
        """The rows that are answered by now, up to a round."""
        rows, parts = self.total.rows, self.total.division
        rows.refresh()
        if parts.different:
            report, prior = self._known(self._report(parts.report)), self._known(self._blind(PRIOR, parts.prior))
            every = self._known(self._different())
            return Answered(report, prior, self._known(self._stress(parts.stress)), (every,), different=True)
        later = [rows.part(f"{ROUND}-{i}") for i in range(1, rounds + 1)]
        return Answered(
            rows.part(REPORT), rows.part(PRIOR), rows.part(STRESS), tuple(part for part in later if len(part[0]))
        )

    def round(self, number: int, committee: Callable[[], Sequence[Answer]]) -> None:
        """Ask a later round, unless it is answered; ``committee`` loads the students that choose its rows."""
        rows = self.total.division.rounds[number - 1]
        with self._alone():
            if self.total.rows.count(f"{ROUND}-{number}") < rows:
                chosen = self._chosen(number, rows, committee)
                self._fill(f"{ROUND}-{number}", rows, lambda n: chosen[:n])

    def _chosen(self, number: int, rows: int, committee: Callable[[], Sequence[Answer]]) -> Tensor:
        words = (ROUND, number)
        if not isinstance(self.generator, RoundGenerator):
            return self._blind(words, rows)
        count = rows * self.generator.candidates
        half = self._blind(words, count)
        candidates = torch.cat([half[::2], self._outlying(half[1::2], words)])
        rng = stream(self.seed, *words, "order")
        candidates = candidates[torch.randperm(len(candidates), generator=rng)]
        candidates = candidates[self._new(candidates, f"{ROUND}-{number}")]
        rows = min(rows, len(candidates))
        if not rows:
            return candidates
        answered = self.answered(number - 1)
        parts = [part[0] for part in (answered.prior, answered.stress, *answered.rounds) if len(part[0])]
        asked = self.inputs.present(self.inputs.standardized(torch.cat(parts)))
        return candidates[self.generator.choose(self.inputs.present(candidates), rows, asked, committee(), rng)]

    def _report(self, rows: int) -> Tensor:
        return self.inputs.draw(rows, stream(self.seed, REPORT))

    def _different(self) -> Tensor:
        """The different rows of the inputs."""
        found = different_rows(self.inputs, self.seed, self.total.ledger.total)
        return self.inputs.draw(0, stream(self.seed)) if found is None else found

    def _raw(self, z: Tensor) -> Tensor:
        return self.inputs.raw(z, self.teacher.dtype)

    def _new(self, z: Tensor, part: str | None = None) -> list[int]:
        """Indices of the rows ``(N, D)`` that are not answered, or in one part alone; each different row once."""
        rows = self.total.rows
        own = set() if part is None else {*rows.keys(rows.part(part)[0])}
        first = {key: i for i, key in reversed([*enumerate(rows.keys(self._raw(z)))])}
        return sorted(i for key, i in first.items() if key in own or rows.answer(key) is None)

    def _known(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Those of the rows ``(N, D)`` that are answered, as often as they occur, in the teacher's units; and its answers."""
        x, rows = self._raw(z), self.total.rows
        answers = [rows.answer(key) for key in rows.keys(x)]
        kept = [i for i, answer in enumerate(answers) if answer is not None]
        if not kept:
            return torch.zeros(0, 0), torch.zeros(0, 0)
        return x[kept], torch.stack([answer for answer in answers if answer is not None])

    def _blind(self, words: object, rows: int) -> Tensor:
        """The first rows ``(rows, D)`` of the generator's own sequence for a purpose."""
        assert isinstance(self.generator, BlockGenerator)  # checked with the study file
        engine = self.generator.engine(len(self.inputs), derive(self.seed, words))
        return self.generator.block(self.inputs, 1, rows, engine)[0]

    def _stress(self, rows: int) -> Tensor:
        return self._outlying(self.inputs.draw(rows, stream(self.seed, STRESS)), STRESS)

    def _outlying(self, z: Tensor, words: object) -> Tensor:
        return outlying(self.probe, self.inputs, z, stream(self.seed, words, "outlying"))

    def _fill(self, part: str, wanted: int, draw: Draw) -> None:
        """Ask rows until a part has as many as wanted, or the total is used up but for the certificate.

        Rows that were asked before are left out, for another part has them. Where the inputs have few different rows, the part ends
        with those that ``REPEATS`` times as many draws found.
        """
        rows = self.total.rows
        start, span = self.total.ledger.claimed().get(part, 0), 1
        while (missing := wanted - rows.count(part)) > 0 and start < REPEATS * wanted:
            count = min(missing, self._most())
            if count <= 0:
                return
            z = draw(start + count * span)[start:]
            if not len(z):
                return
            new = self._new(z)[:count]
            if new:
                self._ask(part, z[new])
            # The next row that is drawn: rows beyond the last that was asked may be new.
            start += new[-1] + 1 if len(new) == count else len(z)
            span = 1 if len(new) == count else 2 * span

    def _most(self) -> int:
        """Most rows of the next call; 0 if all are claimed but those of the certificate."""
        total = self.total.ledger.total
        return min(CALL_ROWS, max(FEWEST_CALL_ROWS, round(CALL_SHARE * total)), self.total.left)

    def _ask(self, part: str, z: Tensor) -> None:
        """Ask those rows ``(N, D)`` that are new, as far as the total allows."""
        z = z[self._new(z)]
        while len(z) and (most := self._most()) > 0:
            self.check_cancelled()
            here, z = z[:most], z[most:]
            # Another process may have claimed rows of its own since.
            with suppress(QueriesSpent), self.total.meter.counted_as(part), torch.no_grad():
                self.teacher(self._raw(here))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock of the process that asks, with all answers of others read."""
        ledger = self.total.ledger
        lock = StudyLock(ledger.storage, self.total.url, ledger.study, ASKING)
        lock.wait(self.check_cancelled)
        try:
            self.total.rows.refresh()
            yield
        finally:
            lock.release()
