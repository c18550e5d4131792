"""Every check that a policy can name. To add one, write its class in ``guardrails/checks/`` and list it here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError, WrapValidator

from guardrails.check import Check, CheckSettings
from guardrails.checks.active_content import ActiveContent
from guardrails.checks.answers import AnswerLength, Refusal
from guardrails.checks.grounding import Grounding
from guardrails.checks.injection import Injection
from guardrails.checks.language import Language
from guardrails.checks.leaks import PromptLeak, Regurgitation
from guardrails.checks.length import InputLength
from guardrails.checks.llm_guard import LlmGuard
from guardrails.checks.moderation import Moderation
from guardrails.checks.pii import Pii
from guardrails.checks.secrets import Secrets
from guardrails.checks.tools import Tools
from guardrails.checks.topics import Topics
from guardrails.checks.toxicity import Toxicity
from guardrails.markup import Citations, Links
from guardrails.plug_ins import plug_in
from lockgate.errors import UserError

_CHECKS: tuple[type[Check], ...] = (
    InputLength,
    Injection,
    Secrets,
    Pii,
    Toxicity,
    Topics,
    Language,
    ActiveContent,
    PromptLeak,
    Regurgitation,
    Refusal,
    AnswerLength,
    Grounding,
    Moderation,
    LlmGuard,
    Tools,
)
CHECKS: dict[str, type[Check]] = {each.name: each for each in _CHECKS}
"""Checks that look at one text. Importing them loads no model: that waits until a check is built."""

MARKUP: dict[str, type[CheckSettings]] = {"citations": Citations, "links": Links}
"""Checks that the output filter does itself, character by character."""


def _or_plug_in(value: Any, as_shipped: Callable[[Any], CheckSettings]) -> CheckSettings:
    """The settings of a check that ships with Lockgate, else of one that another distribution brings."""
    name = value.get("check") if isinstance(value, dict) else None
    if not isinstance(name, str) or name in CHECKS or name in MARKUP:
        return as_shipped(value)
    try:
        kind = plug_in(name)
    except UserError as error:
        raise ValueError(str(error)) from None
    if kind is None:
        return as_shipped(value)
    try:
        return kind.settings.model_validate(value)
    except ValidationError as error:
        item = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, item['loc']))}: {item['msg']}") from None


if TYPE_CHECKING:
    AnyCheck = CheckSettings
else:
    _models = [each.settings for each in CHECKS.values()] + list(MARKUP.values())
    AnyCheck = Annotated[reduce(or_, _models), Field(discriminator="check"), WrapValidator(_or_plug_in)]
    """The settings of one check of a policy file, told apart by the key ``check``."""


def check_class(name: str) -> type[Check] | None:
    """The check called ``name``, of Lockgate's own or of another distribution; None for those that the output filter
    does. Raises UserError for one of another distribution that cannot be used."""
    return CHECKS.get(name) or (None if name in MARKUP else plug_in(name))


def judges_whole(name: str) -> bool:
    """Whether this check judges an answer once it has ended, and not its sentences as they come."""
    return bool(getattr(check_class(name), "whole", False))


def weights_of(names: Iterable[str]) -> dict[str, str]:
    """The SHA-256 of what names a trained check's weights, for those of ``names`` that have any. One whose file is not
    here is left out: its health says so."""
    found = {}
    for name in sorted(set(names)):
        path: Path | None = getattr(check_class(name), "weights", None)
        if path is not None and path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def is_markup(name: str) -> bool:
    """Whether the output filter does this check itself."""
    return name in MARKUP


def about(name: str) -> str:
    """What a check looks for, in one sentence: the first of its docstring."""
    described = check_class(name) or MARKUP[name]
    return " ".join((described.__doc__ or "").split("\n\n")[0].split())
