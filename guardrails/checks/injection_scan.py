"""Looks for instructions to a model in texts: by phrases, and by the trained classifier in windows of a sentence."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from guardrails.check import GuardTools
from guardrails.checks.injection_classifier import (
    SHIPPED,
    Classifier,
    Kind,
    direct_rows,
    indirect_rows,
    open_classifier,
)
from guardrails.checks.injection_patterns import matches
from guardrails.checks.injection_windows import LONGEST, cues, most_telling, windows
from guardrails.normalise import Normalised
from guardrails.reading import Reading
from lockgate.errors import Unavailable

if TYPE_CHECKING:
    from guardrails.checks.injection_classifier import Array

PHRASE_SCORE = 0.9
"""The score of a phrase; one in another encoding, which nobody writes by chance, scores more."""
ENCODED_SCORE = 0.97
WINDOWS: dict[Kind, tuple[int, int]] = {"direct": (4, 240), "indirect": (400, 60_000)}
"""Windows of one text, and characters of them, that the classifier reads: those that sound most like an instruction.
Phrases are looked for in all of the text."""
MAX_HIDDEN = 20
"""Decoded parts that are looked at, the first ones of a text."""

_SPACED = 12


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the text that looks like an attack, with its score and what says so."""

    start: int
    end: int
    score: float
    reason: str


@dataclass(frozen=True, slots=True)
class Scan:
    """``score`` is the highest of ``windows``, or what the classifier gives the text at most. ``windows`` are those of
    at least ``ScanSettings.least``, the worst first."""

    score: float
    windows: tuple[Window, ...] = ()

    @property
    def reason(self) -> str:
        return self.windows[0].reason if self.windows else ""


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """``classifier`` of False looks for phrases only, and needs no embedder. ``least`` is the score from which on a
    window is told of."""

    kind: Kind = "indirect"
    classifier: bool = True
    least: float = 0.5


@dataclass(frozen=True, slots=True)
class Text:
    """A text to scan, with what is known of it: its own vector, and what was said before it."""

    text: str
    vector: Array | None = None
    before: tuple[str, ...] = ()
    reading: Reading | None = None


class Scanner:
    """Scans with one classifier, which is loaded when it is first needed. Safe to share between threads."""

    def __init__(self, tools: GuardTools, settings: ScanSettings | None = None, *, folder: Path = SHIPPED) -> None:
        self._tools = tools
        self._settings = settings or ScanSettings()
        self._folder = folder
        self._classifier: Classifier | None = None
        self._lock = threading.Lock()

    def scan_many(self, texts: Sequence[Text]) -> list[Scan]:
        """One result a text; the windows of all of them are embedded together.

        Raises a LockgateError when the classifier cannot be used: without weights, without an embedder, or with
        another one than it was trained on.
        """
        parts = [_Parts(each, self._settings) for each in texts]
        if self._settings.classifier:
            self._classify(parts)
        return [each.result() for each in parts]

    def classifier(self) -> Classifier:
        """The loaded classifier, if this embedder is the one that it is for."""
        with self._lock:
            if self._classifier is None:
                opened = open_classifier(self._folder)
                digest = self._tools.embedder() if self._tools.embedder else ""
                if digest != opened.manifest.embedder:
                    raise Unavailable(
                        f"The injection classifier reads vectors of the embedder {opened.manifest.embedder[:12]}, and "
                        f"this pipeline has {digest[:12] or 'none'}.",
                        hint="Set `classifier: false` in the policy, or train one for it: "
                        "lockgate finetune injection --help",
                    )
                self._classifier = opened
            return self._classifier

    def _classify(self, parts: Sequence[_Parts]) -> None:
        import numpy as np

        classifier = self.classifier()
        wanted = list(dict.fromkeys(text for part in parts for text in part.to_embed()))
        known: dict[str, Array] = {}
        if wanted:
            if self._tools.embed is None:
                raise Unavailable("The injection classifier needs an embedder, and this pipeline has none.")
            vectors = np.asarray(self._tools.embed(wanted), dtype=np.float32)
            if vectors.shape != (len(wanted), classifier.manifest.dimension) or not np.isfinite(vectors).all():
                raise Unavailable("The embedder gave vectors that the injection classifier cannot read.")
            known = dict(zip(wanted, vectors, strict=True))
        for part in parts:
            part.classify(classifier, known)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A text that the classifier reads, and the part of the original that it stands for."""

    text: str
    start: int
    end: int
    vector: Array | None = None
    factor: str = ""


@dataclass
class _Parts:
    """One text on its way through a scan."""

    given: Text
    settings: ScanSettings
    found: list[Window] = field(default_factory=list)
    highest: float = 0.0

    def __post_init__(self) -> None:
        self.reading = self.given.reading or Reading(self.given.text)
        self._phrases()
        self.groups = list(self._groups()) if self.settings.classifier else []

    def _phrases(self) -> None:
        indirect = self.settings.kind == "indirect"
        letters, plain = self.reading.letters, self.reading.plain
        for read in (letters, plain) if plain.text != letters.text else (letters,):
            for hit in matches(read.text, indirect=indirect):
                start, end = read.spans_back(hit.start, hit.end)
                self._keep(start, end, PHRASE_SCORE, hit.name)
        for each in self.reading.hidden[:MAX_HIDDEN]:
            hidden = Reading(each.text).letters.text
            for hit in matches(hidden, indirect=indirect):
                self._keep(each.start, each.end, ENCODED_SCORE, f"{hit.name}, {each.how}")
        before = " ".join(self.given.before)[-2000:]
        if before and self.given.text:
            joined = f"{before} {letters.text[:2000]}"
            for hit in matches(joined, indirect=indirect):
                if hit.end > len(before):
                    self._keep(0, len(self.given.text), PHRASE_SCORE, f"{hit.name}, over turns")

    def _groups(self) -> list[list[_Piece]]:
        """Lists of pieces; the pieces of one list are the windows of one text."""
        letters = self.reading.letters
        groups = [_pieces(letters, *WINDOWS[self.settings.kind])]
        size = len(self.given.text)
        if self.settings.kind == "direct" and letters.text.strip():
            whole = _Piece(letters.text, 0, size, self.given.vector)
            # A short text is one window. A vector that was given is of the text as it is written, which may read
            # otherwise.
            read = size > LONGEST or (self.given.vector is not None and letters.text != self.given.text)
            groups = [[whole, *(groups[0] if read else [])]]
            if self.given.before:
                last = " ".join([*self.given.before[-3:], letters.text])[-600:]
                groups.append([_Piece(last, 0, size, factor="over turns")])
        for each in self.reading.hidden[:MAX_HIDDEN]:
            said = each.text.strip()
            if len(said) >= _SPACED and " " in said:
                few = (2, 200) if self.settings.kind == "direct" else (20, 4_000)
                inner = _pieces(Normalised(said), *few)
                groups.append([_Piece(piece.text, each.start, each.end, factor=each.how) for piece in inner])
        return groups

    def to_embed(self) -> list[str]:
        return [piece.text for group in self.groups for piece in group if piece.vector is None]

    def classify(self, classifier: Classifier, known: dict[str, Array]) -> None:
        import numpy as np

        make = direct_rows if self.settings.kind == "direct" else indirect_rows
        for group in self.groups:
            if not group:
                continue
            vectors = np.stack([known[each.text] if each.vector is None else each.vector for each in group])
            rows = make(vectors, [cues(each.text) for each in group])
            for piece, score in zip(group, classifier.scores(self.settings.kind, rows), strict=True):
                self.highest = max(self.highest, score)
                if score >= self.settings.least:
                    reason = f"classifier, {piece.factor}" if piece.factor else "classifier"
                    self._keep(piece.start, piece.end, score, reason)

    def result(self) -> Scan:
        found = sorted(set(self.found), key=lambda each: (-each.score, each.start, each.end))
        return Scan(max([self.highest, *(each.score for each in found)]), tuple(found))

    def _keep(self, start: int, end: int, score: float, reason: str) -> None:
        if end > start:
            self.found.append(Window(start, end, score, reason))


def _pieces(read: Normalised, limit: int, characters: int) -> list[_Piece]:
    spans = windows(read.text)
    texts = [read.text[start:end] for start, end in spans]
    return [_Piece(texts[at], *read.spans_back(*spans[at])) for at in most_telling(texts, limit, characters)]


def scan_many(texts: Sequence[str], tools: GuardTools, settings: ScanSettings | None = None) -> list[Scan]:
    """The scan of each text, as a pipeline wants it for a batch of chunks: their windows are embedded together."""
    return Scanner(tools, settings).scan_many([Text(each) for each in texts])


def scan(text: str, tools: GuardTools, settings: ScanSettings | None = None) -> Scan:
    """The score of one text and the windows that made it so."""
    return scan_many([text], tools, settings)[0]
