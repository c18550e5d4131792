"""Every metric that /metrics shows, and the only place that names them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from lockgate.errors import LockgateError
from lockgate.types import AnswerEvent, Finished, Token
from serving.ports import Readiness

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "lockgate_requests", "Questions asked.", ["door", "outcome"], registry=self.registry
        )  # outcome: answered, abstained, cancelled, or an error's code
        self.first_token = Histogram(
            "lockgate_first_token_seconds",
            "From the request to the first piece of the answer.",
            ["door"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.duration = Histogram(
            "lockgate_answer_seconds",
            "From the request to the finished answer.",
            ["door"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.tokens = Counter("lockgate_tokens", "Model tokens.", ["kind"], registry=self.registry)
        self.in_flight = Gauge("lockgate_in_flight_requests", "Questions being answered now.", registry=self.registry)
        self.errors = Counter("lockgate_errors", "Error responses by code.", ["code"], registry=self.registry)
        self.feedback = Counter("lockgate_feedback", "Votes.", ["vote"], registry=self.registry)
        self.ready = Gauge("lockgate_ready", "1 when index and model answer.", registry=self.registry)
        self.indexing = Gauge(
            "lockgate_indexing_share", "Share done of the snapshot being built; 1 when idle.", registry=self.registry
        )
        self.documents = Gauge("lockgate_documents", "Documents in the snapshot that answers.", registry=self.registry)
        self.chunks = Gauge("lockgate_chunks", "Chunks in the snapshot that answers.", registry=self.registry)
        self.release = Gauge(
            "lockgate_release",
            "1 for the release that a request without a model is answered from.",
            ["channel", "release", "forced"],
            registry=self.registry,
        )

    def render(self, readiness: Readiness) -> bytes:
        """The text that Prometheus reads."""
        self.ready.set(int(readiness.ready))
        self.indexing.set(1.0 if readiness.indexing is None else readiness.indexing)
        self.documents.set(readiness.documents)
        self.chunks.set(readiness.chunks)
        self.release.clear()
        if readiness.release:
            self.release.labels(readiness.channel, readiness.release, "yes" if readiness.forced else "no").set(1)
        return generate_latest(self.registry)

    async def observe(self, events: AsyncIterator[AnswerEvent], *, door: str) -> AsyncGenerator[AnswerEvent, None]:
        """The same events, counted. Closing it closes ``events``."""
        start = time.perf_counter()
        outcome = "cancelled"
        first = True
        self.in_flight.inc()
        try:
            async with aclosing(_generator(events)) as source:
                async for event in source:
                    if first and isinstance(event, Token):
                        first = False
                        self.first_token.labels(door).observe(time.perf_counter() - start)
                    if isinstance(event, Finished):
                        outcome = "abstained" if event.answer.abstained else "answered"
                        self.tokens.labels("prompt").inc(event.answer.usage.prompt_tokens)
                        self.tokens.labels("completion").inc(event.answer.usage.completion_tokens)
                    yield event
            self.duration.labels(door).observe(time.perf_counter() - start)
        except LockgateError as error:
            outcome = error.code
            raise
        except Exception:
            outcome = "internal"
            raise
        finally:
            self.in_flight.dec()
            self.requests.labels(door, outcome).inc()


async def _generator(events: AsyncIterator[AnswerEvent]) -> AsyncGenerator[AnswerEvent, None]:
    """An iterator that may lack ``aclose`` as a generator that has it, passing the close on where it can."""
    try:
        async for event in events:
            yield event
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()
