"""One thing that a rule looked at, and what many of them say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.verdict import Finding, Verdict

_SHOWN = 3
_ORDER: tuple[Verdict, ...] = ("FAIL", "INCONCLUSIVE", "PASS")


@dataclass(frozen=True, slots=True)
class Check:
    """``reason`` is one sentence; ``resolve`` says what would turn a verdict that is not PASS."""

    name: str
    verdict: Verdict
    reason: str
    resolve: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "check": self.name,
            "verdict": self.verdict,
            "reason": self.reason,
            "resolve": self.resolve,
            "figures": dict(self.figures),
        }


def finding_of(checks: Sequence[Check], details: Mapping[str, Any]) -> Finding:
    """The worst verdict with the reasons behind it; INCONCLUSIVE when nothing was looked at."""
    if not checks:
        return Finding("INCONCLUSIVE", "Nothing was checked.", details=details)
    verdict = next(each for each in _ORDER if any(check.verdict == each for check in checks))
    body = {**details, "checks": [check.as_json() for check in checks]}
    if verdict == "PASS":
        return Finding("PASS", f"All {len(checks)} checks pass.", details=body)
    behind = [check for check in checks if check.verdict == verdict]
    more = f" And {len(behind) - _SHOWN} more." if len(behind) > _SHOWN else ""
    against = [check for check in checks if check.verdict != "PASS"]
    hint = " ".join(dict.fromkeys(check.resolve for check in against if check.resolve))
    return Finding(verdict, " ".join(check.reason for check in behind[:_SHOWN]) + more, hint, body)
