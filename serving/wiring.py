"""Everything a server is made of, opened in the background in the order in which questions need it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.errors import Conflict, LockgateError, NotFound, Unavailable
from lockgate.owner import Owner
from lockgate.ports import Asker, Progress, Retriever
from lockgate.settings import Settings
from serving.check_trials import CheckStanding
from serving.ports import Readiness, Vote
from serving.watch import ChannelWatch, PointedRelease, describe_rollout

if TYPE_CHECKING:
    from ingestion.service import EmbedderHandle, IndexService
    from ingestion.sync import SyncReport
    from lockgate.release import PinnedModel
    from lockgate.store.channels import Rollout
    from lockgate.store.database import Database
    from lockgate.types import Answer, AskRequest
    from serving.parts import Parts
    from serving.workbench import Workbench

log = logging.getLogger(__name__)

CLOSE_SECONDS = 20.0
"""How long closing waits for a sync to reach a step at which it can stop."""

RETRY_SECONDS = 2.0
"""Between two questions to a model server whether it is there."""

Bars = Callable[[], AbstractContextManager[Progress]]
"""Opened for as long as there is progress to show, such as ``lockgate.terminal.progress_bars``."""


def _no_bars() -> AbstractContextManager[Progress]:
    return contextlib.nullcontext(lambda _stage, _done, _total: None)


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
        self._parts: Parts | None = None
        self._db: Database | None = None
        self._service: IndexService | None = None
        self._watch: ChannelWatch | None = None
        self._first_model = ""
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
            self._parts = self._watch = self._service = self._db = None
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
            service, watch, loaded, model = self._service, self._watch, self._model_loaded, self._first_model
        pointed = watch.pointed if watch else None
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
        standing = watch.checks() if watch else CheckStanding()
        if not standing.tried:
            missing += (f"trying the checks of the policy {pointed.manifest.policy.name}",)
        missing += standing.closed
        warning = " ".join(text for text in (self._warning(), *standing.degraded) if text)
        snapshot = pointed.manifest.snapshot
        return Readiness(
            ready=not missing,
            missing=missing,
            snapshot=snapshot.id,
            kind=snapshot.kind,
            documents=snapshot.documents,
            chunks=snapshot.chunks,
            indexing=indexing,
            model=pointed.manifest.model.name if loaded else model,
            model_loaded=loaded,
            release=pointed.manifest.id,
            channel=pointed.record.channel,
            forced=pointed.record.forced,
            rollout=describe_rollout(pointed.record.rollout),
            warning=warning,
            degraded=bool(standing.degraded),
            checks=tuple(each.as_json() for each in standing.checks),
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
            self._spawn("watch", lambda: self._watched().run(self._closing))
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
        # While starting, the default release's model comes first; the others are loaded when a channel moves to them.
        watch = ChannelWatch(parts, self._settings.chain, lambda: self._model_loaded)
        watch.look()
        with self._lock:
            self._parts, self._watch = parts, watch
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

        pointed = self._watched().pointed
        if pointed is not None:
            model = pointed.manifest.model
        else:
            model = pin_model(self._settings, load_chain(self._settings.project_dir, self._settings.chain))
        with self._lock:
            self._first_model = model.name
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

    def _release_to_staging(self) -> None:
        from serving.staging import release_to_staging

        failure: LockgateError | None = None
        with self._releasing:
            try:
                release_to_staging(self._settings, self._opened())
                self._watched().look()
            except LockgateError as error:
                log.error("Staging was not moved: %s", error)
                failure = error
        with self._lock:
            self._release_failure = failure

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
            broken = self._watch.broken if self._watch else None
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
            broken = self._watch.broken if self._watch else None
            error = self._release_failure or self._sync_failure or broken
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

    def _watched(self) -> ChannelWatch:
        with self._lock:
            if self._watch is None:
                raise self._not_open()
            return self._watch

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
