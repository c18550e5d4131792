"""``lockgate prompts render`` and ``diff`` with the cases of a suite. Without one they do what prompts/ does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lockgate.errors import UserError
from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain, progress_bars
from prompts import commands as plain_commands
from prompts import history_commands

if TYPE_CHECKING:
    from evals.comparing.prompt_outputs import PromptReleases
    from evals.comparing.side_by_side import Comparison
    from evals.suite import Suite
    from lockgate.settings import Settings
    from prompts.prompt import Prompt

app = typer.Typer(no_args_is_help=True, help="Prompts with the cases of suites.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Mode = Literal["extractive", "generative"]


@app.command()
def render(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The prompt's name.")],
    case: Annotated[
        str | None, typer.Option("--case", metavar="SUITE/ID", help="Take question, history and passages of a case.")
    ] = None,
    release: Annotated[
        str | None,
        typer.Option(
            help="The release or channel that finds the case's passages; default: production if set, else staging."
        ),
    ] = None,
    var: Annotated[
        list[str] | None, typer.Option("--var", help="A value, as name=value; JSON unless the variable is a str.")
    ] = None,
    vars_file: Annotated[Path | None, typer.Option("--vars", help="A JSON file with values.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model whose tokens are counted; default: the prompt's, else the chat model.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the messages that a model would get, and how many tokens each has."""
    if case is None:
        if release is not None:
            raise UserError("--release says where the passages of a case come from: give --case too.")
        plain_commands.render(ctx, name, var, vars_file, model, as_json)
        return
    from ingestion.embedding import open_embedder
    from prompts.collection import find_prompt
    from prompts.rendering import read_values, render_prompt

    settings = settings_of(ctx.obj)
    prompt = find_prompt(settings.project_dir, name)
    given = read_values(prompt, var or [], vars_file)
    values = _values_of_case(settings, prompt, case, release) | given
    rendering = render_prompt(settings, prompt, values, model=model, embedder=lambda: open_embedder(settings).load())
    plain_commands.print_rendering(prompt, rendering, as_json=as_json)


@app.command()
def diff(
    ctx: typer.Context,
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME] A..B",
            help="A and B: a git revision, a release id, a channel, a prompt's hash; empty: on disk.",
        ),
    ],
    suite: Annotated[
        str | None, typer.Option(help="Compare the outputs of both on the cases of this suite too.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="With --suite: only its first N cases.")] = None,
    mode: Annotated[
        Mode, typer.Option(help="With --suite: how to answer. Extractive answers use no answer prompt.")
    ] = "generative",
    chain: Annotated[
        str | None, typer.Option(help="The chain whose channels are meant, and that is tried; default: LOCKGATE_CHAIN.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions of a prompt, or of all prompts, word by word; with --suite also what they make of cases, and
    which of these got better or worse."""
    if suite is None:
        if limit is not None:
            raise UserError("--limit is about the cases of a suite: give --suite too.")
        history_commands.diff(ctx, arguments, chain, as_json)
        return
    from rich.console import Console

    from evals.comparing.side_by_side import render as render_outputs

    if len(arguments) > 2:
        raise UserError(f"At most a name and a range were expected, not {len(arguments)} words.")
    settings = history_commands.on_chain(settings_of(ctx.obj), chain)
    cases = _checked_suite(settings, arguments, suite)
    if not as_json:
        history_commands.diff(ctx, arguments, chain)
    found = _outputs(settings, arguments, cases, limit, mode)
    if found is None:
        if as_json:
            typer.echo(json_text({"prompts": [], "outputs": None}))
        typer.echo(f"No prompt of the chain {settings.chain} differs.", err=True)
        return
    releases, outputs = found
    if as_json:
        changes = [change.as_json() for change in releases.changes]
        typer.echo(json_text({"prompts": changes, "note": releases.note, "outputs": outputs.as_json()}))
        return
    titles = [
        ", ".join(f"{getattr(change, side).name} {getattr(change, side).hash[:12]}" for change in releases.changes)
        for side in ("before", "after")
    ]
    typer.echo()
    render_outputs(outputs, Console(), (titles[0], titles[1]))
    before, after = (each.id[:12] for each in (releases.before, releases.after))
    typer.echo(
        f"These are counts, no verdict. For intervals, measure both with lockgate evals run {suite} --release ID, "
        f"then: lockgate evals compare {before} {after}",
        err=True,
    )


def _values_of_case(settings: Settings, prompt: Prompt, case: str, release: str | None) -> dict[str, object]:
    from chains.local import open_asker
    from chains.release_commands import release_named
    from chains.target import Target, read_target, resolve
    from evals.case_lookup import find_case
    from evals.case_values import case_values
    from lockgate.store.database import open_database
    from lockgate.store.releases import open_releases

    _, found = find_case(settings.project_dir, case)
    with open_database(settings.database) as db:
        store = open_releases(settings, db)
        if release is None:
            default = read_target(db, "", settings.chain)
            release_id = resolve(db, store, default, settings.chain).release
        else:
            release_id = release_named(settings, db, release)
        manifest = store.manifest(release_id)
    typer.echo(f"Passages of release {release_id[:12]}, snapshot {manifest.snapshot.id[:12]}.", err=True)
    with open_asker(settings, Target(release=release_id), command="lockgate prompts render") as asker:
        return case_values(settings, prompt, found, manifest, asker)


def _checked_suite(settings: Settings, arguments: list[str], name: str) -> Suite:
    """The suite. Raises for whatever is wrong with the arguments, before anything is printed."""
    from chains.definition import load_chain
    from evals.comparing.prompt_outputs import changed_prompts
    from evals.suite import load_suite
    from prompts.revision import split_range

    suite = load_suite(settings.project_dir, name)
    prompt = arguments[0] if len(arguments) == 2 else None
    definition = load_chain(settings.project_dir, settings.chain)
    changed_prompts(settings, definition, prompt, *split_range(arguments[-1]))
    return suite


def _outputs(
    settings: Settings, arguments: list[str], suite: Suite, limit: int | None, mode: Mode
) -> tuple[PromptReleases, Comparison] | None:
    from chains.local import open_host
    from evals.comparing.prompt_outputs import build_both, scoring_of
    from evals.comparing.release_asker import ReleaseAsker
    from evals.comparing.side_by_side import compare
    from lockgate.actor import Actor, current_actor
    from lockgate.store.database import open_database
    from prompts.revision import split_range

    name = arguments[0] if len(arguments) == 2 else None
    actor = current_actor()
    with open_database(settings.database) as db:
        releases = build_both(settings, db, settings.chain, name, *split_range(arguments[-1]), mode)
        if releases is None:
            return None
        if releases.note:
            typer.echo(plain(releases.note), err=True)
        with open_host(settings, "lockgate prompts diff") as host, progress_bars() as progress:
            asker = ReleaseAsker(settings, db, host, Actor(f"{actor.name} (prompts diff)", actor.verified))
            cases = suite.select(limit=limit)
            sides, scoring = (releases.before, releases.after), scoring_of(settings, suite)
            outputs = asyncio.run(compare(asker, *sides, suite, cases, progress, mode=mode, scoring=scoring))
    return releases, outputs
