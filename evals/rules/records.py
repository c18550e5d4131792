"""What is on record of releases: suites of the project, evidence, and what judges are worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from evals.evidence import Evidence, Found, evidence_rows, find_evidence, objects_of
from evals.suite import Suite, list_suites, load_suite

if TYPE_CHECKING:
    from evals.judge.identity import JudgeIdentity
    from evals.runs.row import Row
    from lockgate.settings import Settings
    from lockgate.store.database import Database


class Records(Protocol):
    """Where rules read; a test fills it from memory."""

    def suites(self) -> list[str]: ...

    def suite(self, name: str) -> Suite:
        """Raises NotFound and UserError."""
        ...

    def find(self, release: str, suite: Suite) -> Found: ...

    def rows(self, evidence: Evidence) -> tuple[Row, ...]:
        """Raises NotFound and Corrupt."""
        ...

    def vote(self, judge: JudgeIdentity | None, metric: str) -> tuple[bool, str]:
        """Whether the judge's scores of ``metric`` count, and why."""
        ...


@dataclass(frozen=True, slots=True)
class StoredRecords:
    """The records of a project and its store."""

    settings: Settings
    db: Database

    def suites(self) -> list[str]:
        return list_suites(self.settings.project_dir)

    def suite(self, name: str) -> Suite:
        return load_suite(self.settings.project_dir, name)

    def find(self, release: str, suite: Suite) -> Found:
        return find_evidence(self.settings, self.db, release, suite.name, suite.hash)

    def rows(self, evidence: Evidence) -> tuple[Row, ...]:
        return evidence_rows(objects_of(self.settings), evidence)

    def vote(self, judge: JudgeIdentity | None, metric: str) -> tuple[bool, str]:
        from evals.calibration import Calibrations, has_vote

        return has_vote(Calibrations(self.db, self.settings.state_dir), judge, metric)
