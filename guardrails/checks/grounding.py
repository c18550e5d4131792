"""Whether the passages hold what an answer says, as a check of a policy."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from guardrails.check import NOTHING, Action, CheckSettings, Found, GuardTools, Seen, Span, Stage

if TYPE_CHECKING:
    from guardrails.grounding.grounder import Grounder
    from lockgate.grounding import GroundingReport

MODELS = Path(__file__).resolve().parent.parent / "models"


class GroundingSettings(CheckSettings):
    """Holds every sentence of an answer against its passages.

    A score of 0.5 is the detector's own threshold. ``unit``: ``answer`` judges the answer as a whole, which long ones
    need; ``sentence`` also acts on one sentence that the passages do not hold. The action ``flag`` lets the answer
    stream and marks it for review; ``rewrite`` puts the extractive answer in its place, and ``block`` the message: with
    those two the answer is shown when it has ended. ::

        - check: grounding
          action: flag
          on_error: flag
    """

    check: Literal["grounding"]
    action: Literal["block", "rewrite", "flag", "log"]
    unit: Literal["answer", "sentence"] = "answer"
    timeout_ms: int = 15_000


class Grounding:
    """An answer that says what its passages do not: each sentence against the passages, by words, exact checks of
    numbers, names and dates, and a small encoder. Judged when the answer has ended."""

    name: ClassVar[str] = "grounding"
    stages: ClassVar[frozenset[Stage]] = frozenset({"output"})
    actions: ClassVar[frozenset[Action]] = frozenset({"block", "rewrite", "flag", "log"})
    settings: ClassVar[type[CheckSettings]] = GroundingSettings
    whole: ClassVar[bool] = True
    weights: ClassVar[Path] = MODELS / "grounding" / "detector.json"

    def __init__(self, settings: GroundingSettings, tools: GuardTools, /) -> None:
        self._settings = settings
        self._tools = tools

    def look(self, seen: Seen) -> Found:
        if not seen.text.strip():
            return NOTHING
        report = self._grounder().check(seen.question, seen.text, seen.passages)
        score = calibrated(report.score, report.threshold)
        unsupported = report.unsupported
        if report.unjudged or (self._settings.unit == "sentence" and unsupported):
            score = max(score, 0.5)
        spans = tuple(Span(each.start, each.end, each.status) for each in unsupported)
        reason = f"{len(unsupported)} of {len(report.sentences)} sentences lack support" if unsupported else ""
        rewritten = seen.instead() if score >= self._settings.threshold and seen.instead is not None else None
        return Found(score, spans, reason, rewritten=rewritten, detail=report)

    def _grounder(self) -> Grounder:
        return self._tools.grounder() if self._tools.grounder is not None else shipped_grounder()


def calibrated(score: float, threshold: float) -> float:
    """``score`` with ``threshold`` at 0.5, both ends where they were."""
    if score < threshold:
        return 0.5 * score / threshold
    return 0.5 + 0.5 * (score - threshold) / (1 - threshold)


def report_of(detail: object) -> GroundingReport | None:
    """The report that a finding of this check carries."""
    from lockgate.grounding import GroundingReport

    return detail if isinstance(detail, GroundingReport) else None


_lock = threading.Lock()
_loaded: list[Grounder] = []


def shipped_grounder() -> Grounder:
    """The detector that ships, loaded once for the process. Raises NotFound, Corrupt, MissingExtra."""
    from guardrails.grounding.detector import open_detector
    from guardrails.grounding.grounder import Grounder

    with _lock:
        if not _loaded:
            _loaded.append(Grounder(open_detector()))
        return _loaded[0]
