"""What a policy says to the call of a tool that a model proposes: the one way by which an agent asks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from guardrails.check import Seen
from guardrails.finding import StageResult
from guardrails.guard import Guard
from lockgate.errors import UserError


async def guard_tool_call(
    guard: Guard,
    name: str,
    arguments: Mapping[str, object],
    *,
    passages: Sequence[str] = (),
    question: str = "",
    prompt: str = "",
    channel: str = "",
    group: str = "",
) -> StageResult:
    """Run the checks of the stage tool_call on this call.

    ``passages`` is every untrusted text before the model: passages, results of tools, pages. The result's ``text`` is
    the JSON of the call as it may be made, and "" when it is blocked; call what stands there, not what was proposed.
    Raises UserError for arguments that are no JSON.
    """
    try:
        text = json.dumps({"name": name, "arguments": dict(arguments)}, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        raise UserError(f"The arguments for the tool {name[:80]!r} are no JSON.") from None
    seen = Seen(text, "tool_call", question=question, passages=tuple(passages), prompt=prompt)
    return await guard.look(seen, channel=channel, group=group)
