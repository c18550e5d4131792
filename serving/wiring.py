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
from serving.ports import Readiness, Vote

if TYPE_CHECKING:
    from chains.assembly import ChatModels
    from chains.chain import Chain
    from ingestion.service import IndexService
    from ingestion.sync import SyncReport
    from lockgate.store.database import Database

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
        self._db: Database | None = None
        self._service: IndexService | None = None
        self._models: ChatModels | None = None
        self._chains: dict[str, Chain] = {}
        self._model_name = ""
        self._model_loaded = False
        self._syncing = False
        self._idle = threading.Event()  # set while no sync runs, whoever asked for it
        self._idle.set()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def token(self) -> str:
        return self._owner.token

    def start(self, *, sync: str | None = None, bars: Bars = _no_bars) -> None:
        """Open everything in a thread, then sync ``sync`` ("" is the project's sources) while ``bars`` are shown."""
        self._spawn("open", lambda: self._open(sync, bars))

    def stop(self) -> None:
        """Have what runs end at its next step, and begin nothing new. Returns at once; ``close`` waits."""
        self._closing.set()

    def close(self) -> None:
        """Stop what runs, then close what is open. The lock is the caller's to release."""
        self.stop()
        with self._lock:
            models, threads = self._models, list(self._threads)
        if models is not None:
            models.close()
        for thread in threads:
            thread.join(CLOSE_SECONDS)
        self._idle.wait(CLOSE_SECONDS)
        with self._lock:
            service, db = self._service, self._db
            self._service = self._db = self._models = None
            self._chains.clear()
        if service is not None:
            service.close()
        if not self._idle.wait(1):
            # Its database is left to the end of the process, which is no worse for it than a power cut.
            log.error("A sync did not stop; the next start repairs what it leaves.")
        elif db is not None:
            db.close()

    def models(self) -> tuple[str, ...]:
        from chains.definition import list_chains

        names = list_chains(self._settings.project_dir)
        return tuple(sorted(names, key=lambda name: (name != self._settings.chain, name)))

    def asker(self, model: str | None = None) -> Asker:
        name = model or self._settings.chain
        with self._lock:
            if not self._chains:
                raise self._not_open()
            chain = self._chains.get(name)
            nothing_yet = self._syncing and self._service is not None and self._service.status().snapshot is None
        if nothing_yet:
            raise Unavailable("The documents are being indexed for the first time.", retry_after=5)
        return chain if chain is not None else self._add_chain(name)

    def retriever(self) -> Retriever:
        from chains.definition import load_chain
        from ingestion.retriever import SnapshotRetriever

        definition = load_chain(self._settings.project_dir, self._settings.chain)
        return SnapshotRetriever(self._opened_service(), definition.retrieval)

    def readiness(self) -> Readiness:
        with self._lock:
            service, loaded, model = self._service, self._model_loaded, self._model_name
            answers = bool(self._chains)
        status = service.status() if service is not None else None
        snapshot = status.snapshot if status else None
        missing = self._missing(snapshot, opened=answers, loaded=loaded)
        return Readiness(
            ready=not missing,
            missing=missing,
            snapshot=snapshot,
            kind=status.kind if status else None,
            documents=status.documents if status else 0,
            chunks=status.chunks if status else 0,
            indexing=self._share(status.indexing if status else None),
            model=model,
            model_loaded=loaded,
        )

    def sync(self, source: str, progress: Progress) -> object:
        """``source`` is "" for the project's sources, the name of one of them, or a folder."""
        service = self._opened_service()
        with self._lock:
            if self._closing.is_set():
                raise Unavailable("The server is closing.", retry_after=5)
            if self._syncing:
                raise Conflict("A sync is already running.", hint="See: lockgate ingestion status")
            self._syncing, self._sync_failure = True, None
            self._idle.clear()
        try:
            return self._run_sync(service, source, progress).to_json()
        except _Stopped:
            raise Unavailable("The server stops; the sync was not finished.", hint="Run it again.") from None
        finally:
            with self._lock:
                self._syncing = False
                self._idle.set()

    def write_feedback(self, trace_id: str, vote: Vote, comment: str | None) -> None:
        from lockgate.store.feedback import write_feedback

        with self._lock:
            db = self._db
        if db is None:
            raise self._not_open()
        write_feedback(db, trace_id, vote, comment)

    # Opening, in the background

    def _open(self, sync: str | None, bars: Bars) -> None:
        try:
            service = self._open_index()
            if sync is not None:
                # A first sync and the loading below take turns on the processor; both are needed before an answer.
                self._spawn("sync", lambda: self._first_sync(sync, bars))
            self._set_step("loading the chain")
            self._add_chain(self._settings.chain)
            self._set_step("loading the embedding model")
            service.embedder.load()
            self._set_step("loading the chat model")
            self._load_model()
            self._set_step("")
        except LockgateError as error:
            self._fail(error)
        except _Stopped:
            pass
        except Exception as error:
            log.exception("The server could not open its parts.")
            self._fail(LockgateError(f"The server could not start: {error}.", hint="See its log."))

    def _open_index(self) -> IndexService:
        self._set_step("opening the index")
        from ingestion.embedding import open_embedder
        from ingestion.service import IndexService
        from lockgate.store.database import open_database

        db = open_database(self._settings.database)
        with self._lock:
            self._db = db
        service = IndexService(self._settings, db, open_embedder(self._settings))
        with self._lock:
            self._service = service
        return service

    def _add_chain(self, name: str) -> Chain:
        from chains.assembly import ChatModels, assemble_chain, model_name

        with self._lock:
            service, db = self._service, self._db
            if service is None or db is None:
                raise self._not_open()
            models = self._models = self._models or ChatModels(self._settings)
        chain = assemble_chain(self._settings, db, service, models, name)
        with self._lock:
            self._chains.setdefault(name, chain)
            self._model_name = self._model_name or model_name(self._settings, chain.definition)
        return chain

    def _load_model(self) -> None:
        with self._lock:
            models, name = self._models, self._model_name
        if models is None:
            return
        while not self._loads(models, name):
            if self._closing.wait(RETRY_SECONDS):
                raise _Stopped
        with self._lock:
            self._model_loaded = True

    def _loads(self, models: ChatModels, name: str) -> bool:
        """False while the model server does not answer; it may still be starting. Another failure is raised."""
        from chains.chat_model import shown_address

        url = self._settings.openai_base_url
        try:
            models.load(name)
        except Unavailable as error:
            if not url:
                raise
            log.info("%s", error)
            self._set_step(f"waiting for the model server at {shown_address(url)}")
            return False
        return True

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

    def _missing(self, snapshot: str | None, *, opened: bool, loaded: bool) -> tuple[str, ...]:
        with self._lock:
            failure, sync_failure, step, syncing = self._failure, self._sync_failure, self._step, self._syncing
        if failure is not None:
            return (str(failure),)
        missing = []
        if not opened or not loaded or step:
            missing.append(step or "starting")
        if opened and snapshot is None:
            if syncing:
                missing.append("indexing the documents for the first time")
            elif sync_failure is not None:
                missing.append(str(sync_failure))
            else:
                missing.append("nothing is indexed yet; run: lockgate ingestion sync PATH")
        return tuple(missing)

    def _share(self, embedding: float | None) -> float | None:
        """The share of a running sync; the stages before embedding count as none of it."""
        with self._lock:
            syncing = self._syncing
        return (embedding or 0.0) if syncing else None

    def _opened_service(self) -> IndexService:
        with self._lock:
            if self._service is None:
                raise self._not_open()
            return self._service

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
