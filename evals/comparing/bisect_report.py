"""A bisection as a table in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evals.comparing.bisect import Bisection, Observed, Try
from lockgate.terminal import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

ANSWER_CHARACTERS = 200

_WORDS = {"good": "like good", "bad": "like bad", "neither": "like neither", "broken": "broken"}
_STYLES = {"good": "green", "bad": "bold red", "neither": "yellow", "broken": "magenta"}


def render(found: Bisection, console: Console) -> None:
    """The two releases, one row a part, and the runs that the verdict rests on."""
    from rich.table import Table

    if found.good and found.bad:
        table = Table(show_lines=True)
        for name in ("part", "what changed", "result", "answer"):
            table.add_column(name, overflow="fold", ratio={"answer": 3, "what changed": 2}.get(name))
        table.add_row("(good)", _text(found.good.release[:12]), "", _answer(found.good))
        table.add_row("(bad)", _text(found.bad.release[:12]), "", _answer(found.bad))
        changes = {part.name: part.change for part in found.parts}
        for tried in found.alone:
            table.add_row(_text(tried.parts[0].name), _text(changes[tried.parts[0].name]), *_result(tried))
        for label, tried in _others(found):
            table.add_row(_text(label), _text(f"release {tried.observed.release[:12]}"), *_result(tried))
        console.print(table)
    console.print(_text(found.verdict, "bold"), soft_wrap=True)


def _others(found: Bisection) -> list[tuple[str, Try]]:
    culprits = {frozenset(part.name for part in parts) for parts in found.culprits if len(parts) > 1}
    rows = [(" + ".join(each.names), each) for each in found.together if frozenset(each.names) in culprits]
    if found.without is not None and found.without.parts:
        blamed = ", ".join(part.name for parts in found.culprits for part in parts)
        rows.append((f"all but {blamed}", found.without))
    return rows


def _result(tried: Try) -> tuple[Text, Text]:
    return _text(_WORDS[tried.like], _STYLES[tried.like]), _answer(tried.observed)


def _answer(observed: Observed) -> Text:
    if observed.problem:
        return _text(_cut(observed.problem), "magenta")
    kind = "abstains: " if observed.abstained else "refused: " if observed.refused else ""
    score = "" if observed.score is None else f"score {observed.score:.3f}\n"
    return _text(f"{score}{kind}{_cut(observed.text)}")


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= ANSWER_CHARACTERS else text[: ANSWER_CHARACTERS - 3] + "..."


def _text(value: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(plain(value), style=style)
