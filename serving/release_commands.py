"""``lockgate release``: promote, rollback, history: the commands that move channels, or say how they were moved."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lockgate.errors import GateFailed, Inconclusive
from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain, progress_bars
from serving.rollout_commands import rollout

if TYPE_CHECKING:
    from evals.verdict import GateReport
    from lockgate.settings import Settings
    from lockgate.store.channels import ChannelRecord, MoveRecord
    from lockgate.store.database import Database

app = typer.Typer(no_args_is_help=True)
app.command()(rollout)

DEFAULT_SAMPLE = 10.0

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ChannelArgument = Annotated[
    str, typer.Argument(metavar="CHANNEL", help="staging, production, or one with a gate file.")
]
ChainOption = Annotated[str | None, typer.Option(help="The chain whose channel it is; default: LOCKGATE_CHAIN.")]
ReasonOption = Annotated[str, typer.Option(help="Why; kept in the channel's history.")]


@app.command()
def promote(
    ctx: typer.Context,
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="A release's id or its first characters.")],
    channel: ChannelArgument,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Move it even if the gate refuses; needs --reason, shown everywhere.")
    ] = False,
    reason: ReasonOption = "",
    percent: Annotated[
        float | None, typer.Option(help="Only for this share of the conversations, in percent; the rest stays.")
    ] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Answer users as before and run the release aside, on a sample.")
    ] = False,
    sample: Annotated[
        float | None, typer.Option(help="With --shadow: the share of the requests to repeat, in percent; default: 10.")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="With --shadow: requests to repeat at most.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Point a channel at a release, through the channel's gate.

    Exits with 1 when the gate refuses, with 3 when it cannot tell.
    """
    from chains.local import open_host
    from chains.release_commands import release_named
    from chains.target import Target
    from lockgate.actor import current_actor
    from lockgate.store.database import open_database
    from serving import channels

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        name = release_named(settings, db, release)
        rollout = _rollout(name, percent, sample, budget, shadow=shadow)
        judged: list[GateReport] = []
        with (
            open_host(settings, "lockgate release promote") as host,
            progress_bars() as progress,
            _told_in_json(judged, as_json=as_json),
        ):
            done = channels.promote(
                settings,
                db,
                name,
                channel,
                actor=current_actor(),
                asker_of=lambda wanted: host.open(Target(release=wanted)),
                reason=reason,
                force=force,
                rollout=rollout,
                progress=progress,
                say=judged.append if as_json else _say_report,
            )
    if as_json:
        typer.echo(json_text({"moved": done.moved, "channel": describe(done.record), "gate": done.report.as_json()}))
    else:
        typer.echo(plain(_said(done.record, moved=done.moved)))


@app.command()
def rollback(
    ctx: typer.Context,
    channel: ChannelArgument,
    *,
    to: Annotated[str | None, typer.Option(help="An earlier release of this channel; default: the one before.")] = None,
    chain: ChainOption = None,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """Point a channel back at a release that it pointed at before. No gate; the next request is answered from it."""
    from chains.release_commands import release_named
    from lockgate.actor import current_actor
    from lockgate.store.database import open_database
    from serving.channels import roll_back

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        wanted = release_named(settings, db, to) if to is not None else None
        record = roll_back(
            settings, db, channel, chain or settings.chain, actor=current_actor(), to=wanted, reason=reason
        )
    typer.echo(json_text(describe(record)) if as_json else plain(_said(record, moved=True)))


@app.command()
def history(
    ctx: typer.Context,
    channel: ChannelArgument,
    chain: ChainOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many moves, newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Who moved a channel, when, why and on what evidence, newest first."""
    from lockgate.store.channels import check_name
    from lockgate.store.channels import history as moves_of
    from lockgate.store.database import open_database

    settings = settings_of(ctx.obj)
    chain = chain or settings.chain
    with open_database(settings.database) as db:
        moves = moves_of(db, check_name(channel), chain, limit=limit)
        if not moves:
            _require_known(settings, db, channel, chain)
    if as_json:
        typer.echo(json_text([describe_move(move) for move in moves]))
        return
    if not moves:
        typer.echo(f"The channel {channel} of chain {chain} was never set.", err=True)
    for move in moves:
        typer.echo(plain("\n".join(_move_lines(move))))


def _require_known(settings: Settings, db: Database, channel: str, chain: str) -> None:
    """Raises NotFound for a channel or chain that nothing knows of: a misspelt one has no history either."""
    from chains.definition import list_chains
    from evals.gate import channels
    from lockgate.errors import NotFound
    from lockgate.store.channels import list_channels

    known = list_channels(db)
    names = sorted({*channels(settings.project_dir), *(record.channel for record in known)})
    if channel not in names:
        raise NotFound(f"There is no channel {channel!r}.", hint=f"Channels: {', '.join(names)}.")
    chains = sorted({*list_chains(settings.project_dir), *(record.chain for record in known)})
    if chain not in chains:
        raise NotFound(f"There is no chain {chain[:80]!r}.", hint=f"Chains: {', '.join(chains)}.")


def describe(record: ChannelRecord) -> dict[str, Any]:
    return {
        "channel": record.channel,
        "chain": record.chain,
        "release": record.release,
        "version": record.version,
        "forced": record.forced,
        "rollout": _rollout_of(record.rollout),
        "updated_at": record.updated_at.isoformat() if record.updated_at else None,
    }


def describe_move(move: MoveRecord) -> dict[str, Any]:
    return {
        "version": move.version,
        "at": move.created_at.isoformat(),
        "channel": move.channel,
        "chain": move.chain,
        "action": move.action,
        "from": move.from_release or None,
        "to": move.to_release,
        "actor": {"name": move.actor, "verified": move.verified},
        "reason": move.reason,
        "forced": move.forced or bool(move.rollout and move.rollout.forced),
        "evidence": [dict(item) for item in move.evidence],
        "rollout": _rollout_of(move.rollout),
    }


@contextlib.contextmanager
def _told_in_json(judged: list[GateReport], *, as_json: bool) -> Iterator[None]:
    """A program needs the gate's report most when the gate refuses."""
    try:
        yield
    except (GateFailed, Inconclusive):
        if as_json and judged:
            typer.echo(json_text({"moved": False, "channel": None, "gate": judged[-1].as_json()}))
        raise


def _say_report(report: GateReport) -> None:
    for line in report.lines():
        typer.echo(plain(line), err=True)


def _rollout_of(rollout: Any) -> dict[str, Any] | None:
    return {**asdict(rollout), "bounds": dict(rollout.bounds)} if rollout else None


def _rollout(release: str, percent: float | None, sample: float | None, budget: int | None, *, shadow: bool) -> Any:
    from lockgate.errors import UserError
    from serving.rollout import new_rollout

    if percent is not None and shadow:
        raise UserError("Only one of --percent and --shadow can be given.")
    for option, value in (("--budget", budget), ("--sample", sample)):
        if value is not None and not shadow:
            # Without it, a forgotten --shadow would give the release to everybody.
            raise UserError(f"{option} belongs to --shadow.")
    if percent is not None:
        return new_rollout("percent", release, share=percent)
    if not shadow:
        return None
    return new_rollout("shadow", release, share=DEFAULT_SAMPLE if sample is None else sample, budget=budget)


def _said(record: ChannelRecord, *, moved: bool) -> str:
    where = f"{record.channel} of {record.chain}"
    if not moved:
        return f"{where} points at {(record.release or '')[:12]} already."
    forced = " FORCED past its gate." if record.forced else ""
    if record.rollout:
        kind = f"{record.rollout.share:g} % of the conversations" if record.rollout.kind == "percent" else "a shadow"
        forced = " FORCED past its gate." if record.rollout.forced else ""
        return f"{where}: {(record.release or '')[:12]} stays, {record.rollout.release[:12]} gets {kind}.{forced}"
    return f"{where} points at {(record.release or '')[:12]} now.{forced}"


def _move_lines(move: MoveRecord) -> list[str]:
    forced = "  FORCED" if move.forced or (move.rollout and move.rollout.forced) else ""
    way = f"{move.from_release[:12] or 'nothing'} -> {move.to_release[:12]}"
    if move.action == "stop":
        way = f"{move.to_release[:12]} alone"
    elif move.action == "rollout" and move.rollout:
        kind = f"{move.rollout.share:g} %" if move.rollout.kind == "percent" else f"shadow, {move.rollout.share:g} %"
        way = f"{move.to_release[:12]} with {move.rollout.release[:12]} ({kind})"
    who = f"{move.actor}{'' if move.verified else ' (unverified)'}"
    lines = [f"{move.version:>4}  {move.created_at:%Y-%m-%d %H:%M:%S} UTC  {move.action:<8}  {way}  by {who}{forced}"]
    if move.reason:
        lines.append(f"      {' '.join(move.reason.split())}")
    for item in move.evidence:
        rules = item.get("rules")
        if item.get("kind") == "gate" and isinstance(rules, list):
            verdicts = ", ".join(f"{rule.get('rule')} {rule.get('verdict')}" for rule in rules)
            lines.append(f"      gate: {item.get('verdict')} ({verdicts})")
    return lines
