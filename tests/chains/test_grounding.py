"""What a policy does with an answer that its passages do not hold."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from guardrails.check import GuardTools
from lockgate.errors import NotFound
from lockgate.grounding import GroundingReport, SentenceResult, Span
from lockgate.store.database import Database, open_database
from lockgate.store.traces import TraceRecord, get_trace
from lockgate.types import Answer, AskRequest, Finished, Message, Token
from tests.chains.fakes import REVOKE, ROTATE, FakeRetriever, ScriptedGenerator, chain_over, passage
from tests.ingestion.fakes import settings_for

PASSAGES = [passage("rotate", ROTATE), passage("revoke", REVOKE)]
WRONG = "Rotate a key every ninety days [1]. Carol of the Berlin office signs each of them. The end is near here."


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with open_database(settings_for(tmp_path).database) as database:
        yield database


class SaidBy:
    """A detector that finds no support for sentences that hold ``word``."""

    def __init__(self, word: str) -> None:
        self.word = word

    def check(self, question: str, answer: str, passages: Sequence[str]) -> GroundingReport:
        results = []
        at = 0
        for sentence in answer.split(". "):
            bad = self.word in sentence
            end = at + len(sentence)
            spans = (Span(at, end, "not there"),) if bad else ()
            results.append(SentenceResult(at, end, "not_found" if bad else "supported", float(bad), spans, None, True))
            at = end + 2
        score = max(each.score for each in results)
        return GroundingReport(score, score > 0.5, 0.5, tuple(results), (), 0, 0, "fake")


def policy(project: Path, lines: str, *, name: str = "default") -> None:
    folder = project / "guardrails" / "policies"
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath(f"{name}.yaml").write_text(f"name: {name}\ndescription: d\nowner: me\n{lines}")


def grounding(project: Path, action: str, *more: str) -> None:
    lines = "".join(f"    {line}\n" for line in more)
    policy(project, f"output:\n  - check: grounding\n    action: {action}\n    message: I cannot say.\n{lines}")


class Asked:
    """One answer: its pieces with how much the model had said when each was shown, and what is left of it."""

    def __init__(self, project: Path, db: Database, words: Sequence[str], *, tools: Any = None, **request: Any) -> None:
        generator = ScriptedGenerator(words)
        guard_tools = tools or GuardTools(grounder=lambda: SaidBy("Carol"))
        chain = chain_over(project, db, FakeRetriever(PASSAGES), generator, guard_tools=guard_tools)
        self.pieces: list[tuple[str, int]] = []

        async def read() -> Answer:
            request.setdefault("question", "How do I rotate a key?")
            async for event in chain.ask(AskRequest(mode="generative", **request)):
                if isinstance(event, Token):
                    self.pieces.append((event.text, generator.said))
                elif isinstance(event, Finished):
                    return event.answer
            raise AssertionError

        self.answer = asyncio.run(read())
        self.text = "".join(text for text, _ in self.pieces)
        self.trace: TraceRecord = get_trace(db, self.answer.trace_id)
        self.said = generator.said


def words(text: str) -> list[str]:
    return [f"{word} " for word in text.split()]


def test_a_flagged_answer_streams_and_says_which_sentence_lacks_support(tmp_path: Path, db: Database) -> None:
    grounding(tmp_path, "flag", "on_error: flag")
    asked = Asked(tmp_path, db, words(WRONG))
    assert asked.pieces[0][1] < asked.said
    report = asked.answer.grounding
    assert report is not None
    [bad] = report.unsupported
    assert "Carol" in asked.answer.text[bad.start : bad.end]
    assert asked.answer.text == asked.text
    assert any("grounding: flagged" in note for note in asked.answer.guardrails)
    assert asked.trace.grounding == report.as_json() | {
        "sentences": [*map(_json, report.as_json()["sentences"])], "unclaimed": []
    }  # fmt: skip
    [finding] = asked.trace.findings
    assert (finding["check"], finding["stage"], finding["acted"]) == ("grounding", "output", "flag")


def _json(sentence: dict[str, Any]) -> dict[str, Any]:
    return sentence | {"spans": list(sentence["spans"])}


def test_the_extractive_answer_takes_the_place_of_one_without_support(tmp_path: Path, db: Database) -> None:
    grounding(tmp_path, "rewrite")
    asked = Asked(tmp_path, db, words(WRONG))
    assert "Carol" not in asked.text
    assert "Run the rotate command to make a new key. [1]" in asked.text
    assert asked.answer.text == asked.text
    assert asked.answer.citations[0].path == "rotate.md"
    assert not asked.answer.abstained
    assert asked.answer.grounding is not None
    assert not asked.answer.grounding.unsupported
    assert asked.answer.finish_reason == "stop"


def test_nothing_of_an_answer_is_shown_while_it_may_be_taken_back(tmp_path: Path, db: Database) -> None:
    grounding(tmp_path, "rewrite")
    asked = Asked(
        tmp_path, db, words("Rotate a key every ninety days [1]. Run the rotate command to make a new key [1].")
    )
    assert {said for _, said in asked.pieces} == {asked.said}
    assert asked.text.startswith("Rotate a key every ninety days")


def test_a_blocked_answer_is_the_message_and_counts_as_an_abstention(tmp_path: Path, db: Database) -> None:
    grounding(tmp_path, "block")
    asked = Asked(tmp_path, db, words(WRONG))
    assert asked.text == asked.answer.text == "I cannot say."
    assert asked.answer.abstained
    assert asked.answer.finish_reason == "content_filter"
    assert asked.answer.grounding is None
    assert "Carol" not in str(asked.trace)


def test_in_a_dry_run_the_answer_stays_and_the_finding_is_written_down(tmp_path: Path, db: Database) -> None:
    grounding(tmp_path, "block")
    file = tmp_path / "guardrails" / "policies" / "default.yaml"
    file.write_text(file.read_text() + "dry_run: true\n")
    asked = Asked(tmp_path, db, words(WRONG))
    assert "Carol" in asked.text
    assert asked.trace.findings[0]["dry_run"] is True


@pytest.mark.parametrize(
    ("lines", "shown"),
    [(["flag"], "I cannot say."), (["flag", "on_error: flag"], "Carol"), (["block"], "I cannot say.")],
)
def test_a_missing_detector_is_what_on_error_says(tmp_path: Path, db: Database, lines: list[str], shown: str) -> None:
    def missing() -> Any:
        raise NotFound("detector.json: no such file")

    grounding(tmp_path, *lines)
    asked = Asked(tmp_path, db, words(WRONG), tools=GuardTools(grounder=missing))
    assert shown in asked.text
    assert ("Carol" in asked.text) == (shown == "Carol")
    assert any("no such file" in note for note in asked.answer.guardrails)


def test_the_shipped_detector_judges_what_the_default_policy_shows(tmp_path: Path, db: Database) -> None:
    asked = Asked(
        tmp_path,
        db,
        words("Rotate a key every thirty days [1]. Then ring Mrs Carol Mueller in Berlin."),
        tools=GuardTools(),
    )
    report = asked.answer.grounding
    assert report is not None
    assert [each.status == "supported" for each in report.sentences] == [False, False]
    assert report.detector.startswith("grounding@")


# What is private, in the question and in what was said before

PII = "input:\n  - {check: pii, action: redact, reversible: true}\n"


def test_a_users_own_data_stands_in_the_answer_and_the_underlines_stay_in_place(tmp_path: Path, db: Database) -> None:
    policy(tmp_path, PII + "output:\n  - {check: grounding, action: flag, on_error: flag}\n")
    asked = Asked(
        tmp_path,
        db,
        words("Write to [EMAIL_1] about a key. Carol will answer you soon."),
        question="How do I rotate a key for ann.lee@corp.example?",
    )
    assert "ann.lee@corp.example" in asked.answer.text
    assert asked.answer.grounding is not None
    [bad] = asked.answer.grounding.unsupported
    assert asked.answer.text[bad.start : bad.end].startswith("Carol will")
    assert "ann.lee" not in str(asked.trace)
    stored = asked.trace.grounding
    assert stored is not None
    place = next(each for each in stored["sentences"] if each["status"] != "supported")
    assert asked.trace.answer[place["start"] : place["end"]].startswith("Carol will")


def test_what_was_said_before_is_checked_too_and_no_placeholder_means_two_things(tmp_path: Path, db: Database) -> None:
    policy(tmp_path, PII)
    history = (
        Message("user", "I am bob@corp.example. Which key?"),
        Message("assistant", "The key of bob@corp.example and of cy@corp.example."),
    )
    asked = Asked(
        tmp_path,
        db,
        words("It goes from [EMAIL_1] to [EMAIL_2] and [EMAIL_3]."),
        question="How do I rotate a key of ann.lee@corp.example?",
        history=history,
    )
    assert "from bob@corp.example to cy@corp.example and ann.lee@corp.example" in asked.answer.text
    assert "corp.example" not in str(asked.trace)
    assert [each["content"] for each in asked.trace.history] == [
        "I am [EMAIL_1]. Which key?",
        "The key of [EMAIL_1] and of [EMAIL_2].",
    ]


def test_a_blocked_message_of_the_history_is_as_if_it_had_not_been_said(tmp_path: Path, db: Database) -> None:
    policy(tmp_path, "input:\n  - {check: secrets, action: block, message: No keys.}\n")
    history = (Message("user", "token = 9f8b2c7d4e1a6f3b5c8d7e9f"), Message("assistant", "Thanks."))
    asked = Asked(tmp_path, db, words("Rotate a key every ninety days [1]."), history=history)
    assert "9f8b2c7d" not in str(asked.trace)
    assert asked.answer.text.startswith("Rotate a key")
