from __future__ import annotations

import getpass

import pytest

from lockgate.actor import LOCKGATE, MAX_NAME, Actor, current_actor
from lockgate.errors import UserError


def test_the_variable_goes_before_the_systems_user(monkeypatch: pytest.MonkeyPatch) -> None:
    assert current_actor() == Actor(getpass.getuser(), verified=False)
    monkeypatch.setenv("LOCKGATE_USER", "  Ada Lovelace, žena  ")
    assert current_actor() == Actor("Ada Lovelace, žena", verified=False)
    monkeypatch.setenv("LOCKGATE_USER", "   ")
    assert current_actor().name == getpass.getuser()


@pytest.mark.parametrize("error", [KeyError("no such user"), OSError("no such user")])
def test_a_user_without_a_name_is_called_by_number(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def nobody() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", nobody)
    monkeypatch.setattr("os.getuid", lambda: 4711)
    assert current_actor().name == "uid-4711"


@pytest.mark.parametrize("name", ["two\nlines", "esc\x1b[2J", "left\u202eright", "x" * (MAX_NAME + 1), "bell\a"])
def test_a_name_that_cannot_be_shown_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("LOCKGATE_USER", name)
    with pytest.raises(UserError, match="LOCKGATE_USER") as caught:
        current_actor()
    assert str(caught.value).isprintable()


def test_lockgate_itself_claims_no_proof() -> None:
    assert not LOCKGATE.verified
