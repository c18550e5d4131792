"""A comparison in the terminal: what it could have found, then what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evals.comparing.compare import ChangedCase, Comparison, MetricComparison
from evals.statistics.difference import Difference
from lockgate.terminal import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SHOWN = 5


def render(comparison: Comparison, console: Console) -> None:
    """Print all of it."""

    def say(text: str = "") -> None:
        console.print(plain(text), markup=False, highlight=False, soft_wrap=True)

    say(f"B {_side(comparison, new=True)} against A {_side(comparison, new=False)}")
    for line in power_lines(comparison):
        say(line)
    console.print(build_table(comparison))
    slices = build_slice_table(comparison)
    if slices is not None:
        console.print(slices)
    for line in [*decision_lines(comparison), *case_lines(comparison)]:
        say(line)


def power_lines(comparison: Comparison) -> list[str]:
    """What so many cases can show, before what they do show."""
    pages = f" from {comparison.clusters} pages" if comparison.clusters < comparison.cases else ""
    lines = [f"{comparison.suite} v{comparison.suite_version}: {comparison.cases} cases{pages}."]
    if comparison.identical:
        lines.append(f"{comparison.identical} of them gave the same output, byte for byte.")
    if comparison.missing:
        lines.append(f"{comparison.missing} cases have rows in one run only, and are unscored in the other.")
    found = [f"{each.metric} {each.detectable:.3g}" for each in comparison.metrics if each.detectable is not None]
    if found:
        lines.append(f"A difference that this comparison finds in 80 % of the cases: {', '.join(found)}.")
    return lines


def build_table(comparison: Comparison) -> Table:
    """One line a metric."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="B minus A; positive is better")
    for name in ("metric", "A", "B", "difference", "95 % interval", "p (Holm)", "n", "unscored", "better", "worse"):
        table.add_column(name, justify="left" if name in ("metric", "95 % interval") else "right")
    judged = any(each.decision is not None for each in comparison.metrics)
    if judged:
        table.add_column("verdict")
    for each in comparison.metrics:
        table.add_row(*map(escape, _cells(each)), *([each.decision.verdict if each.decision else ""] if judged else []))
    return table


def build_slice_table(comparison: Comparison) -> Table | None:
    """The differences of each slice; None when there are no slices."""
    from rich.markup import escape
    from rich.table import Table

    rows = [(each.metric, part) for each in comparison.metrics for part in each.slices]
    if not rows:
        return None
    table = Table(title="By slice, not corrected for their number")
    for name in ("metric", "slice", "difference", "95 % interval", "n"):
        table.add_column(name, justify="right" if name in ("difference", "n") else "left")
    for metric, part in rows:
        found = part.difference
        where = escape(plain(f"{part.name} {part.value}"))
        table.add_row(escape(metric), where, _signed(found.value), _limits(found), str(found.n))
    return table


def decision_lines(comparison: Comparison) -> list[str]:
    """The verdict and the reason of each decision."""
    if comparison.verdict is None:
        return []
    lines = [f"{comparison.verdict}"]
    for each in comparison.metrics:
        if each.decision is not None:
            decision = each.decision
            lines.append(f"  {decision.verdict:<12}  {decision.reason} {decision.hint}".rstrip())
    return lines


def case_lines(comparison: Comparison) -> list[str]:
    """The cases that changed most, metric by metric."""
    lines = []
    for each in comparison.metrics:
        for word, cases in (("worse", each.worse), ("better", each.better)):
            if cases:
                more = f", and {len(cases) - SHOWN} more" if len(cases) > SHOWN else ""
                lines.append(f"{each.metric}, {word}: {', '.join(_case(case) for case in cases[:SHOWN])}{more}")
    return lines


def _case(case: ChangedCase) -> str:
    return f"{case.case} ({case.old:.3g} to {case.new:.3g})"


def _cells(each: MetricComparison) -> list[str]:
    found = each.difference
    unscored = str(found.dropped) + (f" +{each.lonely} n/a" if each.lonely else "")
    counts = (str(found.n), unscored, str(len(each.better)), str(len(each.worse)))
    return [
        each.metric,
        _plain(each.old.value),
        _plain(each.new.value),
        _signed(found.value),
        _limits(found),
        _p(each),
        *counts,
    ]


def _side(comparison: Comparison, *, new: bool) -> str:
    side = comparison.new if new else comparison.old
    return f"{side.release[:12] or 'no release'} (run {side.run})"


def _p(each: MetricComparison) -> str:
    return "" if each.p_adjusted is None else f"{each.p_adjusted:.2g}"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _limits(found: Difference) -> str:
    return "" if found.low is None or found.high is None else f"{found.low:+.3f} to {found.high:+.3f}"
