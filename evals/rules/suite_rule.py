"""The rule ``suite``: the evidence of one suite clears its floors, and is no worse than the release now in the channel.

Every number is computed from the signed rows. A case without a score counts as the worst that it could have been, so
that losing a score never helps; missing evidence is INCONCLUSIVE, and says what to run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from evals.metrics.catalogue import resolve_metric
from evals.metrics.metric import Metric
from evals.rules.check import Check, finding_of
from evals.rules.coverage import coverage_checks, zero_tolerance_checks
from evals.rules.definitions import SuiteRule
from evals.rules.leaks import leak_check
from evals.rules.measured import Measured, pairs_of, read_measured, strange, values_of
from evals.statistics.decision import Decision, decide_together, floor, non_inferior
from evals.verdict import Finding, GateContext
from lockgate.errors import LockgateError
from lockgate.ports import Progress

if TYPE_CHECKING:
    from evals.rules.records import Records
    from evals.suite import Suite

MAX_LONELY = 0.1
"""Share of the cases that a metric may apply to in one of the two releases only, before they cannot be compared."""

_STAGE = "suite"


async def judge_suite(rule: SuiteRule, context: GateContext, progress: Progress) -> Finding:
    """Reads files and computes, so it runs in a thread: a server that judges goes on answering."""
    progress(_STAGE, 0, 0)
    found = await asyncio.to_thread(_judge, rule, context)
    progress(_STAGE, 1, 1)
    return found


def _judge(rule: SuiteRule, context: GateContext) -> Finding:
    records = context.records
    if records is None:
        return Finding("INCONCLUSIVE", "No evidence can be read here.")
    suite = records.suite(rule.suite or _suite_of_chain(context))
    details: dict[str, Any] = {"suite": suite.name, "suite_version": suite.definition.version, "suite_hash": suite.hash}
    if unmeasured := [name for name in rule.metrics if name not in suite.definition.metrics]:
        return Finding(
            "INCONCLUSIVE",
            f"The suite {suite.name} does not measure {', '.join(unmeasured)}.",
            f"Name it under metrics in {suite.name}/suite.yaml, or take it out of the gate.",
            details,
        )
    new, why_not = _measured(records, suite, context.release_id, "the release")
    if new is None:
        return Finding("INCONCLUSIVE", why_not, _run_hint(suite, context.release_id), details)
    details |= {"evidence": new.evidence.id, "run": new.evidence.body.run}
    metrics = {name: resolve_metric(name) for name in rule.metrics}
    checks = [
        *_identity_checks(new, context),
        *_age_checks(rule, new, context),
        *coverage_checks(rule, new, metrics),
        *zero_tolerance_checks(rule, new, metrics),
        *_vote_checks(records, new, metrics),
        leak_check(new, context.manifest),
    ]
    old, baseline = _baseline(rule, context, records, suite, new)
    details |= {"compared_with": context.current, "compared_evidence": old.evidence.id if old else None}
    checks += baseline
    if old is not None:
        checks += _same_judge_checks(rule, new, old, metrics)
    checks += _decided(rule, new, old, metrics)
    return finding_of(checks, details)


def _measured(records: Records, suite: Suite, release: str, whose: str) -> tuple[Measured | None, str]:
    """(what was measured, "") or (None, why not)."""
    found = records.find(release, suite)
    if found.evidence is None:
        first = f"No evidence of suite {suite.name} v{suite.definition.version} counts for {whose} {release[:12]}"
        return None, f"{first}: {' '.join(found.why)}" if found.why else f"{first}: none is on record."
    try:
        return read_measured(records, suite, found.evidence), ""
    except LockgateError as error:
        return None, f"The evidence of {whose} {release[:12]} does not count: {error.message}"


def _run_hint(suite: Suite, release: str) -> str:
    return f"Run: lockgate evals run {suite.name} --release {release[:12]}"


def _suite_of_chain(context: GateContext) -> str:
    named = context.manifest.chain.get("suite")
    if not isinstance(named, str) or not named:
        raise LockgateError(
            f"The chain {context.manifest.name!r} of this release names no suite.",
            hint="Set suite in the chain definition and build the release again, or name a suite in the gate.",
        )
    return named


def _identity_checks(new: Measured, context: GateContext) -> list[Check]:
    problem = strange(new, context.manifest)
    if not problem:
        return []
    return [Check("identity", "INCONCLUSIVE", problem, _run_hint(new.suite, context.release_id))]


def _age_checks(rule: SuiteRule, new: Measured, context: GateContext) -> list[Check]:
    if rule.max_age_days is None:
        return []
    finished = new.evidence.body.finished_at
    if finished > context.now + timedelta(days=1):
        reason = "The evidence is from the future: a clock is wrong."
        return [Check("age", "INCONCLUSIVE", reason, "Set the clock, then run the suite again.")]
    if context.now - finished <= timedelta(days=rule.max_age_days):
        return [Check("age", "PASS", f"The evidence is at most {rule.max_age_days} days old.")]
    reason = f"The evidence is older than {rule.max_age_days} days."
    return [Check("age", "INCONCLUSIVE", reason, _run_hint(new.suite, context.release_id))]


def _vote_checks(records: Records, new: Measured, metrics: Mapping[str, Metric]) -> list[Check]:
    """A metric that a judge scores counts only while that judge is calibrated for it."""
    checks = []
    judge = new.judge()
    for name, metric in metrics.items():
        if not _is_judged(metric):
            continue
        granted, why = records.vote(judge, _voting_name(metric))
        checks.append(
            Check(
                f"{name} judge",
                "PASS" if granted else "INCONCLUSIVE",
                f"{name}: {why}.",
                "" if granted else f"Calibrate the judge with labels by people: lockgate evals calibrate {name}",
            )
        )
    return checks


def _is_judged(metric: Metric) -> bool:
    return metric.tier == "judged" or "judge" in metric.needs


def _voting_name(metric: Metric) -> str:
    from evals.judge.metrics import JUDGED_METRICS

    metric = metric.base or metric
    return metric.family if metric.family in JUDGED_METRICS else metric.name


def _same_judge_checks(rule: SuiteRule, new: Measured, old: Measured, metrics: Mapping[str, Metric]) -> list[Check]:
    """Scores of two judges cannot be subtracted."""
    from evals.calibration import prompts_of

    checks = []
    for name in rule.max_drop:
        metric = metrics[name]
        if not _is_judged(metric):
            continue
        prompts = prompts_of(_voting_name(metric))
        judges = [each.narrowed(prompts).id if (each := side.judge()) else None for side in (new, old)]
        if None in judges or judges[0] != judges[1]:
            reason = f"{name}: the two releases were not scored by the same judge with the same prompt."
            checks.append(Check(f"{name} judge of both", "INCONCLUSIVE", reason, "Run both again with one judge."))
    return checks


def _baseline(
    rule: SuiteRule, context: GateContext, records: Records, suite: Suite, new: Measured
) -> tuple[Measured | None, list[Check]]:
    """The release now in the channel as the same suite measured it, and what stands in the way of comparing."""
    if not rule.max_drop:
        return None, []
    current = context.current
    if current is None:
        bounded = bool(rule.floors)
        reason = f"The channel is empty, so there is no release to compare with{'' if bounded else ', and no floor'}."
        resolve = "" if bounded else "Give the rule floors."
        return None, [Check("max_drop", "PASS" if bounded else "INCONCLUSIVE", reason, resolve, {"applies": False})]
    if current == context.release_id:
        return new, []
    old, why_not = _measured(records, suite, current, "the release now in the channel,")
    if old is None:
        return None, [Check("max_drop", "INCONCLUSIVE", why_not, _run_hint(suite, current))]
    if old.missing:
        reason = f"{len(old.missing)} rows of the release now in the channel, {current[:12]}, are missing."
        return old, [Check("max_drop", "INCONCLUSIVE", reason, _run_hint(suite, current))]
    return old, []


def _decided(rule: SuiteRule, new: Measured, old: Measured | None, metrics: Mapping[str, Metric]) -> list[Check]:
    """Floors, floors of slices and drops; a FAIL of one of them has to stand among all of them."""
    decisions: dict[str, Decision] = {}
    checks: list[Check] = []
    for name, bound in rule.floors.items():
        _decide_floor(decisions, checks, f"{name} floor", new, metrics[name], bound)
    for slice_name, values in rule.slices.items():
        for value, floors in values.items():
            for name, bound in floors.items():
                part = (slice_name, value)
                _decide_floor(decisions, checks, f"{name} floor, {slice_name} {value}", new, metrics[name], bound, part)
    if old is not None:
        for name, margin in rule.max_drop.items():
            pairs, weighing, lonely = pairs_of(new, old, metrics[name])
            check = f"{name} drop"
            if not weighing.possible:
                checks.append(_half_missing(check))
                continue
            if lonely > MAX_LONELY * (len(pairs) + lonely):
                reason = f"{name} applies to {lonely} cases in one of the two releases only: too many to compare."
                checks.append(Check(f"{check}, applies", "INCONCLUSIVE", reason, "Compare by another metric too."))
            unscored = sum(pair.old is None for pair in pairs)
            if unscored > rule.max_unscored * len(pairs):
                reason = f"{name}: {unscored} of {len(pairs)} cases of the release now in the channel have no score."
                resolve = _run_hint(new.suite, old.evidence.body.release)
                checks.append(Check(f"{check}, coverage", "INCONCLUSIVE", reason, resolve))
            decisions[check] = non_inferior(pairs, weighing.shape, margin)
    body = new.evidence.body
    looks = {"floor": f"lockgate evals report {body.run}"}
    if old is not None:
        looks["drop"] = f"lockgate evals compare {old.evidence.body.release[:12]} {body.release[:12]}"
    for name, decision in decide_together(decisions).items():
        checks.append(_check_of(name, decision, f"See which cases lost: {looks[decision.kind]}"))
    return checks


def _decide_floor(
    decisions: dict[str, Decision],
    checks: list[Check],
    check: str,
    new: Measured,
    metric: Metric,
    bound: float,
    part: tuple[str, str] | None = None,
) -> None:
    scores = [each for each in new.scores(metric) if part is None or each.slices.get(part[0]) == part[1]]
    if not scores:
        reason = f"No case of the suite is in the slice {part[0]} {part[1]}." if part else "The suite has no case."
        checks.append(Check(check, "INCONCLUSIVE", reason, "Add such cases, or correct the gate."))
        return
    values, weighing = values_of(scores, metric, new.repeats)
    if not weighing.possible:
        checks.append(_half_missing(check))
        return
    decisions[check] = floor(values, weighing.shape, bound)


def _half_missing(check: str) -> Check:
    return Check(
        check,
        "INCONCLUSIVE",
        f"{check}: it needs both answerable and unanswerable cases, and one kind is missing.",
        "Add cases of the other kind.",
    )


def _check_of(name: str, decision: Decision, look: str) -> Check:
    where = name.partition(", ")[2]
    reason = decision.reason if not where else f"In {where}: {decision.reason}"
    figures = decision.as_json()
    for key in ("metric", "verdict", "reason", "hint"):
        del figures[key]
    resolve = decision.hint or (look if decision.verdict == "FAIL" else "")
    return Check(name, decision.verdict, reason, resolve, figures)
