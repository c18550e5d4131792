"""A report as a comment on a pull request: the verdict, a table of differences, and the cases that changed most.

Everything that is not Lockgate's own text stands in a code span or a fenced block, where a forge makes no mention, link
or image of it and reads no HTML. The whole stays below the size that a comment may have.
"""

from __future__ import annotations

from collections.abc import Iterator

from evals.comparing.compare import MetricComparison
from evals.comparing.score_changes import KINDS, ScoreChange, counts_in_words
from evals.metrics.catalogue import resolve_metric
from evals.reports.changes import CaseChange, counts_of, said
from evals.reports.figures import figures_of
from evals.reports.report import Report
from evals.reports.texts import code_block, code_span, excerpt, html, one_line
from evals.runs.row import Row
from evals.verdict import RuleResult

MAX_CHARACTERS = 60_000
"""GitHub takes 65,536 characters; the rest is left to whoever posts the comment."""

CHANGED = 5
ANSWER = 1_500
QUESTION = 400
_METRICS, _CHECKS, _SLICES, _FAILED = 60, 40, 60, 10
_MARKS = {"PASS": "\u2705", "FAIL": "\u274c", "INCONCLUSIVE": "\u26a0\ufe0f"}
_ENDED = "\n\n_The rest is left out: it would be too long for a comment._\n"


def render_markdown(report: Report, *, limit: int = MAX_CHARACTERS) -> str:
    """GitHub-flavoured Markdown of at most ``limit`` characters."""
    text = ""
    for part in _parts(report):
        if len(text) + len(part) + len(_ENDED) + 2 > limit:
            return (text + _ENDED).strip()[:limit] + "\n"
        text += part + "\n\n"
    return text.strip() + "\n"


def _parts(report: Report) -> Iterator[str]:
    """Most important first; each stands alone, so that the text can end after any of them."""
    yield f"### Evals: {code_span(f'{report.run.suite} v{report.run.suite_version}')}"
    if report.verdict is not None:
        yield _verdict(report)
    bad = [each.text for each in report.warnings if each.level == "bad"]
    if bad:
        yield "\n".join(f"> **Not to be relied on.** {code_span(text, 600)}" for text in bad)
    yield _who(report)
    if report.gate is not None:
        yield _checks(report.gate.rules)
    yield _differences(report) if report.comparison else _values(report)
    if report.comparison:
        yield f"Cases: {counts_in_words(counts_of(report.changes), report.comparison.cases)}."
    notes = [each.text for each in report.warnings if each.level == "note"]
    if notes:
        yield "\n".join(f"- {code_span(text, 600)}" for text in notes)
    shown = [each for each in report.changes if each.kind != "answer"][:CHANGED]
    for change in shown:
        yield _case(change)
    reasons = [(row, report.run.missing_reasons(row)) for row in report.run.rows]
    if failed := [(row, why) for row, why in reasons if why]:
        yield _failed(failed)
    if report.comparison and any(each.slices for each in report.comparison.metrics):
        yield _slices(report.comparison.metrics)


def _verdict(report: Report) -> str:
    verdict = report.verdict or ""
    whose = f"gate of {code_span(report.gate.channel)}" if report.gate else "against the margins"
    if verdict == "PASS" and not report.sound:
        return f"**{_MARKS['INCONCLUSIVE']} INCONCLUSIVE for this run**; {whose} passed by other evidence than this run"
    return f"**{_MARKS[verdict]} {verdict}**, {whose}"


def _who(report: Report) -> str:
    run, base = report.run, report.base
    lines = [f"Release {code_span(run.release[:12] or 'unknown')}, run {code_span(run.id)}, {_cases(report)}."]
    if base is not None:
        named = f"{code_span(report.base_name)}, " if report.base_name else ""
        lines.append(
            f"Base: {named}release {code_span(base.release[:12] or 'unknown')}, run {code_span(base.id)}. "
            "Differences are this release minus the base, over the same cases; more is better."
        )
    return "\n".join(lines)


def _cases(report: Report) -> str:
    count, repeats = report.run.aggregates["cases"], report.run.repeats
    return f"{count} cases" if repeats == 1 else f"{count} cases, {repeats} times each"


def _differences(report: Report) -> str:
    metrics = report.comparison.metrics if report.comparison else ()
    margins = bool(report.margins)
    heads = ["metric", "base", "this", "difference", "95 % interval", "n", "unscored", "worse", "better"]
    rows = [_difference(report, each) for each in metrics[:_METRICS]]
    if margins:
        heads.insert(5, "allowed drop")
    return _table(heads, rows, len(metrics) - _METRICS)


def _difference(report: Report, each: MetricComparison) -> list[str]:
    figures, found = figures_of(each.metric, each.scale), each.difference
    cells = [
        code_span(each.metric),
        figures.value(_value(report, each.metric, base=True)),
        figures.value(_value(report, each.metric)),
        _strong(figures.signed(found.value), each),
        figures.signed_interval(found.low, found.high) or "-",
        str(found.n),
        _unscored(found.dropped, each.lonely),
        str(len(each.worse)),
        str(len(each.better)),
    ]
    if report.margins:
        margin = report.margins.get(each.metric)
        cells.insert(5, "" if margin is None else figures.value(margin))
    return cells


def _value(report: Report, metric: str, *, base: bool = False) -> float | None:
    run = report.base if base else report.run
    each = run.aggregates["metrics"].get(metric) if run else None
    return each["value"] if each else None


def _strong(text: str, each: MetricComparison) -> str:
    """Bold where the whole interval is on one side of 0."""
    low, high = each.difference.low, each.difference.high
    return f"**{text}**" if low is not None and high is not None and (low > 0 or high < 0) else text


def _unscored(dropped: int, lonely: int) -> str:
    return f"**{dropped}**" + (f" + {lonely} n/a" if lonely else "") if dropped else f"{lonely} n/a" if lonely else "0"


def _values(report: Report) -> str:
    """A run on its own."""
    found = report.run.aggregates["metrics"]
    rows = []
    for name, each in list(found.items())[:_METRICS]:
        figures = figures_of(name, tuple(each["scale"]))
        unscored = f"**{each['unscored']}**" if each["unscored"] else "0"
        interval = figures.interval(each["low"], each["high"]) or "-"
        rows.append([code_span(name), figures.value(each["value"]), interval, str(each["n"]), unscored])
    return _table(["metric", "value", "95 % interval", "n", "unscored"], rows, len(found) - _METRICS)


def _checks(rules: tuple[RuleResult, ...]) -> str:
    """What the gate's rules say: each check that is not a pass, and how many are."""
    lines, passed = [], 0
    for rule in rules:
        checks = [
            (str(each["verdict"]), str(each["reason"]), str(each["resolve"])) for each in rule.details.get("checks", ())
        ]
        for verdict, reason, resolve in checks or [(rule.verdict, rule.reason, rule.hint)]:
            if verdict == "PASS":
                passed += 1
            else:
                hint = f" {code_span(resolve)}" if resolve else ""
                lines.append(f"- {_MARKS.get(verdict, '')} {verdict} {code_span(rule.rule)}: {code_span(reason)}{hint}")
    if len(lines) > _CHECKS:
        lines[_CHECKS:] = [f"- and {len(lines) - _CHECKS} more"]
    return "\n".join([*lines, f"- {passed} checks pass."])


def _case(change: CaseChange) -> str:
    scores = "\n".join(f"- {_score(each)}" for each in change.scores)
    question = excerpt(change.row.question, QUESTION)
    return _folded(
        f"{KINDS[change.kind]}: <code>{html(one_line(change.case)[:80])}</code>",
        code_block([f"Question: {question}"], "text"),
        scores,
        code_block([*_side("-", change.old), *_side("+", change.new)], "diff"),
    )


def _score(each: ScoreChange) -> str:
    figures = figures_of(each.metric, resolve_metric(each.metric).scale)
    reasons = [code_span(why) for why in (each.why_old, each.why_new) if why]
    old, new = (figures.value(score) if score is not None else "unscored" for score in (each.old, each.new))
    return f"{code_span(each.metric)} {old} \u2192 {new}{': ' if reasons else ''}{', '.join(reasons)}"


def _side(sign: str, row: Row | None) -> Iterator[str]:
    """An answer as the lines of a difference: the sign before each keeps any of them from ending the block."""
    for line in excerpt(said(row), ANSWER).split("\n"):
        yield f"{sign} {line}"


def _failed(rows: list[tuple[Row, list[str]]]) -> str:
    lines = [f"- {code_span(row.case, 80)} {code_span('; '.join(why[:3]))}" for row, why in rows[:_FAILED]]
    if len(rows) > _FAILED:
        lines.append(f"- and {len(rows) - _FAILED} more")
    return _folded(f"{len(rows)} rows that failed or lack a score", "\n".join(lines))


def _slices(metrics: tuple[MetricComparison, ...]) -> str:
    rows = []
    for each in metrics:
        figures = figures_of(each.metric, each.scale)
        for part in each.slices:
            found = part.difference
            interval = figures.signed_interval(found.low, found.high) or "-"
            where = code_span(f"{part.name}: {part.value}", 80)
            rows.append([code_span(each.metric), where, figures.signed(found.value), interval, str(found.n)])
    table = _table(["metric", "slice", "difference", "95 % interval", "n"], rows[:_SLICES], len(rows) - _SLICES)
    return _folded("By slice, not corrected for their number", table)


def _folded(summary: str, *parts: str) -> str:
    """``summary`` is HTML, the parts Markdown."""
    return "\n\n".join([f"<details><summary>{summary}</summary>", *(part for part in parts if part), "</details>"])


def _table(heads: list[str], rows: list[list[str]], more: int = 0) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join('---' for _ in heads)}|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + (f"\n\nAnd {more} more." if more > 0 else "")
