"""Chain definitions: which retrieval, prompts, model, policy and mode make an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from ingestion.options import RetrievalOptions
from lockgate.content import ContentModel, load_yaml
from lockgate.errors import NotFound, UserError

SHIPPED = Path(__file__).parent / "definitions"
_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"


class Relevance(ContentModel):
    """When the passages count as relevant: ``cosine_weight * cosine + (1 - cosine_weight) * rare_share`` reaches
    ``threshold``, or, in a snapshot without vectors, ``rare_share`` reaches ``bm25_threshold``.

    Both measures are in [0, 1] and mean the same in every corpus, which a fused rank score does not.
    """

    cosine_weight: float = Field(default=0.55, ge=0.0, le=1.0)
    threshold: float = Field(default=0.41, ge=0.0, le=1.0)
    bm25_threshold: float = Field(default=0.4, ge=0.0, le=1.0)


class Prompts(ContentModel):
    answer: str = "answer"
    condense: str = "condense"


class ChainDefinition(ContentModel):
    """One file of ``chains/definitions/``."""

    name: str = Field(pattern=_NAME)
    description: str = ""
    retrieval: RetrievalOptions = RetrievalOptions()
    passages: int = Field(default=8, ge=1, le=50, description="Passages that an answer may be made of.")
    relevance: Relevance = Relevance()
    prompts: Prompts = Prompts()
    model: str = Field(default="smollm2-135m-instruct", min_length=1)
    mode: Literal["auto", "extractive", "generative"] = "extractive"
    suite: str = Field(default="docs-smoke", description="The suite whose scores `mode: auto` goes by.")
    passage_budget: int = Field(default=800, ge=100, le=200_000, description="Tokens of passages in the prompt.")
    max_tokens: int = Field(default=160, ge=1, le=100_000)
    condense: Literal["rule", "model"] = Field(
        default="rule", description="Follow-up questions are completed by a rule, or by the model and its prompt."
    )
    policy: str = Field(default="default", pattern=_NAME)
    abstention: str = Field(default="The documents do not answer this question.", min_length=1)


def load_chain(project_dir: Path, name: str) -> ChainDefinition:
    """Raises NotFound that lists the names, UserError with file, line and key."""
    files = _chain_files(project_dir)
    if name not in files:
        known = ", ".join(sorted(files)) or "none"
        raise NotFound(f"There is no chain {name[:80]!r}.", hint=f"Chains of this project: {known}.")
    definition = load_yaml(files[name], ChainDefinition)
    if definition.name != name:
        raise UserError(f"{files[name]}: the name is {definition.name!r}, but must be that of the file, {name!r}.")
    return definition


def list_chains(project_dir: Path) -> list[str]:
    return sorted(_chain_files(project_dir))


def _chain_files(project_dir: Path) -> dict[str, Path]:
    """A project's own file replaces a shipped one of the same name."""
    files: dict[str, Path] = {}
    for folder in (SHIPPED, project_dir / "chains" / "definitions"):
        files |= {path.stem: path for path in folder.glob("*.yaml") if path.is_file()}
    return files
