"""A detector for tests: weights by hand, and a scorer that reads like a careful child."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from guardrails.grounding.detector import ANSWER, LEARNED, MANIFEST, RARITY, Detector, Manifest, Weights, open_detector
from guardrails.grounding.features import FEATURES
from guardrails.grounding.grounder import Grounder
from lockgate.types import Mark, PairScore


class WordScorer:
    """Supported is the share of the claim's words that the evidence holds; what it lacks is marked."""

    digest = "0" * 64

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[PairScore]:
        self.pairs += pairs
        return [self._score(claim, evidence) for claim, evidence in pairs]

    def _score(self, claim: str, evidence: str) -> PairScore:
        held = {word.strip(".,") for word in evidence.lower().split()}
        marks, start = [], 0
        for word in claim.split():
            start = claim.index(word, start)
            marks.append(Mark(start, start + len(word), 0.0 if word.lower().strip(".,") in held else 0.9))
            start += len(word)
        bad = sum(mark.score > 0.5 for mark in marks) / max(1, len(marks))
        return PairScore(1 - bad, 0.2 * bad, 0.8 * bad, tuple(marks))


class BrokenScorer(WordScorer):
    """Gives what a damaged model gives."""

    def _score(self, claim: str, evidence: str) -> PairScore:
        return PairScore(math.nan, math.nan, math.nan)


def weights(features: Sequence[str], bias: float, **given: float) -> Weights:
    return Weights(
        features=tuple(features),
        mean=(0.0,) * len(features),
        deviation=(1.0,) * len(features),
        weights=tuple(given.get(name, 0.0) for name in features),
        bias=bias,
    )


def manifest(files: Mapping[str, str]) -> Manifest:
    exact = {"missing_numbers": 4.0, "missing_names": 4.0, "missing_dates": 4.0, "opposites": 4.0, "negation": 4.0}
    return Manifest(
        name="by-hand",
        version="1",
        files=dict(files),
        max_tokens=128,
        common=1.0,
        words=weights(FEATURES, -3.0, missing_share=8.0, uncovered_best=2.0, **exact),
        joined=weights((*FEATURES, *LEARNED), -1.0, read_unsupported=0.5, missing_share=4.0, **exact),
        answer=weights(ANSWER, 0.0, joined=1.0, missing_share=1.0),
        settled_supported=-2.9,
        settled_unsupported=3.5,
        sentence_threshold=0.5,
        answer_threshold=0.5,
    )


def write_detector(folder: Path, **changes: object) -> Path:
    """A detector's folder whose encoder is no model at all: it opens with a scorer of one's own."""
    files = {RARITY: json.dumps({"alpaca": 0.9, "year": 0.2}).encode(), "model.onnx": b"none", "tokenizer.json": b"{}"}
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    made = manifest({name: sha256(data).hexdigest() for name, data in files.items()}).model_dump() | changes
    (folder / MANIFEST).write_text(json.dumps(made))
    return folder


def opened(folder: Path, scorer: WordScorer | None = None) -> Detector:
    own = scorer or WordScorer()
    opener: Callable[[Path, Mapping[str, str], int], WordScorer] = lambda _folder, _files, _tokens: own  # noqa: E731
    return open_detector(folder, opener)


def grounder(folder: Path, scorer: WordScorer | None = None) -> Grounder:
    return Grounder(opened(write_detector(folder), scorer))
