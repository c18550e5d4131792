"""The plots of the page: a metric's value with its interval in both runs, and the difference with what is allowed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evals.comparing.compare import MetricComparison
from evals.reports.figures import Figures, figures_of
from evals.reports.report import Report
from evals.reports.texts import html
from evals.statistics.difference import Difference
from evals.statistics.pairs import WIDEST

WIDTH, HEIGHT = 300, 32
_PAD = 7
_ROOM = 1.1
"""How much further than the longest interval the axis of differences goes."""


def metric_plots(report: Report) -> str:
    """One row a metric, in the order of the suite."""
    found = {each.metric: each for each in report.comparison.metrics} if report.comparison else {}
    reach = _common_reach(report, list(found.values()))
    rows = [
        _metric(report, name, each, found.get(name), reach) for name, each in report.run.aggregates["metrics"].items()
    ]
    return _legend(report) + "".join(rows)


def _legend(report: Report) -> str:
    this = f"{_sign('new')} this run, release {html(report.run.release[:12] or 'unknown')}"
    if report.base is None:
        return f'<div class="legend"><span>{this}; the line is the 95 % interval</span></div>'
    name = f"{report.base_name}, " if report.base_name and report.base_name not in report.base.release else ""
    base = f"{_sign('old')} base, {html(name)}release {html(report.base.release[:12] or 'unknown')}"
    allowed = ""
    if report.margins:
        line = '<svg viewBox="0 0 36 16" aria-hidden="true"><line class="margin" x1="18" x2="18" y1="0" y2="16"/></svg>'
        allowed = f"<span>{line} drop that the gate of {html(report.margins_of)} allows</span>"
    return (
        f'<div class="legend"><span>{base}</span><span>{this}</span><span>lines: 95 % intervals</span>{allowed}</div>'
    )


def _sign(side: str) -> str:
    return f'<svg viewBox="0 0 36 16" aria-hidden="true">{_whisker(side, 2, 34, 18, 8)}</svg>'


def _metric(report: Report, name: str, each: Mapping[str, Any], found: MetricComparison | None, reach: float) -> str:
    scale = (float(each["scale"][0]), float(each["scale"][1]))
    figures = figures_of(name, scale)
    base = report.base.aggregates["metrics"].get(name) if report.base else None
    unscored = f', <span class="bad">{each["unscored"]} unscored</span>' if each["unscored"] else ""
    better = "lower is better" if each["direction"] == "lower" else ""
    head = (
        f'<div><span class="name">{html(name)}</span> <span class="soft">{better}</span><br>'
        f'<span class="soft">n {each["n"]}{unscored}</span></div>'
    )
    sides = [side for side in (base, each) if side is not None]
    plot = _values_plot(name, sides, _axis(sides, scale), figures, both=report.base is not None)
    if report.base is None:
        return f'<div class="metric is-single">{head}{plot}{_value_words(each, figures)}</div>'
    difference, words = "<div></div>", '<div class="values soft">not compared</div>'
    if found is not None:
        margin = report.margins.get(name)
        difference = _difference_plot(found, figures, margin, reach if _unit(scale) else 0.0)
        words = _difference_words(base, each, found, figures, margin)
    return f'<div class="metric">{head}{plot}{difference}{words}</div>'


def _value_words(each: Mapping[str, Any], figures: Figures) -> str:
    if each["value"] is None:
        return '<div class="values bad">nothing was scored</div>'
    interval = figures.interval(each["low"], each["high"])
    return f'<div class="values"><b>{figures.value(each["value"])}</b><br><span class="soft">{interval}</span></div>'


def _difference_words(
    base: Mapping[str, Any] | None,
    each: Mapping[str, Any],
    found: MetricComparison,
    figures: Figures,
    margin: float | None,
) -> str:
    values = f"{figures.value(base['value'] if base else None)} \u2192 {figures.value(each['value'])}"
    difference = found.difference
    if difference.value is None:
        return f'<div class="values">{values}<br><span class="bad">no case has a score in both runs</span></div>'
    kind, word = _judged(difference)
    interval = figures.signed_interval(difference.low, difference.high) or "no interval: too few cases"
    notes = [f"n {difference.n}"] if difference.n != each["n"] else []
    notes += [f'<span class="bad">{difference.dropped} unscored in a run</span>'] if difference.dropped else []
    notes += [f"{found.lonely} in one run only"] if found.lonely else []
    notes += [] if margin is None else [f"allowed drop {figures.value(margin)}"]
    return (
        f'<div class="values">{values}<br><b class="{kind}">{figures.signed(difference.value)} {word}</b> '
        f'<span class="soft">{interval}{"<br>" if notes else ""}{", ".join(notes)}</span></div>'
    )


def _judged(difference: Difference) -> tuple[str, str]:
    """(class, word) by the side of 0 that the whole interval is on."""
    if difference.low is not None and difference.low > 0:
        return "good", "better"
    if difference.high is not None and difference.high < 0:
        return "bad", "worse"
    return "", ""


def _values_plot(
    name: str, sides: Sequence[Mapping[str, Any]], axis: tuple[float, float], figures: Figures, *, both: bool
) -> str:
    """Base above, this run below."""
    low, high = axis

    def x(value: float) -> float:
        return round(_PAD + (min(max(value, low), high) - low) / (high - low) * (WIDTH - 2 * _PAD), 1)

    marks = "".join(
        f'<line class="axis" x1="{x(low + part * (high - low))}" x2="{x(low + part * (high - low))}" y1="2" y2="30"/>'
        for part in (0, 0.25, 0.5, 0.75, 1)
    )
    said = []
    for side, row, height in zip(
        ("old", "new")[-len(sides) :] if both else ("new",), sides, _heights(sides), strict=True
    ):
        if row["value"] is None:
            continue
        marks += _whisker(side, x(row["low"]), x(row["high"]), x(row["value"]), height)
        said.append(f"{figures.value(row['value'])}, {figures.interval(row['low'], row['high'])}")
    label = html(f"{name}: {' against this run '.join(said) if both else ''.join(said)}")
    return (
        f'<div><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{marks}</svg>'
        f'<div class="ends"><span>{figures.end(low)}</span><span>{figures.end(high)}</span></div></div>'
    )


def _heights(sides: Sequence[object]) -> tuple[int, ...]:
    return (10, 22) if len(sides) == 2 else (16,)


def _difference_plot(found: MetricComparison, figures: Figures, margin: float | None, reach: float) -> str:
    difference = found.difference
    if difference.value is None:
        return "<div></div>"
    reach = reach or _reach(found, margin)

    def x(value: float) -> float:
        return round(WIDTH / 2 + min(max(value / reach, -1), 1) * (WIDTH / 2 - _PAD), 1)

    marks = f'<line class="axis" x1="{_PAD}" x2="{WIDTH - _PAD}" y1="16" y2="16"/>'
    marks += f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="2" y2="30"/>'
    if margin is not None:
        marks += f'<line class="margin" x1="{x(-margin)}" x2="{x(-margin)}" y1="2" y2="30"/>'
    side = {"good": "up", "bad": "down"}.get(_judged(difference)[0], "even")
    low, high = (difference.value if end is None else end for end in (difference.low, difference.high))
    marks += _whisker(side, x(low), x(high), x(difference.value), 16)
    interval = figures.signed_interval(difference.low, difference.high)
    label = html(f"{found.metric}, difference: {figures.signed(difference.value)}, {interval}")
    return (
        f'<div><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{marks}</svg>'
        f'<div class="ends"><span>{figures.end(-reach)} worse</span>'
        f"<span>+{figures.end(reach)} better</span></div></div>"
    )


def _whisker(side: str, low: float, high: float, at: float, height: int) -> str:
    return (
        f'<line class="{side}" x1="{low}" x2="{high}" y1="{height}" y2="{height}"/>'
        f'<circle class="{side}" cx="{at}" cy="{height}" r="4"/>'
    )


def _axis(sides: Sequence[Mapping[str, Any]], scale: tuple[float, float]) -> tuple[float, float]:
    """The metric's own scale; for time, tokens and money, whose scale only bounds nonsense, what was seen."""
    if _unit(scale):
        return scale
    ends = [float(side["high"]) for side in sides if side["high"] is not None and math.isfinite(side["high"])]
    return scale[0], min(scale[1], _nice(max(ends, default=0.0) - scale[0]) + scale[0])


def _unit(scale: tuple[float, float]) -> bool:
    return scale[1] - scale[0] <= WIDEST


def _nice(value: float) -> float:
    """The next number of 1, 2, 2.5 and 5 times a power of ten; 0.1 for nothing."""
    if value <= 0:
        return 0.1
    power: float = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 2, 2.5, 5) if value <= step * power), 10 * power)


def _common_reach(report: Report, found: list[MetricComparison]) -> float:
    """One axis for the differences of all metrics of a scale such as 0 to 1, so that they can be compared by eye."""
    return max((_reach(each, report.margins.get(each.metric)) for each in found if _unit(each.scale)), default=0.1)


def _reach(found: MetricComparison, margin: float | None) -> float:
    """How far the axis of the difference goes to either side: a round number beyond all that is on it."""
    ends = (found.difference.value, found.difference.low, found.difference.high, margin)
    return _nice(_ROOM * max((abs(each) for each in ends if each is not None), default=0.0))
