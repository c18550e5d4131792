"""The threshold of a trained check at a stated rate of false alarms, from texts in which nothing is to be found."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from guardrails.catalogue import check_class
from guardrails.check import CheckSettings, Found, GuardTools, Seen, Stage
from guardrails.execution import CheckFailed, Runner
from lockgate.errors import NotFound, Unavailable, UserError
from lockgate.ports import Progress

SUFFIXES = (".md", ".mdx", ".markdown", ".txt", ".rst", ".html", ".htm", ".eml")
STEP = 0.001
"""Thresholds are given to this many places."""

_SECONDS = 60.0
_MAX_BYTES = 5_000_000


@dataclass(frozen=True, slots=True)
class Calibrated:
    """``threshold`` is the lowest at which no more than ``rate`` of the ``count`` texts are taken for bad ones, and
    ``reached`` the share that are; None when even a threshold of 1 gives more."""

    check: str
    stage: Stage
    count: int
    rate: float
    threshold: float | None
    reached: float
    by_default: float
    worst: tuple[tuple[str, float], ...]

    @property
    def yaml(self) -> str:
        """The line of a policy."""
        return f"threshold: {self.threshold:g}"


def clean_files(paths: Sequence[Path]) -> list[Path]:
    """The text files in ``paths``. Raises NotFound for one that is not there, UserError when there is none."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found |= dict.fromkeys(
                each for each in sorted(path.rglob("*")) if each.suffix.lower() in SUFFIXES and each.is_file()
            )
        elif path.is_file():
            found[path] = None
        else:
            raise NotFound(f"{path}: no such file or folder.")
    if not found:
        raise UserError(f"No text files in {', '.join(map(str, paths))}.", hint=f"Looked for {', '.join(SUFFIXES)}.")
    return list(found)


def read_clean(files: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Name and text of each file that has one."""
    for file in files:
        try:
            with file.open("rb") as opened:
                data = opened.read(_MAX_BYTES)
        except OSError as error:
            raise Unavailable(f"{file}: cannot be read ({error.strerror}).") from None
        if text := data.decode("utf-8", "replace").strip():
            yield str(file), text


def calibrate(
    check: str, stage: Stage, texts: Sequence[tuple[str, str]], tools: GuardTools, rate: float, report: Progress
) -> Calibrated:
    """Looks at every text. Raises NotFound for an unknown check, UserError for a stage that it does not have or too few
    texts for the rate, Unavailable when it fails on one."""
    kind = check_class(check)
    if kind is None:
        raise NotFound(f"There is no check {check[:80]!r} that looks at one text.")
    if stage not in kind.stages:
        raise UserError(f"The check {check!r} is for the stages {', '.join(sorted(kind.stages))}, not {stage}.")
    if len(texts) * rate < 1:
        raise UserError(
            f"{len(texts)} texts are too few for a rate of {rate:g}: {round(1 / rate)} are needed at least.",
            hint="Give more clean pages, or a higher --rate.",
        )
    settings: CheckSettings = kind.settings.model_validate({"check": check, "action": "flag", "threshold": STEP})
    looking = kind(settings, tools)
    scores = []
    for number, (name, text) in enumerate(texts):
        report("looking", number, len(texts))
        scores.append((name, asyncio.run(_score(looking.look, check, Seen(text, stage), name))))
    report("looking", len(texts), len(texts))
    return chosen(check, stage, scores, rate)


def chosen(check: str, stage: Stage, scores: Sequence[tuple[str, float]], rate: float) -> Calibrated:
    """The threshold for these scores of clean texts."""
    ordered = sorted((score for _, score in scores), reverse=True)
    next_one = ordered[int(rate * len(ordered))] if int(rate * len(ordered)) < len(ordered) else 0.0
    steps = int(next_one / STEP + 1e-9) + 1  # just above the first text that has to stay under it
    threshold = None if steps * STEP > 1 + 1e-9 else round(steps * STEP, 6)
    reached = sum(score >= threshold for score in ordered) / len(ordered) if threshold else 1.0
    worst = tuple(sorted(scores, key=lambda each: -each[1])[:5])
    default = sum(score >= 0.5 for score in ordered) / len(ordered)
    return Calibrated(check, stage, len(ordered), rate, threshold, reached, default, worst)


async def _score(look: object, check: str, seen: Seen, name: str) -> float:
    try:
        found: Found = await Runner().run(check, look, seen, _SECONDS)  # type: ignore[arg-type]
    except CheckFailed as error:
        raise Unavailable(f"{name}: the check {check} {error}.") from error
    return float(found.score)
