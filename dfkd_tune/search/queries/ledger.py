"""The ledger of a study's teacher queries: an attribute of the study, changed in one transaction before rows are asked.

A process that dies after a claim may leave rows unasked. No process asks a row that it has not claimed, so the total is never exceeded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import optuna
from sqlalchemy.orm import Session

from dfkd_tune.compat import optuna as private
from dfkd_tune.errors import QueriesSpent
from dfkd_tune.search.attributes import QUERIES
from dfkd_tune.search.storage import PatientStorage


@dataclass(frozen=True)
class Ledger:
    """Counts the claimed rows of a study by the parts of its total.

    Args:
        storage, study: Optuna's storage and study.
        total: most rows of all parts together.
    """

    storage: PatientStorage
    study: optuna.Study
    total: int

    def claim(self, part: str, rows: int) -> int:
        """Claim rows for a part, before they are asked.

        Returns:
            the number of rows that the part had claimed before.

        Raises:
            QueriesSpent: fewer than ``rows`` are left in all.
        """

        def write(session: Session) -> tuple[int, int]:
            study = private.study_id(self.study)
            session.query(private.STUDIES).filter(private.STUDIES.study_id == study).with_for_update().one()
            known = private.study_user_attribute(session, self.study, QUERIES) or {}
            left = self.total - sum(known.values())
            if rows <= left:
                claimed = {**known, part: known.get(part, 0) + rows}
                private.write_study_user_attributes(session, self.study, {QUERIES: claimed})
            return known.get(part, 0), left

        # A transaction whose answer was lost is repeated: rows are then claimed twice, and at most wasted.
        before, left = self.storage.transact(write)
        if rows > left:
            name = self.study.study_name
            rule = f"{rows:,} more rows are needed ({part}), and {left:,} of {self.total:,} teacher queries are left"
            raise QueriesSpent(f"study {name!r}", rule)
        return before

    def claimed(self) -> Mapping[str, int]:
        """Claimed rows of each part."""
        return self.storage.transact(lambda session: private.study_user_attribute(session, self.study, QUERIES) or {})

    @property
    def left(self) -> int:
        """Rows that are not claimed."""
        return self.total - sum(self.claimed().values())
