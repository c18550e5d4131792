"""Every check that a policy can name. To add one, write its class in ``guardrails/checks/`` and list it here."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from guardrails.check import Check, CheckSettings
from guardrails.checks.leaks import PromptLeak, Regurgitation
from guardrails.checks.length import InputLength
from guardrails.checks.pii import Pii
from guardrails.checks.secrets import Secrets
from guardrails.markup import Citations, Links

CHECKS: dict[str, type[Check]] = {each.name: each for each in (InputLength, Secrets, Pii, PromptLeak, Regurgitation)}
"""Checks that look at one text. Importing them loads no model: that waits until a check is built."""

MARKUP: dict[str, type[CheckSettings]] = {"citations": Citations, "links": Links}
"""Checks that the output filter does itself, character by character."""

if TYPE_CHECKING:
    AnyCheck = CheckSettings
else:
    _models = [each.settings for each in CHECKS.values()] + list(MARKUP.values())
    AnyCheck = Annotated[reduce(or_, _models), Field(discriminator="check")]
    """The settings of one check of a policy file, told apart by the key ``check``."""


def check_class(name: str) -> type[Check] | None:
    """The check called ``name``; None for those that the output filter does."""
    return CHECKS.get(name)


def is_markup(name: str) -> bool:
    """Whether the output filter does this check itself."""
    return name in MARKUP


def about(name: str) -> str:
    """What a check looks for, in one sentence: the first of its docstring."""
    described = CHECKS.get(name) or MARKUP[name]
    return " ".join((described.__doc__ or "").split("\n\n")[0].split())
