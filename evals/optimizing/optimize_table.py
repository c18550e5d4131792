"""An optimization as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evals.optimizing.optimize import Optimization, spent
from lockgate.terminal import plain

if TYPE_CHECKING:
    from rich.console import Console


def render(found: Optimization, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    def say(text: str) -> None:
        console.print(plain(text), markup=False, highlight=False, soft_wrap=True)

    suite = found.suite
    served = f", {found.served} answers from the cache" if found.served else ""
    say(
        f"{len(found.variants)} variants of the prompt {found.prompt.name} on {found.dev_cases} dev cases of "
        f"{suite.name} v{suite.definition.version}, seed {found.request.seed}: {found.calls} of "
        f"{found.request.budget} model calls{served}."
    )
    say(f"Objective: the mean of {', '.join(found.objective.names)}.")
    table = Table("variant", *(f"{each.cases} cases" for each in found.raced.rounds), title="dev, round by round")
    names = ["the prompt as it is", *(each.recipe.words() for each in found.variants)]
    for place, name in enumerate(names):
        values = [each.values.get(place) for each in found.raced.rounds]
        mark = " *" if place and place == found.raced.winner else ""
        table.add_row(Text(plain(name) + mark), *("" if each is None else f"{each:.3f}" for each in values))
    console.print(table)
    say(found.reason)
    if found.winner and found.decision != "kept" and found.winner.recipe.dev:
        say(spent(found.winner))
    if found.branch:
        say(f"Branch {found.branch.branch}, commit {found.branch.commit[:12]}: git diff HEAD..{found.branch.branch}")
    elif found.decision == "would be written":
        say("No branch was written: --dry-run.")
