"""How to ask a snapshot; apart from the retriever, because chain definitions need it and nothing heavy."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from lockgate.content import ContentModel


class RetrievalOptions(ContentModel):
    """``dense_weight`` is the cosine's share of the fused score; ``candidates`` is how deep each arm looks."""

    dense_weight: float = Field(default=0.3, ge=0.0, le=1.0)
    candidates: int = Field(default=200, ge=1, le=10_000)
    evidence: int = Field(default=8, ge=1, le=100, description="Best passages of which one may hold the rare terms.")


def index_folder(state_dir: Path, digest: str) -> Path:
    """Where the index of the embedder with this digest lies, when it is kept in this process."""
    return state_dir / "index" / digest[:16]
