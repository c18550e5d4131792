"""The trace of one request while it is made, so that whatever happens there is one record of it."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from guardrails.finding import Finding
from lockgate.errors import LockgateError
from lockgate.store.traces import Status, TraceRecord
from lockgate.telemetry import Stages
from lockgate.types import Answer, AskRequest, Retrieval


@dataclass(slots=True)
class TraceDraft:
    request: AskRequest
    chain: str
    release: str
    model: str
    prompt_hash: str  # of the answer prompt; "ANSWER+CONDENSE" once a model condensed the question
    policy_hash: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    stages: Stages = field(default_factory=Stages)
    mode: str = ""
    condensed: str = ""
    retrieval: Retrieval | None = None
    said: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def blocked_by(self, check: str) -> bool:
        return any(each.check == check and each.blocks for each in self.findings)

    def finished(self, answer: Answer) -> TraceRecord:
        return self._record(
            "ok",
            answer=answer.text,
            abstained=answer.abstained,
            citations=[asdict(citation) for citation in answer.citations],
            prompt_tokens=answer.usage.prompt_tokens,
            completion_tokens=answer.usage.completion_tokens,
            guardrails=answer.guardrails,
            grounding=None if answer.grounding is None else answer.grounding.as_json(),
        )

    def failed(self, error: BaseException) -> TraceRecord:
        code = error.code if isinstance(error, LockgateError) else "internal"
        text = error.message if isinstance(error, LockgateError) else f"{type(error).__name__}: {error}"
        return self._record("error", answer="".join(self.said), error_code=code, error=text)

    def cancelled(self) -> TraceRecord:
        return self._record("cancelled", answer="".join(self.said))

    def _record(self, status: Status, **values: object) -> TraceRecord:
        found = self.retrieval
        return TraceRecord(
            id=self.id,
            created_at=self.started,
            origin=self.request.origin,
            chain=self.chain,
            release=self.release,
            channel=self.request.served.channel,
            rollout=self.request.served.rollout,
            arm=self.request.served.arm,
            shadow_of=self.request.served.shadow_of,
            model=self.model if self.mode == "generative" else "",
            mode=self.mode,
            question=self.request.question,
            condensed_question=self.condensed,
            history=[{"role": message.role, "content": message.content} for message in self.request.history],
            snapshot=found.snapshot if found else "",
            prompt_hash=self.prompt_hash,
            policy_hash=self.policy_hash,
            passages=[
                {
                    "chunk_id": passage.chunk.id,
                    "path": passage.chunk.path,
                    "heading": list(passage.chunk.heading),
                    "version": passage.chunk.version,
                    "score": passage.score,
                    "cosine": passage.cosine,
                }
                for passage in (found.passages if found else ())
            ],
            findings=[each.as_json() for each in self.findings],
            timings=dict(self.stages.milliseconds),
            status=status,
            **values,  # type: ignore[arg-type]
        )
