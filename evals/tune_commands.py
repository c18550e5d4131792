"""``lockgate evals tune``."""

from __future__ import annotations

from typing import Annotated

import typer

from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain, progress_bars

MAX_BUDGET = 100_000


def tune_command(
    ctx: typer.Context,
    *,
    chain: Annotated[str | None, typer.Option(help="The chain to tune; default: LOCKGATE_CHAIN.")] = None,
    suite: Annotated[str | None, typer.Option(help="The suite to tune on; default: the chain's own.")] = None,
    budget: Annotated[int, typer.Option(min=1, max=MAX_BUDGET, metavar="N", help="Settings tried at the most.")] = 600,
    seed: Annotated[int, typer.Option(help="Says where the search starts anew.")] = 0,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC", help="Tune for the mean of these; default: ndcg@10, token_f1 and abstention_balanced."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Search and report, write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Tune fusion weight, thresholds and k on the dev cases of a suite, report the test cases, write the chain's file.

    The search never sees a test case. The file stays as it was when nothing is better on dev, or when the test cases
    say that the tuned setting is worse. Asks no model and needs the index to itself: stop the server first.
    """
    from evals.tuning.tune import TuneRequest, tune
    from evals.tuning.tune_table import render

    settings = settings_of(ctx.obj)
    request = TuneRequest(chain or settings.chain, suite, budget, seed, tuple(metric or ()), dry_run)
    with progress_bars() as progress:
        tuning = tune(settings, request, progress=progress, say=lambda line: typer.echo(plain(line), err=True))
    if as_json:
        typer.echo(json_text(tuning.as_json()))
        return
    from rich.console import Console

    render(tuning, Console())
