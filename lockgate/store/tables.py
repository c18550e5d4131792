"""Every table of the store. A change here needs a new revision in migrations/versions and a new HEAD in database.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from lockgate.store.columns import AnyText, UtcDateTime

OPEN = 2**53 - 1
"""``documents.until_seq`` of a document that is still current: larger than any snapshot's sequence number."""

JsonObject = dict[str, Any]
JsonList = list[Any]


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        str: AnyText,
        datetime: UtcDateTime,
        int: BigInteger,
        float: Double,
        bool: Boolean,
        bytes: LargeBinary,
        JsonObject: JSON,
        JsonList: JSON,
    }


class Trace(Base):
    """One answered request, also a failed or cancelled one."""

    __tablename__ = "traces"
    __table_args__ = (
        CheckConstraint("status IN ('ok', 'error', 'cancelled')", name="status"),
        # The list is read newest first; the id makes the order total.
        Index(None, "created_at", "id"),
        Index(None, "release", "created_at"),
        Index(None, "rollout", "created_at"),
        Index("ix_traces_rollout_arm_created_at", "rollout", "arm", "created_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    origin: Mapped[str]
    chain: Mapped[str]
    model: Mapped[str]
    mode: Mapped[str]
    question: Mapped[str]
    condensed_question: Mapped[str]
    history: Mapped[JsonList]
    release: Mapped[str]
    snapshot: Mapped[str]
    prompt_hash: Mapped[str]
    policy_hash: Mapped[str]
    passages: Mapped[JsonList]
    answer: Mapped[str]
    abstained: Mapped[bool]
    citations: Mapped[JsonList]
    timings: Mapped[JsonObject]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    guardrails: Mapped[JsonList]
    status: Mapped[str]
    error_code: Mapped[str]
    error: Mapped[str]
    channel: Mapped[str] = mapped_column(default="", server_default="")
    rollout: Mapped[str] = mapped_column(default="", server_default="")
    arm: Mapped[str] = mapped_column(default="", server_default="")
    shadow_of: Mapped[str] = mapped_column(default="", server_default="")
    findings: Mapped[JsonList] = mapped_column(default=list, server_default="[]")
    grounding: Mapped[JsonObject | None] = mapped_column(JSON(none_as_null=True))


class Feedback(Base):
    """What a reader thought of an answer; one row per trace, the last vote wins."""

    __tablename__ = "feedback"
    __table_args__ = (CheckConstraint("vote IN ('up', 'down')", name="vote"), Index(None, "updated_at"))

    trace_id: Mapped[str] = mapped_column(ForeignKey("traces.id", ondelete="CASCADE"), primary_key=True)
    vote: Mapped[str]
    comment: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Snapshot(Base):
    """An immutable, named state of the index. ``seq`` orders them and is never used twice."""

    __tablename__ = "snapshots"
    __table_args__ = (
        UniqueConstraint("id"),
        CheckConstraint("kind IN ('bm25', 'hybrid')", name="kind"),
        {"sqlite_autoincrement": True},
    )

    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    id: Mapped[str]
    kind: Mapped[str]
    parent: Mapped[str | None]
    manifest: Mapped[str]
    lexicon: Mapped[str]
    embedder: Mapped[str]
    chunking: Mapped[JsonObject]
    documents: Mapped[int]
    chunks: Mapped[int]
    pinned: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]


class Pointer(Base):
    """A name that moves, such as "current", and the snapshot it points at."""

    __tablename__ = "pointers"

    name: Mapped[str] = mapped_column(primary_key=True)
    snapshot_seq: Mapped[int] = mapped_column(Integer, ForeignKey("snapshots.seq"))


class Document(Base):
    """A page in the versions that snapshots hold: visible to those with from_seq <= seq < until_seq."""

    __tablename__ = "documents"
    __table_args__ = (
        UniqueConstraint("source", "path", "from_seq"),
        Index(None, "source", "until_seq"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    source: Mapped[str]
    path: Mapped[str]
    version: Mapped[str]
    title: Mapped[str]
    format: Mapped[str]
    size: Mapped[int]
    mtime_ns: Mapped[int]
    chunk_ids: Mapped[JsonList]
    from_seq: Mapped[int]
    until_seq: Mapped[int] = mapped_column(default=OPEN)


class Sync(Base):
    """One run of sync; ``seq`` is the snapshot it ended in, None until then."""

    __tablename__ = "syncs"
    __table_args__ = (
        CheckConstraint("state IN ('running', 'done', 'failed')", name="state"),
        Index(None, "source", "started_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int | None]
    source: Mapped[str]
    state: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    report: Mapped[JsonObject] = mapped_column(default=dict)


class Vector(Base):
    """An embedding kept by (embedder digest, text hash), so that no text is embedded twice."""

    __tablename__ = "vectors"

    embedder: Mapped[str] = mapped_column(primary_key=True)
    text_hash: Mapped[str] = mapped_column(primary_key=True)
    vector: Mapped[bytes]  # float32, little-endian


class Fact(Base):
    """What this store knows of itself, such as the project's own id."""

    __tablename__ = "facts"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class EvalRun(Base):
    """One execution of a suite; its rows lie in the object folder under ``rows_hash``."""

    __tablename__ = "eval_runs"
    __table_args__ = (Index(None, "suite", "chain", "mode", "model", "started_at"), Index(None, "started_at"))

    id: Mapped[str] = mapped_column(primary_key=True)
    suite: Mapped[str]
    suite_version: Mapped[str]
    suite_hash: Mapped[str]
    chain: Mapped[str]
    mode: Mapped[str]
    model: Mapped[str]
    release: Mapped[str]
    snapshot: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    aggregates: Mapped[JsonObject]
    rows_hash: Mapped[str]
    # "metadata" is taken on declarative classes, so only the column carries the name.
    details: Mapped[JsonObject] = mapped_column("metadata")


class EvalPlan(Base):
    """A run that has begun and not finished: what it set out to do. It goes when its EvalRun is written."""

    __tablename__ = "eval_plans"
    __table_args__ = (Index(None, "started_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    suite: Mapped[str]
    suite_hash: Mapped[str]
    release: Mapped[str]
    plan: Mapped[JsonObject]
    started_at: Mapped[datetime]


class EvalRow(Base):
    """One case, asked and scored, of a run that has not finished."""

    __tablename__ = "eval_rows"

    run: Mapped[str] = mapped_column(ForeignKey("eval_plans.id", ondelete="CASCADE"), primary_key=True)
    case_id: Mapped[str] = mapped_column(primary_key=True)
    repeat: Mapped[int] = mapped_column(Integer, primary_key=True)
    body: Mapped[JsonObject]
    created_at: Mapped[datetime]


class ModelCall(Base):
    """What a model said, by the hash of everything that it was asked with."""

    __tablename__ = "model_calls"
    __table_args__ = (Index(None, "kind"), Index(None, "created_at"))

    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    value: Mapped[str]
    created_at: Mapped[datetime]


class Release(Base):
    """A release that was built or imported here; its manifest is the object of the same name."""

    __tablename__ = "releases"
    __table_args__ = (Index(None, "created_at"), Index(None, "chain", "created_at"))

    id: Mapped[str] = mapped_column(primary_key=True)
    chain: Mapped[str]
    snapshot: Mapped[str]
    provenance: Mapped[JsonObject]
    purpose: Mapped[str] = mapped_column(default="", server_default="")  # what it was made for besides serving
    created_at: Mapped[datetime]


class Channel(Base):
    """Where a channel of a chain points now. ``version`` goes up by one with every move."""

    __tablename__ = "channels"

    channel: Mapped[str] = mapped_column(primary_key=True)
    chain: Mapped[str] = mapped_column(primary_key=True)
    release: Mapped[str]
    version: Mapped[int]
    forced: Mapped[bool]
    rollout: Mapped[JsonObject]  # {} while there is none
    updated_at: Mapped[datetime]


class ChannelMove(Base):
    """One move of a channel, kept for ever; the unique version makes the history a line."""

    __tablename__ = "channel_moves"
    __table_args__ = (
        UniqueConstraint("channel", "chain", "version"),
        CheckConstraint("action IN ('promote', 'rollback', 'rollout', 'stop')", name="action"),
        Index(None, "channel", "chain", "created_at"),
        {"sqlite_autoincrement": True},
    )

    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    channel: Mapped[str]
    chain: Mapped[str]
    version: Mapped[int]
    action: Mapped[str]
    from_release: Mapped[str]  # "" for the first
    to_release: Mapped[str]
    actor: Mapped[str]
    verified: Mapped[bool]
    reason: Mapped[str]
    forced: Mapped[bool]
    evidence: Mapped[JsonList]
    rollout: Mapped[JsonObject]
    created_at: Mapped[datetime]


class Calibration(Base):
    """How far a judge agreed with labels; what was found lies in the object folder under ``id``, signed by ``key``."""

    __tablename__ = "calibrations"
    __table_args__ = (
        UniqueConstraint("id"),
        CheckConstraint("source IN ('human', 'model', 'mixed')", name="source"),
        Index(None, "judge", "metric", "seq"),
        {"sqlite_autoincrement": True},
    )

    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    id: Mapped[str]
    judge: Mapped[str]
    metric: Mapped[str]
    source: Mapped[str]
    key: Mapped[str]
    signature: Mapped[str]
    created_at: Mapped[datetime]


class Evidence(Base):
    """A suite's signed result for one release; what was found lies in the object folder under ``id``."""

    __tablename__ = "evidence"
    __table_args__ = (UniqueConstraint("id"), Index(None, "release", "suite", "seq"), {"sqlite_autoincrement": True})

    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    id: Mapped[str]
    release: Mapped[str]
    suite: Mapped[str]
    suite_version: Mapped[str]
    suite_hash: Mapped[str]
    run: Mapped[str]
    created_at: Mapped[datetime]
