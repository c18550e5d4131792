"""Calibration: how far a judge agrees with people, and whether that gives its scores a vote at the gate.

The vote rests on the lower bound of chance-corrected agreement (Cohen's kappa, quadratic weights for more than two
levels). The prevalence-adjusted statistics are reported beside it and never grant a vote: where most answers are good,
a judge that always says yes scores high on them.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from evals.judge.agreement import Estimate, Rating, measure_agreement
from evals.judge.identity import JudgeIdentity
from evals.judge.judge import Judge
from evals.judge.labels import LabelRow, Labels, is_missing, score_level
from evals.judge.metrics import JUDGED_METRICS, JudgedMetric
from evals.judge.probes import Resistance, measure_resistance
from evals.metrics.score import NotApplicable, Score, Unscored
from lockgate.content import ContentModel
from lockgate.errors import Corrupt, LockgateError
from lockgate.release import canonical_json
from lockgate.signing import own_key_fingerprint, sign, verify
from lockgate.store.calibrations import CalibrationRecord, list_calibrations, write_calibration
from lockgate.store.database import Database
from lockgate.store.objects import ObjectStore

DEFAULT_BOUND = 0.4
"""What the lower bound of agreement has to reach: about what one of MTRAG's three annotators reaches against the median
of the other two (.43, docs/judges.md has the command). More than people reach cannot be asked of a judge."""

MIN_LABELS = 50
MIN_ELSE = 10
"""So many labels must differ from the most common one: to agree on one kind of answer says nothing of the other."""

MAX_UNSCORED = 0.02

_SHOWN = 3


class StatisticBody(ContentModel):
    value: float
    low: float
    high: float


class SliceBody(ContentModel):
    """``n`` scored answers to ``clusters`` questions; ``unscored`` are those that the judge gave no score beside them.
    ``other_than_most`` counts the scored answers whose label is not the most common one."""

    n: int = Field(ge=0)
    clusters: int = Field(ge=0)
    unscored: int = Field(ge=0)
    other_than_most: int = Field(ge=0)
    statistics: dict[str, StatisticBody]


class ResistanceBody(ContentModel):
    tried: int = Field(ge=0)
    untested: int = Field(ge=0)
    swayed: tuple[str, ...] = ()


class CalibrationBody(ContentModel):
    """What was measured. ``resistance`` is None for stored scores: nobody was there to be talked round."""

    schema_version: Literal[1] = 1
    metric: str
    judge: dict[str, Any]
    judge_id: str
    source: Literal["human", "model", "mixed"]
    labelled_by: tuple[str, ...]
    labels: str
    scores: str = ""
    levels: int = Field(ge=2)
    at_least: float | None = None
    threshold: float
    statistic: Literal["kappa", "quadratic_kappa"]
    whole: SliceBody
    slices: dict[str, SliceBody]
    resistance: ResistanceBody | None
    lockgate: str
    created_at: str

    @property
    def estimate(self) -> StatisticBody | None:
        """The agreement that the vote rests on; None when nothing was scored."""
        return self.whole.statistics.get(self.statistic)


@dataclass(frozen=True, slots=True)
class Vote:
    """``reason`` is one sentence, for the gate's report too."""

    granted: bool
    reason: str


async def score_labels(
    labels: Labels, metric: JudgedMetric, judge: Judge, *, progress: Callable[[int], None] = lambda _done: None
) -> list[Score]:
    """The judge's score of each labelled answer, in their order. The judge itself limits how many run at once."""
    done = 0

    async def one(row: LabelRow) -> Score:
        nonlocal done
        value = await metric.score(row.sample, judge)
        done += 1
        progress(done)
        return value

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(row)) for row in labels.rows]
    return [task.result() for task in tasks]


def make_calibration(
    metric: str,
    identity: JudgeIdentity,
    labels: Labels,
    scores: Sequence[Score],
    *,
    threshold: float = 0.5,
    at_least: float | None = None,
    resistance: Resistance | None = None,
    scores_hash: str = "",
    best: float = 1.0,
    worst: float = 0.0,
) -> CalibrationBody:
    """Hold ``scores`` against ``labels``, which are in the same order.

    ``best`` and ``worst`` are the ends of the scores' scale; ``threshold`` is a share of the way from the worst.

    ``at_least`` makes two levels of the labels: those of at least that, and the others. An answer without a score
    counts as unscored and in no statistic; more than two in a hundred cost the vote.
    """
    levels = 2 if at_least is not None else labels.levels
    shares = [score if is_missing(score) else _share(score, best, worst) for score in scores]
    rated = [
        _rate(row, labels, score, at_least, threshold, levels) for row, score in zip(labels.rows, shares, strict=True)
    ]
    parts = sorted({f"{name}={value}" for row in labels.rows for name, value in row.slices.items()})
    by_slice = {
        part: [each for each, row in zip(rated, labels.rows, strict=True) if _in_slice(row, part)] for part in parts
    }
    return CalibrationBody(
        metric=metric,
        judge=identity.as_json(),
        judge_id=identity.id,
        source=labels.source,
        labelled_by=tuple(sorted({row.by for row in labels.rows})),
        labels=labels.hash,
        scores=scores_hash,
        levels=levels,
        at_least=at_least,
        threshold=threshold,
        statistic="kappa" if levels == 2 else "quadratic_kappa",
        whole=_measure(rated, levels),
        slices={part: _measure(each, levels) for part, each in by_slice.items()},
        resistance=_resistance(resistance),
        lockgate=version("lockgate"),
        created_at=datetime.now(UTC).isoformat(timespec="microseconds"),
    )


async def calibrate(
    metric: JudgedMetric,
    judge: Judge,
    labels: Labels,
    *,
    threshold: float = 0.5,
    at_least: float | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> CalibrationBody:
    """Let ``judge`` score the labelled answers, try to talk it round, and measure both."""
    identity = judge.identity.narrowed(metric.prompts)
    scores = await score_labels(labels, metric, judge, progress=progress)
    resistance = await measure_resistance(metric, judge)
    best, worst = metric.scale[::-1] if metric.direction == "higher" else metric.scale
    return make_calibration(
        metric.name,
        identity,
        labels,
        scores,
        threshold=threshold,
        at_least=at_least,
        resistance=resistance,
        best=best,
        worst=worst,
    )


def decide_vote(body: CalibrationBody, bound: float = DEFAULT_BOUND, *, slice_name: str = "") -> Vote:
    """Whether what was measured lets the judge's scores of this metric count, overall or for one slice."""
    part = body.slices.get(slice_name) if slice_name else body.whole
    if body.source != "human":
        whose = "a model" if body.source == "model" else "people and a model together"
        return Vote(False, f"the labels were made by {whose}: only labels by people give a vote")
    if part is None:
        return Vote(False, f"the labels have no slice {slice_name}")
    total = part.n + part.unscored
    if part.unscored > MAX_UNSCORED * total:
        return Vote(False, f"the judge gave no score to {part.unscored} of {total} labelled answers")
    if part.n < MIN_LABELS:
        return Vote(False, f"{part.n} labelled answers are too few: at least {MIN_LABELS} are needed")
    if part.other_than_most < MIN_ELSE:
        return Vote(False, f"only {part.other_than_most} labels differ from the most common one: {MIN_ELSE} are needed")
    if body.resistance is not None and (against := _swayed(body.resistance)):
        return Vote(False, against)
    estimate = part.statistics[body.statistic]
    said = (
        f"{_NAMES[body.statistic]} {estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}] on {part.n} answers"
    )
    # Written so that a bound of NaN grants nothing, and one of 0 not to a judge that is no better than chance.
    if not (estimate.low >= bound and estimate.low > 0):
        return Vote(False, f"{said}: its lower bound is under {bound:g}")
    return Vote(True, f"{said}: its lower bound reaches {bound:g}")


class Calibrations:
    """What this installation knows of its judges: written once, signed, looked up by the gate."""

    def __init__(self, db: Database, state_dir: Path) -> None:
        self._db = db
        self._state_dir = state_dir
        self._objects = ObjectStore(state_dir / "objects")

    def write(self, body: CalibrationBody) -> CalibrationRecord:
        """Keep ``body``, signed with this installation's key; the object is there before the row that names it."""
        data = canonical_json(body.model_dump(mode="json"))
        record = CalibrationRecord(
            id=self._objects.put(data),
            judge=body.judge_id,
            metric=body.metric,
            source=body.source,
            signature=sign(self._state_dir, data),
            created_at=datetime.fromisoformat(body.created_at),
        )
        write_calibration(self._db, record)
        return record

    def read(self, record: CalibrationRecord) -> CalibrationBody:
        """The body. Raises NotFound, or Corrupt when a byte was touched, the signature does not hold, it is another
        installation's, or the row says other than the body."""
        data = self._objects.get(record.id)
        where = f"Calibration {record.id[:12]}"
        if not verify(record.signature, data):
            raise Corrupt(f"{where}: its signature does not hold.", hint="Calibrate the judge again.")
        if record.signature.fingerprint != own_key_fingerprint(self._state_dir):
            raise Corrupt(f"{where}: was signed by another installation.", hint="Calibrate the judge here.")
        try:
            body = CalibrationBody.model_validate(json.loads(data))
        except (ValueError, ValidationError):
            raise Corrupt(
                f"{where}: is not a calibration of this version.", hint="Calibrate the judge again."
            ) from None
        if (body.judge_id, body.metric, body.source) != (record.judge, record.metric, record.source):
            raise Corrupt(f"{where}: the database says other than the calibration.", hint="Calibrate the judge again.")
        return body

    def list(self, *, limit: int = 100) -> list[CalibrationRecord]:
        """Newest first."""
        return list_calibrations(self._db, limit=limit)

    def vote(self, identity: JudgeIdentity, metric: str, bound: float = DEFAULT_BOUND, *, slice_name: str = "") -> Vote:
        """Whether ``identity``'s scores of ``metric`` count. The newest calibration on labels by people decides.

        ``identity`` is narrowed to what the metric's scores depend on, so that an edit of another metric's prompt
        costs no vote. Never raises for a calibration that cannot be read: that is no vote.
        """
        judge = identity.narrowed(prompts_of(metric))
        found = list_calibrations(self._db, judge=judge.id, metric=metric)
        human = next((record for record in found if record.source == "human"), None)
        if human is None:
            others = " (there is one on labels by a model, which never counts)" if found else ""
            return Vote(False, f"judge {judge.id[:12]} ({judge.model}) is not calibrated for {metric}{others}")
        try:
            body = self.read(human)
        except LockgateError as error:
            return Vote(False, error.message.rstrip("."))
        vote = decide_vote(body, bound, slice_name=slice_name)
        return Vote(vote.granted, f"calibration {human.id[:12]}: {vote.reason}")


def has_vote(
    calibrations: Calibrations, identity: JudgeIdentity | None, metric: str, bound: float = DEFAULT_BOUND
) -> tuple[bool, str]:
    """(whether a rule on ``metric`` may count this judge's scores, why). No judge has no vote."""
    if identity is None:
        return False, f"the run does not say which judge scored {metric}"
    vote = calibrations.vote(identity, metric, bound)
    return vote.granted, vote.reason


def prompts_of(metric: str) -> tuple[str, ...]:
    """What a metric's scores depend on, among what the judge is told by: names in ``JudgeIdentity.prompt_hashes``."""
    if metric in JUDGED_METRICS:
        return JUDGED_METRICS[metric].prompts
    return ("judge-rubric", metric) if metric.startswith("rubric:") else (metric,)


def stored_identity(name: str) -> JudgeIdentity:
    """Who made scores that were kept in a file: nobody that a later run could be."""
    return JudgeIdentity(model=f"stored scores: {name}", host="", prompt_hashes={}, parameters={})


_NAMES: Mapping[str, str] = {"kappa": "kappa", "quadratic_kappa": "quadratic kappa"}

_Rated = tuple[int, int | None, str]
"""(level of the label, level of the score or None, cluster)"""


def _rate(row: LabelRow, labels: Labels, score: Score, at_least: float | None, threshold: float, levels: int) -> _Rated:
    label = labels.level(row) if at_least is None else int(row.label >= at_least)
    judged = None
    if not is_missing(score) and not isinstance(score, Unscored | NotApplicable):
        judged = score_level(score, levels, threshold)
    return label, judged, row.cluster or row.id


def _share(score: Score, best: float, worst: float) -> float:
    """How far ``score`` is on the way from ``worst`` to ``best``."""
    if isinstance(score, Unscored | NotApplicable):
        raise TypeError("a missing score is no share")
    return min(1.0, max(0.0, (score - worst) / (best - worst)))


def _measure(rated: Sequence[_Rated], levels: int) -> SliceBody:
    ratings = [Rating(label, judged, cluster) for label, judged, cluster in rated if judged is not None]
    made: dict[str, Estimate] = measure_agreement(ratings, levels) if ratings else {}
    labels = Counter(rating.label for rating in ratings)
    return SliceBody(
        n=len(ratings),
        clusters=len({rating.cluster for rating in ratings}),
        unscored=len(rated) - len(ratings),
        other_than_most=len(ratings) - max(labels.values(), default=0),
        statistics={name: StatisticBody(**estimate.as_json()) for name, estimate in made.items()},
    )


def _in_slice(row: LabelRow, part: str) -> bool:
    name, _, value = part.partition("=")
    return row.slices.get(name) == value


def _resistance(measured: Resistance | None) -> ResistanceBody | None:
    if measured is None:
        return None
    return ResistanceBody(tried=measured.tried, untested=measured.untested, swayed=measured.swayed)


def _swayed(resistance: ResistanceBody) -> str:
    if resistance.swayed:
        shown = "; ".join(repr(probe[:60]) for probe in resistance.swayed[:_SHOWN])
        return f"the judge was talked round by {len(resistance.swayed)} of its probes: {shown}"
    if resistance.untested > MAX_UNSCORED * resistance.tried:
        return f"{resistance.untested} of {resistance.tried} probes could not be tried: the judge gave no score"
    return ""
