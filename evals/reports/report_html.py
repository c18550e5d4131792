"""A report as one HTML file that loads nothing from anywhere.

Questions, answers and page names are other people's text: every value goes through ``html``, and the page's own content
security policy allows one style sheet, by its hash, and nothing else. The page has no script; its filters are style
rules.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from evals.comparing.score_changes import KINDS
from evals.reports.changes import counts_of
from evals.reports.figures import Figures, figures_of
from evals.reports.html_cases import all_cases, changed_cases, filter_rules, missing_scores
from evals.reports.html_plots import metric_plots
from evals.reports.report import Report
from evals.reports.reported_run import ReportedRun
from evals.reports.texts import excerpt, html, one_line
from evals.statistics.difference import Difference
from evals.verdict import GateReport

_COLOURS = {"PASS": "good", "FAIL": "bad", "INCONCLUSIVE": "unsure"}
_BAD_KINDS = ("lost", "worse")


def render_html(report: Report) -> str:
    """The report as one self-contained page."""
    style = _style_sheet() + filter_rules(report)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = html(one_line(f"{report.title}: eval run {report.run.id}"))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{html(report.run.suite)} <span class="soft">v{html(report.run.suite_version)}, {html(report.run.mode)}</span></h1>
{_who(report)}
</header>
<main>
{_banners(report)}
{_counts(report)}
{"".join(f"<section><h2>{title}</h2>{body}</section>" for title, body in _sections(report).items() if body)}
</main>
</body>
</html>
"""


@lru_cache(maxsize=1)
def _style_sheet() -> str:
    return Path(__file__).with_name("report.css").read_text(encoding="utf-8")


def _sections(report: Report) -> Mapping[str, str]:
    return {
        "Gate": _gate(report.gate) if report.gate else "",
        "Metrics": metric_plots(report),
        "Slices": _slices(report),
        "Cases that changed": changed_cases(report),
        "Failed and unscored rows": missing_scores(report.run),
        "Answering and abstaining": _abstention(report.run),
        "All cases of this run": all_cases(report.run),
        "What was measured": _facts(report),
    }


def _who(report: Report) -> str:
    run, base = report.run, report.base
    text = f"Release <code>{html(run.release[:12] or 'unknown')}</code>, run <code>{html(run.id)}</code>"
    if base is not None:
        name = f"{html(report.base_name)}, " if report.base_name else ""
        text += f", against {name}release <code>{html(base.release[:12] or 'unknown')}</code>"
        text += f", run <code>{html(base.id)}</code>"
    return f"<p>{text}. {run.started_at:%Y-%m-%d %H:%M} UTC.</p>"


def _banners(report: Report) -> str:
    parts = []
    if report.verdict is not None:
        parts.append(_verdict(report))
    bad = [each.text for each in report.warnings if each.level == "bad"]
    if bad:
        lines = "".join(f"<p>{html(one_line(text, 1_000))}</p>" for text in bad)
        parts.append(f'<div class="banner is-bad"><strong class="bad">Not to be relied on</strong>{lines}</div>')
    notes = [each.text for each in report.warnings if each.level == "note"]
    if report.verdict is None:
        notes.append("No gate was asked, so this report is no verdict.")
    if notes:
        lines = "".join(f"<p>{html(one_line(text, 1_000))}</p>" for text in notes)
        parts.append(f'<div class="banner is-note">{lines}</div>')
    return "".join(parts)


def _verdict(report: Report) -> str:
    shown = str(report.verdict or "")
    kind = _COLOURS.get(shown, "unsure")
    if shown == "PASS" and not report.sound:
        # A run that is not whole must not look as if it had passed, whatever a gate found in another one.
        shown, kind = "INCONCLUSIVE for this run: passed by other evidence.", "unsure"
    whose = (
        f"The gate of {html(report.gate.channel)} on release <code>{html(report.gate.release_id[:12])}</code>."
        if report.gate
        else "Against the margins that were given."
    )
    return f'<div class="banner is-{kind}"><p><strong class="{kind}">{html(shown)}</strong> {whose}</p></div>'


def _counts(report: Report) -> str:
    run = report.run
    tiles = [(str(run.aggregates["cases"]), "cases", "")]
    if report.comparison is not None:
        counts = counts_of(report.changes)
        tiles += [
            (str(n), KINDS[kind], "bad" if kind in _BAD_KINDS and n else "")
            for kind, n in counts.items()
            if n or kind in ("worse", "better")
        ]
    failed, missing = run.aggregates["failed"], run.missing_scores
    tiles += [
        (str(failed), "failed rows", "bad" if failed else ""),
        (str(missing), "missing scores", "bad" if missing else ""),
    ]
    items = "".join(f'<li><b class="{kind}">{number}</b>{words}</li>' for number, words, kind in tiles)
    return f'<ul class="counts">{items}</ul>'


def _gate(gate: GateReport) -> str:
    rows = []
    for rule in gate.rules:
        checks = [
            (each["check"], each["verdict"], each["reason"], each["resolve"]) for each in rule.details.get("checks", ())
        ]
        for check, verdict, reason, resolve in checks or [("", rule.verdict, rule.reason, rule.hint)]:
            hint = f'<br><span class="soft">{html(one_line(resolve))}</span>' if resolve else ""
            kind = _COLOURS.get(str(verdict), "unsure")
            named = ", ".join(html(one_line(text)) for text in (rule.rule, check) if text)
            rows.append(
                f'<tr><td><span class="tag {kind}">{html(verdict)}</span><br>{named}</td>'
                f'<td class="text">{html(one_line(reason, 1_000))}{hint}</td></tr>'
            )
    return _table(["check", "reason"], rows)


def _slices(report: Report) -> str:
    """A table for each slice: a metric a line, a value of the slice a column."""
    compared = report.comparison.metrics if report.comparison else ()
    differences = {(each.metric, part.name, part.value): part.difference for each in compared for part in each.slices}
    parts = []
    for name, values in report.run.aggregates.get("by_slice", {}).items():
        rows = []
        for metric, whole in report.run.aggregates["metrics"].items():
            figures = figures_of(metric, (whole["scale"][0], whole["scale"][1]))
            cells = "".join(
                _slice_cell(value, metrics.get(metric), differences.get((metric, name, value)), figures)
                for value, metrics in values.items()
            )
            rows.append(f"<tr><td>{html(metric)}</td>{cells}</tr>")
        parts.append(f"<h3>{html(name)}</h3>{_table(['metric', *map(html, values)], rows, 'slices')}")
    if not parts:
        return ""
    small = "the difference to the base with its interval" if compared else "the 95 % interval"
    return f'<p class="soft">Below each value: {small}. Not corrected for their number.</p>{"".join(parts)}'


def _slice_cell(value: str, each: Mapping[str, Any] | None, found: Difference | None, figures: Figures) -> str:
    """``data-name`` is what the column's head says, for a window that is too narrow for columns."""
    if each is None or not (each["n"] or each["unscored"]):
        return "<td></td>"
    unscored = f', <span class="bad">{each["unscored"]} unscored</span>' if each["unscored"] else ""
    second = figures.interval(each["low"], each["high"])
    if found is not None and found.value is not None:
        second = f"{figures.signed(found.value)}, {figures.signed_interval(found.low, found.high) or 'too few cases'}"
    return (
        f'<td class="number" data-name="{html(value)}">{figures.value(each["value"])} <span class="soft">'
        f"n {each['n']}{unscored}<br>"
        f"{second}</span></td>"
    )


def _abstention(run: ReportedRun) -> str:
    tables = {"all": run.aggregates["abstention"], **run.aggregates["abstention_by_split"]}
    rows = []
    for split, table in tables.items():
        cells = "".join(f'<td class="number">{count}</td>' for count in table.values())
        rows.append(f"<tr><td>{html(split)}</td>{cells}</tr>")
    heads = ["split", *(html(name.replace("_", ", ")) for name in run.aggregates["abstention"])]
    return _table(heads, rows, "figures")


def _facts(report: Report) -> str:
    runs = [("This run", report.run)] + ([("Base", report.base)] if report.base else [])
    titled = len(runs) > 1
    return "".join(f"{f'<h3>{title}</h3>' if titled else ''}{_run_facts(run)}" for title, run in runs)


def _run_facts(run: ReportedRun) -> str:
    score = run.aggregates.get("answer_score")
    seconds = f", {(run.finished_at - run.started_at).total_seconds():.1f} s" if run.finished_at else ", not finished"
    part = (
        f"split {run.split}{'' if run.limit is None else f', first {run.limit}'}, {run.repeats} a case, tier {run.tier}"
    )
    judge = run.metadata.get("judge")
    facts = {
        "Run": run.id,
        "Release": run.release or "unknown",
        "Suite": f"{run.suite}, version {run.suite_version}, hash {run.suite_hash}",
        "Rows": f"{len(run.rows)} ({part})",
        "Snapshot": ", ".join(run.snapshots) or "none answered",
        "Judge": _shown(judge) if judge else "none asked",
        "Started": f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC{seconds}",
        "Answer score": "none: not the whole suite" if score is None else f"{score:.3f}",
        **{str(key): _shown(value) for key, value in run.metadata.items() if key not in ("judge", "release")},
    }
    items = "".join(f"<dt>{html(key)}</dt><dd>{html(excerpt(value, 2_000))}</dd>" for key, value in facts.items())
    return f"<dl>{items}</dl>"


def _shown(value: Any) -> str:
    """What a person reads: the entries of a mapping in words, not as Python writes them."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(each)}" for key, each in value.items()) or "none"
    return str(value)


def _table(heads: list[str], rows: list[str], kind: str = "") -> str:
    """``heads`` and ``rows`` are HTML; in a table of a ``kind``, every column but the first holds figures."""
    number = ' class="number"' if kind else ""
    cells = "".join(f"<th{number if place else ''}>{head}</th>" for place, head in enumerate(heads))
    return (
        f'<div class="wide"><table class="{kind or "texts"}"><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
