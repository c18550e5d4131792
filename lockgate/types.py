"""The values that cross folders. Immutable, plain, and cheap to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lockgate.grounding import GroundingReport

BlockKind = Literal["text", "list", "table", "code"]
Role = Literal["system", "user", "assistant"]
Origin = Literal["api", "cli", "eval", "shadow"]
AnswerMode = Literal["extractive", "generative"]
SnapshotKind = Literal["bm25", "hybrid"]


@dataclass(frozen=True, slots=True)
class Block:
    """One structural piece of a page, in reading order.

    ``heading`` is the path of headings above it, the page title excluded; ``anchor`` is the fragment of the nearest
    heading ("" if none); ``page`` is the 1-based page of a paginated format; ``language`` is set for code.
    """

    kind: BlockKind
    text: str
    heading: tuple[str, ...] = ()
    anchor: str = ""
    page: int | None = None
    language: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed page. ``path`` is relative to its source, with forward slashes; ``version`` names the content."""

    source: str
    path: str
    version: str
    title: str
    format: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a page, identified by its content.

    ``id`` hashes source, path, heading path, text and how often that same text came before it on the page;
    ``position`` is its 0-based place in the page; ``tokens`` counts ``embed_text`` by the embedder's tokenizer.
    """

    id: str
    source: str
    path: str
    title: str
    heading: tuple[str, ...]
    version: str
    position: int
    text: str
    tokens: int
    anchor: str = ""
    page: int | None = None

    @property
    def embed_text(self) -> str:
        """The text that is embedded and indexed: title and headings give a passage its context."""
        head = " > ".join(dict.fromkeys((self.title, *self.heading)))
        return f"{head}\n{self.text}" if head else self.text


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved chunk. ``score`` is the fused rank score; ``cosine`` is to the question, None without vectors."""

    chunk: Chunk
    score: float
    cosine: float | None


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What retrieval found, best first.

    ``cosine`` is the highest dense cosine; ``rare_share`` in [0, 1] is the largest share of the question's
    rare-term weight that one of the best passages holds. The relevance decision rests on those two, never on the fused
    score.
    """

    question: str
    passages: tuple[Passage, ...]
    snapshot: str
    kind: SnapshotKind
    cosine: float | None
    rare_share: float
    indexing: float | None = None  # share done of the hybrid snapshot being built, in [0, 1]; None when idle


@dataclass(frozen=True, slots=True)
class Mark:
    """The part ``start``..``end`` of a claim and how likely its evidence does not hold it, in [0, 1]."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class PairScore:
    """What a model says of a claim beside its evidence: three likelihoods that add up to 1, and the claim's parts."""

    supported: float
    contradicted: float
    not_found: float
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Citation:
    """One numbered source of an answer; ``number`` is what the answer text shows in square brackets."""

    number: int
    chunk_id: str
    source: str
    path: str
    title: str
    heading: tuple[str, ...]
    version: str
    text: str
    anchor: str = ""
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer and everything a reader needs to hold it to account."""

    text: str
    citations: tuple[Citation, ...]
    abstained: bool
    mode: AnswerMode
    trace_id: str
    snapshot: str
    release: str = "unreleased"
    channel: str = ""  # through which it was asked; "" when it was asked by the release's id
    forced: bool = False  # the channel points here without its gate's consent
    usage: Usage = Usage()
    finish_reason: Literal["stop", "length", "content_filter"] = "stop"
    uncited_sentences: int = 0
    guardrails: tuple[str, ...] = ()  # what the policy and the citing did, in words
    indexing: float | None = None
    question: str = ""  # as condensed with the history
    grounding: GroundingReport | None = None  # None when nothing judged the answer


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of answer text, safe to show at once."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    answer: Answer


AnswerEvent = Token | Finished


Arm = Literal["", "current", "candidate"]


@dataclass(frozen=True, slots=True)
class Served:
    """Through which channel, and on which side of which rollout, a request is answered. Set by the server, never by a
    client. ``shadow_of`` is the trace that this request repeats aside; ``group`` is the user's, "" while nobody
    knows it."""

    channel: str = ""
    forced: bool = False
    rollout: str = ""
    arm: Arm = ""
    shadow_of: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class AskRequest:
    """A question with its history (oldest first, the question itself not in it).

    ``conversation`` keeps the requests of one conversation or user together: a rollout answers them from one release.
    """

    question: str
    history: tuple[Message, ...] = ()
    origin: Origin = "api"
    mode: AnswerMode | None = None  # None: what the chain definition says
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    conversation: str = ""
    served: Served = Served()
