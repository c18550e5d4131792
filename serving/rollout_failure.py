"""The trace of a request whose release could not even be opened, so that a rollout counts it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from lockgate.errors import LockgateError
from lockgate.store.database import Database
from lockgate.store.traces import TraceRecord, write_trace
from lockgate.types import AskRequest


def record_failure(db: Database, request: AskRequest, *, chain: str, release: str, error: BaseException) -> str:
    """Write the failed trace of ``request``, whose ``served`` says the arm; its id.

    A chain writes its own traces. This is for what happens before there is one: the manifest is gone, a model is not
    here. Without it an arm that can answer nothing would look like one that was asked nothing.
    """
    served = request.served
    record = TraceRecord(
        id=uuid.uuid4().hex,
        created_at=datetime.now(UTC),
        origin=request.origin,
        chain=chain,
        question=request.question,
        status="error",
        history=[{"role": message.role, "content": message.content} for message in request.history],
        release=release,
        error_code=_code(error),
        error=error.message if isinstance(error, LockgateError) else f"{type(error).__name__}: {error}",
        channel=served.channel,
        rollout=served.rollout,
        arm=served.arm,
        shadow_of=served.shadow_of,
    )
    write_trace(db, record)
    return record.id


def _code(error: BaseException) -> str:
    """The error's code. That the *release* is wrong input is not the user's fault, and must count."""
    code = error.code if isinstance(error, LockgateError) else "internal"
    return "internal" if code in ("invalid_input", "policy_refused") else code
