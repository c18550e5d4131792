"""What a gate is asked about, and what it says: PASS, FAIL or INCONCLUSIVE, with the reason of each rule."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from evals.targets import TargetTable, target_lines
from lockgate.errors import GateFailed, Inconclusive

if TYPE_CHECKING:
    from evals.rules.records import Records
    from lockgate.release import Manifest
    from lockgate.types import Answer

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]

Check = Callable[[], Sequence[str]]
"""Looks at everything that a release pins; returns what is missing or does not match."""

Ask = Callable[[str], "Awaitable[Answer]"]
"""Asks the release itself one question, as an eval."""


@dataclass(frozen=True, slots=True)
class GateContext:
    """The release that wants to pass, and the ways to look at it. ``questions`` gives those that it may be asked.

    ``records`` is where evidence is read; ``current`` is the release now in the channel; ``now`` is what age is counted
    from.
    """

    release_id: str
    manifest: Manifest
    verify: Check
    ask: Ask
    questions: Callable[[], Sequence[str]]
    targets: TargetTable = field(default_factory=TargetTable)
    records: Records | None = None
    current: str | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found; ``hint`` says what to do about a verdict that is not PASS.

    ``details`` are what the verdict rests on, the same whenever the same is looked at. ``observed`` is what differs
    from time to time, such as the id of a trace.
    """

    verdict: Verdict
    reason: str
    hint: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    observed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleResult:
    """A finding with the rule's name and the time that it took."""

    rule: str
    verdict: Verdict
    reason: str
    hint: str
    details: Mapping[str, Any]
    seconds: float
    observed: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        decision = self.decision()
        return {
            **decision,
            "details": {**decision["details"], **self.observed},
            "seconds": round(self.seconds, 3),
        }

    def decision(self) -> dict[str, Any]:
        """Without anything that differs from time to time."""
        return {
            "rule": self.rule,
            "verdict": self.verdict,
            "reason": self.reason,
            "hint": self.hint,
            "details": dict(self.details),
        }


@dataclass(frozen=True, slots=True)
class GateReport:
    """One gate's judgement of one release. ``gate_hash`` names the text of the gate that judged."""

    channel: str
    release_id: str
    gate_hash: str
    rules: tuple[RuleResult, ...]
    targets: TargetTable = field(default_factory=TargetTable)

    @property
    def verdict(self) -> Verdict:
        """FAIL when a rule failed, else INCONCLUSIVE when one could not tell or there is none, else PASS."""
        verdicts = {result.verdict for result in self.rules}
        if "FAIL" in verdicts:
            return "FAIL"
        return "PASS" if verdicts == {"PASS"} else "INCONCLUSIVE"

    def as_json(self) -> dict[str, Any]:
        return {
            "channel": self.channel,
            "release": self.release_id,
            "gate": self.gate_hash,
            "verdict": self.verdict,
            "decision": self.decision_hash,
            "rules": [result.as_json() for result in self.rules],
            "targets": [row.as_json() for row in self.targets.rows],
            "targets_problem": self.targets.problem,
        }

    def decision(self) -> dict[str, Any]:
        """What was decided and why, and nothing else: the same inputs give the same bytes."""
        return {
            "channel": self.channel,
            "release": self.release_id,
            "gate": self.gate_hash,
            "verdict": self.verdict,
            "rules": [result.decision() for result in self.rules],
        }

    @property
    def decision_hash(self) -> str:
        """SHA-256 of the decision as JSON with sorted keys and in ASCII, since a reason may quote anything."""
        text = json.dumps(self.decision(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def lines(self) -> list[str]:
        """The report in words: the verdict, one line for each rule and each thing that it checked, and the scope's
        targets beside what was measured."""
        lines = [f"{self.verdict}  gate of {self.channel}, release {self.release_id[:12]}"]
        for each in self.rules:
            reason = " ".join(each.reason.split())
            lines.append(f"  {each.verdict:<12}  {each.rule:<10}  {reason}  ({each.seconds:.1f} s)")
            lines += [f"    {line}" for line in _check_lines(each)]
        if self.targets.problem:
            lines += ["", f"Targets are not shown: {self.targets.problem}"]
        elif self.targets.rows:
            lines += ["", "Targets of scope.yaml (they do not change the verdict):"]
            lines += [f"  {line}" for line in target_lines(self.targets.rows)]
        return lines

    def require_pass(self) -> None:
        """Raises GateFailed or Inconclusive, with the reasons, unless the verdict is PASS."""
        if self.verdict == "PASS":
            return
        against = [each for each in self.rules if each.verdict != "PASS"]
        reasons = " ".join(f"{each.rule}: {each.reason}" for each in against) or "no rule was judged."
        hint = " ".join(dict.fromkeys(each.hint for each in against if each.hint))
        if self.verdict == "FAIL":
            raise GateFailed(f"The gate of {self.channel} refuses release {self.release_id[:12]}. {reasons}", hint=hint)
        raise Inconclusive(
            f"The gate of {self.channel} cannot judge release {self.release_id[:12]}. {reasons}", hint=hint
        )


def _check_lines(result: RuleResult) -> list[str]:
    """What a rule checked, one line each, with what would resolve it."""
    lines = []
    for check in result.details.get("checks", ()):
        resolve = f"  -> {check['resolve']}" if check["resolve"] else ""
        lines.append(" ".join(f"{check['verdict']:<12}  {check['reason']}{resolve}".split("\n")))
    return lines
