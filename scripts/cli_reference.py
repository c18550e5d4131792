"""Write docs/cli.md from the commands' own help; with --check, fail when it is not what they say."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from serving.cli import app

TARGET = Path(__file__).parent.parent / "docs" / "cli.md"
HEAD = """# Command line

Every command, as `lockgate COMMAND --help` describes it. This page is generated: run `make fmt` after a change.

Results go to standard output, progress and notes to standard error. Exit codes: 0 good, 1 an expected failure (the
message says what to do), 2 wrong usage, 3 a verdict that is INCONCLUSIVE, 130 interrupted.
"""


def main() -> int:
    text = HEAD + "".join(_sections(typer.main.get_command(app), "lockgate"))
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{TARGET} is not what the commands say. Run: make fmt\n")
        return 1
    return 0


def _sections(command: Any, path: str) -> Iterator[str]:
    context = command.make_context(path, [], resilient_parsing=True)
    names = command.list_commands(context) if hasattr(command, "list_commands") else []
    if path != "lockgate" and not names:
        yield _section(command, path)
    for name in names:
        yield from _sections(command.get_command(context, name), f"{path} {name}")


def _section(command: Any, path: str) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    shown = " ".join(_label(p) if p.required else f"[{_label(p)}]" for p in arguments)
    lines = [
        f"\n## {path}\n",
        f"`{' '.join(part for part in (path, shown, '[OPTIONS]' if options else '') if part)}`\n",
    ]
    if text := (command.help or "").strip():
        lines.append(f"{' '.join(text.split())}\n")
    rows = [(f"`{_label(p)}`", getattr(p, "help", "") or "") for p in arguments]
    rows += [(f"`{' / '.join((*p.opts, *p.secondary_opts))}`", p.help or "") for p in options if "--help" not in p.opts]
    if rows:
        lines += [
            "| name | meaning |",
            "|---|---|",
            *(f"| {name} | {' '.join(text.split())} |" for name, text in rows),
            "",
        ]
    return "\n".join(lines)


def _label(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name).upper()


if __name__ == "__main__":
    sys.exit(main())
