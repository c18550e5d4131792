"""A tuning as people read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from evals.tuning.tune import Half, Tuning, changed_values
from lockgate.terminal import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def render(tuning: Tuning, console: Console) -> None:
    for line in _head(tuning):
        console.print(plain(line), markup=False, highlight=False, soft_wrap=True)
    if changed_values(tuning):
        console.print(_values(tuning))
    console.print(_figures(tuning.dev, tuning.test))
    console.print(plain(tuning.reason), markup=False, highlight=False, soft_wrap=True)
    if tuning.decision == "written":
        text = f"Written to {tuning.file}. It changes answers when a release is built from it: lockgate release build"
        console.print(plain(text), markup=False, highlight=False, soft_wrap=True)
    elif tuning.decision == "would be written":
        console.print(plain(f"Nothing was written to {tuning.file}."), markup=False, highlight=False, soft_wrap=True)


def _head(tuning: Tuning) -> Iterator[str]:
    suite = tuning.suite
    yield (
        f"{tuning.found.tried} settings of the chain {tuning.request.chain} tried on the dev half of {suite.name} "
        f"v{suite.definition.version}, snapshot {tuning.snapshot[:12]}, seed {tuning.request.seed}."
    )
    yield f"Objective: the mean of {', '.join(tuning.objective.names)}; {tuning.found.start:.3f} by default on dev."


def _values(tuning: Tuning) -> Table:
    from rich.table import Table

    table = Table("key", "default", "tuned")
    for name, (before, after) in changed_values(tuning).items():
        table.add_row(name, str(before), str(after))
    return table


def _figures(dev: Half, test: Half) -> Table:
    from rich.table import Table

    table = Table(title=f"dev ({dev.cases} cases) chose the setting; test ({test.cases} cases) it never saw")
    for name in ("", "dev", "dev tuned", "test", "test tuned", "test difference [95 %]"):
        table.add_column(name, justify="left" if name in ("", "test difference [95 %]") else "right")
    whole = (dev.default, dev.tuned, test.default, test.tuned)
    table.add_row("objective", *(f"{each:.3f}" for each in whole), test.difference.in_words())
    for first, second in zip(dev.comparison.metrics, test.comparison.metrics, strict=True):
        values = (first.old.value, first.new.value, second.old.value, second.new.value)
        table.add_row(first.metric, *("-" if v is None else f"{v:.3f}" for v in values), second.difference.in_words())
    return table
