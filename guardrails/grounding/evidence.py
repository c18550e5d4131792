"""The passages of an answer as sentences that can be searched, and the windows of them that a claim is held against."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guardrails.grounding.claims import plain_text, sentence_spans
from guardrails.grounding.exact import Facts, facts, joined
from guardrails.grounding.words import Word, words

WINDOW_WORDS = 56
"""Words of evidence in one window: with a claim of 40 tokens about 128 tokens."""

MOST_SENTENCES = 600
"""Sentences of evidence, at most; a dozen long passages have fewer. What lies beyond supports nothing."""

COVERING = 4
"""Sentences that a window gathers, at most, before their neighbours fill it up."""


@dataclass(frozen=True, slots=True)
class EvidenceSentence:
    """A sentence at ``start``..``end`` of passage number ``passage`` (0-based)."""

    passage: int
    start: int
    end: int
    text: str
    stems: frozenset[str]
    length: int  # in words
    facts: Facts


@dataclass(frozen=True, slots=True)
class Window:
    """Sentences, by their place in the evidence, in reading order."""

    sentences: tuple[int, ...]
    text: str


class Evidence:
    """The sentences of all passages with an index of their words. ``rarity`` weighs stems, ``common`` all others."""

    def __init__(self, passages: Sequence[str], rarity: Mapping[str, float], common: float) -> None:
        self.sentences: list[EvidenceSentence] = []
        self._rarity = rarity
        self._common = common
        self._places: defaultdict[str, list[int]] = defaultdict(list)
        self.pairs: set[tuple[str, str]] = set()
        for number, passage in enumerate(passages):
            self._add(number, passage)
        self.stems: frozenset[str] = frozenset(self._places)
        self.beginnings = frozenset(stem[:5] for stem in self.stems if len(stem) >= 5)
        self.facts: Facts = joined(sentence.facts for sentence in self.sentences)

    def _add(self, number: int, passage: str) -> None:
        previous = ""
        for start, end in sentence_spans(passage):
            text = plain_text(passage[start:end])
            found = words(text)
            if not found:
                continue
            if len(self.sentences) == MOST_SENTENCES:
                return
            stems = frozenset(word.stem for word in found)
            for word in found:
                if word.says_something:
                    self.pairs.add((previous, word.stem))
                    previous = word.stem
            for stem in stems:
                self._places[stem].append(len(self.sentences))
            self.sentences.append(EvidenceSentence(number, start, end, text, stems, len(found), facts(text)))

    def weight(self, stem: str) -> float:
        return self._rarity.get(stem, self._common)

    def ranked(self, stems: frozenset[str]) -> list[tuple[float, int]]:
        """(weight of the shared stems, place) of every sentence that shares one, best first; ties in reading order."""
        shared: Counter[int] = Counter()
        for stem in sorted(stems):
            weight = self.weight(stem)
            for place in self._places.get(stem, ()):
                shared[place] += weight  # type: ignore[assignment]
        return sorted(((score, place) for place, score in shared.items()), key=lambda item: (-item[0], item[1]))

    def windows(self, stems: frozenset[str], budget: int = WINDOW_WORDS) -> list[Window]:
        """One window where all evidence fits into ``budget`` words, else two.

        The first gathers, from anywhere, the sentences that together hold most of the claim; the second is the running
        text around the sentence that holds most of it.
        """
        if sum(sentence.length for sentence in self.sentences) <= budget:
            return [self._window(range(len(self.sentences)))] if self.sentences else []
        ranked = self.ranked(stems)
        if not ranked:
            return [self._window(self._around(0, budget))]
        gathered = self._window(self._filled(self._covering(stems, ranked, budget), budget))
        around = self._window(self._around(ranked[0][1], budget))
        return [gathered] if gathered.sentences == around.sentences else [gathered, around]

    def _covering(self, stems: frozenset[str], ranked: Sequence[tuple[float, int]], budget: int) -> list[int]:
        """Places chosen one by one: each time the sentence that adds most of what is not held yet."""
        chosen: list[int] = []
        left, room = set(stems), budget
        candidates = [place for _, place in ranked[:24]]
        while left and len(chosen) < COVERING and candidates:
            gains = [(sum(map(self.weight, sorted(left & self.sentences[place].stems))), place) for place in candidates]
            gain, place = max(gains, key=lambda item: (item[0], -candidates.index(item[1])))
            if gain <= 0 or (chosen and room < self.sentences[place].length):
                break
            chosen.append(place)
            candidates.remove(place)
            left -= self.sentences[place].stems
            room -= self.sentences[place].length
        return chosen

    def _filled(self, chosen: Sequence[int], budget: int) -> list[int]:
        """``chosen`` and, while there is room, the sentences before and after each of them."""
        kept = set(chosen)
        room = budget - sum(self.sentences[place].length for place in chosen)
        for place in chosen:
            for beside in (place - 1, place + 1):
                if (
                    0 <= beside < len(self.sentences)
                    and beside not in kept
                    and self.sentences[beside].passage == self.sentences[place].passage
                    and self.sentences[beside].length <= room
                ):
                    kept.add(beside)
                    room -= self.sentences[beside].length
        return sorted(kept)

    def _around(self, place: int, budget: int) -> list[int]:
        kept = [place]
        room = budget - self.sentences[place].length
        before, after = place - 1, place + 1
        while True:
            grown = False
            for beside, forward in ((after, True), (before, False)):
                fits = 0 <= beside < len(self.sentences) and self.sentences[beside].length <= room
                if fits and self.sentences[beside].passage == self.sentences[place].passage:
                    kept.append(beside)
                    room -= self.sentences[beside].length
                    after, before = (after + 1, before) if forward else (after, before - 1)
                    grown = True
            if not grown:
                return sorted(kept)

    def _window(self, places: Sequence[int]) -> Window:
        return Window(tuple(places), " ".join(self.sentences[place].text for place in places))


def telling_words(text: str) -> list[Word]:
    """The words of ``text`` that a passage has to hold."""
    return [word for word in words(text) if word.says_something]
