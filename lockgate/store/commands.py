"""``lockgate db``: the schema of the database."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lockgate.settings import settings_of

app = typer.Typer(no_args_is_help=True, help="The database that holds state: bring its schema up to date.")


@app.callback()
def _db() -> None:
    """Keeps ``upgrade`` a word of its own while it is the only command."""


@app.command()
def upgrade(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Bring the database's schema to the one this version needs."""
    from lockgate.store import database

    done = database.upgrade(settings_of(ctx.obj).database)
    if as_json:
        typer.echo(json.dumps({"database": done.database, "from": done.before, "to": done.after}))
    elif done.before == done.after:
        typer.echo(f"{done.database}: {done.after} already, nothing to do.")
    else:
        typer.echo(f"{done.database}: {done.before or 'empty'} -> {done.after}")
