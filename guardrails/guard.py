"""The guard: what a policy does to a text at one stage."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from guardrails.catalogue import check_class
from guardrails.check import MAX_SPANS, STAGES, Check, CheckSettings, Found, GuardTools, Seen, Span, Stage
from guardrails.execution import CheckFailed, Runner
from guardrails.finding import Finding, StageResult
from guardrails.policy import Policy
from lockgate.errors import UserError

TRIAL_SECONDS = 60.0
"""How long a check may take when it is tried: its weights are loaded then."""

_TRIAL = "Which port does the server use? By default it can be reached at eight thousand. That can be set."
_TRIAL_PASSAGE = "The server listens on port 8000 unless told otherwise."

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def without_controls(text: str) -> str:
    """``text`` without control characters, its line ends as LF."""
    return _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


class Guard:
    """Runs a policy's checks. Safe to use for many requests at once.

    A check is built on first use, so a policy costs nothing until it is asked. One that cannot be built, or fails when
    it is asked, is treated as the policy's ``on_error`` says, each time, and is in ``health``.
    """

    def __init__(self, policy: Policy, tools: GuardTools | None = None) -> None:
        self.policy = policy
        self._tools = tools or GuardTools()
        self._checks: dict[tuple[Stage, str], Check] = {}
        self._problems: dict[str, str] = {}
        self._runner = Runner()
        self._lock = threading.Lock()

    async def look(self, seen: Seen, *, channel: str = "", group: str = "", whole: bool | None = None) -> StageResult:
        """Run the checks of ``seen.stage`` in the policy's order, each on what the one before left of the text.

        ``whole``: True for the checks alone that judge an answer which has ended, False for the others.
        """
        policy = self.policy.view(channel, group)
        state = _Going(seen)
        for settings in policy.checks(seen.stage, whole=whole):
            finding = await self._run(policy, settings, state)
            state.findings.append(finding)
            if finding.blocks:
                message = f"{settings.message} ({state.told})" if state.told else settings.message
                return StageResult("", state.written(), tuple(state.findings), message)
        return StageResult(state.seen.text, state.written(), tuple(state.findings), "", state.originals)

    def health(self) -> dict[str, str]:
        """Every check of the policy, as stage and name, with what is wrong with it now, or ""."""
        for stage in STAGES:
            for settings in self.policy.checks(stage):
                try:
                    self._built(stage, settings)
                except Exception as error:
                    self._note(stage, settings, f"{error}")
        names = [f"{stage} {each.check}" for stage in STAGES for each in self.policy.checks(stage)]
        return {name: self._problems.get(name, "") for name in names}

    async def try_out(self, seconds: float = TRIAL_SECONDS) -> dict[str, str]:
        """Have every check look at a harmless text, with time to load its weights; the ``health`` that comes of it."""
        every = [(stage, settings) for stage in STAGES for settings in self.policy.checks(stage)]
        await asyncio.gather(*(self._try(stage, settings, seconds) for stage, settings in every))
        return self.health()

    async def _try(self, stage: Stage, settings: CheckSettings, seconds: float) -> None:
        seen = Seen(_TRIAL, stage, question=_TRIAL, passages=(_TRIAL_PASSAGE,))
        try:
            check = await asyncio.to_thread(self._built, stage, settings)
            await self._runner.run(f"{stage} {settings.check}", check.look, seen, seconds)
        except Exception as error:
            self._note(stage, settings, str(error))
        else:
            self._note(stage, settings, "")

    async def _run(self, policy: Policy, settings: CheckSettings, state: _Going) -> Finding:
        stage, started = state.seen.stage, time.perf_counter()
        try:
            check = self._built(stage, settings)
            name = f"{stage} {settings.check}"
            found = await self._runner.run(name, check.look, state.seen, settings.timeout_ms / 1000)
            finding = _judged(policy, settings, stage, found)
            if finding.acted:
                finding = state.apply(finding, found)
            self._note(stage, settings, finding.error)
        except Exception as error:
            self._note(stage, settings, str(error))
            finding = _failed(policy, settings, stage, str(error))
        return replace(finding, milliseconds=1000 * (time.perf_counter() - started))

    def _built(self, stage: Stage, settings: CheckSettings) -> Check:
        """The check, from the settings of the file: overrides change what is done, not what is looked for."""
        key = (stage, settings.check)
        with self._lock:
            if key not in self._checks:
                kind = check_class(settings.check)
                if kind is None:
                    raise CheckFailed(f"there is no check {settings.check!r}")
                try:
                    self._checks[key] = kind(settings, self._tools)
                except Exception as error:
                    raise CheckFailed(f"cannot be used: {error}") from error
            return self._checks[key]

    def _note(self, stage: Stage, settings: CheckSettings, problem: str) -> None:
        """Remember the last outcome of a check for ``health``."""
        if problem:
            self._problems[f"{stage} {settings.check}"] = problem
        else:
            self._problems.pop(f"{stage} {settings.check}", None)


@dataclass(slots=True)
class _Going:
    """A text on its way through the checks of a stage."""

    seen: Seen
    findings: list[Finding] = field(default_factory=list)
    originals: dict[str, str] = field(default_factory=dict)
    told: str = ""
    private: dict[str, str] = field(default_factory=dict)

    def written(self) -> str:
        """The text as it is now, without what is private. Longest first: a part of a secret is no secret less."""
        text = self.seen.text
        for original in sorted(self.private, key=len, reverse=True):
            text = text.replace(original, self.private[original])
        return text

    def apply(self, finding: Finding, found: Found) -> Finding:
        """Do to the text what the check asked for; in a dry run nothing. What cannot be done as asked blocks."""
        self.told = found.told
        text = self.seen.text
        self.private |= {text[span.start : span.end]: span.replacement for span in found.spans if span.private}
        if finding.dry_run:
            return finding
        if finding.acted == "redact":
            if not finding.spans or len(found.spans) > MAX_SPANS:
                return replace(finding, acted="block", reason=f"{finding.reason} (too much to take out)".strip())
            text, originals = redacted(self.seen.text, found.spans)
            self.originals |= originals
            self._become(text)
        elif finding.acted == "rewrite":
            if found.rewritten is None:
                return replace(finding, acted="block", reason=f"{finding.reason} (nothing to put in its place)".strip())
            self._become(found.rewritten)
        return finding

    def _become(self, text: str) -> None:
        self.seen = replace(self.seen, text=text, vector=None)  # the vector was that of another text


def redacted(text: str, spans: Sequence[Span]) -> tuple[str, Mapping[str, str]]:
    """``text`` with each span's replacement, and what the reversible ones stand for. Where spans overlap, all of what
    they cover goes, under the replacement of the first. Raises UserError for a span outside of the text."""
    pieces: list[str] = []
    originals: dict[str, str] = {}
    end = 0
    for first, last, span in _merged(text, spans):
        pieces += [text[end:first], span.replacement]
        if span.reversible:
            originals[span.replacement] = text[first:last]
        end = last
    return "".join([*pieces, text[end:]]), originals


def _merged(text: str, spans: Sequence[Span]) -> list[tuple[int, int, Span]]:
    merged: list[tuple[int, int, Span]] = []
    for span in sorted(spans, key=lambda each: (each.start, -each.end)):
        if not 0 <= span.start < span.end <= len(text):
            raise UserError(f"A check found something at {span.start} to {span.end} of {len(text)} characters.")
        if merged and span.start < merged[-1][1]:
            first, last, earlier = merged[-1]
            merged[-1] = (first, max(last, span.end), earlier)
        else:
            merged.append((span.start, span.end, span))
    return merged


def _judged(policy: Policy, settings: CheckSettings, stage: Stage, found: Found) -> Finding:
    return Finding(
        stage,
        settings.check,
        round(float(found.score), 6),
        settings.threshold,
        settings.action if found.score >= settings.threshold else "",
        found.reason,
        dry_run=policy.dry_run,
        spans=found.spans[:MAX_SPANS],
        detail=found.detail,
    )


def _failed(policy: Policy, settings: CheckSettings, stage: Stage, error: str) -> Finding:
    on_error = policy.on_error(settings, stage)
    acted = "" if on_error == "allow" else on_error
    return Finding(stage, settings.check, None, settings.threshold, acted, "", error, dry_run=policy.dry_run)
