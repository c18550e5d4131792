"""Who built a release, when and from which commit: signed, and kept beside the manifest, not in its id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lockgate.actor import Actor
from lockgate.content import ContentModel
from lockgate.git import git_state, repository
from lockgate.release import canonical_json
from lockgate.signing import Signature, fingerprint, own_key_fingerprint, sign, verify


class ProvenanceBody(ContentModel):
    """``commit`` is "" outside a repository; ``dirty`` says that the project's files differed from it."""

    release: str
    commit: str
    dirty: bool
    builder: str
    verified: bool
    built_at: str
    lockgate: str


class ProvenanceBlock(ContentModel):
    body: ProvenanceBody
    key: str
    signature: str


@dataclass(frozen=True, slots=True)
class ProvenanceCheck:
    """``own`` says that this installation's own key signed; ``problem`` is "" when the signature holds."""

    ok: bool
    fingerprint: str
    own: bool
    problem: str


def make_provenance(state_dir: Path, project_dir: Path, release_id: str, builder: Actor) -> dict[str, Any]:
    """The block for a release built now, signed with this installation's key."""
    git = git_state(project_dir)
    body = ProvenanceBody(
        release=release_id,
        commit=git.commit if git else "",
        # In a repository without a commit nothing is committed.
        dirty=git.dirty if git else repository(project_dir) is not None,
        builder=builder.name,
        verified=builder.verified,
        built_at=datetime.now(UTC).isoformat(timespec="seconds"),
        lockgate=version("lockgate"),
    ).model_dump()
    signature = sign(state_dir, canonical_json(body))
    return {"body": body, "key": signature.key, "signature": signature.value}


def verify_provenance(block: Mapping[str, Any], release_id: str, *, state_dir: Path | None = None) -> ProvenanceCheck:
    """Whether the block is whole, is about ``release_id`` and was signed by the key that it names."""
    try:
        read = ProvenanceBlock.model_validate(dict(block))
    except ValidationError as error:
        item = error.errors()[0]
        return ProvenanceCheck(False, "", False, f"the provenance is not one: {item['loc']}: {item['msg']}")
    mark = fingerprint(read.key)
    own = state_dir is not None and own_key_fingerprint(state_dir) == mark
    if read.body.release != release_id:
        return ProvenanceCheck(False, mark, own, "the provenance is about another release")
    if not verify(Signature(read.key, read.signature), canonical_json(read.body.model_dump())):
        return ProvenanceCheck(False, mark, own, "the signature of the provenance does not hold")
    return ProvenanceCheck(True, mark, own, "")
