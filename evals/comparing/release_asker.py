"""Releases made for a comparison: kept under their ids, and asked a case through whoever owns the index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chains.release import keep_release
from chains.target import Target
from evals.case import Case
from evals.comparing.bisect import Observed
from evals.metrics.metric import NO_TOOLS, Tools
from evals.metrics.score import NotApplicable, Unscored
from evals.runs.asking import run_case
from evals.suite import Suite
from lockgate.actor import Actor
from lockgate.errors import LockgateError
from lockgate.release import Manifest
from lockgate.settings import Settings
from lockgate.store.database import Database
from lockgate.types import AnswerMode

if TYPE_CHECKING:
    from chains.local import LocalAsker, ReleaseHost


class ReleaseAsker:
    """Asks releases by their manifests. ``builder`` is who their provenance names when they are new here."""

    def __init__(self, settings: Settings, db: Database, host: ReleaseHost, builder: Actor) -> None:
        self._settings, self._db, self._host, self._builder = settings, db, host, builder
        self._opened: dict[str, LocalAsker] = {}

    def open(self, manifest: Manifest) -> LocalAsker:
        """Raises what assembling it raises; a running server may tell only when it is asked."""
        if manifest.id not in self._opened:
            keep_release(self._settings, self._db, manifest, self._builder, purpose="comparison")
            self._opened[manifest.id] = self._host.open(Target(release=manifest.id))
        return self._opened[manifest.id]

    async def observe(
        self,
        manifest: Manifest,
        suite: Suite,
        case: Case,
        *,
        metric: str | None = None,
        metrics: Sequence[str] = (),
        tools: Tools = NO_TOOLS,
        mode: AnswerMode | None = None,
    ) -> Observed:
        """What the release does with the case, scored by ``metrics``. With ``metric``, having no score for it is a
        problem."""
        try:
            asker = self.open(manifest)
        except LockgateError as error:
            return Observed(manifest.id, problem=str(error))
        wanted = (metric, *metrics) if metric else metrics
        timeout = suite.definition.timeout_s
        row = await run_case(case, asker, asker, metrics=wanted, timeout=timeout, mode=mode, tools=tools)
        score = row.scores[metric] if metric else None
        if isinstance(score, Unscored | NotApplicable):
            return Observed(manifest.id, problem=f"{metric}: {score.reason}")
        answer, error_text = row.outcome.answer, row.outcome.answer_error
        if answer is None:
            refused = row.code == "policy_refused"
            text, problem = (error_text, "") if refused else ("", error_text)
            return Observed(manifest.id, text=text, refused=refused, score=score, problem=problem, scores=row.scores)
        return Observed(
            manifest.id,
            text=answer.text,
            abstained=answer.abstained,
            mode=answer.mode,
            score=score,
            trace_id=answer.trace_id,
            scores=row.scores,
        )
