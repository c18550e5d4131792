"""A policy: which checks run where, from which score on they act, and what they do then."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from guardrails.catalogue import MARKUP, AnyCheck, check_class, judges_whole, weights_of
from guardrails.check import STAGES, Action, CheckSettings, OnError, Stage
from guardrails.links import LinkRules
from guardrails.markup import Links
from guardrails.output import OutputFilter
from lockgate.content import ContentModel, parse_yaml, read_text
from lockgate.errors import NotFound, UserError

SHIPPED = Path(__file__).parent / "policies"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")


class CheckOverride(ContentModel):
    """What an override changes of one check; what is left out stays."""

    action: Action | None = None
    threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    on_error: OnError | None = None
    message: Annotated[str, Field(min_length=1, max_length=500)] | None = None


class Override(ContentModel):
    """Changes for some channels and groups of users; one without either would be for everybody, so it is refused.

    Where several apply, later ones win.
    """

    channels: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    dry_run: bool | None = None
    checks: dict[str, CheckOverride] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _for_somebody(self) -> Override:
        if not self.channels and not self.groups:
            raise ValueError("an override needs channels or groups: change the check itself to change it for all")
        if self.dry_run is None and not self.checks:
            raise ValueError("an override needs dry_run or checks to change something")
        return self

    def applies(self, channel: str, group: str) -> bool:
        return (not self.channels or channel in self.channels) and (not self.groups or group in self.groups)


class PolicyExample(ContentModel):
    """A text, and what the policy must do with it: ``expect`` is an action, or "pass". ``check`` is the check that
    has to do it; left out, any may. ``passages`` and ``question`` are what the text comes with."""

    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    stage: Stage = "input"
    expect: Action | Annotated[str, Field(pattern="^pass$")]
    check: str | None = None
    question: str = ""
    passages: tuple[str, ...] = ()
    note: str = ""


class PolicyFile(ContentModel):
    """The keys of a policy file: a list of checks for each stage, run in this order."""

    name: str
    description: Annotated[str, Field(min_length=1)]
    owner: Annotated[str, Field(min_length=1)]
    dry_run: bool = False
    document: tuple[AnyCheck, ...] = ()
    input: tuple[AnyCheck, ...] = ()
    context: tuple[AnyCheck, ...] = ()
    tool_call: tuple[AnyCheck, ...] = ()
    output: tuple[AnyCheck, ...] = ()
    overrides: tuple[Override, ...] = ()
    examples: tuple[PolicyExample, ...] = ()

    @field_validator(*STAGES)
    @classmethod
    def _fit(cls, value: tuple[CheckSettings, ...], info: Any) -> tuple[CheckSettings, ...]:
        names = [check.check for check in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the check {name!r} is given twice")
        for settings in value:
            _fits(settings, info.field_name)
        return value

    @model_validator(mode="after")
    def _known(self) -> PolicyFile:
        names = {check.check for stage in STAGES for check in getattr(self, stage)}
        for override in self.overrides:
            for name, change in override.checks.items():
                if name not in names:
                    raise ValueError(f"an override is for the check {name!r}, which no stage has")
                _may(name, change.action)
        for example in self.examples:
            at = {check.check for check in getattr(self, example.stage)}
            if example.check is not None and example.check not in at:
                raise ValueError(
                    f"an example is for the check {example.check!r}, which the stage {example.stage} does not have"
                )
        return self


def _fits(settings: CheckSettings, stage: Stage) -> None:
    kind = check_class(settings.check)
    stages: Set[Stage] = kind.stages if kind else {"output"}
    if stage not in stages:
        raise ValueError(f"the check {settings.check!r} is for the stages {', '.join(sorted(stages))}, not {stage}")
    _may(settings.check, settings.action)


def _may(name: str, action: Action | None) -> None:
    kind = check_class(name)
    actions: Set[Action] = kind.actions if kind else {"redact"}
    if action is not None and action not in actions:
        raise ValueError(f"the check {name!r} can {', '.join(sorted(actions))}, not {action}")


@dataclass(frozen=True, slots=True)
class Policy:
    """A loaded policy, as it is for one channel and group. ``hash`` is the SHA-256 of the file's text with LF line
    ends, whoever it is for."""

    name: str
    hash: str
    text: str
    where: str
    file: PolicyFile
    dry_run: bool = False

    @property
    def description(self) -> str:
        return self.file.description

    @property
    def owner(self) -> str:
        return self.file.owner

    @property
    def examples(self) -> tuple[PolicyExample, ...]:
        return self.file.examples

    def checks(self, stage: Stage, *, whole: bool | None = None) -> tuple[CheckSettings, ...]:
        """The checks of a stage, in order, without those that the output filter does.

        ``whole``: True for those alone that judge an answer which has ended, False for the others.
        """
        every = tuple(each for each in getattr(self.file, stage) if each.check not in MARKUP)
        return every if whole is None else tuple(each for each in every if judges_whole(each.check) == whole)

    def holds_answers(self) -> bool:
        """Whether nothing of an answer may be shown before it has ended: a check that judges it as a whole may take it
        back, or must when it fails."""
        if self.dry_run:
            return False
        return any(
            each.action in ("block", "redact", "rewrite") or self.on_error(each, "output") == "block"
            for each in self.checks("output", whole=True)
        )

    def weights(self) -> dict[str, str]:
        """The checks that were trained, each with the SHA-256 that names its weights here."""
        return weights_of(check.check for stage in STAGES for check in self.checks(stage))

    def on_error(self, settings: CheckSettings, stage: Stage) -> OnError:
        """What a failure of this check does: closed at the doors to the user, seen by a person elsewhere."""
        return settings.on_error or ("block" if stage in ("input", "output") else "flag")

    def view(self, channel: str = "", group: str = "") -> Policy:
        """The policy as its overrides make it for this channel and group."""
        file, dry_run = self.file, self.file.dry_run
        for override in file.overrides:
            if override.applies(channel, group):
                dry_run = dry_run if override.dry_run is None else override.dry_run
                file = _changed(file, override.checks)
        return Policy(self.name, self.hash, self.text, self.where, file, dry_run)

    def output_filter(self, allowed_urls: Set[str], citation_count: int) -> OutputFilter:
        """A filter for one answer to ``citation_count`` passages, which hold ``allowed_urls``."""
        links: LinkRules | None = None
        count: int | None = None
        for check in self.file.output:
            if isinstance(check, Links):
                vouched = frozenset(allowed_urls) if check.from_passages else frozenset()
                links = LinkRules(frozenset(check.allowed_hosts), vouched)
            elif check.check == "citations":
                count = citation_count
        return OutputFilter(links=links, citation_count=count)


def _changed(file: PolicyFile, changes: Mapping[str, CheckOverride]) -> PolicyFile:
    stages: dict[str, Any] = {
        stage: tuple(
            each.model_copy(update=changes[each.check].model_dump(exclude_none=True)) if each.check in changes else each
            for each in getattr(file, stage)
        )
        for stage in STAGES
    }
    return file.model_copy(update=stages)


def list_policies(project_dir: Path) -> dict[str, Path]:
    """Names and files: those that ship with Lockgate, and the project's own, which win."""
    files: dict[str, Path] = {}
    for folder in (SHIPPED, project_dir / "guardrails" / "policies"):
        files |= {file.stem: file for file in sorted(folder.glob("*.yaml")) if file.is_file()}
    return files


def load_policy(project_dir: Path, name: str) -> Policy:
    """The policy called ``name``: the project's own, else the one that ships with Lockgate.

    Raises NotFound, which lists the names, and UserError naming file, line and key.
    """
    files = list_policies(project_dir)
    if not _NAME.match(name) or name not in files:
        raise NotFound(f"No policy is called {name[:80]!r}.", hint=f"Policies: {', '.join(sorted(files)) or 'none'}.")
    text = read_text(files[name]).replace("\r\n", "\n").replace("\r", "\n")
    return policy_from_text(name, text, where=str(files[name]))


def policy_from_text(name: str, text: str, *, where: str) -> Policy:
    """The policy that ``text`` (LF line ends) is; ``where`` is what to call it in errors. Raises UserError."""
    loaded = parse_yaml(text, PolicyFile, where=where)
    if loaded.name != name:
        raise UserError(f"{where}: the name is {loaded.name!r}, but must be that of the file, {name!r}.")
    return Policy(
        name=name,
        hash=hashlib.sha256(text.encode()).hexdigest(),
        text=text,
        where=where,
        file=loaded,
        dry_run=loaded.dry_run,
    )
