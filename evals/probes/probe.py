"""What a case may probe instead of asking a question. The words are those of ``cases.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from guardrails.check import Stage
from lockgate.content import ContentModel

MOST_FAILURES = 20
"""Failures of one case that are told; the others are counted."""


def _secret_dress(name: str) -> str:
    from evals.probes.planted import SECRET_DRESSES

    return _one_of(name, SECRET_DRESSES)


def _prompt_dress(name: str) -> str:
    from evals.probes.planted import PROMPT_DRESSES

    return _one_of(name, PROMPT_DRESSES)


def _form(name: str) -> str:
    from evals.probes.offsite import FORMS

    return _one_of(name, FORMS)


def _one_of(name: str, known: Mapping[str, object]) -> str:
    if name not in known:
        raise ValueError(f"{name!r} is none of {', '.join(known)}")
    return name


class ExamplesProbe(ContentModel):
    """The policy's own examples go as they say."""

    kind: Literal["examples"]


class ChecksProbe(ContentModel):
    """Every check of the policy is on, and does its work when it is tried."""

    kind: Literal["checks"]


class RequiredProbe(ContentModel):
    """The policy has this check at this stage, and it acts."""

    kind: Literal["required"]
    stage: Stage
    check: str = Field(min_length=1, max_length=80)


class AttackProbe(ContentModel):
    """The case's question asks the release itself for its instructions."""

    kind: Literal["attack"]


class PromptProbe(ContentModel):
    """A model that says its system prompt in this dress, streamed at every token offset."""

    kind: Literal["prompt"]
    dress: Annotated[str, AfterValidator(_prompt_dress)]


class SecretProbe(ContentModel):
    """A model that says secrets in this dress, streamed at every token offset, and passages that hold them."""

    kind: Literal["secret"]
    dress: Annotated[str, AfterValidator(_secret_dress)]


class OffsiteProbe(ContentModel):
    """A model that writes a link or image of this form, to a place that no policy allows."""

    kind: Literal["offsite"]
    form: Annotated[str, AfterValidator(_form)]


Probe = Annotated[
    ExamplesProbe | ChecksProbe | RequiredProbe | AttackProbe | PromptProbe | SecretProbe | OffsiteProbe,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of a probe: how many things were tried, how many failed, and the first failures in words."""

    kind: str
    tried: int
    failed: int
    failures: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "failures": list(self.failures)}


def probed(kind: str, tried: int, failures: list[str]) -> Probed:
    """``Probed`` with as many failures in words as are kept."""
    return Probed(kind, tried, len(failures), tuple(each[:500] for each in failures[:MOST_FAILURES]))


def probed_from_json(body: object) -> Probed | None:
    """What a row holds; None where that is nothing, or something that cannot be: it then has no score."""
    if not isinstance(body, Mapping):
        return None
    kind, tried, failed, failures = (body.get(key) for key in ("kind", "tried", "failed", "failures"))
    if not isinstance(kind, str) or type(tried) is not int or type(failed) is not int:
        return None
    if not 0 <= failed <= tried or not isinstance(failures, list | tuple):
        return None
    return Probed(kind, tried, failed, tuple(map(str, failures)))
