"""Going through proposals one at a time: what is shown, and what a key does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from evals.synth.accepting import Wording
from evals.synth.proposal import Proposal
from lockgate.errors import Conflict
from lockgate.terminal import plain

Key = Literal["a", "e", "r", "s", "q"]
KEYS = "[a]ccept  [e]dit  [r]eject  [s]kip  [q]uit"

MOST_SHOWN = 4000
"""Characters of a passage: what does not fit on a screen hides the question."""


class Desk(Protocol):
    """What a review needs from a terminal, or from a script that answers in its place."""

    def show(self, text: str) -> None: ...

    def key(self) -> str:
        """The key that was pressed; "" at the end of the input."""
        ...

    def ask(self, label: str, default: str) -> str:
        """A line; "" keeps ``default``."""
        ...


@dataclass
class Tally:
    accepted: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    skipped: int = 0


def review(
    waiting: Sequence[Proposal],
    desk: Desk,
    accept: Callable[[str, Wording], str],
    reject: Callable[[str, str], None],
) -> Tally:
    """Ask about each of ``waiting``. ``accept`` (id, words) gives the case's id; what it refuses is told, and the
    proposal stays. Each decision is kept at once: quitting loses nothing."""
    tally = Tally()
    for number, proposal in enumerate(waiting, start=1):
        desk.show(f"{'-' * 40} {number} of {len(waiting)}\n{shown(proposal)}")
        pressed = _known_key(desk)
        if pressed == "q":
            break
        if pressed == "s":
            tally.skipped += 1
            continue
        try:
            if pressed == "r":
                reject(proposal.id, desk.ask("why (may be empty)", ""))
                tally.rejected.append(proposal.id)
                continue
            case = accept(proposal.id, _edited(proposal, desk) if pressed == "e" else Wording())
            tally.accepted.append(case)
            desk.show(f"accepted as {case}")
        except Conflict as error:
            desk.show(plain(f"Not accepted: {error.message}"))
            tally.skipped += 1
    return tally


def shown(proposal: Proposal) -> str:
    """A proposal in words, without anything that could drive a terminal."""
    checks = proposal.checks
    lines = [f"{proposal.id}  {proposal.kind}  {proposal.page}"]
    if proposal.passage:
        passage = proposal.passage[:MOST_SHOWN] + (" ..." if len(proposal.passage) > MOST_SHOWN else "")
        lines += ["", *(f"  | {line}" for line in passage.split("\n"))]
    lines += ["", f"question   {proposal.question}"]
    if proposal.answerable:
        lines += [f"reference  {proposal.reference}", f"retrieval  {_found(proposal)}"]
        if checks.rivals:
            lines.append(f"look too   {', '.join(checks.rivals)}: they hold all of the question's words")
    else:
        lines += [
            "reference  none: no page should answer it",
            f"nearest    {checks.closest or 'no page'}, rare words held {checks.rare_share:.0%}",
        ]
    if proposal.decision:
        by = proposal.decision
        lines.append(
            f"{proposal.state:<10} by {by.by} on {by.at:%Y-%m-%d %H:%M}{f': {by.reason}' if by.reason else ''}"
        )
    return plain("\n".join(lines))


def _found(proposal: Proposal) -> str:
    checks = proposal.checks
    if checks.found_at is None:
        return f"does not find the page among {checks.looked_at}"
    return f"finds the page at place {checks.found_at}"


def _known_key(desk: Desk) -> Key:
    while True:
        pressed = desk.key().lower()
        if pressed in ("", "q", "\x03", "\x04"):
            return "q"
        for key in ("a", "e", "r", "s"):
            if pressed == key:
                return key
        desk.show(KEYS)


def _edited(proposal: Proposal, desk: Desk) -> Wording:
    question = desk.ask("question", proposal.question)
    return Wording(question, desk.ask("reference", proposal.reference) if proposal.answerable else "")
