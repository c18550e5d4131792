"""Hateful, threatening and abusive text, by a trained model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from guardrails.check import MAX_SPANS, NOTHING, Action, CheckSettings, Found, GuardTools, Seen, Span, Stage
from guardrails.checks.toxicity_features import windows
from guardrails.checks.toxicity_model import SHIPPED, Kind, Manifest, ToxicityModel, checked_files, open_model
from guardrails.weights import MANIFEST
from lockgate.errors import Unavailable, UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

MAX_EMBEDDED = 48
"""Windows of one text that are embedded, the most suspicious ones."""
MAX_DOUBTFUL = 2
"""Of those, the ones that are hardly suspicious: each costs about 10 ms."""
MAX_DECODED = 20


class ToxicitySettings(CheckSettings):
    """Finds hateful, threatening and abusive text.

    ``kinds``: ``hate`` is against people for what they are, ``threat`` announces violence against anybody, ``abuse`` is
    any insult. The score is that of the worst sentence, 0.5 at the threshold that development data gave. English. ::

        - check: toxicity
          action: block
          message: Please put this in other words.
    """

    check: Literal["toxicity"]
    action: Literal["block", "redact", "flag", "log"]
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = ("hate", "threat")


class Toxicity:
    """Hate against people for what they are, and threats of violence; insults too where the policy asks for them. A
    small model on sentence embeddings, English only."""

    name: ClassVar[str] = "toxicity"
    stages: ClassVar[frozenset[Stage]] = frozenset({"document", "input", "context", "output"})
    actions: ClassVar[frozenset[Action]] = frozenset({"block", "redact", "flag", "log"})
    settings: ClassVar[type[CheckSettings]] = ToxicitySettings
    weights: ClassVar[Path] = SHIPPED / MANIFEST

    def __init__(self, settings: ToxicitySettings, tools: GuardTools, /, folder: Path = SHIPPED) -> None:
        checked_files(folder)  # so that health says what is missing before anybody asks; it is loaded later
        self._settings = settings
        self._tools = tools
        self._folder = folder
        self._model: ToxicityModel | None = None
        self._lock = threading.Lock()

    def look(self, seen: Seen) -> Found:
        if seen.stage == "context" and self.name in seen.known:
            return Found(seen.known[self.name], reason="found when the page was indexed")
        model = self._loaded()
        parts = _parts(seen)
        if not parts:
            return NOTHING
        read = model.read([part.text for part in parts])
        chosen = _suspicious([float(each) for each in read.suspicion], model.manifest)
        if not chosen:
            return NOTHING
        vectors = self._vectors(seen, parts, chosen)
        scores = model.scores(vectors, read.values[chosen], self._settings.kinds)
        return self._found([parts[index] for index in chosen], scores)

    def _found(self, parts: Sequence[_Part], scores: Sequence[Sequence[float]]) -> Found:
        worst = [max(row) for row in scores]
        kinds = [self._settings.kinds[row.index(max(row))] for row in scores]
        score = max(worst)
        spans = [
            (one, Span(part.start, part.end, kind))
            for part, one, kind in zip(parts, worst, kinds, strict=True)
            if one >= self._settings.threshold
        ]
        if not spans:
            return Found(score)
        spans.sort(key=lambda each: -each[0])
        found = ", ".join(sorted({span.label for _, span in spans}))
        return Found(score, tuple(span for _, span in spans[: MAX_SPANS + 1]), f"reads like {found}")

    def _vectors(self, seen: Seen, parts: Sequence[_Part], chosen: Sequence[int]) -> Array:
        if len(parts) == 1 and seen.vector is not None and parts[0].text == seen.text:
            return seen.vector[None, :]
        if self._tools.embed is None:
            raise Unavailable("The check toxicity needs an embedder, and there is none here.")
        return self._tools.embed([parts[index].text for index in chosen])

    def _loaded(self) -> ToxicityModel:
        with self._lock:
            if self._model is None:
                model = open_model(self._folder)
                if self._tools.embedder is None:
                    raise Unavailable("The check toxicity needs an embedder, and there is none here.")
                if (digest := self._tools.embedder()) != model.manifest.embedder:
                    raise UserError(
                        f"The check toxicity was trained on the vectors of the embedder "
                        f"{model.manifest.embedder[:12]}; this project has {digest[:12]}.",
                        hint="Use all-minilm-l6-v2, train it again (lockgate finetune toxicity), or leave it out.",
                    )
                self._model = model
            return self._model


def _suspicious(suspicion: Sequence[float], manifest: Manifest) -> list[int]:
    """Which windows are worth an embedding."""
    order = sorted(range(len(suspicion)), key=lambda index: -suspicion[index])
    sure = sum(each >= manifest.read for each in suspicion)
    most = min(max(sure, MAX_DOUBTFUL), MAX_EMBEDDED)
    return sorted(index for index in order[:most] if suspicion[index] >= manifest.unread)


@dataclass(frozen=True, slots=True)
class _Part:
    """``text`` is what is read, from ``start`` to ``end`` of the seen one."""

    text: str
    start: int
    end: int


def _parts(seen: Seen) -> list[_Part]:
    """The windows of the text as its reader sees it, and those of what is encoded in it."""
    plain = seen.reading.plain
    parts = []
    for start, end in windows(plain.text):
        if any(map(str.isalpha, plain.text[start:end])):
            first, last = plain.spans_back(start, end)
            parts.append(_Part(plain.text[start:end], first, last))
    for each in seen.reading.hidden[:MAX_DECODED]:
        parts += [_Part(each.text[start:end], each.start, each.end) for start, end in windows(each.text[:2_000])]
    return parts
