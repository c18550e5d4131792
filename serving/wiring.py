"""Everything a server is made of, opened in the background in the order in which questions need it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.errors import Conflict, LockgateError, NotFound, Unavailable
from lockgate.owner import Owner
from lockgate.ports import Asker, Progress, Retriever
from lockgate.settings import Settings
from serving.ports import Readiness, Vote

if TYPE_CHECKING:
    from ingestion.service import EmbedderHandle, IndexService
    from ingestion.sync import SyncReport
    from lockgate.release import Manifest, PinnedModel
    from lockgate.store.channels import ChannelRecord, Rollout
    from lockgate.store.database import Database
    from lockgate.types import Answer, AskRequest
    from serving.parts import Parts
    from serving.workbench import Workbench

log = logging.getLogger(__name__)

CLOSE_SECONDS = 20.0
"""How long closing waits for a sync to reach a step at which it can stop."""

RETRY_SECONDS = 2.0
"""Between two questions to a model server whether it is there."""

WATCH_SECONDS = 0.5
"""How often the channels are looked at. Requests read the pointer themselves; this is for what is ready beforehand."""


Bars = Callable[[], AbstractContextManager[Progress]]
"""Opened for as long as there is progress to show, such as ``lockgate.terminal.progress_bars``."""


def _no_bars() -> AbstractContextManager[Progress]:
    return contextlib.nullcontext(lambda _stage, _done, _total: None)


@dataclass(frozen=True, slots=True)
class PointedRelease:
    """A channel that is set, and the release that it points at."""

    record: ChannelRecord
    manifest: Manifest


def describe_rollout(rollout: Rollout | None) -> str:
    """In words, "" for none."""
    if rollout is None:
        return ""
    forced = " (forced)" if rollout.forced else ""
    what = "of the conversations" if rollout.kind == "percent" else "of the requests aside"
    return f"{rollout.share:g} % {what}: release {rollout.release[:12]}{forced}"


class _Stopped(Exception):
    """Raised inside a sync, at its next report of progress, when the server closes. The next sync repairs it."""


class Application:
    """One project, being served: ``serving.ports.Backend`` over the real parts.

    ``start`` returns at once; what is not open yet raises Unavailable, saying what it waits for.
    """

    def __init__(self, settings: Settings, owner: Owner) -> None:
        self._settings = settings
        self._owner = owner
        self._lock = threading.Lock()  # guards everything below
        self._step = "starting"
        self._failure: LockgateError | None = None
        self._sync_failure: LockgateError | None = None
        self._release_failure: LockgateError | None = None
        self._broken: LockgateError | None = None  # why the default channel's release cannot answer
        self._parts: Parts | None = None
        self._db: Database | None = None
        self._service: IndexService | None = None
        self._pointed: PointedRelease | None = None
        self._model_name = ""
        self._model_loaded = False
        self._syncing = False
        self._idle = threading.Event()  # set while no sync runs, whoever asked for it
        self._idle.set()
        self._keeps_staging = False
        self._releasing = threading.Lock()  # held while a release is built and promoted
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def token(self) -> str:
        return self._owner.token

    def start(self, *, sync: str | None = None, keep_staging: bool = False, bars: Bars = _no_bars) -> None:
        """Open everything in a thread, then sync ``sync`` ("" is the project's sources) while ``bars`` are shown.

        With ``keep_staging``, a release of the project's files and newest snapshot is built now and after every sync,
        and promoted to staging through its gate.
        """
        self._keeps_staging = keep_staging
        self._spawn("open", lambda: self._open(sync, bars))

    def stop(self) -> None:
        """Have what runs end at its next step, and begin nothing new. Returns at once; ``close`` waits."""
        self._closing.set()
        with self._lock:
            parts = self._parts
        if parts is not None:
            parts.shadows.close()

    def close(self) -> None:
        """Stop what runs, then close what is open. The lock is the caller's to release."""
        self.stop()
        with self._lock:
            parts, threads = self._parts, list(self._threads)
        if parts is not None:
            parts.models.close()
        for thread in threads:
            thread.join(CLOSE_SECONDS)
        self._idle.wait(CLOSE_SECONDS)
        with self._lock:
            service, db = self._service, self._db
            self._parts = self._service = self._db = None
        if service is not None:
            service.close()
        if not self._idle.wait(1):
            # Its database is left to the end of the process, which is no worse for it than a power cut.
            log.error("A sync did not stop; the next start repairs what it leaves.")
        elif db is not None:
            db.close()

    def models(self) -> tuple[str, ...]:
        from chains.target import models
        from lockgate.store.channels import list_channels

        return tuple(models(list_channels(self._opened().db), self._settings.chain))

    def asker(self, model: str | None = None) -> Asker:
        from chains.target import read_target
        from serving.routing import RoutedAsker

        parts = self._opened()
        target = read_target(parts.db, model or "", self._settings.chain)
        try:
            parts.router.check(target)
        except NotFound:
            if self._comes_soon():
                raise Unavailable("The documents are being indexed for the first time.", retry_after=5) from None
            if not target.release and parts.service.status().snapshot is None:
                raise NotFound(
                    "Nothing is indexed yet, so no release can be built and no channel is set.",
                    hint="Run: lockgate ingestion sync PATH, then: lockgate release build, then: "
                    "lockgate release promote RELEASE staging (lockgate up does all three).",
                ) from None
            raise
        return RoutedAsker(parts.router, target, self._shadow)

    def retriever(self, model: str | None = None) -> Retriever:
        from chains.target import read_target, resolve
        from ingestion.options import RetrievalOptions
        from ingestion.retriever import SnapshotRetriever

        parts = self._opened()
        if model is None:
            return SnapshotRetriever(parts.service, RetrievalOptions(), parts.service.current)
        target = read_target(parts.db, model, self._settings.chain)
        return parts.shelf.get(resolve(parts.db, parts.store, target, self._settings.chain).release).retriever

    def workbench(self) -> Workbench:
        from serving.workbench import Workbench

        parts = self._opened()
        return Workbench(self._settings, parts.db, parts.service, parts.models)

    def readiness(self) -> Readiness:
        with self._lock:
            service, loaded, model, pointed = self._service, self._model_loaded, self._model_name, self._pointed
        status = service.status() if service is not None else None
        missing = self._missing(status.snapshot if status else None, pointed, loaded=loaded)
        indexing = self._share(status.indexing if status else None)
        if pointed is None:
            return Readiness(
                ready=False,
                missing=missing,
                indexing=indexing,
                model=model,
                model_loaded=loaded,
                warning=self._warning(),
            )
        snapshot = pointed.manifest.snapshot
        return Readiness(
            ready=not missing,
            missing=missing,
            snapshot=snapshot.id,
            kind=snapshot.kind,
            documents=snapshot.documents,
            chunks=snapshot.chunks,
            indexing=indexing,
            model=model,
            model_loaded=loaded,
            release=pointed.manifest.id,
            channel=pointed.record.channel,
            forced=pointed.record.forced,
            rollout=describe_rollout(pointed.record.rollout),
            warning=self._warning(),
        )

    def sync(self, source: str, progress: Progress) -> object:
        """``source`` is "" for the project's sources, the name of one of them, or a folder."""
        service = self._opened().service
        with self._lock:
            if self._closing.is_set():
                raise Unavailable("The server is closing.", retry_after=5)
            if self._syncing:
                raise Conflict("A sync is already running.", hint="See: lockgate ingestion status")
            self._syncing, self._sync_failure = True, None
            self._idle.clear()
        try:
            report = self._run_sync(service, source, self._releasing_early(service, progress)).to_json()
            if self._keeps_staging:
                progress("release", 0, 0)
                self._release_to_staging()
            return report
        except _Stopped:
            raise Unavailable("The server stops; the sync was not finished.", hint="Run it again.") from None
        finally:
            with self._lock:
                self._syncing = False
                self._idle.set()

    def write_feedback(self, trace_id: str, vote: Vote, comment: str | None) -> None:
        from lockgate.store.feedback import write_feedback

        write_feedback(self._opened().db, trace_id, vote, comment)

    # Opening, in the background

    def _open(self, sync: str | None, bars: Bars) -> None:
        try:
            parts = self._open_parts()
            self._spawn("watch", lambda: self._watch(parts))
            if sync is not None:
                # A first sync and the loading below take turns on the processor; both are needed before an answer.
                self._spawn("sync", lambda: self._first_sync(sync, bars))
            elif self._keeps_staging and parts.service.status().snapshot is not None:
                self._spawn("release", self._release_to_staging)
            self._set_step("loading the embedding model")
            parts.service.embedder.load()
            self._set_step("loading the chat model")
            self._load_model(parts)
            self._set_step("")
        except LockgateError as error:
            self._fail(error)
        except _Stopped:
            pass
        except Exception as error:
            log.exception("The server could not open its parts.")
            self._fail(LockgateError(f"The server could not start: {error}.", hint="See its log."))

    def _open_parts(self) -> Parts:
        self._set_step("opening the index")
        from ingestion.service import IndexService
        from lockgate.store.database import open_database
        from serving.parts import build_parts

        db = open_database(self._settings.database)
        with self._lock:
            self._db = db
        service = IndexService(self._settings, db, self._open_embedder(db))
        with self._lock:
            self._service = service
        parts = build_parts(self._settings, db, service)
        self._look(parts, {})
        with self._lock:
            self._parts = parts
        return parts

    def _open_embedder(self, db: Database) -> EmbedderHandle:
        """The release's own, so that serving a channel needs no file of the project; a catalogue's newer edition of it
        comes in through ``lockgate up``, or a release."""
        from ingestion import embedding
        from serving.plan import default_manifest

        try:
            manifest = None if self._keeps_staging else default_manifest(self._settings, db)
        except LockgateError:
            manifest = None  # told by whoever looks at the channels
        if manifest is not None and manifest.embedder.name == self._settings.embedder:
            return embedding.open_pinned_embedder(self._settings, manifest.embedder.files)
        return embedding.open_embedder(self._settings)

    def _load_model(self, parts: Parts) -> None:
        """The default release's model; before there is one, the model that a release built now would pin."""
        from chains.definition import load_chain
        from chains.release import pin_model

        with self._lock:
            pointed = self._pointed
        if pointed is not None:
            model = pointed.manifest.model
        else:
            model = pin_model(self._settings, load_chain(self._settings.project_dir, self._settings.chain))
        with self._lock:
            self._model_name = model.name
        while not self._loads(parts, model):
            if self._closing.wait(RETRY_SECONDS):
                raise _Stopped
        with self._lock:
            self._model_loaded = True

    def _loads(self, parts: Parts, model: PinnedModel) -> bool:
        """False while the model server does not answer; it may still be starting. Another failure is raised."""
        from chains.chat_model import shown_address

        try:
            parts.models.load(model)
        except Unavailable as error:
            if model.provider == "local":
                raise
            log.info("%s", error)
            self._set_step(f"waiting for the model server at {shown_address(self._settings.openai_base_url)}")
            return False
        return True

    # Channels

    def _watch(self, parts: Parts) -> None:
        """Have ready what the channels point at, and end the rollouts that do harm."""
        seen: dict[tuple[str, str], int] = {}
        while not self._closing.wait(WATCH_SECONDS):
            try:
                self._look(parts, seen)
            except LockgateError as error:
                log.warning("The channels could not be looked at: %s", error)
            except Exception:
                log.exception("The channels could not be looked at.")

    def _look(self, parts: Parts, seen: dict[tuple[str, str], int]) -> None:
        from lockgate.store.channels import list_channels

        moved = []
        for record in list_channels(parts.db):
            current = parts.keeper.check(record) if record.rollout else record
            if seen.get((record.channel, record.chain)) != current.version:
                moved.append(current)
                seen[record.channel, record.chain] = current.version
        pointed, broken = self._default(parts)
        with self._lock:
            self._pointed, self._broken = pointed, broken
            if pointed is not None and self._model_loaded:
                self._model_name = pointed.manifest.model.name
        # After everything that must not wait: a model may take seconds to load.
        for record in moved:
            self._make_ready(parts, record)

    def _make_ready(self, parts: Parts, record: ChannelRecord) -> None:
        """So that the first request after a move does not wait. What cannot be is told to whoever asks for it."""
        for release in (record.release, record.rollout.release if record.rollout else None):
            if release is None or parts.shelf.has(release):
                continue
            try:
                parts.shelf.get(release)
                if self._model_loaded:  # while starting, the default release's model comes first
                    parts.models.load(parts.store.manifest(release).model)
            except LockgateError as error:
                log.error(
                    "%s of %s points at %s, which cannot answer: %s", record.channel, record.chain, release, error
                )

    def _default(self, parts: Parts) -> tuple[PointedRelease | None, LockgateError | None]:
        """Where a request without a model goes, None while no channel of the default chain is set; and what is wrong
        with the release that it would go to."""
        from chains.target import Target, resolve

        try:
            pointed = resolve(parts.db, parts.store, Target(), self._settings.chain)
        except NotFound:
            return None, None
        assert pointed.channel is not None  # noqa: S101 - Target() names no release
        before = self._pointed
        if before is not None and before.manifest.id == pointed.release:
            return PointedRelease(pointed.channel, before.manifest), None
        try:
            return PointedRelease(pointed.channel, parts.store.manifest(pointed.release)), None
        except LockgateError as error:
            # One broken release must not keep the other channels from answering.
            return None, error

    def _release_to_staging(self) -> None:
        """What ``lockgate up`` promises: staging answers from the project as it is, if its gate lets it."""
        from chains.release import build_release
        from lockgate.actor import current_actor
        from lockgate.store.channels import STAGING, get_channel
        from serving.channels import promote

        settings, parts = self._settings, self._opened()
        with self._releasing:
            try:
                actor = current_actor()
                release = build_release(settings, parts.db, parts.service.embedder, settings.chain, actor=actor).id
                record = get_channel(parts.db, STAGING, settings.chain)
                if record.release != release or record.rollout is not None:
                    self._respect_rollback(parts, record, release)
                    promote(
                        settings,
                        parts.db,
                        release,
                        STAGING,
                        actor=actor,
                        asker_of=parts.shelf.get,
                        reason="lockgate up: the project's files and newest snapshot",
                    )
                self._look(parts, {})
                failure = None
            except LockgateError as error:
                log.error("Staging was not moved: %s", error)
                failure = error
        with self._lock:
            self._release_failure = failure

    def _respect_rollback(self, parts: Parts, record: ChannelRecord, release: str) -> None:
        """Raises Conflict while staging is where somebody rolled it back to: that was meant."""
        from lockgate.store.channels import history

        newest = history(parts.db, record.channel, record.chain, limit=1)
        if newest and newest[0].action == "rollback":
            raise Conflict(
                f"{newest[0].actor} rolled {record.channel} back to {newest[0].to_release[:12]}, so it stays there.",
                hint=f"To go on with the project as it is: lockgate release promote {release[:12]} {record.channel}",
            )

    def _releasing_early(self, service: IndexService, progress: Progress) -> Progress:
        """A first sync of many pages makes a snapshot without vectors first; people can ask that while it goes on."""
        if not self._keeps_staging:
            return progress
        before = service.status().snapshot

        def watched(stage: str, done: int, total: int) -> None:
            nonlocal before
            progress(stage, done, total)
            now = service.status().snapshot
            if now != before:
                before = now
                self._spawn("release", self._release_to_staging)

        return watched

    def _shadow(self, rollout: Rollout, request: AskRequest, answer: Answer) -> None:
        parts = self._opened()
        parts.shadows.submit(rollout, lambda: parts.shelf.get(rollout.release), request, answer)

    def _comes_soon(self) -> bool:
        with self._lock:
            return self._syncing and self._keeps_staging

    def _first_sync(self, source: str, bars: Bars) -> None:
        try:
            with bars() as progress:
                self.sync(source, progress)
        except LockgateError as error:
            if self._closing.is_set():
                return
            log.error("The sync failed: %s", error)
            with self._lock:
                self._sync_failure = error
        except Exception:
            if not self._closing.is_set():
                log.exception("The sync failed.")

    def _run_sync(self, service: IndexService, source: str, progress: Progress) -> SyncReport:
        from ingestion.source import load_sources

        def watched(stage: str, done: int, total: int) -> None:
            if self._closing.is_set():
                raise _Stopped
            progress(stage, done, total)

        if not source:
            return service.sync(None, watched)
        if not Path(source).is_dir():
            try:
                named = [found for found in load_sources(self._settings.project_dir) if found.name == source]
            except NotFound:
                named = []
            if named:
                return service.sync_sources(named, watched)
        return service.sync(Path(source), watched)

    # What is known of the state

    def _missing(self, snapshot: str | None, pointed: PointedRelease | None, *, loaded: bool) -> tuple[str, ...]:
        with self._lock:
            failure, step, opened = self._failure, self._step, self._parts is not None
        if failure is not None:
            return (str(failure),)
        missing = []
        if not opened or not loaded or step:
            missing.append(step or "starting")
        if opened and pointed is None:
            missing.append(self._why_no_release(snapshot))
        return tuple(missing)

    def _why_no_release(self, snapshot: str | None) -> str:
        with self._lock:
            syncing, sync_failure, release_failure = self._syncing, self._sync_failure, self._release_failure
            broken = self._broken
        if broken is not None:
            return str(broken)
        if snapshot is None and syncing:
            return "indexing the documents for the first time"
        if snapshot is None:
            return str(sync_failure) if sync_failure else "nothing is indexed yet; run: lockgate ingestion sync PATH"
        if release_failure is not None:
            return str(release_failure)
        if self._keeps_staging:
            return "building the first release"
        return "no channel is set; run: lockgate release build, then: lockgate release promote RELEASE staging"

    def _warning(self) -> str:
        """What a person should know although answers are given."""
        with self._lock:
            error = self._release_failure or self._sync_failure or self._broken
        return str(error) if error else ""

    def _share(self, embedding: float | None) -> float | None:
        """The share of a running sync; the stages before embedding count as none of it."""
        with self._lock:
            syncing = self._syncing
        return (embedding or 0.0) if syncing else None

    def _opened(self) -> Parts:
        with self._lock:
            if self._parts is None:
                raise self._not_open()
            return self._parts

    def _not_open(self) -> LockgateError:
        if self._failure is not None:
            return Unavailable(self._failure.message, hint=self._failure.hint, retry_after=60)
        return Unavailable(f"The server is still starting: {self._step or 'closing'}.", retry_after=3)

    def _set_step(self, step: str) -> None:
        if self._closing.is_set():
            raise _Stopped
        with self._lock:
            self._step = step

    def _fail(self, error: LockgateError) -> None:
        log.error("The server cannot answer: %s", error)
        with self._lock:
            self._failure = error

    def _spawn(self, name: str, work: Callable[[], None]) -> None:
        # Daemons: a download or an import that hangs must not keep a stopped server alive.
        thread = threading.Thread(target=work, name=f"lockgate-{name}", daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()
