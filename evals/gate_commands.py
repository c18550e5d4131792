"""``lockgate evals gate``: what the gate of a channel says of a release, without moving anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from lockgate.settings import Settings, settings_of
from lockgate.terminal import plain, progress_bars

if TYPE_CHECKING:
    from evals.verdict import GateReport
    from lockgate.ports import Asker, Progress
    from lockgate.release import Manifest
    from lockgate.store.database import Database

VERIFY = "verify"

EXIT = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}


def gate(
    ctx: typer.Context,
    release: Annotated[
        str, typer.Argument(metavar="RELEASE", help="A release's id, its first characters, or a channel.")
    ],
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel whose gate is asked.")],
    *,
    chain: Annotated[
        str | None, typer.Option(help="The chain, where RELEASE is a channel; default: LOCKGATE_CHAIN.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="RELEASE", help="Judge as if the channel pointed at this release or channel's release."),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify/--no-verify", help="Leave out the rule verify, which asks a question; then never PASS."),
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the decision as JSON: the same inputs give the same bytes.")
    ] = False,
) -> None:
    """Judge a release by a channel's gate and move nothing.

    Exits with 0 for PASS, 1 for FAIL and 3 for INCONCLUSIVE.
    """
    from chains.release_commands import release_named
    from lockgate.errors import UserError
    from lockgate.store.database import open_database
    from lockgate.store.releases import open_releases

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        named = f"{chain}@{release}" if chain and "@" not in release and _is_channel(settings, release) else release
        release_id = release_named(settings, db, named)
        manifest = open_releases(settings, db).manifest(release_id)
        if chain and manifest.name != chain:
            raise UserError(f"Release {release_id[:12]} is of chain {manifest.name!r}, not {chain!r}.")
        current = _baseline(settings, db, against, manifest.name) if against is not None else None
        report = judge_release(settings, db, manifest, channel, verify=verify, current=current)
    if as_json:
        typer.echo(json.dumps(report.decision(), indent=2, sort_keys=True))
    else:
        for line in report.lines():
            typer.echo(plain(line))
    raise typer.Exit(EXIT[report.verdict])


def _baseline(settings: Settings, db: Database, name: str, chain: str) -> str:
    """The release to compare with. A channel is that of the judged release's own chain."""
    from chains.release_commands import release_named
    from lockgate.errors import UserError
    from lockgate.store.releases import open_releases

    found = release_named(settings, db, f"{chain}@{name}" if _is_channel(settings, name) else name)
    of = open_releases(settings, db).manifest(found).name
    if of != chain:
        raise UserError(
            f"--against {name}: release {found[:12]} is of chain {of!r}, and the judged one of {chain!r}.",
            hint="Only releases of one chain answer for each other.",
        )
    return found


def judge_release(
    settings: Settings,
    db: Database,
    manifest: Manifest,
    channel: str,
    *,
    verify: bool = True,
    current: str | None = None,
) -> GateReport:
    """What the gate of ``channel`` says of the release; with ``current``, if the channel pointed at that one.

    Raises NotFound and UserError for the gate's file.
    """
    from evals.gate import judge, load_gate
    from evals.gate_context import gate_context

    loaded = load_gate(settings.project_dir, channel)
    asks = verify and any(rule.rule == VERIFY for rule in loaded.rules)
    with _askers(settings, asks=asks) as (asker_of, progress):
        context = gate_context(settings, db, manifest, channel, asker_of)
        if current is not None:
            context = replace(context, current=current)
        left_out = () if verify else (VERIFY,)
        return asyncio.run(judge(loaded, context, progress, left_out=left_out))


def _is_channel(settings: Settings, name: str) -> bool:
    from evals.gate import channels

    return name in channels(settings.project_dir)


@contextmanager
def _askers(settings: Settings, *, asks: bool) -> Iterator[tuple[Callable[[str], Asker], Progress]]:
    """What answers for a release. Without the rule verify, nothing is asked: no index and no model is opened."""
    from chains.local import open_host
    from chains.target import Target
    from lockgate.errors import LockgateError

    with progress_bars() as progress:
        if not asks:

            def nobody(_release: str) -> Asker:
                raise LockgateError("No rule of this gate asks a question.")

            yield nobody, progress
            return
        with open_host(settings, "lockgate evals gate") as host:
            yield lambda wanted: host.open(Target(release=wanted)), progress
