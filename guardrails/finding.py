"""What the checks of a stage did to a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from guardrails.check import Action, Span, Stage


@dataclass(frozen=True, slots=True)
class Finding:
    """One check on one text. ``score`` is None when the check gave none, and ``error`` says why then.

    ``acted`` is what was done: the policy's action, ``on_error``'s, or "" where nothing was. In a dry run it is what
    would have been done, and ``dry_run`` is set.
    """

    stage: Stage
    check: str
    score: float | None
    threshold: float
    acted: Action | str = ""
    reason: str = ""
    error: str = ""
    dry_run: bool = False
    spans: tuple[Span, ...] = ()
    milliseconds: float = 0.0
    detail: object = None  # what the check gave beside it; not for replies

    @property
    def blocks(self) -> bool:
        return self.acted == "block" and not self.dry_run

    def as_json(self) -> dict[str, Any]:
        """For traces and replies: where something was found and how sure, never the text itself."""
        shown = asdict(replace(self, detail=None))
        del shown["detail"]
        shown["spans"] = [{"start": span.start, "end": span.end, "label": span.label} for span in self.spans]
        shown["milliseconds"] = round(self.milliseconds, 3)
        return shown

    def in_words(self) -> str:
        """One line, such as "input injection: blocked (0.93)"."""
        done = {"block": "blocked", "redact": "redacted", "rewrite": "rewritten", "flag": "flagged", "log": "noted"}
        what = done.get(self.acted, "let through")
        if self.dry_run:
            what = f"would have been {what}"
        why = f"failed: {self.error}" if self.error else f"{self.score:.2f}" if self.score is not None else ""
        return f"{self.stage} {self.check}: {what} ({why})"


@dataclass(frozen=True, slots=True)
class StageResult:
    """The text as it may go on, or "" with the ``message`` for the user when a check blocked it.

    ``written`` is what may be written down of the text, in traces and logs: without what is private.
    ``originals`` holds what reversible placeholders stand for. It is for the answer to this user, and for nothing that
    is written down.
    """

    text: str
    written: str
    findings: tuple[Finding, ...] = ()
    message: str = ""
    originals: Mapping[str, str] = field(default_factory=dict)

    @property
    def blocked(self) -> Finding | None:
        return next((each for each in self.findings if each.blocks), None)

    @property
    def flagged(self) -> tuple[Finding, ...]:
        """What a person should look at."""
        return tuple(each for each in self.findings if each.acted == "flag" and not each.dry_run)
