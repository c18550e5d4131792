"""Which pinned part made a case change: releases mixed of a good and a bad one, each asked the same case.

Every part that differs is tried alone first. Where none makes the change alone, the smallest set that does is found by
delta debugging: A. Zeller and R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE Transactions on
Software Engineering 28(2), 2002 (the algorithm ddmin).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evals.comparing.parts import Part, differing_parts, mix
from evals.metrics.score import Score
from lockgate.errors import Corrupt, Inconclusive, UserError
from lockgate.ports import Progress
from lockgate.release import Manifest

Likeness = Literal["good", "bad", "neither", "broken"]
Outcome = Literal["found", "same", "no difference"]

MAX_RUNS = 80
"""More than the thirteen parts need; a bound, because delta debugging is quadratic at worst."""

_STAGE = "bisect"


@dataclass(frozen=True, slots=True)
class Observed:
    """What a release did with the case. ``problem`` is not empty when it did nothing; a refusal by the policy is an
    answer as good as any. ``score`` is None without a metric. ``scores`` are by other metrics, where they were asked
    for."""

    release: str
    text: str = ""
    abstained: bool = False
    refused: bool = False
    mode: str = ""
    score: float | None = None
    trace_id: str = ""
    problem: str = ""
    scores: Mapping[str, Score] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "release": self.release,
            "answer": self.text,
            "abstained": self.abstained,
            "refused": self.refused,
            "mode": self.mode,
            "score": self.score,
            "trace_id": self.trace_id,
            "problem": self.problem,
        }


Ask = Callable[[Manifest], Awaitable[Observed]]
"""Keeps the release of a manifest and asks it the case; whatever breaks is the ``problem``."""


@dataclass(frozen=True, slots=True)
class Try:
    """One mixed release: the good one with ``parts`` of the bad one, and what it was like."""

    parts: tuple[Part, ...]
    like: Likeness
    observed: Observed

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(part.name for part in self.parts)

    def as_json(self) -> dict[str, Any]:
        return {"parts": list(self.names), "like": self.like, **self.observed.as_json()}


@dataclass(frozen=True, slots=True)
class Bisection:
    """``alone`` has one try a part, ``together`` every other one, in the order in which they were made.

    Each of ``culprits`` is a set of parts that makes the change when they alone come from the bad release: several of
    one part each, or one set. ``without`` is the bad release with all of those parts from the good one.
    """

    outcome: Outcome
    good: Observed | None = None
    bad: Observed | None = None
    parts: tuple[Part, ...] = ()
    alone: tuple[Try, ...] = ()
    together: tuple[Try, ...] = ()
    culprits: tuple[tuple[Part, ...], ...] = ()
    without: Try | None = None
    gave_up: bool = False

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        if self.outcome == "no difference":
            return "The two releases do not differ in anything that an answer depends on."
        if self.outcome == "same":
            return "The case does not change between the two releases."
        return f"{_who(self.culprits)} {_what_is_left(self.culprits, self.without)}.{self._stopped}"

    @property
    def _stopped(self) -> str:
        return f" The search stopped after {MAX_RUNS} runs, so a smaller set may exist." if self.gave_up else ""

    def as_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "verdict": self.verdict,
            "good": self.good.as_json() if self.good else None,
            "bad": self.bad.as_json() if self.bad else None,
            "parts": [{"part": part.name, "change": part.change} for part in self.parts],
            "culprits": [[part.name for part in parts] for parts in self.culprits],
            "without": self.without.as_json() if self.without else None,
            "alone": [each.as_json() for each in self.alone],
            "together": [each.as_json() for each in self.together],
            "complete": not self.gave_up,
        }


async def bisect(good: Manifest, bad: Manifest, ask: Ask, progress: Progress, *, by_score: bool = False) -> Bisection:
    """Find the parts. ``by_score`` compares scores instead of answers.

    Raises UserError when one of the two cannot be asked the case, Inconclusive when a model answers one and the same
    release differently each time.
    """
    parts = differing_parts(good, bad)
    if not parts:
        return Bisection("no difference")
    total = len(parts) + 3
    progress(_STAGE, 0, total)
    first = await ask(good)
    progress(_STAGE, 1, total)
    second = await ask(bad)
    for observed, which in ((first, "good"), (second, "bad")):
        _require(observed, which)
    progress(_STAGE, 2, total)
    if _same(first, second, by_score):
        progress(_STAGE, total, total)
        return Bisection("same", first, second, parts)
    for manifest, observed in ((good, first), (bad, second)):
        await _require_steady(ask, manifest, observed, by_score)
    search = _Search(good, bad, first, second, parts, ask, by_score)
    tried = []
    for number, part in enumerate(parts, start=1):
        tried.append(await search.run((part,)))
        progress(_STAGE, 2 + number, total)
    culprits = [each.parts for each in tried if each.like == "bad"]
    if not culprits:
        culprits = [await _smallest(search, lambda done: progress("smallest set", done, 0))]
    without = await search.run(_left(parts, [part for each in culprits for part in each]))
    progress(_STAGE, total, total)
    return Bisection(
        "found",
        first,
        second,
        parts,
        alone=tuple(tried),
        together=tuple(each for each in search.tries if len(each.parts) > 1),
        culprits=tuple(culprits),
        without=without,
        gave_up=search.gave_up,
    )


class _Search:
    """Mixed releases and what they were like; the same set of parts is asked once."""

    def __init__(
        self,
        good: Manifest,
        bad: Manifest,
        first: Observed,
        second: Observed,
        parts: tuple[Part, ...],
        ask: Ask,
        by_score: bool,
    ) -> None:
        self._good, self._bad, self._first, self._second = good, bad, first, second
        self._ask, self._by_score = ask, by_score
        self.parts = parts
        self.gave_up = False
        none, all_of_them = Try((), "good", first), Try(parts, "bad", second)
        self._known = {frozenset(each.names): each for each in (none, all_of_them)}
        self.tries: list[Try] = []

    async def run(self, parts: tuple[Part, ...]) -> Try:
        names = frozenset(part.name for part in parts)
        if names not in self._known:
            observed = await self._observe(parts)
            made = Try(parts, _like(observed, self._first, self._second, self._by_score), observed)
            self._known[names] = made
            self.tries.append(made)
        return self._known[names]

    async def is_bad(self, parts: tuple[Part, ...]) -> bool:
        """Whether those parts make the change; once too many were tried, no."""
        if frozenset(part.name for part in parts) not in self._known and len(self.tries) >= MAX_RUNS:
            self.gave_up = True
            return False
        return (await self.run(parts)).like == "bad"

    async def _observe(self, parts: tuple[Part, ...]) -> Observed:
        try:
            return await self._ask(mix(self._good, self._bad, parts))
        except Corrupt as error:
            return Observed("", problem=str(error))


async def _smallest(search: _Search, report: Callable[[int], None]) -> tuple[Part, ...]:
    """A set of parts that makes the change and from which none can be left out: ddmin."""
    current, pieces = search.parts, 2
    while len(current) > 1:
        report(len(search.tries))
        smaller = await _reduce(search, current, pieces)
        if smaller is not None:
            current, pieces = smaller
        elif pieces < len(current):
            pieces = min(len(current), 2 * pieces)
        else:
            break
    report(len(search.tries))
    return current


async def _reduce(search: _Search, current: tuple[Part, ...], pieces: int) -> tuple[tuple[Part, ...], int] | None:
    """A piece of ``current`` that makes the change, else what is left without a piece and makes it; and into how many
    pieces that is to be cut next."""
    cut = [current[len(current) * n // pieces : len(current) * (n + 1) // pieces] for n in range(pieces)]
    for piece in cut:
        if await search.is_bad(piece):
            return piece, 2
    for piece in cut:
        if await search.is_bad(_left(current, piece)):
            return _left(current, piece), max(pieces - 1, 2)
    return None


def _left(parts: tuple[Part, ...], taken: Sequence[Part]) -> tuple[Part, ...]:
    return tuple(part for part in parts if part not in taken)


def _like(observed: Observed, good: Observed, bad: Observed, by_score: bool) -> Likeness:
    if observed.problem:
        return "broken"
    if not by_score:
        return "good" if _same(observed, good, False) else "bad" if _same(observed, bad, False) else "neither"
    from_good, from_bad = _distance(observed, good), _distance(observed, bad)
    return "neither" if from_good == from_bad else "good" if from_good < from_bad else "bad"


def _same(one: Observed, other: Observed, by_score: bool) -> bool:
    if by_score:
        return one.score == other.score
    return (one.text, one.abstained, one.refused) == (other.text, other.abstained, other.refused)


def _distance(one: Observed, other: Observed) -> float:
    return abs((one.score or 0.0) - (other.score or 0.0))


def _require(observed: Observed, which: str) -> None:
    if observed.problem:
        raise UserError(
            f"The {which} release {observed.release[:12]} does not answer the case, so there is no change to look "
            f"for: {observed.problem}",
            hint=f"See: lockgate release verify {observed.release[:12]}",
        )


async def _require_steady(ask: Ask, manifest: Manifest, before: Observed, by_score: bool) -> None:
    """Ask a model's release once more: a server may answer differently even at temperature 0."""
    if before.mode != "generative":
        return
    if not _same(before, await ask(manifest), by_score):
        raise Inconclusive(
            f"Release {before.release[:12]} answers the same case differently each time, so no part can be blamed.",
            hint="Compare by a score instead: --metric token_f1" if not by_score else "",
        )


def _who(culprits: Sequence[tuple[Part, ...]]) -> str:
    if len(culprits) > 1:
        return f"Each of these makes the change alone: {', '.join(parts[0].name for parts in culprits)};"
    [parts] = culprits
    *others, last = (part.name for part in parts)
    names = f"{', '.join(others)} and {last}" if others else last
    alone = "alone makes the change;" if len(parts) == 1 else "make the change together and none of them alone;"
    return f"{names[0].upper()}{names[1:]} {alone}"


def _what_is_left(culprits: Sequence[tuple[Part, ...]], without: Try | None) -> str:
    those = "it" if sum(map(len, culprits)) == 1 else "them"
    like = {
        "good": "as in the good release",
        "bad": "still as in the bad release",
        "neither": "as in neither release",
        "broken": "not answered at all",
    }
    return f"without {those} the case is {like[without.like]}" if without else ""
