"""Pages and proposals for tests of proposed cases."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from evals.synth.corpus import Corpus, Page, build_corpus, index_terms
from evals.synth.proposal import Checks, Maker, Proposal
from lockgate.types import Chunk

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def chunk(
    text: str,
    path: str = "keys.md",
    title: str = "Keys",
    heading: tuple[str, ...] = (),
    *,
    position: int = 0,
    source: str = "docs",
) -> Chunk:
    name = hashlib.sha256(f"{source}{path}{heading}{text}{position}".encode("utf-8", "replace")).hexdigest()[:32]
    return Chunk(name, source, path, title, heading, "v1", position, text, 10)


def page(*sections: tuple[str, str], path: str = "keys.md", title: str = "Keys") -> Page:
    """A page of (heading, text)."""
    chunks = [
        chunk(text, path, title, (heading,) if heading else (), position=number)
        for number, (heading, text) in enumerate(sections)
    ]
    return Page(path, "v1", tuple(chunks))


def corpus(*pages: Page) -> Corpus:
    return build_corpus("s" * 64, [each for one in pages for each in one.chunks], index_terms())


def proposal(**keys: Any) -> Proposal:
    body: dict[str, Any] = {
        "id": "0123456789ab",
        "kind": "definition",
        "question": "What is a signing key?",
        "reference": "A signing key is a secret.",
        "answerable": True,
        "page": "keys.md",
        "page_version": "v1",
        "chunks": ("c1",),
        "passage": "A signing key is a secret. Rotate it.",
        "snapshot": "s" * 64,
        "maker": Maker(kind="rules", name="rules-1"),
        "checks": Checks(found_at=1, looked_at=3, closest="keys.md"),
        "made_at": WHEN,
    }
    if keys.get("answerable") is False:
        body |= {"kind": "no-such-fact", "reference": "", "chunks": ()}
    return Proposal.model_validate({**body, **keys})
