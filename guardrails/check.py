"""What a check is: it looks at a text and says how sure it is that what it looks for is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field

from guardrails.reading import Reading
from lockgate.content import ContentModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Stage = Literal["document", "input", "context", "tool_call", "output"]
STAGES: tuple[Stage, ...] = ("document", "input", "context", "tool_call", "output")
"""Where a text is: a page on its way into the index, the question, a passage or tool result for the model, the
arguments of a tool, the answer."""

Action = Literal["block", "redact", "rewrite", "flag", "log"]
ACTIONS: tuple[Action, ...] = ("block", "redact", "rewrite", "flag", "log")

OnError = Literal["block", "flag", "allow"]

MAX_SPANS = 200
"""Spans that one check reports at most; a text with more is bad in whole."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the text, ``text[start:end]``: what it is, and what stands there once it is redacted.

    ``private``: nobody may read it later, so whatever the policy does, it is taken out of what is written down.
    ``reversible``: the answer to the same user may have the original back in the place of ``replacement``, which must
    then be a placeholder of its own.
    """

    start: int
    end: int
    label: str
    replacement: str = "[removed]"
    private: bool = False
    reversible: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a check says: ``score`` in [0, 1], the spans that made it so, and one sentence why.

    ``reason`` is for those who run the bot; ``told`` is what its user may read beside the policy's message.
    ``rewritten`` is the text that takes the place of the seen one where the policy's action is to rewrite. ``detail``
    goes with the finding, for who knows the check.
    """

    score: float
    spans: tuple[Span, ...] = ()
    reason: str = ""
    told: str = ""
    rewritten: str | None = None
    detail: object = None


NOTHING = Found(0.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """One text at one stage, and what a check may need to know beside it.

    ``vector`` gives the text's embedding where the pipeline has it already (shape (dimension,), unit length), else
    None. ``prompt`` is what the model was told before the question; an answer must not repeat it. ``known`` are scores
    that checks gave this text before, by the check's name: a passage brings those of its page's way into the index.
    ``before`` is the part of a streamed answer that was shown before ``text``. ``instead`` makes what may take the
    place of an answer, where there is such a thing.
    """

    text: str
    stage: Stage
    question: str = ""
    history: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()
    prompt: str = ""
    vector: NDArray[np.float32] | None = None
    final: bool = True  # whether ``text`` is whole: a stream shows its sentences one by one
    known: Mapping[str, float] = field(default_factory=dict)
    before: str = ""
    instead: Callable[[], str] | None = None
    _reading: list[Reading] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def reading(self) -> Reading:
        """How the text reads, worked out once however many checks ask."""
        if not self._reading:
            self._reading.append(Reading(self.text))
        return self._reading[0]


@dataclass(frozen=True, slots=True)
class GuardTools:
    """What checks may use of the rest of Lockgate, each made on first use; None where there is no such thing.

    ``embed`` turns texts into unit vectors of shape (len(texts), dimension), and ``embedder`` gives the digest of the
    model that does: what was trained on the vectors of one says nothing about those of another. ``grounder`` checks an
    answer against passages. Each raises a LockgateError when its weights are missing.
    """

    embed: Callable[[Sequence[str]], NDArray[np.float32]] | None = None
    embedder: Callable[[], str] | None = None
    grounder: Callable[[], Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class CheckSettings(ContentModel):
    """The keys that every check of a policy has. A subclass adds ``check: Literal["its_name"]`` and its own keys.

    ``threshold``: the check acts from this score on. ``on_error``: what happens when it fails, hangs or gives no
    number; left out, it blocks at the stages input and output and flags elsewhere. ``timeout_ms``: how long it may
    take. ``message``: what the user reads when it blocks.
    """

    check: str
    action: Action
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    on_error: OnError | None = None
    timeout_ms: Annotated[int, Field(ge=1, le=60_000)] = 2_000
    message: Annotated[str, Field(min_length=1, max_length=500)] = "This cannot be answered here."


class Check(Protocol):
    """A check: built once from its settings and the tools, then asked for many texts, from several threads.

    One that can only judge an answer as a whole says so by a class attribute ``whole = True``; one with weights says
    by ``weights`` which file names them by hash.

    ``look`` may be a coroutine function; such a check asks a server. It may raise; the policy's ``on_error`` applies
    then. It must not keep what it saw.
    """

    name: ClassVar[str]
    stages: ClassVar[frozenset[Stage]]
    actions: ClassVar[frozenset[Action]]
    settings: ClassVar[type[CheckSettings]]

    def __init__(self, settings: Any, tools: GuardTools, /) -> None: ...

    def look(self, seen: Seen) -> Any:
        """Found, or an awaitable of it."""
        ...
