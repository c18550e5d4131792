"""``lockgate init``: a project of one's own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from lockgate.terminal import json_text, plain


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make; new or empty.")],
    git: Annotated[
        bool | None,
        typer.Option("--git/--no-git", help="Make a git repository; default: yes, unless DIR lies in one already."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a project: a source, prompts, a chain, a policy, gates, a suite with five cases to fill, scope.yaml.

    Nothing is overwritten, and no commit is made. The new project answers questions about its welcome page at once.
    """
    from serving.init import make_project

    made = make_project(folder, git=git)
    if as_json:
        body = {"name": made.name, "path": str(made.path), "files": list(made.files), "git": made.git}
        typer.echo(json_text(body | {"git_note": made.git_note}))
        return
    typer.echo(plain(f"{made.path}: {len(made.files)} files."))
    if made.git == "made":
        typer.echo("git: a repository was made; nothing is committed yet.")
    else:
        typer.echo(plain(f"git: no repository was made: {made.git_note}."))
    typer.echo(f"Next:\n  cd {shlex.quote(plain(str(made.path)))}\n  lockgate up\n  lockgate evals run starter")
