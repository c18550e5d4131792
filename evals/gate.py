"""Gates: ``evals/gates/<channel>.yaml`` says what a release must show before that channel may point at it.

Fail closed: a channel without a gate file, a gate without rules and a rule that breaks never let a release pass.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import Field, field_validator

from evals.rules.definitions import AnyRule, Rule, check_together
from evals.rules.evidence_rule import judge_evidence
from evals.rules.reviews_rule import judge_reviews
from evals.rules.suite_rule import judge_suite
from evals.verdict import Finding, GateContext, GateReport, RuleResult
from evals.verify_rule import judge_verify
from lockgate.content import ContentModel, parse_yaml, read_text
from lockgate.errors import LockgateError, NotFound, UserError
from lockgate.ports import Progress
from lockgate.store.channels import PRODUCTION, STAGING, check_name

SHIPPED = Path(__file__).parent / "gates"

_LIKE_A_RELEASE = re.compile(r"[0-9a-f]{6,64}\Z")


class GateFile(ContentModel):
    """The keys of a gate file."""

    channel: str
    description: str = ""
    rules: tuple[Rule, ...] = Field(min_length=1)

    @field_validator("rules")
    @classmethod
    def _once(cls, rules: tuple[AnyRule, ...]) -> tuple[AnyRule, ...]:
        return check_together(rules)


@dataclass(frozen=True, slots=True)
class Gate:
    """A loaded gate. ``hash`` is the SHA-256 of the file's text with LF line ends."""

    channel: str
    description: str
    rules: tuple[AnyRule, ...]
    path: Path
    hash: str


def load_gate(project_dir: Path, channel: str) -> Gate:
    """The project's gate of ``channel``, else the one that ships with Lockgate.

    Raises NotFound naming the file to write when there is none, and UserError with file, line and key: a project's
    broken gate is never replaced by the shipped one.
    """
    _check_channel(channel)
    files = _gate_files(project_dir)
    if channel not in files:
        raise NotFound(
            f"The channel {channel!r} has no gate, so nothing may be promoted to it.",
            hint=f"Write {project_dir / 'evals' / 'gates' / f'{channel}.yaml'}, or use one of: {', '.join(files)}.",
        )
    path = files[channel]
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    loaded = parse_yaml(text, GateFile, where=str(path))
    if loaded.channel != channel:
        raise UserError(f"{path}: the channel is {loaded.channel!r}, but must be that of the file, {channel!r}.")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Gate(channel, loaded.description, loaded.rules, path, digest)


def channels(project_dir: Path) -> list[str]:
    """Every channel that has a gate file under a name that a channel can have: staging, production, then the
    project's own. Whether the file can be read is told by ``load_gate``."""
    own = [name for name in _gate_files(project_dir) if name not in (STAGING, PRODUCTION) and _is_channel(name)]
    return [STAGING, PRODUCTION, *own]


async def judge(
    gate: Gate, context: GateContext, progress: Progress | None = None, *, left_out: Collection[str] = ()
) -> GateReport:
    """Every rule's result, also after one has failed. A rule that raises is INCONCLUSIVE, with what it raised; so is
    one that is ``left_out``."""
    results = [
        _left_out(rule) if rule.rule in left_out else await _judge_rule(rule, context, progress or _silent)
        for rule in gate.rules
    ]
    return GateReport(gate.channel, context.release_id, gate.hash, tuple(results), context.targets)


async def _judge_rule(rule: AnyRule, context: GateContext, progress: Progress) -> RuleResult:
    start = time.perf_counter()
    try:
        found = await RULES[rule.rule](rule, context, progress)
    except LockgateError as error:
        found = Finding("INCONCLUSIVE", error.message, error.hint or "Put that right, then judge again.")
    except Exception as error:
        hint = "Judge again; if it stays so, this is an error of Lockgate."
        found = Finding("INCONCLUSIVE", f"the rule itself broke: {type(error).__name__}: {error}", hint)
    seconds = time.perf_counter() - start
    return RuleResult(rule.label, found.verdict, found.reason, found.hint, found.details, seconds, found.observed)


def _left_out(rule: AnyRule) -> RuleResult:
    return RuleResult(rule.label, "INCONCLUSIVE", "It was left out on request.", "Judge with all rules.", {}, 0.0)


RULES: Mapping[str, Callable[[Any, GateContext, Progress], Awaitable[Finding]]] = MappingProxyType(
    {
        "verify": lambda _rule, context, progress: judge_verify(context, progress),
        "evidence": lambda _rule, context, progress: judge_evidence(context, progress),
        "suite": judge_suite,
        "reviews": lambda rule, _context, _progress: judge_reviews(rule),
    }
)
"""A rule of a gate file: the function that judges it. Add a rule here and to ``Rule`` in rules/definitions.py."""


def _silent(_stage: str, _done: int, _total: int) -> None:
    return None


def _check_channel(channel: str) -> None:
    check_name(channel)
    if _LIKE_A_RELEASE.match(channel):
        raise UserError(
            f"{channel[:80]!r} cannot be the name of a channel: it could be a release's id.",
            hint="Rename its gate file; any name that is not all of the letters a to f and digits will do.",
        )


def _is_channel(name: str) -> bool:
    try:
        _check_channel(name)
    except UserError:
        return False
    return True


def _gate_files(project_dir: Path) -> dict[str, Path]:
    """By file name, in order; a project's file replaces a shipped one of the same name."""
    files: dict[str, Path] = {}
    for folder in (SHIPPED, project_dir / "evals" / "gates"):
        files |= {path.stem: path for path in sorted(folder.glob("*.yaml")) if path.is_file()}
    return files
