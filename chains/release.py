"""Building a release: a chain definition and everything it names, resolved into one manifest. And checking one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from chains.definition import ChainDefinition, load_chain
from chains.modes import better_mode
from chains.provenance import make_provenance, verify_provenance
from guardrails.catalogue import weights_of
from guardrails.policy import load_policy
from ingestion.options import index_folder
from ingestion.terms import Lexicon
from lockgate.actor import Actor, current_actor
from lockgate.errors import Corrupt, LockgateError, NotFound, UserError
from lockgate.models.catalogue import load_catalogue
from lockgate.models.fetch import local_path, verify
from lockgate.release import (
    Manifest,
    PinnedCache,
    PinnedEmbedder,
    PinnedModel,
    PinnedPolicy,
    PinnedPrompt,
    PinnedRoute,
    PinnedSnapshot,
    PromptRole,
)
from lockgate.settings import Settings
from lockgate.store.channels import NAME as CHANNEL_NAME
from lockgate.store.channels import PRODUCTION, STAGING, list_channels
from lockgate.store.database import Database
from lockgate.store.objects import ObjectStore
from lockgate.store.releases import ReleaseRecord, open_releases
from lockgate.store.snapshots import SnapshotRecord, current_snapshot, find_snapshot
from prompts.collection import find_prompt
from prompts.prompt import Prompt

if TYPE_CHECKING:
    from ingestion.service import EmbedderHandle


def build_release(
    settings: Settings,
    db: Database,
    embedder: EmbedderHandle,
    chain: str,
    *,
    actor: Actor,
    snapshot: str | None = None,
    prompts: Mapping[PromptRole, Prompt] | None = None,
) -> ReleaseRecord:
    """Resolve ``chain`` against the project's files and the current snapshot (or ``snapshot``), and keep the manifest.

    ``prompts`` take the place of the project's own, by role: for trying an edit. Building the same again gives the
    same release. Raises NotFound for what is missing, saying what to run, and UserError for a file that is wrong.
    """
    manifest = build_manifest(settings, db, embedder, chain, snapshot=snapshot, prompts=prompts)
    return keep_release(settings, db, manifest, actor)


def build_from_project(settings: Settings, chain: str, *, snapshot: str | None = None) -> ReleaseRecord:
    """``build_release`` for a command: it needs the database only, so that a running server is no hindrance."""
    from ingestion.embedding import open_embedder
    from lockgate.store.database import open_database

    with open_database(settings.database) as db:
        return build_release(settings, db, open_embedder(settings), chain, actor=current_actor(), snapshot=snapshot)


def keep_release(
    settings: Settings, db: Database, manifest: Manifest, actor: Actor, *, purpose: str = ""
) -> ReleaseRecord:
    """Write ``manifest`` with its provenance; one that is here already stays as it is.

    ``purpose`` marks one that is made for a comparison only: it is not listed, and keeps no snapshot.
    """
    store = open_releases(settings, db)
    try:
        known = store.find(manifest.id)
    except NotFound:
        known = None
    if known is not None and (purpose or not known.purpose):
        # The object may have been lost or damaged since; writing it again repairs it.
        return store.write(manifest, known.provenance, purpose=known.purpose)
    provenance = make_provenance(settings.state_dir, settings.project_dir, manifest.id, actor)
    return store.write(manifest, provenance, purpose=purpose)


def build_manifest(
    settings: Settings,
    db: Database,
    embedder: EmbedderHandle,
    chain: str,
    *,
    snapshot: str | None = None,
    prompts: Mapping[PromptRole, Prompt] | None = None,
) -> Manifest:
    """The manifest alone; nothing is kept."""
    definition = load_chain(settings.project_dir, chain)
    _refuse_channel_names(db, definition.name)
    policy = load_policy(settings.project_dir, definition.policy)
    model = pin_model(settings, definition)
    mode = better_mode(db, definition, model.name) if definition.mode == "auto" else definition.mode
    return Manifest(
        lockgate=version("lockgate"),
        # The mode that `auto` came to, so that it gives the same release as writing that mode down.
        chain=definition.model_copy(update={"mode": mode}).model_dump(mode="json"),
        prompts=_pin_prompts(settings.project_dir, definition, prompts or {}),
        snapshot=_pin_snapshot(settings, db, embedder, snapshot),
        embedder=PinnedEmbedder(name=embedder.name, digest=embedder.digest, files=embedder.files),
        model=model,
        adapter=None,
        policy=PinnedPolicy(name=policy.name, hash=policy.hash, text=policy.text, weights=policy.weights()),
        route=PinnedRoute(mode=mode),
        cache=PinnedCache(),
    )


def pin_model(settings: Settings, definition: ChainDefinition) -> PinnedModel:
    """The model that answers in generative mode: this machine's, or the one behind OPENAI_BASE_URL."""
    name = model_name(settings, definition)
    limits = {"max_tokens": definition.max_tokens, "passage_budget": definition.passage_budget}
    if settings.openai_base_url:
        return PinnedModel(name=name, provider="server", revision="", digest="", files=None, limits=limits)
    entry = load_catalogue(settings.project_dir).get(name, kind="chat")
    return PinnedModel(
        name=name,
        provider="local",
        revision=entry.revision,
        digest=entry.fingerprint,
        files=entry.identity,
        limits={**limits, "context_window": entry.context_window or 0},
    )


def model_name(settings: Settings, definition: ChainDefinition) -> str:
    return settings.model or definition.model


def verify_release(settings: Settings, db: Database, release_id: str, *, deep: bool = False) -> list[str]:
    """What is missing or does not match, one thing a line; empty when the release can answer here.

    ``deep`` hashes the model files again, which takes a second or more.
    """
    store = open_releases(settings, db)
    try:
        manifest = store.manifest(release_id)
        record = store.find(release_id)
    except (NotFound, Corrupt) as error:  # a database that is away says nothing about the release
        return [str(error)]
    problems = answering_problems(settings, db, manifest, deep=deep) + _verify_weights(manifest)
    provenance = verify_provenance(record.provenance, release_id, state_dir=settings.state_dir)
    if not provenance.ok:
        problems.insert(0, f"provenance: {provenance.problem}.")
    return problems


def answering_problems(settings: Settings, db: Database, manifest: Manifest, *, deep: bool = False) -> list[str]:
    """Why the release could not answer here. Who built it is not asked: that matters to a gate, not to a way back."""
    store = open_releases(settings, db)
    problems = _verify_texts(manifest)
    problems += _verify_snapshot(settings, db, store.objects, manifest.snapshot)
    problems += _verify_models(settings, manifest, deep=deep)
    return problems


def _pin_prompts(
    project_dir: Path, definition: ChainDefinition, given: Mapping[PromptRole, Prompt]
) -> dict[PromptRole, PinnedPrompt]:
    names: dict[PromptRole, str] = {"answer": definition.prompts.answer, "condense": definition.prompts.condense}
    pinned: dict[PromptRole, PinnedPrompt] = {}
    for role, name in names.items():
        prompt = given.get(role) or find_prompt(project_dir, name)
        pinned[role] = PinnedPrompt(name=prompt.name, hash=prompt.hash, files=dict(prompt.files))
    return pinned


def _pin_snapshot(settings: Settings, db: Database, embedder: EmbedderHandle, name: str | None) -> PinnedSnapshot:
    record = current_snapshot(db) if name is None else find_snapshot(db, name)
    if record is None:
        if name is not None:
            raise NotFound(f"There is no snapshot {name[:64]!r}.", hint="See: lockgate ingestion snapshots")
        raise NotFound(
            "Nothing is indexed yet, so there is no snapshot to pin.", hint="Run: lockgate ingestion sync PATH"
        )
    if record.embedder != embedder.digest:
        raise UserError(
            f"Snapshot {record.id[:12]} was made with another embedding model than {embedder.name}.",
            hint="Set LOCKGATE_EMBEDDER back, or run: lockgate ingestion sync",
        )
    return PinnedSnapshot(
        id=record.id,
        kind=record.kind,
        manifest=record.manifest,
        lexicon=_lexicon_object(ObjectStore(settings.state_dir / "objects"), record),
        embedder=record.embedder,
        chunking={key: int(value) for key, value in record.chunking.items()},
        documents=record.documents,
        chunks=record.chunks,
    )


def _lexicon_object(objects: ObjectStore, record: SnapshotRecord) -> str:
    """The lexicon under the hash of its canonical bytes: the first version stored it with the time of day in it."""
    try:
        return objects.put(Lexicon.from_bytes(objects.get(record.lexicon)).to_bytes())
    except NotFound:
        raise NotFound(
            f"The word counts of snapshot {record.id[:12]} are gone.",
            hint="Run: lockgate ingestion sync (it writes them again), or restore a backup of the state folder.",
        ) from None


def _refuse_channel_names(db: Database, chain: str) -> None:
    taken = {STAGING, PRODUCTION, *(record.channel for record in list_channels(db))}
    if chain in taken and CHANNEL_NAME.match(chain):
        raise UserError(
            f"The chain {chain!r} has the name of a channel, so a request could mean either.", hint="Rename the chain."
        )


def _verify_texts(manifest: Manifest) -> list[str]:
    from chains.assembly import definition_of, policy_of, prompt_of

    problems = []
    for role in manifest.prompts:
        try:
            prompt = prompt_of(manifest, role)
            if prompt.hash != manifest.prompts[role].hash:
                problems.append(f"prompt {prompt.name}: its text has another hash than the one pinned.")
        except LockgateError as error:
            problems.append(f"prompt {manifest.prompts[role].name}: {error}")
    try:
        if policy_of(manifest).hash != manifest.policy.hash:
            problems.append(f"policy {manifest.policy.name}: its text has another hash than the one pinned.")
    except LockgateError as error:
        problems.append(f"policy {manifest.policy.name}: {error}")
    try:
        definition_of(manifest)
    except LockgateError as error:
        problems.append(f"chain: {error}")
    return problems


def _verify_weights(manifest: Manifest) -> list[str]:
    """Checks whose weights are not those that the release was built with: what it lets through was not measured."""
    pinned = manifest.policy.weights
    here = weights_of(pinned)
    return [
        f"check {name}: its weights {f'are {here[name][:12]}' if name in here else 'are not here'}, "
        f"the release pins {digest[:12]}. Build the release again."
        for name, digest in sorted(pinned.items())
        if here.get(name) != digest
    ]


def _verify_snapshot(settings: Settings, db: Database, objects: ObjectStore, pinned: PinnedSnapshot) -> list[str]:
    record = find_snapshot(db, pinned.id)
    if record is None:
        return [
            f"snapshot {pinned.id[:12]} is not in this index: sync the same documents, or import the release with its "
            "index."
        ]
    problems = []
    if not settings.qdrant_url and not _has_files(index_folder(settings.state_dir, pinned.embedder)):
        problems.append(
            f"snapshot {pinned.id[:12]}: its index is gone. Run: lockgate ingestion sync (it writes it anew from the "
            "kept vectors)"
        )
    if (record.documents, record.chunks, record.embedder) != (pinned.documents, pinned.chunks, pinned.embedder):
        problems.append(f"snapshot {pinned.id[:12]} does not hold what the release pins.")
    for what, name in (("page list", pinned.manifest), ("word counts", pinned.lexicon)):
        try:
            objects.get(name)
        except (NotFound, Corrupt) as error:
            problems.append(f"snapshot {pinned.id[:12]}: its {what} cannot be read: {error}")
    return problems


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _verify_models(settings: Settings, manifest: Manifest, *, deep: bool) -> list[str]:
    from chains.assembly import adapter_problem

    problems = [problem] if (problem := adapter_problem(manifest)) else []
    for files in (manifest.embedder.files, manifest.model.files):
        if files is None:
            continue
        try:
            local_path(files, settings.models_path)
        except NotFound as error:
            problems.append(str(error))
            continue
        if deep:
            result = verify(files, settings.models_path)
            problems += [f"model {files.name}: {problem}" for problem in result.problems]
    if manifest.model.provider == "server" and not settings.openai_base_url:
        problems.append(f"model {manifest.model.name} is behind a server, and OPENAI_BASE_URL is not set.")
    return problems
