"""``lockgate guardrails``: try a policy on a text, run its own examples, read what it does."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lockgate.errors import PolicyRefused
from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain

if TYPE_CHECKING:
    from rich.table import Table

    from guardrails.examples import ExampleResult, Tried
    from guardrails.policy import Policy

app = typer.Typer(no_args_is_help=True, help="Policies and their checks: try one on a text, run its examples.")

PolicyOption = Annotated[str, typer.Option(help="The policy's name.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ChannelOption = Annotated[str, typer.Option(help="As the policy is for this channel.")]
GroupOption = Annotated[str, typer.Option(help="As the policy is for this group of users.")]


class StageName(StrEnum):
    DOCUMENT = "document"
    INPUT = "input"
    CONTEXT = "context"
    TOOL_CALL = "tool_call"
    OUTPUT = "output"


@app.command()
def check(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(help="The text to check.")],
    stage: Annotated[StageName, typer.Option(help="As what to check it.")] = StageName.INPUT,
    policy: PolicyOption = "default",
    channel: ChannelOption = "",
    group: GroupOption = "",
    question: Annotated[str, typer.Option(help="The question that the text answers or is found for.")] = "",
    passage: Annotated[list[str] | None, typer.Option(help="A passage that the answer was given; repeatable.")] = None,
    citations: Annotated[
        int | None, typer.Option(min=0, help="How many passages the answer was given; default: those named.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the text as the policy lets it through, and what each check did to it; exit 1 when it is blocked."""
    from guardrails.examples import pass_through
    from guardrails.guard import Guard
    from guardrails.policy import load_policy
    from guardrails.tools import tools_of

    settings = settings_of(ctx.obj)
    loaded = load_policy(settings.project_dir, policy)
    passages = tuple(passage or ())
    guard = Guard(loaded, tools_of(settings))

    async def looked_at() -> Tried:
        await guard.try_out()  # so that no weights are loaded within a check's time
        return await pass_through(
            guard,
            stage.value,
            text,
            question=question,
            passages=passages,
            citations=len(passages) if citations is None else citations,
            channel=channel,
            group=group,
        )

    tried = asyncio.run(looked_at())
    if as_json:
        result = {"policy": loaded.name, "hash": loaded.hash, "stage": stage.value, **tried.as_json()}
        typer.echo(json_text(result))
    elif tried.blocked:
        for line in tried.lines():
            typer.echo(plain(line), err=True)
        raise PolicyRefused(tried.message)
    else:
        typer.echo(plain(tried.text))
        for line in tried.lines():
            typer.echo(plain(line), err=True)
    if tried.blocked:
        raise typer.Exit(1)


@app.command("test")
def test_command(
    ctx: typer.Context,
    policy: PolicyOption = "default",
    channel: ChannelOption = "",
    group: GroupOption = "",
    as_json: JsonOption = False,
) -> None:
    """Run the examples that stand in the policy's own file; exit 1 when one of them goes another way than it says."""
    from guardrails.examples import run_examples
    from guardrails.guard import Guard
    from guardrails.policy import load_policy
    from guardrails.tools import tools_of

    settings = settings_of(ctx.obj)
    loaded = load_policy(settings.project_dir, policy)
    guard = Guard(loaded, tools_of(settings))

    async def run() -> list[ExampleResult]:
        await guard.try_out()
        return await run_examples(guard, channel=channel, group=group)

    results = asyncio.run(run())
    failed = [each for each in results if not each.passed]
    if as_json:
        rows = [each.as_json() for each in results]
        typer.echo(json_text({"policy": loaded.name, "hash": loaded.hash, "failed": len(failed), "examples": rows}))
    elif not results:
        typer.echo(
            f"The policy {loaded.name} has no examples. Add some under `examples:` in {Path(loaded.where).name}."
        )
    else:
        for each in failed:
            typer.echo(plain(each.line()))
        typer.echo(f"{len(results) - len(failed)} of {len(results)} examples went as the policy says.")
    if failed or not results:
        raise typer.Exit(1)


@app.command()
def explain(
    ctx: typer.Context,
    policy: PolicyOption = "default",
    channel: ChannelOption = "",
    group: GroupOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say what a policy does: each stage's checks in order, when they act, what they do, and whether they work here."""
    from guardrails.guard import Guard
    from guardrails.policy import load_policy
    from guardrails.tools import tools_of

    settings = settings_of(ctx.obj)
    loaded = load_policy(settings.project_dir, policy).view(channel, group)
    health = asyncio.run(Guard(loaded, tools_of(settings)).try_out())
    rows = _explained(loaded, health)
    if as_json:
        head = {"policy": loaded.name, "hash": loaded.hash, "dry_run": loaded.dry_run}
        typer.echo(json_text({**head, "description": loaded.description, "owner": loaded.owner, "checks": rows}))
        return
    from rich.console import Console

    typer.echo(plain(f"{loaded.name}: {loaded.description}"))
    typer.echo(plain(f"Owner: {loaded.owner}. Version {loaded.hash[:12]}."))
    if loaded.dry_run:
        typer.echo("A dry run: what the checks find is written down, and nothing is done.")
    Console().print(_table(rows))


def _explained(policy: Policy, health: dict[str, str]) -> list[dict[str, object]]:
    from guardrails.catalogue import about, is_markup
    from guardrails.check import STAGES

    rows: list[dict[str, object]] = []
    for stage in STAGES:
        for each in getattr(policy.file, stage):
            markup = is_markup(each.check)
            rows.append(
                {
                    "stage": stage,
                    "check": each.check,
                    "about": about(each.check),
                    "from": None if markup else each.threshold,
                    "action": each.action,
                    "on_error": None if markup else policy.on_error(each, stage),
                    "timeout_ms": None if markup else each.timeout_ms,
                    "problem": health.get(f"{stage} {each.check}", ""),
                }
            )
    return rows


def _table(rows: list[dict[str, object]]) -> Table:
    from rich.table import Table

    table = Table()
    for name in ("stage", "check", "from", "action", "on error", "looks for"):
        table.add_column(name, justify="right" if name == "from" else "left")
    for row in rows:
        about = (
            f"{row['about']} [red]Does not work here: {plain(str(row['problem']))}[/red]"
            if row["problem"]
            else row["about"]
        )
        start = "" if row["from"] is None else f"{row['from']:g}"
        table.add_row(
            str(row["stage"]), str(row["check"]), start, str(row["action"]), str(row["on_error"] or ""), str(about)
        )
    return table
