"""A plan in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evals.comparing.plan import CHANGED, DROP, Assumed, GatePlan
from lockgate.terminal import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


_RULE_CAPTION = (
    "distance: from a good release to the limit. sd: of the differences for a drop, of the scores for a floor. "
    "PASS: of a good release. FAIL: of one that is two margins worse. supports: the distance that so many cases tell."
)


def render(plan: GatePlan, console: Console) -> None:
    """Print all of it."""
    for line in verdict_lines(plan):
        console.print(plain(line), markup=False, highlight=False, soft_wrap=True)
    console.print(build_rule_table(plan))
    for line in source_lines(plan):
        console.print(plain(line), markup=False, highlight=False, soft_wrap=True)
    if plan.at:
        console.print(build_size_table(plan))
    console.print(
        f"How often a drop of {100 * DROP:g} points in a yes-or-no metric is caught, while {100 * CHANGED:g} % of the "
        "cases change (exact McNemar test, one-sided 5 %):",
        soft_wrap=True,
        highlight=False,
    )
    console.print(build_drop_table(plan))


def verdict_lines(plan: GatePlan) -> list[str]:
    """Whether the suite has enough cases for the gate."""
    percent = f"{100 * plan.power:g} %"
    unplanned = [f"{each.bound.label}: {each.problem}" for each in plan.assumed if each.rule is None]
    if plan.here is None:
        return ["Nothing can be planned.", *unplanned]
    if plan.needed is None:
        first = "No number of cases makes this gate decide: a margin is too small, or a floor too close to the mean."
    else:
        first = (
            f"This gate needs {plan.needed} cases, and the suite has {plan.cases}. With that many, a release as good "
            f"as assumed passes all rules, and one that is two margins worse in one of them fails, each in {percent}."
        )
    return [first, *unplanned]


def build_rule_table(plan: GatePlan) -> Table:
    """One line a bound, and what the suite's n gives. Narrow enough for 80 columns."""
    from rich.table import Table

    table = Table(title=f"With the suite's {plan.cases} cases", caption=_RULE_CAPTION, caption_justify="left")
    for name in ("", "bound", "limit", "distance", "sd", "PASS", "FAIL", "supports"):
        table.add_column(name, justify="left" if name == "bound" else "right")
    place = 0
    for number, each in enumerate(plan.assumed, 1):
        figures = ("", "", "", "", "")
        if each.rule is not None and plan.here is not None:
            figures = (
                f"{each.rule.margin:.3g}",
                f"{each.rule.sd:.3g}",
                _percent(plan.here.passes[place]),
                _percent(plan.here.fails[place]),
                _margin(plan.here.margins[place]),
            )
            place += 1
        table.add_row(str(number), plain(each.bound.label), f"{each.bound.limit:g}", *figures)
    return table


def source_lines(plan: GatePlan) -> list[str]:
    """What each bound's figures were assumed from, under the number that it has in the tables."""
    return [f"{number:2}  {_source(each)}" for number, each in enumerate(plan.assumed, 1)]


def build_size_table(plan: GatePlan) -> Table:
    """What other numbers of cases give."""
    from rich.table import Table

    title = "The whole gate, by number of cases: PASS of a good release, least FAIL, supported distance of each bound"
    table = Table(title=title)
    numbers = [str(number) for number, each in enumerate(plan.assumed, 1) if each.rule is not None]
    for name in ("n", "PASS", "FAIL", *numbers):
        table.add_column(name, justify="right")
    for power in plan.at:
        margins = (_margin(margin) for margin in power.margins)
        table.add_row(str(power.n), _percent(power.joint), _percent(min(power.fails)), *margins)
    return table


def _margin(margin: float | None) -> str:
    return "none" if margin is None else f"{margin:.3g}"


def build_drop_table(plan: GatePlan) -> Table:
    """How often the drop is caught, by number of cases."""
    from rich.table import Table

    table = Table()
    table.add_column("n", justify="right")
    table.add_column("caught", justify="right")
    for n, chance in plan.drops:
        table.add_row(str(n), _percent(chance))
    return table


def _source(each: Assumed) -> str:
    share = "" if each.share == 1 else f", {100 * each.share:.0f} % of the cases"
    pages = ""
    if each.rule is not None and each.rule.design_effect > 1:
        pages = f", shared pages widen the variance {each.rule.design_effect:.2f} times"
    return f"{each.source or each.problem}{share}{pages}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
