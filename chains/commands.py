"""``lockgate chains``: ask, chat, list, show."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from chains.markers import unescape_markers
from lockgate.errors import LockgateError, UserError
from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain
from lockgate.types import Answer, AskRequest, Finished, Message, Token

if TYPE_CHECKING:
    from chains.target import Target
    from lockgate.ports import Asker
    from lockgate.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Ask the chains that answer from the indexed documents.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Mode = Literal["extractive", "generative"]
ModeOption = Annotated[Mode | None, typer.Option(help="How to answer; default: what the chain says.")]
ChannelOption = Annotated[
    str | None, typer.Option(help="The channel to ask; default: production if it is set, else staging.")
]
ReleaseOption = Annotated[str | None, typer.Option(help="A release, by id or its first characters.")]
DraftOption = Annotated[
    bool, typer.Option("--draft", help="Build a release from the project's files as they are, and ask that.")
]
ChainOption = Annotated[str | None, typer.Option(help="The chain to ask; default: LOCKGATE_CHAIN.")]


@app.command()
def ask(
    ctx: typer.Context,
    question: Annotated[str, typer.Argument(help="The question.")],
    mode: ModeOption = None,
    chain: ChainOption = None,
    channel: ChannelOption = None,
    release: ReleaseOption = None,
    draft: DraftOption = False,
    as_json: JsonOption = False,
) -> None:
    """Answer one question, with citations: from production if it is set, else from staging."""
    from chains.local import open_asker

    settings = settings_of(ctx.obj)
    request = AskRequest(question=question, origin="cli", mode=mode)
    target = _target(settings, chain, channel, release, draft=draft)
    with open_asker(settings, target, command="lockgate chains ask") as asker:
        answer = asyncio.run(_ask(asker, request, quiet=as_json))
    if as_json:
        typer.echo(json_text(dataclasses.asdict(answer)))
    else:
        _print_sources(answer)


@app.command()
def chat(
    ctx: typer.Context,
    mode: ModeOption = None,
    chain: ChainOption = None,
    channel: ChannelOption = None,
    release: ReleaseOption = None,
    draft: DraftOption = False,
) -> None:
    """Hold a conversation. An empty line or Ctrl-D ends it."""
    from chains.local import open_asker

    settings = settings_of(ctx.obj)
    history: list[Message] = []
    conversation = uuid.uuid4().hex
    target = _target(settings, chain, channel, release, draft=draft)
    with open_asker(settings, target, command="lockgate chains chat") as asker:
        typer.echo("Ask away; an empty line ends the conversation.", err=True)
        while question := _read_line():
            try:
                request = AskRequest(
                    question=question, history=tuple(history), origin="cli", mode=mode, conversation=conversation
                )
                answer = asyncio.run(_ask(asker, request, quiet=False))
            except LockgateError as error:
                # One refused question does not end a conversation.
                typer.echo(f"error: {plain(str(error))}\n", err=True)
                continue
            _print_sources(answer)
            history += [Message("user", question), Message("assistant", answer.text)]


@app.command("list")
def list_(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """The chains of this project."""
    from chains.definition import list_chains, load_chain

    settings = settings_of(ctx.obj)
    chains = [load_chain(settings.project_dir, name) for name in list_chains(settings.project_dir)]
    if as_json:
        typer.echo(json_text([{"name": c.name, "description": c.description, "mode": c.mode} for c in chains]))
        return
    for definition in chains:
        typer.echo(plain(f"{definition.name}  ({definition.mode})  {definition.description}"))


@app.command()
def show(
    ctx: typer.Context, name: Annotated[str, typer.Argument(help="A chain's name.")], as_json: JsonOption = False
) -> None:
    """A chain definition with every default filled in."""
    import yaml

    from chains.definition import load_chain

    settings = settings_of(ctx.obj)
    body = load_chain(settings.project_dir, name).model_dump(mode="json")
    typer.echo(json_text(body) if as_json else yaml.safe_dump(body, sort_keys=False).rstrip())


async def _ask(asker: Asker, request: AskRequest, *, quiet: bool) -> Answer:
    answer: Answer | None = None
    async for event in asker.ask(request):
        if isinstance(event, Token) and not quiet:
            typer.echo(plain(unescape_markers(event.text)), nl=False)
            sys.stdout.flush()
        elif isinstance(event, Finished):
            answer = event.answer
    if answer is None:
        raise UserError("The chain ended without an answer.")
    if not quiet:
        typer.echo("\n")
    return answer


def _print_sources(answer: Answer) -> None:
    for citation in answer.citations:
        where = " > ".join(dict.fromkeys((citation.title, *citation.heading)))
        page = f", page {citation.page}" if citation.page else ""
        typer.echo(plain(f"[{citation.number}] {where} — {citation.path}{page} (version {citation.version})"))
    for sentence in answer.grounding.unsupported if answer.grounding else ():
        said = " ".join(answer.text[sentence.start : sentence.end].split())
        what = "contradicts the passages" if sentence.status == "contradicted" else "not found in the passages"
        typer.echo(plain(f"! {what} ({sentence.score:.2f}): {unescape_markers(said)}"))
    channel = f"{answer.channel}{' (forced)' if answer.forced else ''}" if answer.channel else ""
    release = " ".join(filter(None, (channel, "release", answer.release[:12])))
    notes: Sequence[str] = [release, f"snapshot {answer.snapshot[:12]}", f"mode {answer.mode}"]
    if answer.indexing is not None:
        notes = [f"still indexing, {100 * answer.indexing:.0f} %", *notes]
    typer.echo(plain(" · ".join([*notes, *answer.guardrails, f"trace {answer.trace_id[:12]}"])), err=True)


def _target(settings: Settings, chain: str | None, channel: str | None, release: str | None, *, draft: bool) -> Target:
    """Raises UserError for options that contradict each other, and whatever building a draft raises."""
    from chains.target import Target

    if sum(map(bool, (channel, release, draft))) > 1 or (release and chain):
        raise UserError("Only one of --channel, --release and --draft can be given, and --release knows its own chain.")
    if draft:
        from chains.release import build_from_project

        release = build_from_project(settings, chain or settings.chain).id
        typer.echo(f"Built release {release[:12]} from the project's files.", err=True)
    return Target(release=release or "", chain="" if release else chain or "", channel=channel or "")


def _read_line() -> str:
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return ""
