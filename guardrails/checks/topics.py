"""What a text is about, by example sentences: forbidden topics, and allowed ones outside of which nothing is."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from guardrails.check import NOTHING, Action, CheckSettings, Found, GuardTools, Seen, Span, Stage
from guardrails.checks.toxicity_features import windows
from lockgate.content import ContentModel
from lockgate.errors import Unavailable, UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

CALIBRATED = "70c096165799290aa9d9268fed7371889e101254bdee00111cf37279a39f83e0"
"""The digest of all-minilm-l6-v2, the embedder that ``COSINE`` was measured with."""
COSINE = 0.24
"""The cosine to the nearest example that scores 0.5: in bench/topics.py, as many texts of a topic are missed there as
texts of others are taken for it."""
STEEPNESS = 18.0
FEWEST_WORDS = 3
MAX_WINDOWS = 32


class Topic(ContentModel):
    """A topic: a few sentences of the kind that users write, in different words. Five to ten work best."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    examples: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=3, max_length=300)], ...], Field(min_length=1, max_length=50)
    ]


class TopicsSettings(CheckSettings):
    """Finds forbidden topics, and text that is on none of the allowed ones.

    ``cosine``: the likeness to the nearest example that counts as the topic (a score of 0.5); left out, the one that
    was measured with the default embedder. Another embedder needs a value of its own. ::

        - check: topics
          action: block
          message: I can only help with questions about our products.
          allowed:
            - name: products
              examples: ["How do I reset my password?", "Which plans do you offer?"]
          forbidden:
            - name: medicine
              examples: ["Which pills should I take for a headache?"]
    """

    check: Literal["topics"]
    action: Literal["block", "flag", "log"]
    allowed: Annotated[tuple[Topic, ...], Field(max_length=50)] = ()
    forbidden: Annotated[tuple[Topic, ...], Field(max_length=50)] = ()
    cosine: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _some(self) -> TopicsSettings:
        names = [topic.name for topic in (*self.allowed, *self.forbidden)]
        if not names:
            raise ValueError("topics needs allowed or forbidden topics")
        if len(set(names)) < len(names):
            raise ValueError("two topics have the same name")
        return self


class Topics:
    """Text about a forbidden topic, or about none of the allowed ones, judged by how like it is to their example
    sentences."""

    name: ClassVar[str] = "topics"
    stages: ClassVar[frozenset[Stage]] = frozenset({"input", "output"})
    actions: ClassVar[frozenset[Action]] = frozenset({"block", "flag", "log"})
    settings: ClassVar[type[CheckSettings]] = TopicsSettings

    def __init__(self, settings: TopicsSettings, tools: GuardTools, /) -> None:
        self._settings = settings
        self._tools = tools
        self._lock = threading.Lock()
        self._examples: Array | None = None
        self._owners = [topic.name for topic in (*settings.allowed, *settings.forbidden) for _ in topic.examples]
        self._allowed = sum(len(topic.examples) for topic in settings.allowed)

    def look(self, seen: Seen) -> Found:
        examples = self._loaded()
        text = seen.reading.plain.text
        parts = [(start, end) for start, end in windows(text) if len(text[start:end].split()) >= FEWEST_WORDS]
        parts = parts[:: max(1, math.ceil(len(parts) / MAX_WINDOWS))]
        if not parts:
            return NOTHING
        near = self._vectors(seen, [text[start:end] for start, end in parts]) @ examples.T
        forbidden, about, part = 0.0, "", 0
        if self._allowed < len(self._owners):
            own = near[:, self._allowed :]
            part, column = divmod(int(own.argmax()), own.shape[1])
            forbidden, about = self._score(float(own.max())), self._owners[self._allowed + column]
        # An answer or question is on an allowed topic when any part of it is; greetings and thanks go with the rest.
        off = 1.0 - self._score(float(near[:, : self._allowed].max())) if self._allowed else 0.0
        if forbidden >= off:
            start, end = seen.reading.plain.spans_back(*parts[part])
            return Found(forbidden, (Span(start, end, about),), f"is about {about}" if forbidden >= 0.5 else "")
        return Found(off, (), "is on no allowed topic" if off >= 0.5 else "")

    def _score(self, cosine: float) -> float:
        centre = self._settings.cosine or COSINE
        return 1.0 / (1.0 + math.exp(-STEEPNESS * (cosine - centre)))

    def _vectors(self, seen: Seen, texts: list[str]) -> Array:
        if len(texts) == 1 and seen.vector is not None and texts[0] == seen.text:
            return seen.vector[None, :]
        return self._embed(texts)

    def _embed(self, texts: list[str]) -> Array:
        if self._tools.embed is None:
            raise Unavailable("The check topics needs an embedder, and there is none here.")
        return self._tools.embed(texts)

    def _loaded(self) -> Array:
        with self._lock:
            if self._examples is None:
                own = None if self._tools.embedder is None else self._tools.embedder()
                if self._settings.cosine is None and own is not None and own != CALIBRATED:
                    raise UserError(
                        "The check topics knows what likeness means for all-minilm-l6-v2 only, and this project has "
                        "another embedder.",
                        hint="Give the check a `cosine`; bench/topics.py measures one.",
                    )
                settings = self._settings
                self._examples = self._embed(
                    [text for topic in (*settings.allowed, *settings.forbidden) for text in topic.examples]
                )
            return self._examples
