"""What is measured of one claim against the evidence, by words and to the letter; no model takes part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from guardrails.grounding.claims import Claim
from guardrails.grounding.evidence import Evidence
from guardrails.grounding.exact import Part, denials, exact_parts, joined, missing_parts, opposites
from guardrails.grounding.words import Word, words

FEATURES = (
    "missing_weight",  # log(1 + rarity of the telling words that no passage holds)
    "missing_share",  # the share of the claim's rarity that they are
    "missing_plain",  # the share of all its words that no passage holds: plain word overlap
    "uncovered_best",  # the share of its rarity that its best evidence sentence lacks
    "uncovered_three",  # the same for the best three together
    "new_pairs",  # the share of neighbouring telling words that are neighbours nowhere in the evidence
    "longest_gap",  # log(1 + telling words in a row that no passage holds)
    "missing_numbers",
    "missing_names",
    "missing_dates",
    "missing_units",
    "elsewhere",  # numbers and names that the passages hold, but not the window with the best evidence
    "negation",  # it denies and its best evidence does not, or the other way round
    "opposites",
    "length",  # log(1 + telling words)
)


@dataclass(frozen=True, slots=True)
class Measured:
    """``values`` in the order of FEATURES; ``best`` is the place of the best evidence sentence, None without one.

    ``size`` counts the claim's words, ``unheld`` those that neither a passage nor the question holds.
    """

    values: tuple[float, ...]
    size: int
    unheld: int
    missing_words: tuple[Word, ...]
    missing_parts: tuple[Part, ...]
    opposed: tuple[Word, ...]
    denies_otherwise: bool
    best: int | None
    stems: frozenset[str]


def measure(claim: Claim, evidence: Evidence, asked: frozenset[str]) -> Measured:
    """Every feature of ``claim``; ``asked`` are the stems of the question, which an answer may repeat unsupported."""
    every = words(claim.core)
    telling = [word for word in every if word.says_something]
    known = evidence.stems | asked
    stems = frozenset(word.stem for word in telling)
    missing = [word for word in telling if word.stem not in known and word.form not in evidence.facts.words]
    total = sum(evidence.weight(stem) for stem in sorted(stems)) or 1.0
    lost = sum(_loss(stem, evidence) for stem in sorted({word.stem for word in missing}))
    ranked = [place for _, place in evidence.ranked(stems - asked or stems)[:3]]
    nearest = [evidence.sentences[place] for place in ranked]
    parts = exact_parts(claim.core)
    gone = [part for part in missing_parts(parts, evidence.facts) if part.value not in asked]
    apart = [part for part in missing_parts(parts, joined(near.facts for near in nearest)) if part not in gone]
    opposed = opposites(every, nearest[0].facts) if nearest else []
    denies = bool(nearest) and (denials(every) > 0) != (nearest[0].facts.denials > 0)
    covering = [near.stems for near in nearest]
    unheld = sum(word.stem not in known for word in every)
    values = (
        math.log1p(lost),
        min(1.0, lost / total),
        unheld / max(1, len(every)),
        1.0 - _held(stems, covering[:1], asked, evidence) / total,
        1.0 - _held(stems, covering, asked, evidence) / total,
        _new_pairs(telling, evidence),
        math.log1p(_longest_run(telling, missing)),
        *(float(min(3, sum(part.kind == kind for part in gone))) for kind in ("number", "name", "date", "unit")),
        float(min(3, len(apart))),
        float(denies),
        float(min(2, len(opposed))),
        math.log1p(len(telling)),
    )
    best = ranked[0] if ranked else None
    return Measured(values, len(every), unheld, tuple(missing), tuple(gone), tuple(opposed), denies, best, stems)


def _loss(stem: str, evidence: Evidence) -> float:
    """A word that begins like one of the evidence ("hallucinogen", "hallucination") is half known."""
    resembles = len(stem) >= 6 and stem[:5] in evidence.beginnings
    return evidence.weight(stem) * (0.5 if resembles else 1.0)


def _held(stems: frozenset[str], covering: list[frozenset[str]], asked: frozenset[str], evidence: Evidence) -> float:
    held = frozenset().union(*covering, asked) & stems
    return sum(evidence.weight(stem) for stem in sorted(held))


def _new_pairs(telling: list[Word], evidence: Evidence) -> float:
    pairs = [(one.stem, other.stem) for one, other in pairwise(telling)]
    return sum(pair not in evidence.pairs for pair in pairs) / len(pairs) if pairs else 0.0


def _longest_run(telling: list[Word], missing: list[Word]) -> int:
    gone = {word.start for word in missing}
    longest = run = 0
    for word in telling:
        run = run + 1 if word.start in gone else 0
        longest = max(longest, run)
    return longest
