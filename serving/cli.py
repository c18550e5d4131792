"""The root of the command line: mounts each folder's commands, turns errors into messages and exit codes.

Nothing heavy is imported here: ``lockgate --help`` must answer at once.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lockgate.errors import EXIT_CODE, LockgateError
from lockgate.settings import load_settings
from lockgate.terminal import plain
from serving.commands import add_commands

NOUNS = {
    "ingestion": ("ingestion.commands",),
    "chains": ("chains.commands",),
    "prompts": ("prompts.commands", "evals.prompt_commands", "evals.optimize_commands"),
    "guardrails": ("guardrails.commands", "guardrails.calibrate_command"),
    "evals": ("evals.commands",),
    "release": (
        "chains.release_commands",
        "chains.archive_commands",
        "evals.release_commands",
        "serving.release_commands",
    ),
    "scope": ("evals.scope_commands",),
    "finetune": ("finetune.commands",),
    "models": ("lockgate.models.commands",),
    "db": ("lockgate.store.commands",),
}
"""Noun on the command line: the modules whose ``app`` it is. A command that needs a higher layer than its noun's folder
lives in that layer, and a later module's command replaces an earlier one's of the same name."""

INTERRUPTED = 130


class LazyGroup(TyperGroup):
    """Imports the module behind a noun when that noun is used, or listed in a help text."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *NOUNS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in NOUNS:
            return super().get_command(ctx, cmd_name)
        group, *more = (typer.main.get_group(importlib.import_module(module).app) for module in NOUNS[cmd_name])
        for other in more:
            group.commands.update(other.commands)
        group.name = cmd_name
        return group


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    help="Every answer grounded, every release gated.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
add_commands(app)


@app.callback()
def root(
    ctx: typer.Context,
    project: Annotated[
        Path | None, typer.Option(help="The project folder; default: LOCKGATE_PROJECT, else the current folder.")
    ] = None,
) -> None:
    """Every answer grounded, every release gated."""
    if ctx.resilient_parsing or ctx.invoked_subcommand in ("version", "init") or _asks_for_help():
        return  # these work in any folder, whatever its settings
    settings = load_settings(project=project)
    _set_up_logging(settings.log_level)
    ctx.obj = settings


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0 good, 1 expected failure, 2 usage, 130 interrupted."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """The exit code of one command."""
    try:
        app(args=arguments, prog_name="lockgate")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except KeyboardInterrupt:
        return INTERRUPTED
    except LockgateError as error:
        return _report(error)
    except BrokenPipeError:
        # The reader has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _report_unexpected(error)
    return 0


def _report(error: LockgateError) -> int:
    lines = [f"error: {error.message}", *([f"hint: {error.hint}"] if error.hint else [])]
    typer.echo(plain("\n".join(lines)), err=True)
    return EXIT_CODE.get(error.code, 1)


def _report_unexpected(error: Exception) -> int:
    typer.echo(plain(f"error: {type(error).__name__}: {error}"), err=True)
    if _debugging():
        traceback.print_exception(error)
    else:
        typer.echo("Set LOCKGATE_LOG_LEVEL=DEBUG for the traceback.", err=True)
    return 1


def _debugging() -> bool:
    return os.environ.get("LOCKGATE_LOG_LEVEL", "").upper() == "DEBUG"


def _asks_for_help() -> bool:
    return any(argument in ("--help", "-h") for argument in sys.argv[1:])


def _set_up_logging(level: str) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for name in ("lockgate", "ingestion", "prompts", "guardrails", "chains", "evals", "finetune", "serving"):
        logging.getLogger(name).setLevel(level)
    if level == "DEBUG":
        logging.getLogger().setLevel(logging.INFO)
