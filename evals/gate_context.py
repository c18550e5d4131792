"""What a gate needs to judge a release of this project: the release, its evidence, and what is in the channel now."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from evals.questions import smoke_questions
from evals.rules.records import StoredRecords
from evals.targets import read_targets
from evals.verdict import GateContext
from lockgate.errors import LockgateError
from lockgate.store.channels import get_channel
from lockgate.types import Answer, AskRequest, Finished

if TYPE_CHECKING:
    from lockgate.ports import Asker
    from lockgate.release import Manifest
    from lockgate.settings import Settings
    from lockgate.store.database import Database


def gate_context(
    settings: Settings, db: Database, manifest: Manifest, channel: str, asker_of: Callable[[str], Asker]
) -> GateContext:
    """``asker_of`` turns the id of a release into something that answers from it; it is called only to ask."""
    from chains.release import verify_release

    release = manifest.id

    async def ask(question: str) -> Answer:
        request = AskRequest(question=question, origin="eval", temperature=0.0, seed=0)
        async for event in asker_of(release).ask(request):
            if isinstance(event, Finished):
                return event.answer
        raise LockgateError("The chain ended without an answer.")

    return GateContext(
        release_id=release,
        manifest=manifest,
        verify=lambda: verify_release(settings, db, release, deep=True),
        ask=ask,
        # Asked for by the rule: a broken suite makes that rule INCONCLUSIVE, whatever the other rules say.
        questions=lambda: smoke_questions(settings.project_dir, manifest, db),
        targets=read_targets(db, settings.project_dir, release, mode=manifest.route.mode),
        records=StoredRecords(settings, db),
        current=get_channel(db, channel, manifest.name).release,
    )
