from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from lockgate.errors import NotFound, UserError
from lockgate.settings import Settings
from lockgate.store.channels import get_channel, history
from lockgate.store.database import Database, open_database
from serving.rollout_commands import rollout
from tests.serving.rollouts import NEW, OLD, asked, begin


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(project=tmp_path, _env_file=None)


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    with open_database(settings.database) as database:
        yield database


def run(settings: Settings, *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(rollout)
    return CliRunner().invoke(app, list(arguments), obj=settings)


def test_shows_both_arms_and_prints_the_same_as_json(settings: Settings, db: Database) -> None:
    record = begin(db)
    asked(db, record, "candidate", 3)
    shown = run(settings, "production")
    assert shown.exit_code == 0, shown.output
    assert NEW[:12] in shown.stdout
    body = json.loads(run(settings, "production", "--json").stdout)
    assert (body["state"], body["release"], body["arms"]["candidate"]["n"]) == ("running", OLD, 3)


def test_stop_ends_it_under_the_name_of_who_asked(
    settings: Settings, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKGATE_USER", "grace")
    begin(db)
    shown = run(settings, "production", "--stop", "--reason", "Enough seen.")
    assert "ended, by stop of grace (unverified)" in shown.stdout
    assert get_channel(db, "production", "docs").rollout is None
    assert history(db, "production", "docs", limit=1)[0].reason == "Enough seen."
    again = run(settings, "production", "--stop")
    assert isinstance(again.exception, NotFound)


@pytest.mark.parametrize("arguments", [("production", "--reason", "x"), ("No Such Name!",)])
def test_what_makes_no_sense_is_refused(settings: Settings, arguments: tuple[str, ...]) -> None:
    assert isinstance(run(settings, *arguments).exception, UserError)


def test_a_question_cannot_drive_the_terminal(settings: Settings, db: Database) -> None:
    record = begin(db, "shadow")
    asked(db, record, "current", id="u", question="\x1b[2J\u202eHow?")
    asked(db, record, "candidate", id="s", origin="shadow", shadow_of="u")
    shown = run(settings, "production", "--examples").stdout
    assert "How?" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
