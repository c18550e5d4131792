"""A run as one HTML file that loads nothing from anywhere.

Questions, answers and page names are other people's text: every value goes through ``escape``, and the page's own
content security policy forbids scripts and remote content should one ever slip through.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from evals.reports.report import Report
from evals.reports.reported_run import ReportedRun
from evals.runs.row import Row

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5b6570; --line: #d6dade; --paper: #ffffff; --bar: #3b6fb6;
  --whisker: #16202c; --bad: #b3261e; --good: #1b7a3d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a2abb5; --line: #3a4149; --paper: #15181c;
  --bar: #6ea0e6; --whisker: #f2f4f7; --bad: #ff8a80; --good: #7fd89a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { color: var(--soft); } dd { margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.bad { color: var(--bad); } .good { color: var(--good); } .soft { color: var(--soft); }
td.text { min-width: 9rem; overflow-wrap: anywhere; white-space: pre-line; }
svg { display: block; } svg .track { fill: var(--line); } svg .bar { fill: var(--bar); }
svg .whisker { stroke: var(--whisker); stroke-width: 2; }
"""

_WIDTH = 220


def render_html(report: Report) -> str:
    """The report as one self-contained page."""
    run = report.run
    title = f"{run.suite}, {run.mode}: eval run {run.id}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
{_facts(run)}
<h2>Metrics</h2>
{_metrics(run)}
<h2>Answering and abstaining</h2>
{_abstention(run)}
<h2>Cases</h2>
{_cases(run)}
</body>
</html>
"""


def _facts(run: ReportedRun) -> str:
    score = run.aggregates["answer_score"]
    facts = {
        "Suite": f"{run.suite}, version {run.suite_version}, hash {run.suite_hash[:12]}",
        "Cases": f"{len(run.rows)} (split {run.split}{'' if run.limit is None else f', first {run.limit}'})",
        "Failed": str(run.aggregates["failed"]),
        "Snapshot": ", ".join(run.snapshots) or "none answered",
        "Started": f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC, "
        f"{(run.finished_at - run.started_at).total_seconds() if run.finished_at else 0:.1f} s",
        "Answer score": "none: not the whole suite" if score is None else f"{score:.3f}",
        **{str(key): _shown(value) for key, value in run.metadata.items()},
    }
    items = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts.items())
    return f"<dl>{items}</dl>"


def _shown(value: object) -> str:
    """What a person reads: the entries of a mapping in words, not as Python writes them."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(each)}" for key, each in value.items()) or "none"
    return str(value)


def _metrics(run: ReportedRun) -> str:
    splits = run.aggregates["by_split"]
    heads = "".join(f'<th class="number">{escape(split)}</th>' for split in splits)
    rows = []
    for name, each in run.aggregates["metrics"].items():
        parts = "".join(f'<td class="number">{_number(part[name]["value"])}</td>' for part in splits.values())
        unscored = f'<span class="bad">{each["unscored"]}</span>' if each["unscored"] else "0"
        rows.append(
            f'<tr><td>{escape(name)}</td><td class="number">{_number(each["value"])}</td><td>{_bar(each)}</td>'
            f"<td>{_interval(each)}</td>"
            f'<td class="number">{each["n"]}</td><td class="number">{unscored}</td>{parts}</tr>'
        )
    return (
        '<div class="wide"><table><thead><tr><th>metric</th><th class="number">value</th><th></th>'
        '<th>95 % interval</th><th class="number">n</th><th class="number">unscored</th>'
        f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _bar(each: Mapping[str, Any]) -> str:
    """The value as a bar on its scale, the interval as a line across it."""
    if each["value"] is None:
        return '<span class="bad">nothing was scored</span>'
    low, high = each["scale"]

    def x(value: float) -> float:
        return round((value - float(low)) / float(high - low) * _WIDTH, 1)

    label = escape(f"{each['metric']} {each['value']:.3f}, {each['low']:.3f} to {each['high']:.3f}", quote=True)
    return (
        f'<svg width="{_WIDTH}" height="16" role="img" aria-label="{label}">'
        f'<rect class="track" x="0" y="5" width="{_WIDTH}" height="6"></rect>'
        f'<rect class="bar" x="0" y="3" width="{x(each["value"])}" height="10"></rect>'
        f'<line class="whisker" x1="{x(each["low"])}" x2="{x(each["high"])}" y1="8" y2="8"></line></svg>'
    )


def _abstention(run: ReportedRun) -> str:
    rows = []
    for split, table in {"all": run.aggregates["abstention"], **run.aggregates["abstention_by_split"]}.items():
        cells = "".join(f'<td class="number">{count}</td>' for count in table.values())
        rows.append(f"<tr><td>{escape(split)}</td>{cells}</tr>")
    heads = "".join(
        f'<th class="number">{escape(name.replace("_", ", "))}</th>' for name in run.aggregates["abstention"]
    )
    return (
        f'<div class="wide"><table><thead><tr><th>split</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cases(run: ReportedRun) -> str:
    heads = "".join(
        f"<th>{head}</th>" for head in ("case", "question", "reference", "answer", "cited", "first pages", "")
    )
    rows = "".join(_case(row) for row in run.rows)
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'


def _case(row: Row) -> str:
    if row.answer is None:
        shown, cited = f'<span class="bad">{escape("; ".join(row.errors))}</span>', ""
    else:
        right = row.abstained != row.answerable
        mark = f'<span class="{"good" if right else "bad"}">{"abstained" if row.abstained else "answered"}</span>\n'
        shown = mark + escape(row.answer)
        cited = "\n".join(
            _page(f"[{each['number']}] {each['path']}", each["path"] in row.pages) for each in row.citations
        )
    ranking = "\n".join(_page(page, page in row.pages) for page in (row.ranking or ())[:5])
    numbers = [f"{escape(name)} {value:.2f}\n" for name, value in row.scores.items()]
    reasons = [f"{escape(name)}: unscored, {escape(reason)}\n" for name, reason in row.unscored.items()]
    scores = f"<details><summary>scores</summary>{''.join(numbers + reasons)}</details>"
    history = "".join(f"{turn['role']}: {turn['content']}\n" for turn in row.history)
    question = f'<span class="soft">{escape(history)}</span>{escape(row.question)}'
    reference = escape(row.reference) if row.answerable else '<span class="soft">unanswerable</span>'
    cells = (question, reference, shown, cited, ranking, scores)
    body = "".join(f'<td class="text">{cell}</td>' for cell in cells)
    repeat = f" #{row.repeat + 1}" if row.repeat else ""
    return f'<tr><td>{escape(row.case)}{repeat}<br><span class="soft">{escape(row.split)}</span></td>{body}</tr>'


def _page(text: str, gold: bool) -> str:
    return f'<span class="{"good" if gold else "soft"}">{escape(text)}</span>'


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(each: Mapping[str, Any]) -> str:
    return "" if each["low"] is None else f"{each['low']:.3f} to {each['high']:.3f} ({escape(each['method'])})"
