from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from lockgate.errors import NotFound, UserError
from lockgate.settings import Settings
from lockgate.store.channels import Rollout
from lockgate.store.database import open_database
from lockgate.store.tables import ChannelMove
from prompts.blame import blame, read_time
from tests.prompts.repositories import point, settings_in, write_release
from tests.prompts.texts import prompt_text


@pytest.fixture
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def _moved_at(settings: Settings, *times: str) -> None:
    """Give the moves of the history, the oldest first, these times."""
    with open_database(settings.database) as db, db.session() as session:
        for version, moment in enumerate(times, 1):
            moved = update(ChannelMove).where(ChannelMove.version == version)
            session.execute(moved.values(created_at=datetime.fromisoformat(moment)))


def _two_releases(tmp_path: Path) -> tuple[Settings, str, str]:
    settings = settings_in(tmp_path)
    old = write_release(settings, "greet", {"greet.md": prompt_text(body="# user\nOld\n")}).id
    new = write_release(settings, "greet", {"greet.md": prompt_text(body="# user\nNew\n")}).id
    point(settings, old)
    point(settings, new)
    _moved_at(settings, "2026-03-01T12:00:00+00:00", "2026-03-02T12:00:00+00:00")
    return settings, old, new


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ("2026-03-01T12:00:00Z", "Old"),
        ("2026-03-02T11:59:59.9+00:00", "Old"),
        ("2026-03-02T13:59:59+02:00", "Old"),
        ("2026-03-02T14:00:00+02:00", "New"),
        ("2026-03-02T12:00:00+00:00", "New"),
        ("2026-05-01", "New"),
    ],
)
def test_names_the_text_that_was_served_then(tmp_path: Path, at: str, text: str) -> None:
    settings, old, new = _two_releases(tmp_path)
    found = blame(settings, "greet", at)
    assert text in found.prompts[0].prompt.files["greet.md"]
    assert found.release == (old if text == "Old" else new)
    assert (found.move.actor, found.move.reason) == ("ada", "because")


@pytest.mark.usefixtures("_berlin")
def test_a_time_without_a_zone_is_local_and_a_date_is_its_first_second(tmp_path: Path) -> None:
    settings, _, _ = _two_releases(tmp_path)
    assert "Old" in blame(settings, "greet", "2026-03-02T12:30").prompts[0].prompt.files["greet.md"]
    assert "New" in blame(settings, "greet", "2026-03-02T13:30").prompts[0].prompt.files["greet.md"]
    assert read_time("2026-07-01T10:00").time == datetime(2026, 7, 1, 8, tzinfo=UTC)
    assert read_time("2026-07-01T10:00").read_as == "read as local time: 2026-07-01T10:00:00+02:00"
    assert read_time("2026-07-01").time == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert "the first second of that day" in read_time("2026-07-01").read_as
    assert read_time("2026-07-01T10:00Z").read_as == ""


@pytest.mark.parametrize("at", ["", "yesterday", "2026-13-01", "2026-02-30", "12:00", "now", "2026-01-01T25:00"])
def test_what_is_no_time_is_refused(tmp_path: Path, at: str) -> None:
    with pytest.raises(UserError, match="is not a time"):
        blame(settings_in(tmp_path), "greet", at)


def test_a_time_that_is_still_to_come_is_refused(tmp_path: Path) -> None:
    settings, _, _ = _two_releases(tmp_path)
    with pytest.raises(UserError, match="is still to come"):
        blame(settings, "greet", (datetime.now(UTC) + timedelta(hours=1)).isoformat())


def test_a_channel_that_was_not_set_then_says_when_it_first_was(tmp_path: Path) -> None:
    settings, _, _ = _two_releases(tmp_path)
    with pytest.raises(NotFound, match=r"was not set at 2026-02-01T00:00:00\+00:00, but first at 2026-03-01T12:00:00"):
        blame(settings, "greet", "2026-02-01T00:00:00Z")
    with pytest.raises(NotFound, match="staging of chain docs was never set"):
        blame(settings, "greet", "2026-03-01T12:00:00Z", channel="staging")
    with pytest.raises(NotFound, match="production of chain support was never set"):
        blame(settings, "greet", "2026-03-01T12:00:00Z", chain="support")
    with pytest.raises(UserError, match="is not the name of a channel"):
        blame(settings, "greet", "2026-03-01T12:00:00Z", channel="../x")


def test_without_any_release_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="was never set"):
        blame(settings_in(tmp_path), "greet", "2026-03-01T12:00:00Z")
    assert list(tmp_path.iterdir()) == []


def test_a_prompt_that_the_release_does_not_pin_is_not_found(tmp_path: Path) -> None:
    settings, _, _ = _two_releases(tmp_path)
    with pytest.raises(NotFound, match=r"has no prompt 'other'\. It pins: greet \(as answer\), condense"):
        blame(settings, "other", "2026-04-01T00:00:00Z")


def test_during_a_rollout_the_channels_own_release_is_named(tmp_path: Path) -> None:
    settings, old, new = _two_releases(tmp_path)
    rollout = Rollout("r", "percent", old, 10.0, "2026-03-03T00:00:00+00:00")
    point(settings, new, action="rollout", rollout=rollout)
    _moved_at(settings, "2026-03-01T12:00:00+00:00", "2026-03-02T12:00:00+00:00", "2026-03-03T12:00:00+00:00")
    found = blame(settings, "greet", "2026-03-04T00:00:00Z")
    assert found.release == new
    assert found.move.rollout is not None and found.move.rollout.release == old
    (one,) = found.prompts
    assert one.candidate is not None and "Old" in one.candidate.files["greet.md"]


def test_without_a_name_every_prompt_of_the_release_is_told(tmp_path: Path) -> None:
    settings, _, _ = _two_releases(tmp_path)
    found = blame(settings, None, "2026-04-01T00:00:00Z")
    assert [(one.role, one.prompt.name) for one in found.prompts] == [("answer", "greet"), ("condense", "condense")]


def test_a_name_that_was_renamed_is_followed_by_its_role(tmp_path: Path) -> None:
    settings, _, _ = _two_releases(tmp_path)
    reply = write_release(settings, "reply", {"reply.md": prompt_text("reply", body="# user\nReply\n")}).id
    point(settings, reply)
    _moved_at(settings, *(f"2026-03-0{day}T12:00:00+00:00" for day in (1, 2, 3)))
    for name in ("greet", "answer"):  # a name that older releases pin in the role, and the role itself
        found = blame(settings, name, "2026-04-01T00:00:00Z")
        assert [one.prompt.name for one in found.prompts] == ["reply"]
        assert found.notes == (f"'{name}' was called 'reply' there: the answer prompt.",)
    assert blame(settings, "reply", "2026-03-02T13:00:00Z").prompts[0].prompt.name == "greet"


def test_a_candidate_that_cannot_be_read_hides_nothing(tmp_path: Path) -> None:
    settings, old, new = _two_releases(tmp_path)
    point(settings, new, action="rollout", rollout=Rollout("r", "percent", old, 10.0, "2026-03-03T00:00:00+00:00"))
    _moved_at(settings, *(f"2026-03-0{day}T12:00:00+00:00" for day in (1, 2, 3)))
    for path in (tmp_path / ".lockgate" / "objects").rglob(f"*{old[4:]}*"):
        path.unlink()
    found = blame(settings, "greet", "2026-04-01T00:00:00Z")
    assert "New" in found.prompts[0].prompt.files["greet.md"] and "cannot be read" in found.notes[0]
