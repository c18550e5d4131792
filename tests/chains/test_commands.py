from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chains.commands import _ask, _print_sources, app
from lockgate.settings import Settings
from lockgate.types import Answer, AnswerEvent, AskRequest, Finished, Token

ANSWER = Answer(
    text="Arrays start at \\[7]. [1]", citations=(), abstained=False, mode="generative", trace_id="t" * 32,
    snapshot="s" * 64, uncited_sentences=2, guardrails=("2 sentence(s) without a citation",),
)  # fmt: skip


class Says:
    """An asker with one answer, in the given pieces."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces

    async def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]:
        for piece in self.pieces:
            yield Token(piece)
        yield Finished(ANSWER)


def test_an_answer_is_printed_without_escapes_and_controls(capsys: pytest.CaptureFixture[str]) -> None:
    answer = asyncio.run(_ask(Says("Arrays start at \\[7", "]. ", "[1]\x1b[2J"), AskRequest("Where?"), quiet=False))
    assert capsys.readouterr().out == "Arrays start at [7]. [1][2J\n\n"
    _print_sources(answer)
    assert capsys.readouterr().err.count("without a citation") == 1


def test_chains_are_listed_without_characters_that_drive_the_terminal(
    tmp_path: Path,
) -> None:
    definitions = tmp_path / "chains" / "definitions"
    definitions.mkdir(parents=True)
    (definitions / "mine.yaml").write_text('name: mine\ndescription: "safe\\u202eexe \\x9b2J"\n', encoding="utf-8")
    settings = Settings(project=tmp_path, _env_file=None)
    listed = CliRunner().invoke(app, ["list"], obj=settings)
    assert "mine  (extractive)  safeexe 2J\n" in listed.output
    as_json = CliRunner().invoke(app, ["list", "--json"], obj=settings)
    assert "safe\u202eexe \x9b2J" in [chain["description"] for chain in json.loads(as_json.output)]
