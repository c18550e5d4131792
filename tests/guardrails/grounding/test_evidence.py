"""Passages into sentences and windows."""

from __future__ import annotations

from guardrails.grounding.evidence import WINDOW_WORDS, Evidence
from guardrails.grounding.words import words

KEYS = "Keys rotate daily. Old keys expire after a year. Lost keys are revoked by the owner."
FILLER = " ".join(f"Sentence number {number} speaks of weather and of nothing else at all." for number in range(30))


def stems(text: str) -> frozenset[str]:
    return frozenset(word.stem for word in words(text) if word.says_something)


def test_places_are_those_of_the_passage() -> None:
    passages = ["Intro.\n* Keys **rotate** daily.", KEYS]
    for sentence in Evidence(passages, {}, 1.0).sentences:
        assert sentence.text[:5] in passages[sentence.passage][sentence.start : sentence.end].replace("*", "")


def test_short_evidence_is_one_window() -> None:
    windows = Evidence([KEYS, "Locks last."], {}, 1.0).windows(stems("keys rotate"))
    assert [window.text for window in windows] == [f"{KEYS} Locks last."]


def test_no_evidence_has_no_window() -> None:
    assert Evidence([], {}, 1.0).windows(stems("keys")) == []
    assert Evidence(["", " \n ", "\u200b", "..."], {}, 1.0).windows(stems("keys")) == []


def test_a_window_gathers_what_several_passages_hold() -> None:
    passages = [f"{FILLER} Keys rotate daily.", f"{FILLER} Owners revoke lost badges.", FILLER]
    gathered = Evidence(passages, {}, 1.0).windows(stems("Keys rotate daily and owners revoke lost badges."))[0]
    assert "Keys rotate daily." in gathered.text
    assert "Owners revoke lost badges." in gathered.text


def test_windows_stay_within_their_budget() -> None:
    for window in Evidence([FILLER, FILLER + KEYS], {}, 1.0).windows(stems("keys expire after a year")):
        assert 0 < len(words(window.text)) <= WINDOW_WORDS


def test_a_claim_that_shares_nothing_still_has_a_window() -> None:
    assert len(Evidence([FILLER], {}, 1.0).windows(stems("alpacas hum"))) == 1


def test_rare_words_weigh_more() -> None:
    evidence = Evidence(["Common words stand here.", "An alpaca stands."], {"common": 0.1, "alpaca": 0.9}, 0.5)
    assert evidence.ranked(stems("common alpaca"))[0][1] == 1


def test_the_order_of_equals_is_that_of_the_passages() -> None:
    evidence = Evidence(["Keys rotate.", "Keys rotate."], {}, 1.0)
    assert [place for _, place in evidence.ranked(stems("keys rotate"))] == [0, 1]
