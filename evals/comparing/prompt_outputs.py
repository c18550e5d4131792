"""What two versions of a chain's prompts make of the cases of a suite: two releases that differ in nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chains.assembly import prompt_of
from chains.definition import ChainDefinition, load_chain
from chains.release import build_manifest
from evals.comparing.score_changes import counts_as_change
from evals.comparing.side_by_side import Scoring
from evals.metrics.metric import Tools
from evals.metrics.repeats import measured_metrics
from evals.suite import Suite
from ingestion.embedding import open_embedder
from lockgate.errors import NotFound, UserError
from lockgate.release import Manifest, PromptRole
from lockgate.settings import Settings
from lockgate.store.database import Database
from prompts.prompt import Prompt
from prompts.revision import prompt_at

_ROLES: tuple[PromptRole, ...] = ("answer", "condense")


@dataclass(frozen=True, slots=True)
class PromptChange:
    """One role's prompt before and after."""

    role: PromptRole
    before: Prompt
    after: Prompt

    def as_json(self) -> dict[str, str]:
        return {
            "role": self.role,
            "name": self.after.name,
            "before": self.before.hash,
            "after": self.after.hash,
        }


@dataclass(frozen=True, slots=True)
class PromptReleases:
    """The same chain, snapshot and models; ``changes`` are all that is different. ``note`` is what to know of them."""

    changes: tuple[PromptChange, ...]
    before: Manifest
    after: Manifest
    note: str


def changed_prompts(
    settings: Settings, definition: ChainDefinition, name: str | None, first: str, second: str
) -> tuple[PromptChange, ...]:
    """The prompts of the chain that differ between the two revisions; only the prompt ``name`` when it is given.

    Raises NotFound for a revision that is not known, UserError for a prompt that the chain does not use.
    """
    names = definition.prompts.model_dump()
    roles = [role for role in _ROLES if name is None or names[role] == name]
    if not roles:
        used = ", ".join(sorted({names[role] for role in _ROLES}))
        raise UserError(
            f"The chain {definition.name!r} does not use the prompt {(name or '')[:80]!r}, so it has no outputs.",
            hint=f"It uses: {used}. Choose another chain with --chain.",
        )
    found: list[PromptChange] = []
    missing: list[NotFound] = []
    for role in roles:
        try:
            pair = [prompt_at(settings, names[role], revision) for revision in (first, second)]
        except NotFound as error:  # a hash names a version of one prompt only
            missing.append(error)
            continue
        if pair[0].hash != pair[1].hash:
            found.append(PromptChange(role, *pair))
    if len(missing) == len(roles):
        raise missing[0]
    return tuple(found)


def build_both(
    settings: Settings, db: Database, chain: str, name: str | None, first: str, second: str, mode: str
) -> PromptReleases | None:
    """The releases to ask, not kept yet; None when no prompt differs.

    Raises UserError when the prompts that differ are not used for answers at all.
    """
    definition = load_chain(settings.project_dir, chain)
    changes = changed_prompts(settings, definition, name, first, second)
    if not changes:
        return None
    roles = {change.role for change in changes}
    if definition.condense == "rule" and roles == {"condense"}:
        raise UserError(
            f"The chain {chain!r} completes follow-ups by a rule, so its condense prompt is not used.",
            hint="Set `condense: model` in the chain to use it.",
        )
    embedder = open_embedder(settings)
    before, after = (build_manifest(settings, db, embedder, chain, prompts=prompts) for prompts in _sides(changes))
    return PromptReleases(changes, before, after, _note(before, roles, mode))


def _sides(
    changes: tuple[PromptChange, ...],
) -> tuple[Mapping[PromptRole, Prompt], Mapping[PromptRole, Prompt]]:
    return {each.role: each.before for each in changes}, {each.role: each.after for each in changes}


def _note(manifest: Manifest, roles: set[PromptRole], mode: str) -> str:
    if mode == "extractive" and roles == {"answer"}:
        return "Extractive answers are quotes and use no answer prompt, so the outputs cannot differ."
    if mode == "generative" and manifest.route.mode == "extractive":
        return (
            "This chain answers by quoting, which uses no answer prompt. The cases are asked in generative mode, which "
            "is not what its readers get."
        )
    return ""


def scoring_of(settings: Settings, suite: Suite) -> Scoring:
    """The suite's metrics that one answer can be scored by: not those that ask a judge, compare cases with each other,
    or measure what an answer took."""
    chosen = [metric for metric in suite.metrics("offline") if not {"judge", "peers"} & set(metric.needs)]
    metrics = tuple(metric for metric in measured_metrics(chosen) if counts_as_change(metric))
    embedder = None
    if any("embedder" in metric.needs for metric in metrics):
        embedder = open_embedder(settings).load()

    def tools_of(manifest: Manifest) -> Tools:
        schema = prompt_of(manifest, "answer").output_schema
        return Tools(embedder=embedder, check_output=schema.text_errors if schema else None, folder=suite.folder)

    return Scoring(metrics, tools_of)
