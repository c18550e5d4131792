"""Holds an answer against its passages: claims, evidence, exact checks, a small encoder, and one result a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from guardrails.grounding.claims import LONGEST, Claim, plain_text, speaks_of_itself, split_claims
from guardrails.grounding.detector import Detector
from guardrails.grounding.evidence import Evidence
from guardrails.grounding.exact import denials
from guardrails.grounding.features import Measured, measure
from guardrails.grounding.signals import Reading, answer_values, likelihood, read_claims
from guardrails.grounding.spans import unsupported_spans
from guardrails.grounding.words import words
from lockgate.errors import Unavailable
from lockgate.grounding import GroundingReport, SentenceResult, Status, Support
from lockgate.types import Mark

MOST_READ = 48
"""Sentences of one answer that the encoder reads, at most: about two seconds on two cores. The rest is left out."""


MOST_JUDGED = 600
"""Sentences of one answer that are judged at all."""

SHORT = 6
"""A claim of fewer words is read behind the question."""


@dataclass(frozen=True, slots=True)
class _Judged:
    claim: Claim
    measured: Measured
    logit: float  # of being unsupported
    reading: Reading | None = None
    support: int | None = None  # place of its best evidence sentence
    opening: int = 0  # characters of the question that the encoder read before it


@dataclass(frozen=True, slots=True)
class Grounder:
    """Checks answers with one detector; safe to share between threads."""

    detector: Detector

    def check(self, question: str, answer: str, passages: Sequence[str]) -> GroundingReport:
        """What ``passages`` hold of ``answer``. Raises Unavailable when a score is no number, as the detector's errors.

        Passages, question and answer may be any text: nothing of them is obeyed, and the time grows with their length.
        """
        manifest = self.detector.manifest
        evidence = Evidence(passages, self.detector.rarity, manifest.common)
        split = split_claims(answer)
        judged, left_out = self._judged(split.claims[:MOST_JUDGED], evidence, question)
        asked = asked_stems(question)
        small_talk = [claim for claim in split.unclaimed if not speaks_of_itself(claim.text)]
        aside = [measure(claim, evidence, asked) for claim in small_talk[:MOST_JUDGED]]
        unjudged = max(0, len(split.claims) - MOST_JUDGED)
        score = self._score(judged, aside, evidence)
        return GroundingReport(
            score=score,
            flagged=score >= manifest.answer_threshold or unjudged > 0,
            threshold=manifest.answer_threshold,
            sentences=tuple(self._result(item, answer, evidence) for item in judged),
            unclaimed=tuple((claim.start, claim.end) for claim in split.unclaimed),
            left_out=left_out,
            unjudged=unjudged,
            detector=self.detector.name,
        )

    def _score(self, judged: Sequence[_Judged], aside: Sequence[Measured], evidence: Evidence) -> float:
        manifest = self.detector.manifest
        if not evidence.sentences:
            return float(bool(judged))
        if judged:
            values = answer_values([item.logit for item in judged], [item.measured for item in judged], aside)
        elif aside:
            # An answer that claims nothing, small talk say, has only its words to be judged by.
            values = answer_values([manifest.words.logit(item.values) for item in aside], aside)
        else:
            return 0.0
        return likelihood(_number(manifest.answer.logit(values)))

    def _judged(self, claims: Sequence[Claim], evidence: Evidence, question: str) -> tuple[list[_Judged], int]:
        manifest = self.detector.manifest
        asked = asked_stems(question)
        measured = [measure(claim, evidence, asked) for claim in claims]
        by_words = [_number(manifest.words.logit(item.values)) for item in measured]
        judged = [
            _Judged(claim, item, logit, support=item.best)
            for claim, item, logit in zip(claims, measured, by_words, strict=True)
        ]
        open_ones = [
            place
            for place, logit in enumerate(by_words)
            if manifest.settled_supported <= logit <= manifest.settled_unsupported and evidence.sentences
        ]
        # Where not all can be read, those are that words leave most in doubt.
        doubtful = sorted(open_ones, key=lambda place: (abs(by_words[place]), place))[:MOST_READ]
        for place, found in self._read(sorted(doubtful), judged, evidence, question):
            judged[place] = found
        return judged, len(open_ones) - len(doubtful)

    def _read(
        self, places: Sequence[int], judged: Sequence[_Judged], evidence: Evidence, question: str
    ) -> list[tuple[int, _Judged]]:
        if not places:
            return []
        windows = [evidence.windows(judged[place].measured.stems) for place in places]
        openings = [_opening(question, judged[place].claim.core) for place in places]
        texts = [opening + judged[place].claim.core for place, opening in zip(places, openings, strict=True)]
        readings = read_claims(self.detector.scorer, list(zip(texts, windows, strict=True)))
        found = []
        for place, held, seen, opening in zip(places, windows, readings, openings, strict=True):
            item = judged[place]
            logit = _number(self.detector.manifest.joined.logit((*item.measured.values, *seen.values)))
            window = held[seen.window].sentences
            support = item.measured.best if item.measured.best in window else next(iter(window), None)
            found.append((place, _Judged(item.claim, item.measured, logit, seen, support, len(opening))))
        return found

    def _result(self, item: _Judged, answer: str, evidence: Evidence) -> SentenceResult:
        score = likelihood(item.logit) if evidence.sentences else 1.0
        status = self._status(item, score)
        best = evidence.sentences[item.support] if item.support is not None else None
        marks = [
            Mark(mark.start - item.opening, mark.end - item.opening, mark.score)
            for mark in (item.reading.score.marks if item.reading else ())
            if mark.start >= item.opening
        ]
        return SentenceResult(
            start=item.claim.start,
            end=item.claim.end,
            status=status,
            score=score,
            spans=() if status == "supported" else unsupported_spans(item.claim, answer, item.measured, marks),
            best=Support(best.passage, best.start, best.end) if best else None,
            read=item.reading is not None,
        )

    def _status(self, item: _Judged, score: float) -> Status:
        if score < self.detector.manifest.sentence_threshold:
            return "supported"
        measured = item.measured
        if item.reading and item.reading.score.contradicted >= item.reading.score.not_found:
            return "contradicted"
        only_denies = measured.denies_otherwise and denials(measured.missing_words) == len(measured.missing_words)
        if measured.best is not None and (measured.opposed or only_denies):
            return "contradicted"
        return "not_found"


def asked_stems(question: str) -> frozenset[str]:
    """The words of the question: an answer may repeat them without support."""
    return frozenset(word.stem for word in words(question))


def _opening(question: str, claim: str) -> str:
    """A short claim says little without its question."""
    asked = plain_text(question)[:LONGEST]
    return f"{asked} " if asked and len(claim.split()) < SHORT else ""


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise Unavailable("The grounding detector gave a score that is no number.", hint="Run: lockgate doctor")
    return value
