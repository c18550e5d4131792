"""The shipped suite holds what its README says: pages that answer, and questions that nothing answers."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from evals.case import Case
from evals.metrics.words import answer_tokens
from evals.suite import load_suite

PROJECT = Path(__file__).resolve().parents[2]
SUITE = load_suite(PROJECT, "docs-smoke")
ANSWERABLE = [case for case in SUITE.cases if case.answerable]
UNANSWERABLE = [case for case in SUITE.cases if not case.answerable]


def page_text(page: str) -> str:
    return (PROJECT / "docs" / page).read_text()


def labelled_pages() -> set[str]:
    return {page.name for page in (PROJECT / "docs").glob("*.md")} - {"cli.md", "log.md"}


def name(case: Case) -> str:
    return case.id


def test_has_enough_cases_in_two_like_halves() -> None:
    assert len(SUITE.cases) >= 245
    assert len(UNANSWERABLE) >= len(SUITE.cases) / 4
    for kind in (ANSWERABLE, UNANSWERABLE):
        dev = sum(case.split == "dev" for case in kind)
        assert abs(dev - (len(kind) - dev)) <= 2
    for split in ("dev", "test"):
        tags = [tag for case in SUITE.select(split) for tag in case.tags]
        for tag in ("paraphrase", "follow-up", "near", "off-topic", "number"):
            assert tags.count(tag) >= 2


def test_asks_no_question_twice() -> None:
    # The same words after another history are another question.
    asked = [(*(turn.content for turn in case.history), *answer_tokens(case.question)) for case in SUITE.cases]
    assert len(set(asked)) == len(asked)


def test_asks_about_most_pages_and_about_none_much_more_than_about_others() -> None:
    answers = Counter(page for case in ANSWERABLE for page in case.pages)
    assert set(answers) <= labelled_pages()
    assert len(answers) >= 0.75 * len(labelled_pages())
    assert max(answers.values()) <= 0.05 * len(ANSWERABLE)


@pytest.mark.parametrize("case", ANSWERABLE, ids=name)
def test_the_gold_pages_hold_the_words_of_the_reference(case: Case) -> None:
    for page in case.pages:
        words = set(answer_tokens(page_text(page)))
        wanted = [word for word in answer_tokens(case.reference) if len(word) > 3]
        missing = [word for word in wanted if word not in words]
        # Several pages together make one reference; each alone has to hold a good part of it.
        allowed = 0.25 if len(case.pages) == 1 else 0.5
        assert len(missing) <= allowed * len(wanted), f"{page} lacks {missing}"


@pytest.mark.parametrize("case", [case for case in ANSWERABLE if "number" in case.tags], ids=name)
def test_every_number_of_the_reference_stands_on_its_pages(case: Case) -> None:
    text = " ".join(page_text(page) for page in case.pages)
    numbers = re.findall(r"\d[\d.,]*\d|\d", case.reference)
    assert [number for number in numbers if number not in text] == []


@pytest.mark.parametrize("case", UNANSWERABLE, ids=name)
def test_no_page_holds_the_word_that_the_question_turns_on(case: Case) -> None:
    absent = [tag.partition("=")[2] for tag in case.tags if tag.startswith("absent=")]
    for page in sorted((PROJECT / "docs").glob("*.md")):
        text = page.read_text().lower()
        found = [word for word in absent if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)]
        assert found == [], f"{page.name} may answer this now"


@pytest.mark.parametrize("case", SUITE.cases, ids=name)
def test_a_question_is_not_copied_from_a_page(case: Case) -> None:
    question = " ".join(answer_tokens(case.question))
    for page in (PROJECT / "docs").glob("*.md"):
        assert question not in " ".join(answer_tokens(page.read_text())), page.name
