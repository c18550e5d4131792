"""The cases of the page: those that changed with both answers side by side, those that lack scores, and all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from evals.comparing.score_changes import KINDS, Kind, ScoreChange
from evals.metrics.catalogue import resolve_metric
from evals.probes.probe import Probed, probed_from_json
from evals.reports.changes import CaseChange, counts_of
from evals.reports.figures import figures_of
from evals.reports.report import Report
from evals.reports.reported_run import ReportedRun
from evals.reports.texts import excerpt, html, one_line
from evals.runs.row import Row
from prompts.difference import Piece, word_pieces

MAX_TEXT, MIN_TEXT = 20_000, 1_000
TEXTS = 4_000_000
"""Characters of answers on one page at the most: many cases get shorter ones."""

COMPARED = 12_000
"""Characters of two answers that are compared word by word; longer ones stand side by side as they are."""

LISTED = 2_000
LONG = 1_500
_CLASSES = {"lost": "bad", "worse": "bad", "mixed": "unsure", "better": "good", "gained": "good", "answer": "soft"}
_SINGLE = {"failed": "failed or lacks a score", "wrong": "wrongly answered or abstained", "fine": "other"}


def changed_cases(report: Report) -> str:
    """Both answers of every case that changed, with a filter by what became of it and one by metric."""
    changes, base = report.changes, report.base
    if base is None:
        return ""
    if not changes:
        return "<p>No case has another score or another answer.</p>"
    counts = counts_of(changes)
    metrics = metrics_changed(changes)
    kinds = [("all", f"all {len(changes)}"), *((kind, f"{KINDS[kind]} {n}") for kind, n in counts.items() if n)]
    filters = _choice("Show", "kind", kinds)
    if len(metrics) > 1:
        numbered = [(str(number), html(name)) for number, name in enumerate(metrics)]
        filters += _choice("Changed in", "metric", [("all", "any metric"), *numbered])
    limit = _limit(2 * len(changes))
    cards = "".join(_change(each, metrics, limit, report) for each in changes[:LISTED])
    return filters + cards + _more(len(changes))


def filter_rules(report: Report) -> str:
    """The style rules by which the filters work, since the page has no script."""
    kinds = [f"body:has(#kind-{kind}:checked) .change:not(.is-{kind})" for kind in KINDS]
    count = len(metrics_changed(report.changes))
    metrics = [f"body:has(#metric-{number}:checked) .change:not(.m-{number})" for number in range(count)]
    states = [f"body:has(#state-{state}:checked) .row:not(.is-{state})" for state in _SINGLE]
    return f"{','.join([*kinds, *metrics, *states])}{{display:none}}"


def metrics_changed(changes: Sequence[CaseChange]) -> list[str]:
    return list(dict.fromkeys(each.metric for change in changes for each in change.scores))


def missing_scores(run: ReportedRun) -> str:
    """Every row that failed or lacks a score, with the reason; the reasons by number first."""
    found = [(row, reasons) for row in run.rows if (reasons := run.missing_reasons(row))]
    if not found:
        return "<p>Every case has every score that it should have.</p>" if run.rows else "<p>There are no rows.</p>"
    counts = Counter(reason for _, reasons in found for reason in reasons)
    summary = "".join(
        f'<tr><td class="number">{count}</td><td class="text">{html(one_line(reason, 500))}</td></tr>'
        for reason, count in counts.most_common(30)
    )
    rows = "".join(
        f'<tr><td>{html(row.case)}{_repeat(row)}</td><td class="text">'
        f"{'<br>'.join(html(one_line(reason, 500)) for reason in reasons)}</td></tr>"
        for row, reasons in found[:LISTED]
    )
    return (
        f'<p class="bad">{len(found)} of {len(run.rows)} rows failed or lack a score.</p>'
        f'<div class="wide"><table><thead><tr><th class="number">rows</th><th>reason</th></tr></thead>'
        f"<tbody>{summary}</tbody></table></div>"
        f'<details><summary>Row by row</summary><div class="wide"><table><thead><tr><th>case</th><th>reason</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div></details>{_more(len(found))}"
    )


def all_cases(run: ReportedRun) -> str:
    if not run.rows:
        return "<p>There are no rows.</p>"
    states = [_state(run, row) for row in run.rows]
    kinds = [("all", f"all {len(states)}"), *((s, f"{words} {states.count(s)}") for s, words in _SINGLE.items())]
    limit = _limit(len(states))
    rows = "".join(_row(run, row, state, limit) for row, state in list(zip(run.rows, states, strict=True))[:LISTED])
    return _choice("Show", "state", kinds) + rows + _more(len(states))


def _state(run: ReportedRun, row: Row) -> str:
    if run.missing_reasons(row):
        return "failed"
    return "wrong" if row.abstained == row.answerable else "fine"


def _choice(legend: str, name: str, options: Sequence[tuple[str, str]]) -> str:
    """Radio buttons; the labels are HTML, the first one is chosen."""
    labels = "".join(
        f'<label><input type="radio" name="{name}" id="{name}-{value}"{"" if place else " checked"}> {label}</label>'
        for place, (value, label) in enumerate(options)
    )
    return f"<fieldset><legend>{legend}</legend>{labels}</fieldset>"


def _change(change: CaseChange, metrics: list[str], limit: int, report: Report) -> str:
    classes = " ".join(
        ["case", "change", f"is-{change.kind}", *(f"m-{metrics.index(s.metric)}" for s in change.scores)]
    )
    scores = "".join(f"<li>{_score(each)}</li>" for each in change.scores)
    left, right = _sides(change, limit)
    several = f", the first of {report.run.repeats} repeats" if report.run.repeats > 1 else ""
    return (
        f'<article class="{classes}"><h3>{_tag(change.kind)} <bdi>{html(change.case)}</bdi>'
        f'<span class="soft">{_slices(change.row)}</span></h3>{_question(change.row)}'
        f'<ul class="scores">{scores}</ul><div class="sides">'
        f'<div class="side"><b>base{several}</b>{left}</div>'
        f'<div class="side"><b>this run{several}</b>{right}</div></div>'
        f"{_reference(change.row)}</article>"
    )


def _tag(kind: Kind) -> str:
    return f'<span class="tag {_CLASSES[kind]}">{KINDS[kind]}</span>'


def _score(each: ScoreChange) -> str:
    figures = figures_of(each.metric, resolve_metric(each.metric).scale)
    old, new = (figures.value(score) if score is not None else "unscored" for score in (each.old, each.new))
    kind = "bad" if each.new is None or (each.change or 0.0) < 0 else "good"
    whys = " ".join(html(one_line(reason, 300)) for reason in (each.why_old, each.why_new) if reason)
    why = f' <span class="soft">({whys})</span>' if whys else ""
    return f'{html(each.metric)} {old} \u2192 <b class="{kind}">{new}</b>{why}'


def _sides(change: CaseChange, limit: int) -> tuple[str, str]:
    rows = (change.old, change.new)
    texts = [excerpt(row.answer, limit) if row and row.answer is not None else None for row in rows]
    if None not in texts and sum(len(text or "") for text in texts) <= COMPARED:
        pieces = word_pieces(texts[0] or "", texts[1] or "")
        marked = [_marked(pieces, "delete"), _marked(pieces, "insert")]
    else:
        marked = [html(text or "") for text in texts]
    left, right = (_side(row, text) for row, text in zip(rows, marked, strict=True))
    return left, right


def _marked(pieces: Sequence[Piece], op: str) -> str:
    """One side of the difference, escaped, with the words marked that only it has."""
    tag = "del" if op == "delete" else "ins"
    return "".join(
        html(piece.text) if piece.op == "equal" else f"<{tag}>{html(piece.text)}</{tag}>"
        for piece in pieces
        if piece.op in ("equal", op)
    )


def _side(row: Row | None, text: str) -> str:
    """``text`` is HTML."""
    if row is None:
        return '<p class="bad">This run has no row of the case.</p>'
    if row.answer is None:
        return f'<p class="bad">{html(excerpt("; ".join(row.errors) or "No answer is stored.", 2_000))}</p>'
    return _answer(row, text) + _citations(row)


def _answer(row: Row, text: str) -> str:
    long = ' is-long" tabindex="0' if len(text) > LONG else ""
    mark = '<span class="tag unsure">abstains</span> ' if row.abstained else ""
    return f'<div class="answer{long}" dir="auto">{mark}{text}</div>'


def _citations(row: Row) -> str:
    if not row.citations:
        return '<p class="soft">cites nothing</p>'
    items = "".join(f"<li>{_page(str(each.get('path', '')), row)}{_heading(each)}</li>" for each in row.citations[:20])
    return f'<ol class="pages">{items}</ol>'


def _heading(citation: Mapping[str, Any]) -> str:
    heading = " \u203a ".join(map(str, citation.get("heading") or ()))
    return f" \u203a {html(one_line(heading, 120))}" if heading else ""


def _page(path: str, row: Row) -> str:
    """Green where it is one that should be found."""
    return f'<bdi class="{"good" if path in row.pages else ""}">{html(one_line(path, 200))}</bdi>'


def _question(row: Row) -> str:
    turns = (f"{turn.get('role', '')}: {turn.get('content', '')}" for turn in row.history)
    history = "".join(f'<p class="soft" dir="auto">{html(one_line(turn, 500))}</p>' for turn in turns)
    return f'{history}<p dir="auto">{html(excerpt(row.question, 4_000))}</p>'


def _reference(row: Row) -> str:
    if row.probed:
        return ""
    if not row.answerable:
        return '<p class="soft">The documents do not answer this: it should abstain.</p>'
    return f'<p class="soft" dir="auto">Reference: {html(excerpt(row.reference, 4_000))}</p>' if row.reference else ""


def _slices(row: Row) -> str:
    parts = [str(row.split or ""), *(f"{name} {value}" for name, value in (row.slices or {}).items())]
    return html(one_line(", ".join(part for part in parts if part), 200))


def _row(run: ReportedRun, row: Row, state: str, limit: int) -> str:
    found_by_probe = probed_from_json(row.probed)
    if found_by_probe is not None and row.answer is None:
        kind, word = ("bad", "failed") if found_by_probe.failed else ("good", "held")
        mark, shown = f'<span class="tag {kind}">{word}</span>', _probed(found_by_probe)
    elif row.answer is None:
        mark, shown = '<span class="tag bad">failed</span>', _side(row, "")
    else:
        kind = "good" if row.abstained != row.answerable else "bad"
        mark = f'<span class="tag {kind}">{"abstained" if row.abstained else "answered"}</span>'
        shown = _answer(row, html(excerpt(row.answer, limit))) + _citations(row)
    ranking = ", ".join(_page(page, row) for page in (row.ranking or ())[:5])
    found = f'<p class="soft">Found first: {ranking}</p>' if ranking else ""
    scores = "".join(
        f"<li>{html(metric.name)} {figures_of(metric.name, metric.scale).value(score)}</li>"
        for metric in run.metrics
        if metric.base is None and isinstance(score := row.score(metric), float)
    )
    reasons = "".join(f'<li class="bad">{html(one_line(reason, 300))}</li>' for reason in run.missing_reasons(row))
    return (
        f'<details class="row is-{state}"><summary>{mark} <b>{html(row.case)}</b>{_repeat(row)} '
        f'<span class="soft">{html(one_line(row.question, 160))}</span></summary>'
        f'{_question(row)}{shown}{_reference(row)}{found}<ul class="scores">{scores}{reasons}</ul></details>'
    )


def _probed(found: Probed) -> str:
    items = "".join(f"<li>{html(one_line(failure, 500))}</li>" for failure in found.failures)
    more = f"<p>And {found.failed - len(found.failures)} more.</p>" if found.failed > len(found.failures) else ""
    return f'<p class="soft">{found.failed} of {found.tried} tries failed.</p><ul class="bad">{items}</ul>{more}'


def _repeat(row: Row) -> str:
    return f" #{row.repeat + 1}" if row.repeat else ""


def _limit(texts: int) -> int:
    return max(MIN_TEXT, min(MAX_TEXT, TEXTS // max(texts, 1)))


def _more(count: int) -> str:
    return f"<p>And {count - LISTED} more; the JSON report has all of them.</p>" if count > LISTED else ""
