"""Evidence: what a finished run found of a release, signed, and named by the hash of its own bytes.

Evidence counts for exactly that release and that suite. Whatever the database says of it is only where to look: what
is believed is the signed body, and the rows by the hash in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AwareDatetime, Field, ValidationError

from evals.runs.row import Row, rows_from_json
from evals.trusted_keys import FILE, Trust, load_trust
from lockgate.content import ContentModel
from lockgate.errors import Corrupt, LockgateError
from lockgate.release import canonical_json
from lockgate.signing import Signature, fingerprint, sign, verify
from lockgate.store.evidence import EvidenceRecord, list_evidence, write_evidence
from lockgate.store.objects import ObjectStore

if TYPE_CHECKING:
    from lockgate.settings import Settings
    from lockgate.store.database import Database
    from lockgate.store.eval_runs import EvalRunRecord

LOOKED_AT = 50
"""How many pieces of evidence of one release and suite are weighed, the last written first. Those of keys that are not
trusted are passed over: whoever hands over a file of them must not hide what was measured here."""

MOST_REASONS = 20
"""Why evidence does not count is said of so many pieces."""

_AGAIN = "Run the suite again."
_MOST = 1e300  # also of a whole number, and no NaN is smaller


class EvidenceBody(ContentModel):
    """``rows`` is the hash of the object that holds the rows. ``aggregates`` maps each metric to its value, interval,
    counts, scale and direction; ``by_slice`` has the same for each slice and value.

    ``complete``: every case of the suite was asked, as often as the run set out to. ``judge`` says who judged.
    """

    format: Literal[1] = 1
    release: str
    chain: str
    mode: str
    snapshot: str
    suite: str
    suite_version: str
    suite_hash: str
    run: str
    rows: str
    split: str
    limit: int | None
    repeats: int = Field(ge=1)
    tier: str
    cases: int = Field(ge=0)
    failed: int = Field(ge=0)
    aggregates: dict[str, Any]
    by_slice: dict[str, Any]
    judge: dict[str, Any] | None
    environment: dict[str, Any]
    started_at: AwareDatetime
    finished_at: AwareDatetime
    complete: bool

    def canonical(self) -> bytes:
        return canonical_json(self.model_dump(mode="json"))


class _Envelope(ContentModel):
    body: dict[str, Any]
    key: str
    signature: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A body whose signature holds. ``own``: it was signed with this installation's key; ``trusted_as`` is the name of
    the trusted key that signed it instead."""

    id: str
    body: EvidenceBody
    fingerprint: str
    own: bool
    trusted_as: str = ""

    @property
    def trusted(self) -> bool:
        return self.own or bool(self.trusted_as)

    @property
    def whose(self) -> str:
        """Whose key signed it, in words."""
        if self.own:
            return "this installation's own"
        return f"trusted as {self.trusted_as}" if self.trusted_as else "not trusted here"

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "key": self.fingerprint,
            "own_key": self.own,
            "trusted_as": self.trusted_as or None,
            "body": self.body.model_dump(mode="json"),
        }


@dataclass(frozen=True, slots=True)
class Found:
    """The evidence that counts, or ``why`` there is none: a sentence for each piece that was looked at."""

    evidence: Evidence | None
    why: tuple[str, ...] = ()


def record_evidence(settings: Settings, db: Database, run: EvalRunRecord) -> EvidenceRecord:
    """Sign what ``run`` found and keep it. A run over a part of its suite is kept too, and never counts."""
    objects = objects_of(settings)
    body = body_of(run)
    signature = sign(settings.state_dir, body.canonical())
    envelope = {"body": body.model_dump(mode="json"), "key": signature.key, "signature": signature.value}
    record = EvidenceRecord(
        id=objects.put(canonical_json(envelope)),
        release=body.release,
        suite=body.suite,
        suite_version=body.suite_version,
        suite_hash=body.suite_hash,
        run=body.run,
        created_at=datetime.now(UTC),
    )
    write_evidence(db, record)
    return record


def body_of(run: EvalRunRecord) -> EvidenceBody:
    """What is signed of a run. Raises Corrupt when the run holds what JSON cannot: NaN, infinity."""
    facts, totals = dict(run.metadata), run.aggregates
    split, limit = str(facts.get("split", "all")), facts.get("limit")
    judge = facts.get("judge")
    try:
        body = EvidenceBody(
            release=run.release,
            chain=run.chain,
            mode=run.mode,
            snapshot=run.snapshot,
            suite=run.suite,
            suite_version=run.suite_version,
            suite_hash=run.suite_hash,
            run=run.id,
            rows=run.rows_hash,
            split=split,
            limit=limit,
            repeats=facts.get("repeats", 1),
            tier=str(facts.get("tier", "judged")),
            cases=totals.get("cases", 0),
            failed=totals.get("failed", 0),
            aggregates=dict(totals.get("metrics", {})),
            by_slice=dict(totals.get("by_slice", {})),
            judge=dict(judge) if isinstance(judge, Mapping) else None,
            environment={
                "lockgate": facts.get("lockgate", ""),
                "model": facts.get("model", ""),
                **dict(facts.get("environment", {})),
            },
            started_at=run.started_at,
            finished_at=run.finished_at,
            complete=bool(totals.get("complete")) and split == "all" and limit is None,
        )
        canonical_json([body.aggregates, body.by_slice, body.judge, body.environment])  # raises for NaN and infinity
    except (ValidationError, ValueError, TypeError) as error:
        raise Corrupt(f"The run {run.id} cannot become evidence: {error}", hint=_AGAIN) from None
    return body


def read_evidence(objects: ObjectStore, evidence_id: str, trust: Trust | None = None) -> Evidence:
    """The evidence with its signature checked; only the public key in it is needed.

    ``trust`` says whose it is; without it, it is nobody's. Raises NotFound, and Corrupt for anything that was touched.
    """
    return parse_evidence(objects.get(evidence_id), evidence_id, trust)


def parse_evidence(data: bytes, evidence_id: str, trust: Trust | None = None) -> Evidence:
    """What ``read_evidence`` does, for bytes that are not in the object folder yet; their hash is ``evidence_id``."""
    short = evidence_id[:12]
    try:
        envelope = _Envelope.model_validate(json.loads(data))
        body = EvidenceBody.model_validate(envelope.body)
        signed = canonical_json(envelope.body)
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0][:200]
        raise Corrupt(f"Evidence {short} is not evidence of this version: {reason}.", hint=_AGAIN) from None
    if body.canonical() != signed or canonical_json(envelope.model_dump()) != data:
        raise Corrupt(f"Evidence {short} is not in canonical form.", hint=_AGAIN)
    if not verify(Signature(envelope.key, envelope.signature), signed):
        raise Corrupt(f"Evidence {short}: the signature does not hold, so somebody touched it.", hint=_AGAIN)
    if odd := _odd(body):
        raise Corrupt(f"Evidence {short} is well signed and says nothing: {odd}.", hint=_AGAIN)
    own = trust is not None and trust.own == envelope.key
    name = "" if trust is None or own else trust.names.get(envelope.key, "")
    return Evidence(evidence_id, body, fingerprint(envelope.key), own, name)


def _odd(body: EvidenceBody) -> str:
    """What of the body cannot be shown, "" for nothing: who signed it may be anybody."""
    for name, each in body.aggregates.items():
        if not isinstance(each, Mapping) or not all(_is_figure(each.get(key)) for key in ("value", "low", "high")):
            return f"{name[:80]!r} holds no figures"
        if any(type(each.get(key)) is not int for key in ("n", "unscored")):
            return f"{name[:80]!r} does not say how many cases were scored"
    if body.judge and not isinstance(body.judge.get("model"), str):
        return "the judge has no model"
    return ""


def _is_figure(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST)


def evidence_rows(objects: ObjectStore, evidence: Evidence) -> tuple[Row, ...]:
    """The rows that the evidence sums up. Raises NotFound, and Corrupt when they are not those of its release."""
    return parse_rows(objects.get(evidence.body.rows), evidence)


def parse_rows(data: bytes, evidence: Evidence) -> tuple[Row, ...]:
    """What ``evidence_rows`` does, for bytes that are not in the object folder yet."""
    try:
        bodies = json.loads(data)
    except (ValueError, RecursionError):
        raise Corrupt(f"The rows of evidence {evidence.id[:12]} are not JSON.", hint=_AGAIN) from None
    rows = rows_from_json(bodies, where=f"the rows of evidence {evidence.id[:12]}")
    strangers = {row.release for row in rows} - {evidence.body.release}
    if strangers:
        shown = sorted(strangers)[0][:12] or "no release"
        raise Corrupt(f"Evidence {evidence.id[:12]} holds rows of another release ({shown}).", hint=_AGAIN)
    return rows


def find_evidence(settings: Settings, db: Database, release: str, suite: str, suite_hash: str) -> Found:
    """The evidence that counts for exactly this release and suite, of several the one that was measured last; or why
    there is none.

    Evidence that was touched, that is signed with a key which is not trusted, that is of another version of the suite
    or of a part of it does not count. Raises UserError when the list of trusted keys cannot be read.
    """
    why: list[str] = []
    counts: list[Evidence] = []
    trust = load_trust(settings)
    weighed = 0
    for record in list_evidence(db, release=release, suite=suite, limit=None):
        try:
            evidence = read_evidence(objects_of(settings), record.id, trust)
        except LockgateError as error:
            why.append(error.message)
            continue
        weighed += evidence.trusted
        if weighed > LOOKED_AT:
            break
        problem = does_not_count(evidence, release, suite, suite_hash)
        if problem:
            why.append(f"Evidence {evidence.id[:12]} (run {evidence.body.run}) {problem}.")
        else:
            counts.append(evidence)
    # Imported evidence is written later than it was measured. Of two from one instant, the one written last.
    newest = max(counts, key=lambda each: each.body.finished_at, default=None)
    return Found(newest, tuple(why[:MOST_REASONS]))


def does_not_count(evidence: Evidence, release: str, suite: str, suite_hash: str) -> str:
    """Why the evidence does not count, as the rest of a sentence; "" when it does."""
    body = evidence.body
    if not evidence.trusted:
        return f"is signed with the key {evidence.fingerprint} of another installation, which {FILE} does not name"
    if body.release != release:
        return f"is about another release, {body.release[:12]}"
    if body.suite != suite:
        return f"is of another suite, {body.suite}"
    if body.suite_hash != suite_hash:
        return f"is of the suite as it was in version {body.suite_version}, and it has changed since"
    if not body.complete:
        part = f"split {body.split}" + (f", the first {body.limit} cases" if body.limit is not None else "")
        return f"covers a part of the suite only ({part})"
    return ""


def objects_of(settings: Settings) -> ObjectStore:
    return ObjectStore(settings.state_dir / "objects")
