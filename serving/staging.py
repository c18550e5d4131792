"""What ``lockgate up`` promises: staging answers from the project as it is, if its gate lets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.errors import Conflict
from lockgate.settings import Settings

if TYPE_CHECKING:
    from lockgate.store.channels import ChannelRecord
    from serving.parts import Parts

REASON = "lockgate up: the project's files and newest snapshot"


def release_to_staging(settings: Settings, parts: Parts) -> None:
    """Build a release of the project's files and the current snapshot, and promote it unless it is there already.

    Raises Conflict while staging is where somebody rolled it back to, and whatever building and promoting raise.
    """
    from chains.release import build_release
    from lockgate.actor import current_actor
    from lockgate.store.channels import STAGING, get_channel
    from serving.channels import promote

    actor = current_actor()
    release = build_release(settings, parts.db, parts.service.embedder, settings.chain, actor=actor).id
    record = get_channel(parts.db, STAGING, settings.chain)
    if record.release == release and record.rollout is None:
        return
    _respect_rollback(parts, record, release)
    promote(settings, parts.db, release, STAGING, actor=actor, asker_of=parts.shelf.get, reason=REASON)


def _respect_rollback(parts: Parts, record: ChannelRecord, release: str) -> None:
    from lockgate.store.channels import history

    newest = history(parts.db, record.channel, record.chain, limit=1)
    if newest and newest[0].action == "rollback":
        raise Conflict(
            f"{newest[0].actor} rolled {record.channel} back to {newest[0].to_release[:12]}, so it stays there.",
            hint=f"To go on with the project as it is: lockgate release promote {release[:12]} {record.channel}",
        )
