from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import UserError
from lockgate.store.channels import Rollout
from lockgate.types import AskRequest, Message
from serving.rollout import BOUNDS, BUDGET, conversation_key, new_rollout, pick_arm

KEYS = [f"conversation {number}" for number in range(20_000)]


def at(share: float, release: str = "b" * 64) -> Rollout:
    return new_rollout("percent", release, share=share)


def test_a_new_rollout_says_all_that_it_will_be_judged_by() -> None:
    rollout = new_rollout("shadow", "b" * 64, share=10, bounds={"latency_ratio": 3}, forced=True)
    assert (rollout.kind, rollout.share, rollout.budget, rollout.forced) == ("shadow", 10.0, BUDGET, True)
    assert rollout.bounds == {**BOUNDS, "latency_ratio": 3.0}
    assert new_rollout("percent", "b" * 64, share=10).budget == 0


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"share": 0}, "not 0"),
        ({"share": -3}, "not -3"),
        ({"share": 100.1}, "not 100.1"),
        ({"share": math.nan}, "not nan"),
        ({"share": math.inf}, "not inf"),
        ({"share": 100}, "leaves nothing to compare with"),
        ({"share": 10, "budget": 5}, "belongs to a shadow"),
        ({"share": 10, "kind": "shadow", "budget": 0}, "not 0"),
        ({"share": 10, "kind": "shadow", "budget": -1}, "not -1"),
        ({"share": 10, "kind": "shadow", "budget": 10**9}, "1,000,000"),
        ({"share": 10, "bounds": {"flag_rate": 0.1}}, "'flag_rate' is no bound"),
        ({"share": 10, "bounds": {"error_rate": 5}}, "error_rate is a number between 0 and 1, not 5"),
        ({"share": 10, "bounds": {"error_rate": math.nan}}, "not nan"),
        ({"share": 10, "bounds": {"latency_ratio": 0.5}}, "between 1 and 100, not 0.5"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(given_: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        new_rollout(**{"kind": "percent", "release": "b" * 64, **given_})


def test_a_shadow_may_repeat_every_request() -> None:
    assert new_rollout("shadow", "b" * 64, share=100).share == 100


@pytest.mark.parametrize("share", [0.5, 1, 10, 50, 90, 99])
def test_the_share_is_kept_within_four_standard_errors(share: float) -> None:
    found = sum(pick_arm(at(share), key) == "candidate" for key in KEYS) / len(KEYS)
    expected = share / 100
    assert abs(found - expected) <= 4 * math.sqrt(expected * (1 - expected) / len(KEYS))


@given(st.text(), st.floats(0.01, 99.99), st.floats(0.01, 99.99))
def test_a_larger_share_of_the_same_release_keeps_everybody_who_had_it(key: str, one: float, two: float) -> None:
    small, large = sorted((one, two))
    if pick_arm(at(small), key) == "candidate":
        assert pick_arm(at(large), key) == "candidate"


def test_a_conversation_stays_on_its_side_over_restarts() -> None:
    rollout = at(50)
    read_again = replace(rollout, bounds=dict(rollout.bounds))
    assert all(pick_arm(rollout, key) == pick_arm(read_again, key) for key in KEYS[:500])
    # Fixed: a change of the hash would move people from one release to the other in the middle of a conversation.
    assert [pick_arm(rollout, str(number)) for number in range(8)] == EXPECTED


EXPECTED = ["candidate", "current", "candidate", "candidate", "current", "current", "candidate", "current"]


def test_another_release_tries_other_conversations_first() -> None:
    first = {key for key in KEYS if pick_arm(at(10), key) == "candidate"}
    second = {key for key in KEYS if pick_arm(at(10, "c" * 64), key) == "candidate"}
    assert len(first & second) < 0.2 * len(first)


def test_every_request_of_a_conversation_has_one_key() -> None:
    began = AskRequest("How do I rotate a key?")
    went_on = AskRequest(
        "And by hand?",
        history=(Message("system", "Be brief."), Message("user", began.question), Message("assistant", "So.")),
    )
    assert conversation_key(began) == conversation_key(went_on) == began.question
    assert conversation_key(replace(went_on, conversation="c-1")) == "c-1"


@pytest.mark.parametrize("key", ["", "\0", "\ud800", "x" * 1_000_000])
def test_any_key_has_a_side(key: str) -> None:
    assert pick_arm(at(50), key) in ("current", "candidate")
