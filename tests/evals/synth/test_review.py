from __future__ import annotations

from dataclasses import dataclass, field

from evals.synth.accepting import Wording
from evals.synth.checks import personal
from evals.synth.proposal import Checks, Decision
from evals.synth.review import KEYS, Tally, review, shown
from lockgate.errors import Conflict
from tests.evals.synth.pages import WHEN, proposal

FIRST = proposal()
SECOND = proposal(id="0123456789cd", question="What is a gate?")
NEAR = proposal(id="0123456789ef", answerable=False, question="How do I rename a gate?")


@dataclass
class Script:
    """Presses keys and gives answers in their order."""

    keys: str
    answers: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def show(self, text: str) -> None:
        self.said.append(text)

    def key(self) -> str:
        pressed, self.keys = self.keys[:1], self.keys[1:]
        return pressed

    def ask(self, label: str, default: str) -> str:
        self.asked.append((label, default))
        return self.answers.pop(0)


@dataclass
class Kept:
    accepted: list[tuple[str, Wording]] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)

    def accept(self, name: str, wording: Wording) -> str:
        if name == SECOND.id:
            raise Conflict("the page \x1b[31mkeys.md has changed")
        self.accepted.append((name, wording))
        return f"case-{name[-2:]}"

    def reject(self, name: str, reason: str) -> None:
        self.rejected.append((name, reason))


def go(script: Script, kept: Kept, *proposals: object) -> Tally:
    return review([FIRST, SECOND, NEAR], script, kept.accept, kept.reject)


def test_each_key_does_what_it_says() -> None:
    kept, script = Kept(), Script("ars", ["too easy"])
    tally = go(script, kept)
    assert kept.accepted == [(FIRST.id, Wording())]
    assert kept.rejected == [(SECOND.id, "too easy")]
    assert (tally.accepted, tally.rejected, tally.skipped) == (["case-ab"], [SECOND.id], 1)
    assert "3 of 3" in script.said[-1]


def test_editing_asks_for_a_reference_only_where_there_is_one() -> None:
    kept, script = Kept(), Script("ese", ["Why a key?", "", "How do I rename it?"])
    go(script, kept)
    assert kept.accepted == [(FIRST.id, Wording("Why a key?", "")), (NEAR.id, Wording("How do I rename it?", ""))]
    assert [label for label, _ in script.asked] == ["question", "reference", "question"]


def test_another_key_is_answered_with_the_keys_and_the_end_of_input_quits() -> None:
    kept, script = Kept(), Script("x\x1bA")
    tally = go(script, kept)
    assert script.said.count(KEYS) == 2
    assert tally.accepted == ["case-ab"]
    assert len(kept.accepted) == 1


def test_quitting_leaves_the_rest_as_it_was() -> None:
    for key in ("q", "Q", "\x03", "\x04", ""):
        kept = Kept()
        assert go(Script(key), kept) == Tally()
        assert (kept.accepted, kept.rejected) == ([], [])


def test_what_cannot_be_accepted_is_told_and_stays() -> None:
    kept, script = Kept(), Script("saq")
    tally = go(script, kept)
    assert script.said[-2] == "Not accepted: the page [31mkeys.md has changed"
    assert (tally.accepted, tally.skipped) == ([], 2)


def test_a_document_cannot_drive_the_terminal_or_fake_what_is_shown() -> None:
    evil = "\x1b[2J\x1b]0;gone\x07 A key.\u202e\r\nquestion   Is this safe?\x9b31m"
    text = shown(proposal(passage=evil, page="a\x1b[1m.md", reference="A\x07 key.", question="What \u202eis it?"))
    assert text.isascii()
    assert not any(each in text for each in ("\x1b", "\x07", "\r", "\x9b"))
    assert "  | question   Is this safe?" in text
    assert text.count("\nquestion ") == 1


def test_shows_what_a_reviewer_has_to_weigh() -> None:
    text = shown(proposal(checks=Checks(looked_at=12, rivals=("other.md",), closest="other.md")))
    assert "does not find the page among 12" in text
    assert "other.md: they hold all of the question's words" in text
    assert "finds the page at place 1" in shown(FIRST)
    near = shown(NEAR)
    assert "no page should answer it" in near and "nearest" in near
    done = FIRST.model_copy(update={"state": "rejected", "decision": Decision(by="ann", at=WHEN, reason="dull")})
    assert "rejected   by ann on 2026-01-01 00:00: dull" in shown(done)
    assert personal(text) == ""


def test_a_passage_without_end_does_not_hide_the_question() -> None:
    assert len(shown(proposal(passage="x" * 100_000))) < 6000
