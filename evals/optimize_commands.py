"""``lockgate prompts optimize``."""

from __future__ import annotations

from typing import Annotated

import typer

from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain, progress_bars

app = typer.Typer(no_args_is_help=True, help="Prompts that search for better ones.")

KEY = "LOCKGATE_PROPOSER_API_KEY"


@app.callback()
def root() -> None:
    """Prompts that search for better ones."""


@app.command()
def optimize(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The prompt's name.")],
    *,
    suite: Annotated[str, typer.Option(help="Its dev cases choose, its test cases are reported.")],
    budget: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="Model calls at the most, all told.")],
    seed: Annotated[int, typer.Option(help="Draws the variants and the order of the cases.")] = 0,
    branch: Annotated[str | None, typer.Option(help="The new branch; default: lockgate/optimize-NAME-...")] = None,
    chain: Annotated[str | None, typer.Option(help="The chain that uses the prompt; default: LOCKGATE_CHAIN.")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC", help="Optimize the mean of these; default: token_f1 and abstention_balanced."),
    ] = None,
    proposer: Annotated[
        str | None, typer.Option(metavar="URL", help="An OpenAI-compatible server that proposes instructions.")
    ] = None,
    proposer_model: Annotated[str, typer.Option(metavar="M", help="Its model, as that server calls it.")] = "",
    dev_examples: Annotated[
        bool, typer.Option("--dev-examples/--no-dev-examples", help="Whether dev cases may become examples.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Search and report, write no branch.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Search variants of a prompt: examples, order, number and length of passages; with a proposer its instruction too.

    The winner is reported on test cases that the search never saw and committed to a branch of its own; what is checked
    out stays as it is. No branch is written when nothing is better on dev, or when the test cases say that the winner
    is worse. The proposer's key, if it needs one, is LOCKGATE_PROPOSER_API_KEY.
    """
    import os

    from evals.optimizing.optimize import OptimizeRequest, optimize
    from evals.optimizing.optimize_table import render
    from evals.optimizing.proposer import Proposer
    from lockgate.errors import UserError

    settings = settings_of(ctx.obj)
    if proposer_model and proposer is None:
        raise UserError("--proposer-model names a model of a server: give --proposer too.")
    request = OptimizeRequest(
        prompt=name,
        suite=suite,
        budget=budget,
        chain=chain or settings.chain,
        seed=seed,
        branch=branch,
        proposer=None if proposer is None else Proposer(proposer, proposer_model, os.environ.get(KEY, "")),
        metrics=tuple(metric or ()),
        dev_examples=dev_examples,
        dry_run=dry_run,
    )
    with progress_bars() as progress:
        found = optimize(settings, request, progress=progress, say=lambda line: typer.echo(plain(line), err=True))
    if as_json:
        typer.echo(json_text(found.as_json()))
        return
    from rich.console import Console

    render(found, Console())
