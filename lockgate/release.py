"""The release: a manifest of everything that an answer depends on, named by the hash of its canonical JSON.

The id covers texts, hashes, digests, settings, Lockgate's version and the schema; who built it, when and from which
commit is its provenance, which lies beside it. Canonical JSON here is UTF-8, keys sorted by code point, no spaces,
floats in Python's shortest form; the same values give the same bytes on every machine.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from lockgate.content import ContentModel
from lockgate.errors import Corrupt
from lockgate.models.catalogue import ModelFiles
from lockgate.types import AnswerMode, SnapshotKind

SCHEMA = 1

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
PromptRole = Literal["answer", "condense"]


class PinnedPrompt(ContentModel):
    """``files`` maps a path relative to the prompt library to its text: the prompt, its includes and its examples."""

    name: str
    hash: Sha256
    files: dict[str, str] = Field(min_length=1)


class PinnedSnapshot(ContentModel):
    """``id`` is the hash of ``manifest``'s content; ``lexicon`` names the object with its word counts."""

    id: Sha256
    kind: SnapshotKind
    manifest: Sha256
    lexicon: Sha256
    embedder: str
    chunking: dict[str, int]
    documents: int = Field(ge=0)
    chunks: int = Field(ge=0)


class PinnedEmbedder(ContentModel):
    name: str
    digest: str
    files: ModelFiles


class PinnedModel(ContentModel):
    """``provider`` local: this machine's files; server: whatever answers to that name behind OPENAI_BASE_URL, whose
    weights nobody here can see, so ``digest`` is empty and ``files`` is None."""

    name: str
    provider: Literal["local", "server"]
    revision: str
    digest: str
    files: ModelFiles | None
    limits: dict[str, int]

    @model_validator(mode="after")
    def _local_has_files(self) -> PinnedModel:
        if (self.provider == "local") != (self.files is not None):
            raise ValueError("a local model has files, one behind a server has none")
        return self


class PinnedAdapter(ContentModel):
    digest: Sha256
    base: str


class PinnedPolicy(ContentModel):
    """``weights`` names by hash what the policy's trained checks decide with."""

    name: str
    hash: Sha256
    text: str
    weights: dict[str, Sha256] = Field(default_factory=dict)


class PinnedRoute(ContentModel):
    """How an answer is made unless the request says otherwise; ``mode: auto`` of a chain is decided when building."""

    mode: AnswerMode


class PinnedCache(ContentModel):
    """This version keeps no answers."""

    kind: Literal["none"] = "none"


class Manifest(ContentModel):
    """``chain`` is the chain definition with every default filled in."""

    schema_version: Literal[1] = 1
    lockgate: str
    chain: dict[str, Any]
    prompts: dict[PromptRole, PinnedPrompt]
    snapshot: PinnedSnapshot
    embedder: PinnedEmbedder
    model: PinnedModel
    adapter: PinnedAdapter | None
    policy: PinnedPolicy
    route: PinnedRoute
    cache: PinnedCache

    @property
    def name(self) -> str:
        """The chain's name."""
        return str(self.chain.get("name", ""))

    def body(self) -> dict[str, Any]:
        """The manifest as the plain values that its id is the hash of."""
        body = self.model_dump(mode="json")
        if not self.policy.weights:  # as releases were before checks had any: their ids stay theirs
            del body["policy"]["weights"]
        return body

    def canonical(self) -> bytes:
        return canonical_json(self.body())

    @cached_property
    def id(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        return hashlib.sha256(self.canonical()).hexdigest()


def canonical_json(body: object) -> bytes:
    """Raises ValueError for NaN and infinity, which JSON does not have."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def manifest_from(data: bytes, *, where: str = "the manifest") -> Manifest:
    """Raises Corrupt when ``data`` is no manifest of a schema that this version knows, or not in canonical form."""
    try:
        body = json.loads(data)
        manifest = Manifest.model_validate(body)
        canonical = manifest.canonical()  # a ValueError for NaN, half a surrogate pair or nesting without end
    except ValidationError as error:
        item = error.errors()[0]
        key = ".".join(str(part) for part in item["loc"])
        raise Corrupt(
            f"{where} is not a release manifest of schema {SCHEMA}: key {key!r}: {item['msg']}.",
            hint="It may be of a newer Lockgate.",
        ) from None
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"{where} is not a release manifest: {error}.") from None
    if canonical != data:
        raise Corrupt(f"{where} is not in canonical form, so its hash does not name its content.")
    return manifest
