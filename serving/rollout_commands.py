"""``lockgate release rollout``: what a channel's rollout has shown so far, and ending it by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain


def rollout(
    ctx: typer.Context,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="staging, production, or one with a gate file.")],
    *,
    chain: Annotated[str | None, typer.Option(help="The chain whose channel it is; default: LOCKGATE_CHAIN.")] = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="End it: the current release answers everybody from the next request on.")
    ] = False,
    reason: Annotated[str, typer.Option(help="With --stop: why; kept in the channel's history.")] = "",
    examples: Annotated[
        bool, typer.Option("--examples", help="For a shadow: up to ten questions with the traces of both answers.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a channel's rollout, else its last one: both arms, their difference and the bounds it stops itself by.

    A rollout begins with: lockgate release promote RELEASE CHANNEL --percent N, or --shadow.
    """
    from lockgate.actor import current_actor
    from lockgate.errors import UserError
    from lockgate.store.channels import check_name, get_channel
    from lockgate.store.database import open_database
    from serving.channels import stop_rollout
    from serving.rollout_report import report_lines, rollout_report

    if reason and not stop:
        raise UserError("--reason belongs to --stop.")
    settings = settings_of(ctx.obj)
    name = chain or settings.chain
    with open_database(settings.database) as db:
        if stop:
            stop_rollout(db, check_name(channel), name, actor=current_actor(), reason=reason)
        report = rollout_report(db, get_channel(db, check_name(channel), name))
    if as_json:
        typer.echo(json_text(report))
        return
    for line in report_lines(report, examples=examples):
        typer.echo(plain(line))
