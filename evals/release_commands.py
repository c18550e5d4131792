"""``lockgate release show`` and ``bisect``: the commands of a release that need suites and measurements."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain, progress_bars

if TYPE_CHECKING:
    from evals.case import Case
    from evals.comparing.bisect import Bisection
    from evals.suite import Suite
    from lockgate.release import Manifest
    from lockgate.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Releases beside what was measured of them.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def show(
    ctx: typer.Context,
    release: Annotated[
        str, typer.Argument(metavar="RELEASE", help="A release's id or its first characters, or a channel.")
    ],
    manifest: Annotated[
        bool, typer.Option("--manifest", help="Print the manifest alone, in the bytes that its id is the hash of.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """What a release pins, who built it, where it is served, and its targets beside what was measured."""
    from rich.console import Console

    from evals.release_facts import read_facts, render
    from lockgate.store.database import open_database

    if manifest and as_json:
        raise typer.BadParameter("--json prints the manifest too: leave out one of the two.")
    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        facts = read_facts(settings, db, release)
    if manifest:
        _print_manifest(facts.manifest)
    elif as_json:
        typer.echo(json_text(facts.as_json()))
    else:
        render(facts, Console())


@app.command()
def bisect(
    ctx: typer.Context,
    good: Annotated[
        str, typer.Option(metavar="RELEASE", help="A release or channel where the case is as it should be.")
    ],
    bad: Annotated[str, typer.Option(metavar="RELEASE", help="A release or channel where it is not.")],
    case: Annotated[str, typer.Option(metavar="ID", help="The case, as ID or SUITE/ID.")],
    suite: Annotated[
        str | None, typer.Option(help="The case's suite; default: that of the bad release's chain.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Compare by this metric of the case, not by the answer's text.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find which pinned part made a case change: mixes the two releases and asks each mixture the case.

    Exits with 1 when the case does not change between the two.
    """
    from rich.console import Console

    from chains.release_commands import release_named
    from evals.case_lookup import find_case
    from evals.comparing.bisect_report import render
    from lockgate.store.database import open_database
    from lockgate.store.releases import open_releases

    settings = settings_of(ctx.obj)
    _check_metric(metric)
    with open_database(settings.database) as db:
        store = open_releases(settings, db)
        first, second = (store.manifest(release_named(settings, db, name)) for name in (good, bad))
    found_suite, found_case = find_case(settings.project_dir, case, suite or str(second.chain.get("suite", "")))
    if first.lockgate != second.lockgate:
        built = f"Built by Lockgate {first.lockgate} and {second.lockgate}; both are asked with this version."
        typer.echo(plain(built), err=True)
    result = _bisect(settings, first, second, found_suite, found_case, metric)
    if as_json:
        asked = {"suite": found_suite.name, "case": found_case.id, "question": found_case.question, "metric": metric}
        typer.echo(json_text({**asked, **result.as_json()}))
    else:
        render(result, Console())
    if result.outcome != "found":
        raise typer.Exit(1)


def _bisect(
    settings: Settings, good: Manifest, bad: Manifest, suite: Suite, case: Case, metric: str | None
) -> Bisection:
    from chains.local import open_host
    from evals.comparing.bisect import Observed, bisect
    from evals.comparing.release_asker import ReleaseAsker
    from lockgate.actor import Actor, current_actor
    from lockgate.store.database import open_database

    actor = current_actor()
    builder = Actor(f"{actor.name} (bisect of {good.id[:12]} and {bad.id[:12]})", actor.verified)
    with (
        open_host(settings, "lockgate release bisect") as host,
        open_database(settings.database) as db,
        progress_bars() as progress,
    ):
        asker = ReleaseAsker(settings, db, host, builder)

        async def ask(manifest: Manifest) -> Observed:
            return await asker.observe(manifest, suite, case, metric=metric)

        return asyncio.run(bisect(good, bad, ask, progress, by_score=metric is not None))


def _check_metric(metric: str | None) -> None:
    """Raises UserError for a name that is none, and for a metric that one case and no judge cannot score."""
    from evals.metrics.catalogue import resolve_metric
    from lockgate.errors import UserError

    if metric is None:
        return
    try:
        found = resolve_metric(metric)
    except ValueError as error:
        raise UserError(f"--metric {metric[:80]!r}: {error}.") from None
    if found.needs or found.base or found.tier != "offline":
        raise UserError(f"--metric {found.name}: bisect compares by metrics that need nothing but the answer.")


def _print_manifest(manifest: Manifest) -> None:
    """The exact bytes for a file or another program; on a terminal in ASCII, so that no text drives the screen."""
    if sys.stdout.isatty():
        typer.echo(json_text(manifest.model_dump(mode="json")))
    else:
        typer.echo(manifest.canonical(), nl=False)
