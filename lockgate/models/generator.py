"""The in-process chat model as a service: one worker thread, one bounded queue, streaming to the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from lockgate.errors import LockgateError, Unavailable, UserError
from lockgate.models.catalogue import ModelFiles
from lockgate.models.decoding import CausalModel, Sampling
from lockgate.models.embedder import WEIGHT_SUFFIXES
from lockgate.models.fetch import checked_path, local_path, read_manifest
from lockgate.models.tokens import TOKENIZER_FILE, TokenCounter, open_token_counter
from lockgate.settings import Settings
from lockgate.types import Message

FIRST_GUESS_SECONDS = 5.0
"""How long a request is thought to take before one has finished."""

MAX_RETRY_SECONDS = 120


class ChatModel(Protocol):
    """What the worker runs; see lockgate.models.decoding.CausalModel."""

    def warm_up(self) -> None: ...

    def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, cancelled: Callable[[], bool]
    ) -> Iterator[str]: ...


@dataclass(eq=False, slots=True)
class _Job:
    """One request. ``pieces`` belongs to ``loop``; the worker reaches it only through ``tell``."""

    messages: tuple[Message, ...]
    sampling: Sampling
    loop: asyncio.AbstractEventLoop
    pieces: asyncio.Queue[str | BaseException | None] = field(default_factory=asyncio.Queue)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def tell(self, item: str | BaseException | None) -> None:
        """Hand ``item`` to the event loop; a loop that is gone means that nobody is listening."""
        try:
            self.loop.call_soon_threadsafe(self.pieces.put_nowait, item)
        except RuntimeError:
            self.cancelled.set()


class InProcessGenerator:
    """A ``Generator`` (lockgate.ports). Nothing is loaded before the first request or ``load()``.

    One request runs at a time and up to ``queue`` wait; the next one gets Unavailable with ``retry_after``.
    """

    def __init__(
        self,
        open_model: Callable[[], ChatModel],
        counter: TokenCounter,
        *,
        name: str,
        digest: str,
        context_window: int,
        queue: int,
    ) -> None:
        self.name = name
        self.digest = digest
        self.context_window = context_window
        self._open_model = open_model
        self._counter = counter
        self._limit = queue
        self._model: ChatModel | None = None
        self._changed = threading.Condition()  # guards everything below
        self._waiting: deque[_Job] = deque()
        self._loading: Future[None] | None = None
        self._running: _Job | None = None
        self._worker: threading.Thread | None = None
        self._closed = False
        self._typical_seconds = FIRST_GUESS_SECONDS

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._model is not None

    @property
    def active(self) -> int:
        """Requests that run or wait."""
        with self._changed:
            return self._count_active()

    def load(self) -> None:
        """Load the weights and wait for them; at once when they are there. Raises what loading them raises."""
        with self._changed:
            if self._model is not None:
                return
            if self._closed:
                raise _shutting_down(self.name)
            if self._loading is None:
                self._loading = Future()
            loading = self._loading
            self._start_worker()
            self._changed.notify_all()
        loading.result()

    def close(self) -> None:
        """Stop the running request, refuse the waiting ones, end the worker. Blocks for at most one token or so."""
        with self._changed:
            self._closed = True
            waiting, running, worker = list(self._waiting), self._running, self._worker
            self._waiting.clear()
            self._changed.notify_all()
        for job in [*waiting, *([running] if running else [])]:
            job.cancelled.set()
            job.tell(_shutting_down(self.name))
        if worker and worker is not threading.current_thread():
            worker.join()

    def count_tokens(self, text: str) -> int:
        """Tokens of ``text``, special tokens excluded. Needs no weights."""
        return self._counter.count(text)

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int | None = None,
    ) -> AsyncIterator[str]:
        """Pieces of text as they are made. Closing the iterator stops the work within one token.

        ``max_tokens`` is lowered to what the context window leaves. Raises UserError (nothing to answer, a prompt
        that is too long, values out of range) or Unavailable (queue full, shutting down).
        """
        sampling = _checked_sampling(messages, max_tokens, temperature, stop, seed)
        job = _Job(tuple(messages), sampling, asyncio.get_running_loop())
        self._submit(job)
        try:
            while (item := await job.pieces.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._withdraw(job)

    def _submit(self, job: _Job) -> None:
        with self._changed:
            if self._closed:
                raise _shutting_down(self.name)
            active = self._count_active()
            if active > self._limit:
                seconds = min(MAX_RETRY_SECONDS, max(1, math.ceil(self._typical_seconds * active)))
                raise Unavailable(
                    f"The model {self.name} is busy: {active} requests run or wait, no more are taken.",
                    hint=f"Try again in {seconds} s.",
                    retry_after=seconds,
                )
            self._waiting.append(job)
            self._start_worker()
            self._changed.notify_all()

    def _withdraw(self, job: _Job) -> None:
        """Nobody listens to ``job`` any more: out of the queue at once, or stopped at the next token."""
        job.cancelled.set()
        with self._changed, contextlib.suppress(ValueError):
            self._waiting.remove(job)

    def _count_active(self) -> int:
        # A running request whose client left frees its slot now, not when the worker has noticed.
        running = self._running is not None and not self._running.cancelled.is_set()
        return len(self._waiting) + running

    def _start_worker(self) -> None:
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name=f"generate-{self.name}", daemon=True)
            self._worker.start()

    def _work(self) -> None:
        while (job := self._next()) is not None or not self._closed:
            if job is None:
                self._ensure_loaded(None)
                continue
            started = time.monotonic()
            try:
                if self._ensure_loaded(job):
                    self._run(job)
            finally:
                with self._changed:
                    self._running = None
                    if not job.cancelled.is_set():
                        self._typical_seconds += 0.3 * (time.monotonic() - started - self._typical_seconds)

    def _next(self) -> _Job | None:
        """The next job; None when the model is to be loaded without one, or when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting or self._loading)
            if self._closed or not self._waiting:
                if self._closed and self._loading:
                    self._loading.set_exception(_shutting_down(self.name))
                    self._loading = None
                return None
            self._running = self._waiting.popleft()
            return self._running

    def _ensure_loaded(self, job: _Job | None) -> bool:
        """Load the weights unless they are there. A failure goes to whoever waits; the next request tries again."""
        error: BaseException | None = None
        if self._model is None:
            try:
                model = self._open_model()
                model.warm_up()
                self._model = model
            except BaseException as caught:  # also a MemoryError must reach the client and leave the worker alive
                error = _as_ours(caught, f"The model {self.name} could not be loaded")
        with self._changed:
            loading, self._loading = self._loading, None
        if loading:
            loading.set_exception(error) if error else loading.set_result(None)
        if job and error:
            job.tell(error)
        return error is None

    def _run(self, job: _Job) -> None:
        assert self._model is not None  # noqa: S101 - _ensure_loaded said so
        try:
            for piece in self._model.generate(job.messages, job.sampling, cancelled=job.cancelled.is_set):
                job.tell(piece)
                if job.cancelled.is_set():
                    return
            job.tell(None)
        except BaseException as caught:
            job.tell(_as_ours(caught, f"The model {self.name} failed"))


def load_generator(settings: Settings, entry: ModelFiles) -> InProcessGenerator:
    """The chat model ``entry``. Quick: weights are checked and loaded in the worker, when first needed.

    Raises NotFound naming the command that fetches the model; loading may raise Corrupt.
    """
    name = entry.name
    folder = local_path(entry, settings.models_path)
    window = entry.context_window
    assert window is not None  # noqa: S101 - ModelEntry guarantees it for chat models

    def open_model() -> ChatModel:
        return CausalModel(checked_path(entry, settings.models_path), name=name, context_window=window)

    return InProcessGenerator(
        open_model,
        open_token_counter(folder),
        name=name,
        digest=generator_digest(read_manifest(folder).files),
        context_window=window,
        queue=settings.generation_queue,
    )


def generator_digest(files: dict[str, str]) -> str:
    """SHA-256 of all that decides the answers: weights, architecture, tokenizer, chat template."""
    kept = ("config.json", TOKENIZER_FILE, "tokenizer_config.json", "chat_template.jinja")
    # Converted models get a tokenizer_config.json that holds the loading options of the moment; the template that
    # matters then lies in a file of its own.
    drop = {"tokenizer_config.json"} if "chat_template.jinja" in files else set()
    decisive = {
        path: sha256 for path, sha256 in files.items() if path.endswith(WEIGHT_SUFFIXES) or path in set(kept) - drop
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _checked_sampling(
    messages: Sequence[Message], max_tokens: int, temperature: float, stop: Sequence[str], seed: int | None
) -> Sampling:
    if not messages:
        raise UserError("There are no messages to answer.")
    if max_tokens < 1:
        raise UserError(f"max_tokens is {max_tokens}; it must be at least 1.")
    if not 0 <= temperature <= 2:
        raise UserError(f"temperature is {temperature}; it must be between 0 and 2.")
    return Sampling(max_tokens=max_tokens, temperature=temperature, stop=tuple(stop), seed=seed)


def _as_ours(error: BaseException, what: str) -> LockgateError:
    """Errors cross to another thread; each request gets its own, so that tracebacks do not pile up in one object."""
    if isinstance(error, LockgateError):
        return error
    ours = Unavailable(f"{what} ({type(error).__name__}: {error}).", hint="The server's log has more.")
    ours.__cause__ = error
    return ours


def _shutting_down(name: str) -> Unavailable:
    return Unavailable(f"The model {name} is shutting down.", retry_after=5)
