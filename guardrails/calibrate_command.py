"""``lockgate guardrails calibrate``: the threshold of a check at a stated rate of false alarms on one's own pages."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from guardrails.commands import JsonOption, StageName
from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain, progress_bars

app = typer.Typer()


@app.command()
def calibrate(
    ctx: typer.Context,
    on: Annotated[list[Path], typer.Option(help="A file or folder of clean texts; repeatable.")],
    check: Annotated[str, typer.Option(help="The check.")] = "injection",
    stage: Annotated[StageName, typer.Option(help="As what the texts are looked at.")] = StageName.DOCUMENT,
    rate: Annotated[float, typer.Option(min=0.0001, max=0.5, help="The share of them that may be found bad.")] = 0.01,
    as_json: JsonOption = False,
) -> None:
    """Find the threshold at which a check takes no more than a stated share of your own clean texts for bad ones."""
    from guardrails.calibration import calibrate as find
    from guardrails.calibration import clean_files, read_clean
    from guardrails.tools import tools_of

    settings = settings_of(ctx.obj)
    texts = list(read_clean(clean_files(on)))
    with progress_bars() as report:
        found = find(check, stage.value, texts, tools_of(settings), rate, report)
    if as_json:
        typer.echo(json_text(asdict(found)))
    elif found.threshold is not None:
        typer.echo(found.yaml)
    if not as_json:
        at = "no threshold" if found.threshold is None else f"threshold {found.threshold:g}"
        typer.echo(
            f"{check} at {stage.value}: {found.count} texts; {at}: {found.reached:.2%}; 0.5: {found.by_default:.2%}.",
            err=True,
        )
        for name, score in found.worst:
            typer.echo(plain(f"  {score:.3f}  {name}"), err=True)
    if found.threshold is None:
        raise typer.Exit(1)
