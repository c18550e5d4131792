"""Whether enough was scored to judge by, and whether what must be perfect is."""

from __future__ import annotations

from collections.abc import Mapping

from evals.metrics.metric import Metric
from evals.probes.probe import probed_from_json
from evals.rules.check import Check
from evals.rules.definitions import SuiteRule
from evals.rules.measured import Measured

_SHOWN = 5


def coverage_checks(rule: SuiteRule, new: Measured, metrics: Mapping[str, Metric]) -> list[Check]:
    """For each metric: enough cases with a score, and hardly any without."""
    checks = []
    if new.missing:
        shown = ", ".join(new.missing[:_SHOWN]) + (", ..." if len(new.missing) > _SHOWN else "")
        reason = f"{len(new.missing)} of {len(new.suite.cases)} cases have no row, or not all of their rows: {shown}."
        checks.append(Check("rows", "INCONCLUSIVE", reason, _again(new, len(new.missing))))
    checks += [_coverage(rule, name, metric, new) for name, metric in metrics.items()]
    return checks


def zero_tolerance_checks(rule: SuiteRule, new: Measured, metrics: Mapping[str, Metric]) -> list[Check]:
    """Every case is perfect. One without a score counts as a breach: otherwise crashing would be a way out."""
    checks = []
    for name in rule.zero_tolerance:
        metric = metrics[name]
        best = metric.scale[1] if metric.direction == "higher" else metric.scale[0]
        due = [each for each in new.scores(metric) if each.applies]
        breached = [each.case.id for each in due if each.number is not None and each.number != best]
        unscored = [each.case.id for each in due if each.number is None]
        check = f"{name} zero tolerance"
        figures = {"n": len(due), "breached": breached, "unscored": unscored}
        if breached:
            reason = f"{name}: {len(breached)} of {len(due)} cases are not perfect: {', '.join(breached[:_SHOWN])}."
            reason += _first_failure(new, breached)
            look = f"See the cases: lockgate evals report {new.evidence.body.run}"
            checks.append(Check(check, "FAIL", reason, look, figures))
        elif unscored:
            reason = (
                f"{name}: {len(unscored)} of {len(due)} cases have no score, which counts as a breach where nothing is "
                f"tolerated: {', '.join(unscored[:_SHOWN])}."
            )
            checks.append(Check(check, "FAIL", reason, _again(new, len(unscored)), figures))
        elif not due:
            reason = f"{name} applies to no case of the suite."
            checks.append(Check(check, "INCONCLUSIVE", reason, "Add cases that it applies to.", figures))
        else:
            checks.append(Check(check, "PASS", f"{name}: all {len(due)} cases are perfect.", figures=figures))
    return checks


def _first_failure(new: Measured, breached: list[str]) -> str:
    """What the first of these cases says of itself, if it is one that probes."""
    for case in breached:
        for row in new.rows.get(case, ()):
            found = probed_from_json(row.probed)
            if found is not None and found.failures:
                return f" First: {found.failures[0].rstrip('. ')[:300]}."
    return ""


def _coverage(rule: SuiteRule, name: str, metric: Metric, new: Measured) -> Check:
    check = f"{name} cases"
    due = [each for each in new.scores(metric) if each.applies]
    unscored = [each for each in due if each.number is None]
    scored = len(due) - len(unscored)
    # What must be perfect is often asked in a few cases only: there each of them counts, not how many there are.
    needed = rule.min_n if name in rule.bounded else 1
    figures = {"due": len(due), "n": scored, "min_n": needed, "max_unscored": rule.max_unscored}
    if not due:
        return Check(check, "INCONCLUSIVE", f"{name} applies to no case of the suite.", "Add cases.", figures)
    if len(unscored) > rule.max_unscored * len(due):
        first = unscored[0]
        reason = (
            f"{name}: {len(unscored)} of {len(due)} cases have no score, and at most {rule.max_unscored:.1%} may lack "
            f"one; first {first.case.id}: {getattr(first.score, 'reason', '')[:200].rstrip('. ')}."
        )
        judged = metric.tier == "judged" or "judge" in metric.needs
        return Check(check, "INCONCLUSIVE", reason, _again(new, len(unscored), judged=judged), figures)
    if scored < needed:
        more = needed - scored
        reason = f"{name}: {scored} scored cases are too few, {needed} are needed."
        return Check(check, "INCONCLUSIVE", reason, f"{more} more case{'s' if more > 1 else ''}.", figures)
    return Check(check, "PASS", f"{name}: {scored} of {len(due)} cases are scored, {needed} are needed.", "", figures)


def _again(new: Measured, count: int, *, judged: bool = False) -> str:
    body = new.evidence.body
    what = f"{'Re-judge' if judged else 'Score'} {count} row{'s' if count > 1 else ''}"
    return f"{what}: lockgate evals run {body.suite} --release {body.release[:12]}"
