"""Instructions to the model where there should be none."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from guardrails.check import MAX_SPANS, NOTHING, Action, CheckSettings, Found, GuardTools, Seen, Span, Stage
from guardrails.checks.injection_classifier import SHIPPED, Kind, checked_files
from guardrails.checks.injection_scan import Scan, Scanner, ScanSettings, Text
from guardrails.weights import MANIFEST

_STAGES: frozenset[Stage] = frozenset({"document", "input", "context", "tool_call"})


class InjectionSettings(CheckSettings):
    """Finds attempts to give the model instructions.

    ``classifier`` of false looks for phrases only, which needs no embedder and finds less. ``threshold``: 0.5 keeps to
    2 of 100 harmless questions and 1 of 200 harmless documents of the kinds that it was chosen on; `lockgate guardrails
    calibrate` finds the threshold for your own. ::

        - check: injection
          action: flag
          threshold: 0.5
    """

    check: Literal["injection"]
    action: Literal["block", "redact", "flag", "log"]
    classifier: bool = True


class Injection:
    """Instructions to the model in a question, a document, a passage or a tool's input: to drop its rules, to play
    somebody without any, to show its prompt, to send data away, or to do something else than was asked."""

    name: ClassVar[str] = "injection"
    stages: ClassVar[frozenset[Stage]] = _STAGES
    actions: ClassVar[frozenset[Action]] = frozenset({"block", "redact", "flag", "log"})
    settings: ClassVar[type[CheckSettings]] = InjectionSettings
    weights: ClassVar[Path] = SHIPPED / MANIFEST

    def __init__(self, settings: InjectionSettings, tools: GuardTools, /) -> None:
        if settings.classifier:
            checked_files()  # so that health says what is missing before anybody asks; it is loaded later
        kinds: tuple[Kind, ...] = ("direct", "indirect")
        least = min(0.5, settings.threshold)
        self._scanners = {kind: Scanner(tools, ScanSettings(kind, settings.classifier, least)) for kind in kinds}

    def look(self, seen: Seen) -> Found:
        if seen.stage == "context" and (known := seen.known.get(self.name)) is not None:
            span = Span(0, len(seen.text), "injection")
            return Found(known, (span,) if seen.text and known > 0 else (), "found when the page was indexed")
        if not seen.text.strip():
            return NOTHING
        kind: Kind = "direct" if seen.stage == "input" else "indirect"
        given = Text(seen.text, seen.vector if kind == "direct" else None, seen.history, seen.reading)
        return _found(self._scanners[kind].scan_many([given])[0])


def _found(scan: Scan) -> Found:
    spans = tuple(Span(each.start, each.end, "injection") for each in scan.windows[:MAX_SPANS])
    reasons = list(dict.fromkeys(each.reason for each in scan.windows))
    return Found(scan.score, spans, f"found by: {'; '.join(reasons[:4])}" if reasons else "")
