"""The commands about what became of prompts: log, diff, blame."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lockgate.errors import NotFound, UserError
from lockgate.settings import Settings, settings_of
from lockgate.terminal import json_text, plain, progress_bars

if TYPE_CHECKING:
    from lockgate.release import PinnedPrompt
    from prompts.blame import Blame
    from prompts.difference import FileDifference, Piece
    from prompts.history import Version
    from prompts.pins import Pin
    from prompts.revision import Revision

Chain = Annotated[str | None, typer.Option(help="The chain whose channels are meant; default: LOCKGATE_CHAIN.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

CONTEXT = 2
"""Unchanged lines that a difference shows around changed ones."""

_MARKS = {"delete": ("[-", "-]"), "insert": ("{+", "+}")}
_STYLES = {"delete": "red strike", "insert": "green"}


def add_history_commands(app: typer.Typer) -> None:
    """Mount the commands of this module."""
    app.command()(log)
    app.command()(diff)
    app.command()(blame)


def log(
    ctx: typer.Context, name: Annotated[str, typer.Argument(help="The prompt's name.")], as_json: Json = False
) -> None:
    """List the versions of a prompt, newest first, and the releases and channels that used each."""
    from prompts.history import prompt_history

    with progress_bars() as progress:
        history = prompt_history(settings_of(ctx.obj), name, progress)
    if as_json:
        rows = [_version_json(version) for version in history.versions]
        about = {"name": name, "git": history.has_git, "shipped": history.is_shipped, "renamed_to": history.renamed_to}
        typer.echo(json_text(about | {"notes": history.notes, "versions": rows}))
        return
    for version in history.versions:
        typer.echo(plain(_version_line(version, "shipped with Lockgate" if history.is_shipped else "working tree")))
        for pin in version.pins:
            typer.echo(plain(f"{'':14}release {pin.release[:12]} of {pin.chain}{_channels(pin)}"))
    for note in history.notes:
        typer.echo(plain(f"note: {note}"), err=True)
    if not history.has_git:
        typer.echo("There is no git history here; these are the versions on disk and in releases.", err=True)


def diff(
    ctx: typer.Context,
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME] A..B",
            help="A and B: a git revision, a release id, a channel, a prompt's hash; empty: on disk.",
        ),
    ],
    chain: Chain = None,
    as_json: Json = False,
) -> None:
    """Compare two versions of a prompt, or of all prompts, word by word."""
    from prompts.revision import split_range

    if len(arguments) > 2:
        raise UserError(f"At most a name and a range were expected, not {len(arguments)} words.")
    settings = on_chain(settings_of(ctx.obj), chain)
    first, second = split_range(arguments[-1])
    pairs = _pairs(settings, arguments[0] if len(arguments) == 2 else None, first, second)
    if as_json:
        typer.echo(json_text([_difference_json(before, after) for before, after in pairs]))
        return
    for before, after in pairs:
        _print_difference(before, after)
    if not pairs:
        typer.echo("No prompt differs.", err=True)


def on_chain(settings: Settings, chain: str | None) -> Settings:
    """The settings with another chain."""
    return settings.model_copy(update={"chain": chain}) if chain else settings


def blame(
    ctx: typer.Context,
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="An ISO time or date; without a zone: local time.")],
    name: Annotated[str | None, typer.Argument(help="The prompt's name; default: every prompt of the release.")] = None,
    channel: Annotated[str, typer.Option(help="The channel that served it.")] = "production",
    chain: Chain = None,
    as_json: Json = False,
) -> None:
    """Show what text of the prompts a channel was serving at some time, and who put it there."""
    from prompts.blame import blame as find

    found = find(settings_of(ctx.obj), name, at, channel=channel, chain=chain)
    if as_json:
        typer.echo(json_text(_blame_json(found)))
        return
    move, rollout = found.move, found.move.rollout
    if found.at.read_as:
        typer.echo(plain(f"--at {at}: {found.at.read_as}"), err=True)
    for note in found.notes:
        typer.echo(plain(f"note: {note}"), err=True)
    since = f"{move.created_at:%Y-%m-%d %H:%M:%S %Z}"
    forced = ", forced" if move.forced else ""
    reason = f": {' '.join(move.reason.split())}" if move.reason else ""
    typer.echo(plain(f"{move.channel} since {since} ({move.action} by {move.actor}{forced}){reason}"))
    if rollout and rollout.kind == "percent":
        typer.echo(
            plain(f"{rollout.share:g} % of the conversations got the candidate, release {rollout.release[:12]}.")
        )
    elif rollout:
        typer.echo(plain(f"Requests were also sent to release {rollout.release[:12]}, whose answers nobody saw."))
    for one in found.prompts:
        _print_prompt(one.prompt, f"in release {found.release[:12]} of {move.chain}, {one.role}")
        if rollout and one.candidate:
            _print_prompt(one.candidate, f"in the candidate, release {rollout.release[:12]}, {one.role}")
        elif rollout and not found.notes:
            typer.echo("\nThe candidate has the same text.")


def _print_prompt(prompt: PinnedPrompt, where: str) -> None:
    from prompts.files import main_paths

    typer.echo(plain(f"\n{prompt.name}  {prompt.hash[:12]}  {where}"))
    mains = main_paths(prompt.name)
    for path, text in sorted(prompt.files.items(), key=lambda item: (item[0] not in mains, item[0])):
        typer.echo(plain(f"\n{path}\n\n{text}"), nl=False)


def _blame_json(found: Blame) -> dict[str, Any]:
    move, rollout = found.move, found.move.rollout

    def text(prompt: PinnedPrompt) -> dict[str, Any]:
        return {"name": prompt.name, "hash": prompt.hash, "files": dict(prompt.files)}

    return {
        "at": found.at.time.isoformat(),
        "channel": move.channel,
        "chain": move.chain,
        "release": found.release,
        "since": move.created_at.isoformat(),
        "action": move.action,
        "actor": move.actor,
        "verified": move.verified,
        "reason": move.reason,
        "forced": move.forced,
        "rollout": {"kind": rollout.kind, "release": rollout.release, "share": rollout.share} if rollout else None,
        "notes": found.notes,
        "prompts": [
            {"role": one.role, **text(one.prompt), "candidate": text(one.candidate) if one.candidate else None}
            for one in found.prompts
        ],
    }


def _pairs(settings: Settings, name: str | None, first: str, second: str) -> list[tuple[Revision, Revision]]:
    from prompts.revision import KNOWN, Revision, names_at, revision_of

    if name is not None:
        return [(revision_of(settings, name, first), revision_of(settings, name, second))]

    def found(one: str, revision: str) -> Revision:
        try:
            return revision_of(settings, one, revision)
        except NotFound:
            return Revision(one, "", f"not in {revision or 'the files on disk'}", {})

    sides = names_at(settings, first), names_at(settings, second)
    for side, revision in zip(sides, (first, second), strict=True):
        if not side.names and revision:
            raise NotFound(
                f"{revision[:80]!r} is no {KNOWN} that is known here.",
                hint="See: lockgate release list, lockgate prompts log NAME",
            )
    pairs = [(found(one, first), found(one, second)) for one in sorted(sides[1].names)]
    followed = {before.name for before, _ in pairs if before.hash} | sides[1].names
    pairs += [(found(one, first), found(one, second)) for one in sorted(sides[0].names - followed)]
    # A release or a hash speaks of its own prompts only, and nobody looks for a shipped prompt in the project's git.
    both_whole = sides[0].is_whole and sides[1].is_whole
    own = {name for side in sides for name in side.own}
    kept = [pair for pair in pairs if all(one.hash for one in pair) or (both_whole and pair[1].name in own)]
    return [
        (before, after)
        for before, after in kept
        if before.hash != after.hash
        # What only a role connects is no pair where one of the two is on the other side under its own name.
        and not (before.role and before.name in sides[1].names)
        and not (after.role and after.name in sides[0].names)
    ]


def _print_difference(before: Revision, after: Revision) -> None:
    from prompts.difference import compare

    sides = (f"{one.label} ({one.hash[:12]})" if one.hash else one.label for one in (before, after))
    typer.echo(plain(f"{before.name}: {' -> '.join(sides)}"))
    differences = compare(before, after)
    if not differences:
        typer.echo("The texts are equal.")
    for difference in differences:
        typer.echo(plain(f"\n{difference.title}"))
        _print_pieces(difference)


def _print_pieces(difference: FileDifference) -> None:
    lines = _lines(difference.pieces)
    changed = [number for number, line in enumerate(lines) if any(piece.op != "equal" for piece in line)]
    shown = {near for number in changed for near in range(number - CONTEXT, number + CONTEXT + 1)}
    write = _writer()
    skipping = False
    for number, line in enumerate(lines):
        if number in shown:
            write(line)
        elif not skipping:
            typer.echo("...")
        skipping = number not in shown


def _writer() -> Callable[[Sequence[Piece]], None]:
    """Colours on a terminal, marks elsewhere."""
    if not sys.stdout.isatty():
        return lambda line: typer.echo("".join(map(_marked, line)))

    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)

    def coloured(line: Sequence[Piece]) -> None:
        console.print(Text.assemble(*((plain(piece.text), _STYLES.get(piece.op, "")) for piece in line)))

    return coloured


def _marked(piece: Piece) -> str:
    before, after = _MARKS.get(piece.op, ("", ""))
    return f"{before}{plain(piece.text)}{after}"


def _lines(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """The pieces line by line, without the line ends; a changed line end shows as the mark of an empty text."""
    from prompts.difference import Piece

    lines: list[list[Piece]] = [[]]
    for piece in pieces:
        for number, text in enumerate(piece.text.split("\n")):
            if number:
                lines.append([])
            if text:
                lines[-1].append(Piece(piece.op, text))
            elif number and piece.op != "equal" and not lines[-2]:
                lines[-2].append(Piece(piece.op, ""))
    return lines if lines[-1] else lines[:-1]


def _difference_json(before: Revision, after: Revision) -> dict[str, Any]:
    from prompts.difference import compare

    def side(revision: Revision) -> dict[str, str]:
        return {"label": revision.label, "hash": revision.hash}

    files = [
        {
            "before": one.before,
            "after": one.after,
            "operations": [{"op": piece.op, "text": piece.text} for piece in one.pieces],
        }
        for one in compare(before, after)
    ]
    return {"name": before.name, "before": side(before), "after": side(after), "files": files}


def _version_line(version: Version, on_disk: str) -> str:
    shown = f"{version.hash[:12] or '(unreadable)':<12}  "
    if version.commit:
        commit = version.commit
        shown += f"{commit.time:%Y-%m-%d}  {commit.id[:10]}  {commit.author}  {commit.subject}"
    elif version.place == "release" and version.time:
        shown += f"{version.time:%Y-%m-%d}  only in releases"
    else:
        shown += on_disk
    return (
        shown
        + (f"  [{version.name}]" if version.commit else "")
        + (f"  broken: {version.broken}" if version.broken else "")
    )


def _channels(pin: Pin) -> str:
    uses = [f"{use.channel}{' now' if use.is_current else ' before'}" for use in pin.channels]
    return f", {', '.join(uses)}" if uses else ""


def _version_json(version: Version) -> dict[str, Any]:
    commit = version.commit
    return {
        "hash": version.hash,
        "place": version.place,
        "name": version.name,
        "time": version.time.isoformat() if version.time else None,
        "commit": commit.id if commit else None,
        "author": commit.author if commit else None,
        "subject": commit.subject if commit else None,
        "broken": version.broken,
        "releases": [
            {
                "id": pin.release,
                "chain": pin.chain,
                "created_at": pin.created_at.isoformat(),
                "channels": [
                    {"channel": use.channel, "chain": use.chain, "current": use.is_current} for use in pin.channels
                ],
            }
            for pin in version.pins
        ],
    }
