"""A project with a suite, whose runs become evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from evals.evidence import find_evidence, objects_of, record_evidence
from evals.runs.run import run_suite
from evals.runs.run_store import finish_run
from evals.suite import Suite
from lockgate.release import canonical_json
from lockgate.settings import Settings
from lockgate.store.database import Database
from lockgate.store.eval_runs import EvalRunRecord
from lockgate.store.evidence import EvidenceRecord, write_evidence
from tests.evals.conftest import GOOD_ANSWERS, GOOD_RANKINGS, FakeAsker, FakeRetriever

RELEASE = "a" * 64
OTHER = "b" * 64
FACTS = {
    "chain": "docs",
    "model": "m",
    "lockgate": "0.1.0",
    "environment": {"python": "3.11"},
    "judge": {"protocol": 1, "model": "j", "host": "h", "prompts": {}, "parameters": {}},
}


class Bench:
    """A project with a suite and a store."""

    def __init__(self, suite: Suite, db: Database, settings: Settings | None = None) -> None:
        self.suite, self.db = suite, db
        self.settings = settings or Settings(project=suite.folder.parents[2], _env_file=None)
        self.objects = objects_of(self.settings)

    async def run(self, release: str = RELEASE, **options: Any) -> EvalRunRecord:
        facts = {**FACTS, "release": release}
        retriever = FakeRetriever(GOOD_RANKINGS)
        run = await run_suite(self.suite, FakeAsker(GOOD_ANSWERS), retriever, metadata=facts, **options)
        return finish_run(self.settings, self.db, run)

    async def keep(self, release: str = RELEASE, **options: Any) -> EvidenceRecord:
        return record_evidence(self.settings, self.db, await self.run(release, **options))

    def find(self, release: str = RELEASE, suite_hash: str | None = None) -> Any:
        return find_evidence(self.settings, self.db, release, "tiny", suite_hash or self.suite.hash)

    def envelope(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.objects.get(name)))

    def plant(self, envelope: Mapping[str, Any], release: str = RELEASE) -> str:
        """Keep other bytes under their own, right name, with a row that points there."""
        name = self.objects.put(canonical_json(envelope))
        write_evidence(
            self.db, EvidenceRecord(name, release, "tiny", "3", self.suite.hash, "planted", datetime.now(UTC))
        )
        return name
