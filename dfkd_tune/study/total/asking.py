"""``Asking``: which rows a study with a total asks its teacher, and when.

One process asks at a time, and all of them read what it was answered. The first round fills the prior; each later one is asked
after its share of the trials, where the students of the best of them disagree.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from dfkd_tune.errors import FeaturesError, QueriesSpent, TeacherError
from dfkd_tune.evaluation.stress_bank import outlying
from dfkd_tune.generators.base import BlockGenerator, Generator
from dfkd_tune.generators.rounds.base import Answer, RoundGenerator
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.search.attributes import ANSWERED, LOST, StudyRecord
from dfkd_tune.study.total.different import different_rows
from dfkd_tune.study.total.division import AGAIN_ROWS
from dfkd_tune.study.total.drift import require_same
from dfkd_tune.study.total.opening import Total
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.metering.parts import AGAIN, CERTIFICATE, OPENING, PRIOR, REPORT, ROUND, STRESS, round_name
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.training.answered.problem import Answered, AnsweredProblem
from dfkd_tune.utils.seeding import derive, stream

LOG = logging.getLogger(__name__)

CALL_ROWS, CALL_SHARE = 256, 0.05
"""Most rows of one call, and their share of the total: they are lost together if the process dies in it."""
FEWEST_CALL_ROWS = 16
"""Rows of a call of a small total."""
REPEATS = 20
"""Draws for each wanted row, after which a part of a study with few different rows ends."""
STUDENTS = "students"
"""Folder, in that of the answered rows, with the weights of finished students."""
FEWEST = 50
"""Half of so many rows of a part, or of as many as are wanted if that is less, are the fewest to train on and to measure by."""

DECLARED = (REPORT, PRIOR)
"""Parts whose rows are as declared, so that the teacher must answer each; others lie where tails are not declared, or half of them."""

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
            FeaturesError: too few different rows were found in what is declared of the inputs.
            TeacherError: the teacher does not answer as it did when it was asked before, or gives NaN or infinity within what is
                declared of the inputs.
        """
        parts = self.total.division
        with self.total.asking_alone(self.check_cancelled):
            if parts.different:
                missing = self._different()
                missing = missing[self._new(missing)]
                if len(missing) and self.total.left > 0:
                    self.require_same_answers(PRIOR)  # of a session that was interrupted
                self._ask(PRIOR, self._raw(missing))
                self._ask(STRESS, self._raw(self._stress(parts.stress)))
            else:
                first = {REPORT: parts.report, PRIOR: parts.prior, STRESS: parts.stress}
                if any(self._may_ask(name, rows) for name, rows in first.items()):
                    self.require_same_answers()  # of a session that was interrupted
                for name in DECLARED:
                    self._ask(name, self.total.rows.not_finite(name))
                self._fill(REPORT, parts.report, self._report)
                self._fill(PRIOR, parts.prior, lambda n: self._blind(PRIOR, n))
                self._fill(STRESS, parts.stress, self._stress)
            self._note()
        answered = self.answered(0)
        fewest = min(len(answered.report[0]), len(answered.prior[0]), len(answered.stress[0]))
        if fewest < min(FEWEST, parts.report, parts.stress) // 2:
            place = f"study {self.total.ledger.study.study_name!r}"
            if self.total.left > 0:
                rule = f"only {fewest:,} different rows of a part were found in what is declared of the inputs"
                raise FeaturesError(place, rule, remedy="declare more values of the features")
            rule = f"only {fewest:,} rows of a part were answered before the total was used up, but for the certificate"
            raise QueriesSpent(place, rule)
        return AnsweredProblem(
            self.teacher,
            self.inputs,
            self.probe,
            answered,
            seed=self.seed,
            device=device,
            students=self.total.rows.folder / STUDENTS,
            attack=self.attack,
        )

    def attack(self) -> tuple[int, int]:
        """Rows of the attacks that ended, and of the next one, those included that a worker has asked who died in it."""
        ledger = self.total.ledger
        before = StudyRecord.of(ledger.study).certified_rows
        here = ledger.claimed().get(CERTIFICATE, 0) - before
        return before, max(0, min(self.total.division.certificate - before, ledger.left + here))

    def require_same_answers(self, part: str = REPORT) -> None:
        """Ask a few kept rows of a part again, others each time, as far as rows are left.

        Raises:
            TeacherError: the teacher does not answer as it did.
        """
        rows, ledger = self.total.rows, self.total.ledger
        x, y = rows.part(part)
        if len(x) < AGAIN_ROWS:
            return
        begin = ledger.claimed().get(AGAIN, 0)
        chosen = [(begin + i) % len(x) for i in range(AGAIN_ROWS)]
        answered = torch.cat([rows.part(name)[1].reshape(-1, y.shape[1]) for name in (REPORT, PRIOR)])
        meter = self.total.meter
        with suppress(QueriesSpent), meter.counted_as(AGAIN), meter.asking_again(keeping=False):
            require_same(self.teacher, x[chosen], y[chosen], answered)

    def answered(self, rounds: int) -> Answered:
        """The rows that are answered by now, up to a round; few different rows are all asked before the first one."""
        rows, parts = self.total.rows, self.total.division
        rows.refresh()
        if parts.different:
            report, prior = self._known(self._report(parts.report)), self._known(self._blind(PRIOR, parts.prior))
            every = self._known(self._different())
            return Answered(report, prior, self._known(self._stress(parts.stress)), (every,), different=True)
        later = [rows.part(round_name(i)) for i in range(1, rounds + 1)]
        return Answered(
            rows.part(REPORT), rows.part(PRIOR), rows.part(STRESS), tuple(part for part in later if len(part[0]))
        )

    def round(self, number: int, committee: Callable[[], Sequence[Answer]]) -> None:
        """Ask a later round, unless it is answered; ``committee`` loads the students that choose its rows.

        Raises:
            TeacherError: the teacher does not answer as it did when it was asked before.
        """
        rows, part = self.total.division.rounds[number - 1], round_name(number)
        with self.total.asking_alone(self.check_cancelled):
            claimed = self.total.ledger.claimed().get(part, 0)  # rows without a finite answer are not asked again
            if claimed < rows and self.total.left > 0:
                chosen = self._chosen(number, rows, committee)
                if claimed < len(chosen):
                    self.require_same_answers()
                    self._fill(part, rows, lambda n: chosen[:n])
            self._note()

    def begun(self) -> int:
        """The last round of which rows were asked; 0 before the first."""
        claimed = self.total.ledger.claimed()
        return max((i for i in range(1, len(self.total.division.rounds) + 1) if claimed.get(round_name(i))), default=0)

    def _chosen(self, number: int, rows: int, committee: Callable[[], Sequence[Answer]]) -> Tensor:
        words = (ROUND, number)
        if not isinstance(self.generator, RoundGenerator):
            return self._blind(words, rows)
        count = rows * self.generator.candidates
        half = self._blind(words, count)
        candidates = torch.cat([half[::2], self._outlying(half[1::2], words)])
        rng = stream(self.seed, *words, "order")
        candidates = candidates[torch.randperm(len(candidates), generator=rng)]
        candidates = candidates[self._new(candidates, round_name(number))]
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
        return different_rows(self.inputs, self.total.division.different)

    def _raw(self, z: Tensor) -> Tensor:
        return self.inputs.raw(z, self.teacher.dtype)

    def _new(self, z: Tensor, part: str | None = None) -> list[int]:
        """Indices of the rows ``(N, D)`` that are not answered, or in one part alone; each different row once."""
        rows = self.total.rows
        return self._unanswered(self._raw(z), set() if part is None else {*rows.keys(rows.part(part)[0])})

    def _unanswered(self, x: Tensor, own: Collection[bytes] = ()) -> list[int]:
        """The same of raw rows, with the keys of those that count as if they were not answered."""
        rows = self.total.rows
        first = {key: i for i, key in reversed([*enumerate(rows.keys(x))])}
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
        """Ask rows until a part has as many as wanted, or the total is used up but for what ``Total.left`` keeps.

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
                self._ask(part, self._raw(z[new]))
            # The next row that is drawn: rows beyond the last that was asked may be new.
            start += new[-1] + 1 if len(new) == count else len(z)
            span = 1 if len(new) == count else 2 * span

    def _most(self) -> int:
        """Most rows of the next call; not positive if all are claimed but those that are kept for the certificate and to be asked again."""
        total = self.total.ledger.total
        return min(CALL_ROWS, max(FEWEST_CALL_ROWS, round(CALL_SHARE * total)), self.total.left)

    def _ask(self, part: str, x: Tensor) -> None:
        """Ask those raw rows ``(N, D)`` that are not answered, as far as the total allows.

        Raises:
            TeacherError: it gives NaN or infinity for rows of ``DECLARED``; those of other parts are left out.
        """
        x = x[self._unanswered(x)]
        while len(x) and (most := self._most()) > 0:
            self.check_cancelled()
            here, x = x[:most], x[most:]
            # Another process may have claimed rows of its own since.
            with suppress(QueriesSpent), self.total.meter.counted_as(part), torch.no_grad():
                self._look_at(part, here, self.teacher(here))

    def _look_at(self, part: str, x: Tensor, y: Tensor) -> None:
        """Refuse or tell outputs that are not finite; raises as ``_ask`` does."""
        bad = (~y.isfinite()).any(1).nonzero().flatten().tolist()
        if not bad:
            return
        row = self.teacher.guard.row(x[bad[0]])
        rule = f"gave NaN or infinity for {len(bad):,} of {len(x):,} rows ({part}), such as {row}"
        if part in DECLARED:
            remedy = "run the same command again, which asks these rows again; or check the units and ranges in the features file"
            raise TeacherError(self.teacher.source, f"must give finite outputs, but {rule}", remedy=remedy)
        LOG.warning("the teacher %s %s, which are left out", self.teacher.source, rule)

    def _may_ask(self, part: str, wanted: int) -> bool:
        """Whether rows of a part are missing and some may be asked."""
        return self.total.rows.count(part) < wanted and self.total.left > 0

    def _note(self) -> None:
        """Record how many rows students train on by now, so that every process knows which of them had fewer, and how many were lost."""
        study, total = self.total.ledger.study, self.total
        known, claimed = StudyRecord.of(study), total.ledger.claimed()
        count = self.answered(len(total.division.rounds)).shared
        if count != known.answered:
            study.set_user_attr(ANSWERED, count)
        own = [part for part in claimed if part not in (OPENING, AGAIN, CERTIFICATE)]
        lost = sum(claimed[part] - total.rows.asked(part) for part in own)
        if lost != known.lost:
            study.set_user_attr(LOST, lost)
