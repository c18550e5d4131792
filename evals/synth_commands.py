"""``lockgate evals synth`` and ``lockgate evals proposals``: questions made from the documents, and a person's say."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lockgate.settings import Settings, settings_of
from lockgate.terminal import json_text, plain, progress_bars

if TYPE_CHECKING:
    from evals.synth.accepting import CurrentPages
    from evals.synth.proposal import Proposal

app = typer.Typer(no_args_is_help=True, help="Questions that evals synth made: list, review, accept, reject.")

SuiteArgument = Annotated[str, typer.Argument(metavar="SUITE", help="Name of a folder in evals/suites/.")]
IdsArgument = Annotated[list[str], typer.Argument(metavar="ID...", help="Proposals, by id or its first characters.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SplitOption = Annotated[
    Literal["dev", "test"] | None, typer.Option(help="Which half the cases go to; default: the smaller one.")
]


def synth_command(
    ctx: typer.Context,
    suite: SuiteArgument,
    *,
    snapshot: Annotated[str | None, typer.Option(help="The snapshot to ask about; default: the current one.")] = None,
    count: Annotated[int, typer.Option(min=1, max=2000, help="How many proposals to make.")] = 20,
    unanswerable: Annotated[float, typer.Option(min=0, max=1, help="Share of them that no page should answer.")] = 0.25,
    pages: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Only pages whose path matches, such as 'api/*'.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(help="Who writes: local, or a model by the name that its server knows; default: rules, no model."),
    ] = "",
    model_url: Annotated[
        str, typer.Option(metavar="URL", help="The model's OpenAI-compatible server; default: OPENAI_BASE_URL.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Another seed picks other pages and passages.")] = 0,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Make every model call anew.")] = False,
    budget_calls: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Stop after N model calls, with what is there.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Propose cases for a suite from the pages of a snapshot. They count only after a person accepted them.

    Exits with 1 when nothing could be proposed.
    """
    from evals.synth.opening import ModelChoice
    from evals.synth.propose import propose
    from evals.synth.search import ProposeRequest

    request = ProposeRequest(
        suite=suite,
        snapshot=snapshot,
        count=count,
        unanswerable=unanswerable,
        pages=pages,
        seed=seed,
        model=ModelChoice(model, model_url),
        budget=budget_calls,
        fresh=no_cache,
    )
    with progress_bars() as progress:
        found = propose(settings_of(ctx.obj), request, progress=progress, say=_say)
    if as_json:
        body = [each.model_dump(mode="json") for each in found.proposals]
        calls = {"made": found.made, "served": found.served}
        typer.echo(
            json_text(
                {
                    "suite": suite,
                    "snapshot": found.snapshot,
                    "proposals": body,
                    "dropped": found.dropped,
                    "calls": calls,
                }
            )
        )
    else:
        for each in found.proposals:
            typer.echo(_line(each))
    _say(f"{len(found.proposals)} proposals from snapshot {found.snapshot[:12]}.")
    for why, number in sorted(found.dropped.items()):
        _say(f"Left out {number}: {why}.")
    if found.made or found.served:
        _say(f"Model calls: {found.made} made, {found.served} from the cache.")
    if not found.proposals:
        raise typer.Exit(1)
    _say(f"They count once somebody accepts them: lockgate evals proposals review {suite}")


@app.command("list")
def list_command(
    ctx: typer.Context,
    suite: SuiteArgument,
    state: Annotated[
        Literal["proposed", "accepted", "rejected", "all"], typer.Option(help="Only those in this state.")
    ] = "proposed",
    as_json: JsonOption = False,
) -> None:
    """List a suite's proposals in the order in which they were made."""
    found = [each for each in _proposals(settings_of(ctx.obj), suite) if state in ("all", each.state)]
    if as_json:
        typer.echo(json_text([each.model_dump(mode="json") for each in found]))
        return
    if not found:
        _say(f"Nothing {state if state != 'all' else 'proposed'} here. Run: lockgate evals synth {suite}")
    for each in found:
        typer.echo(_line(each))


@app.command("show")
def show_command(
    ctx: typer.Context,
    suite: SuiteArgument,
    proposal: Annotated[str, typer.Argument(metavar="ID", help="Its id or first characters.")],
    as_json: JsonOption = False,
) -> None:
    """Show a proposal: passage, question, reference, and what was looked up for it."""
    from evals.synth.proposal import named
    from evals.synth.review import shown

    found = named(_proposals(settings_of(ctx.obj), suite), proposal)
    typer.echo(json_text(found.model_dump(mode="json")) if as_json else shown(found))


@app.command("accept")
def accept_command(ctx: typer.Context, suite: SuiteArgument, ids: IdsArgument, split: SplitOption = None) -> None:
    """Make cases of proposals, all that are named or none; raises the suite's version.

    Refuses what is asked already, and what the current documents no longer say.
    """
    from evals.synth.accepting import accept
    from lockgate.actor import current_actor

    settings = settings_of(ctx.obj)
    done = accept(settings.project_dir, suite, ids, _pages(settings), current_actor(), split=split)
    for case in done.cases:
        typer.echo(case)
    _say(f"{suite} is version {done.version} now.")


@app.command("reject")
def reject_command(
    ctx: typer.Context,
    suite: SuiteArgument,
    ids: IdsArgument,
    reason: Annotated[str, typer.Option(help="Why, for whoever asks later.")] = "",
) -> None:
    """Say no to proposals. They are kept, so that nobody is asked about them again."""
    from evals.synth.accepting import reject
    from lockgate.actor import current_actor

    for each in reject(settings_of(ctx.obj).project_dir, suite, ids, current_actor(), reason):
        typer.echo(each)


@app.command("review")
def review_command(
    ctx: typer.Context,
    suite: SuiteArgument,
    split: SplitOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after N proposals.")] = None,
) -> None:
    """Go through the proposals one by one: a accepts, e edits and accepts, r rejects, s skips, q quits.

    Each decision is written at once. Where standard input is no terminal, each line of it is a key or an answer.
    """
    from evals.synth.accepting import Wording, accept, reject
    from evals.synth.review import review
    from lockgate.actor import current_actor

    settings = settings_of(ctx.obj)
    waiting = [each for each in _proposals(settings, suite) if each.state == "proposed"][:limit]
    if not waiting:
        _say(f"Nothing waits. Run: lockgate evals synth {suite}")
        return
    actor, pages, project, raised = current_actor(), _pages(settings), settings.project_dir, False

    def take(name: str, wording: Wording) -> str:
        nonlocal raised
        done = accept(project, suite, [name], pages, actor, wording=wording, split=split, raise_version=not raised)
        raised = raised or done.written > 0
        return done.cases[0]

    def drop(name: str, why: str) -> None:
        reject(project, suite, [name], actor, why)

    tally = review(waiting, _Terminal(), take, drop)
    _say(f"{len(tally.accepted)} accepted, {len(tally.rejected)} rejected, {tally.skipped} skipped.")


class _Terminal:
    """Standard input and output: single keys on a terminal, lines from a pipe. What is no UTF-8 becomes U+FFFD, which
    can be seen and written: whatever else was decided on must not end with it."""

    def __init__(self) -> None:
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8", errors="replace")

    def show(self, text: str) -> None:
        typer.echo(plain(text))

    def key(self) -> str:
        from evals.synth.review import KEYS

        typer.echo(f"{KEYS}: ", nl=False)
        if sys.stdin.isatty():
            pressed = typer.getchar()
            typer.echo("")
            return pressed
        line = sys.stdin.readline()
        return line.strip()[:1] or ("?" if line else "")

    def ask(self, label: str, default: str) -> str:
        if default:
            typer.echo(plain(f"{label}, empty to keep: {default}"))
        typer.echo(f"{label}: ", nl=False)
        return sys.stdin.readline().strip()


def _proposals(settings: Settings, suite: str) -> list[Proposal]:
    from evals.suite import load_suite
    from evals.synth.proposal import read_proposals

    return read_proposals(load_suite(settings.project_dir, suite, may_be_empty=True).folder)


def _pages(settings: Settings) -> CurrentPages:
    from evals.synth.accepting import current_pages
    from lockgate.store.database import open_database

    with open_database(settings.database) as db:
        return current_pages(db)


def _line(each: Proposal) -> str:
    if each.answerable:
        found = f"found at {each.checks.found_at}" if each.checks.found_at else "not found"
    else:
        found = "no answer"
    mark = "" if each.state == "proposed" else f"{each.state}  "
    return plain(f"{each.id}  {mark}{each.kind:<14} {found:<12} {each.question}  ({each.page})")


def _say(line: str) -> None:
    typer.echo(plain(line), err=True)
