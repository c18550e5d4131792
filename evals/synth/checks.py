"""What a question must pass before a person sees it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from evals.metrics.words import letters_and_digits
from evals.synth.corpus import Corpus, CountTerms, Terms
from evals.synth.drafts import MAX_QUESTION, MAX_REFERENCE, Draft
from evals.synth.english import VERBS, has_pronoun, one_line, without_marks
from lockgate.terminal import plain

NEAR = 0.8
"""Two questions that share this part of all their words' stems are one."""

MOST_RIVALS = 2
"""Other pages with all words of a question: with more, nobody could tell which page it is about."""

MOST_PASSAGES = 200
"""A word in more passages than that, and than in one of a hundred, is not asked after, such as "instance"."""

SHOWN_RIVALS = 5

_EMAIL = re.compile(r"[\w.+-]+@(?!(?:[\w-]+\.)*example\.(?:com|org|net)\b)[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"\+\d[\d ().-]{7,}\d|\(\d{3}\)\s?\d{3}[-. ]\d{4}|\b\d{3}[-.]\d{3}[-.]\d{4}\b")
_NUMBER_OF_A_PERSON = re.compile(r"\b\d{3}-\d{2}-\d{4}\b|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,4})?\b")
_CARD = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")
_SECRET = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY|\bsk-[A-Za-z0-9_-]{20,}|\bgh[pousr]_[A-Za-z0-9]{30,}"
)


def personal(text: str) -> str:
    """What looks like a person's data or a secret in ``text``, in a word; "" for nothing. Sees the obvious only."""
    if _EMAIL.search(text):
        return "an e-mail address"
    if _SECRET.search(text):
        return "a secret"
    if _NUMBER_OF_A_PERSON.search(text):
        return "a personal number"
    if any(_is_card(found.group()) for found in _CARD.finditer(text)):
        return "a card number"
    return "a telephone number" if _PHONE.search(text) else ""


def _is_card(text: str) -> bool:
    """Luhn's sum (ISO/IEC 7812-1)."""
    digits = [int(each) for each in text if each.isdigit()]
    doubled = [each if place % 2 == 0 else each * 2 - 9 * (each > 4) for place, each in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0 and len(set(digits)) > 1


def in_passage(reference: str, passage: str) -> bool:
    """Whether the passage holds the reference word for word, spacing and marks of bold and italic aside."""
    wanted = without_marks(reference)
    return bool(wanted) and (one_line(reference) in one_line(passage) or wanted in without_marks(passage))


def badly_formed(draft: Draft) -> str:
    """Why nobody should be shown the draft; "" when it can be read."""
    if plain(draft.question) != draft.question or not draft.question.isprintable():
        return "it holds characters that cannot be shown"
    if not draft.question.endswith("?") or len(draft.question.split()) < 3 or len(draft.question) > MAX_QUESTION:
        return "it is no question of a usual length"
    if len(draft.reference) > MAX_REFERENCE:
        return "the answer is too long"
    return ""


@dataclass
class Known:
    """Questions that are there already, under the name by which to tell somebody of one."""

    terms_of: CountTerms
    _exact: dict[str, str] = field(default_factory=dict)
    _near: list[tuple[str, str, Terms]] = field(default_factory=list)

    def add(self, name: str, question: str) -> None:
        self._exact.setdefault(letters_and_digits(question), name)
        self._near.append((name, _opening(question), self.terms_of(question)))

    def find(self, question: str) -> str:
        """The name of a question that asks the same, "" for none: the same letters and digits, or nearly the same
        words. Of one or two words, the opening ("How many") must be the same too."""
        if found := self._exact.get(letters_and_digits(question)):
            return found
        opening, terms = _opening(question), self.terms_of(question)
        for name, other_opening, other in self._near:
            both = terms | other
            if both and len(terms & other) / len(both) >= NEAR and (len(both) > 2 or opening == other_opening):
                return name
        return ""


def known_questions(terms_of: CountTerms, questions: Iterable[tuple[str, str]]) -> Known:
    """From (name, question)."""
    known = Known(terms_of)
    for name, question in questions:
        known.add(name, question)
    return known


def rivals_of(corpus: Corpus, draft: Draft) -> list[str]:
    """Other pages of which one passage holds every word that the question shares with its own passage."""
    own = corpus.terms_of(draft.chunks[0].embed_text)
    return sorted(corpus.pages_with(corpus.terms_of(draft.question) & own) - {draft.path})


def about_passage(corpus: Corpus, draft: Draft) -> bool:
    """Whether the passage has at least half of the question's words: a small model asks of what it was shown before."""
    terms = corpus.terms_of(draft.question)
    own = corpus.terms_of("\n".join(chunk.embed_text for chunk in draft.chunks))
    return 2 * len(terms & own) >= len(terms)


def specific(corpus: Corpus, draft: Draft) -> Draft | None:
    """The draft, or with the name of its section or page added, such that few pages could be meant; None otherwise."""
    if not corpus.terms_of(draft.question) or (draft.kind == "definition" and _is_everywhere(corpus, draft.subject)):
        return None
    if len(rivals_of(corpus, draft)) <= MOST_RIVALS or _is_about(corpus, draft):
        return draft
    if draft.kind in ("definition", "heading"):
        return None  # with a place added, they ask for something else
    chunk = draft.chunks[0]
    for name in dict.fromkeys((*reversed(chunk.heading), chunk.title)):
        context = without_marks(name)
        alone = name != chunk.title and " " not in context  # "Syntax", "Options": every page has one
        if alone or not _can_be_named(context) or context.lower() in draft.question.lower():
            continue
        longer = replace(draft, question=f"{draft.question.removesuffix('?')} in {context}?")
        if len(rivals_of(corpus, longer)) <= MOST_RIVALS:
            return longer
    return None


def _is_about(corpus: Corpus, draft: Draft) -> bool:
    """Whether the page's title names what the question is about: then others may mention it, and this one is meant."""
    if draft.kind not in ("heading", "definition", "section", "model"):
        return False
    subject = corpus.terms_of(draft.subject)
    return bool(subject) and subject <= corpus.terms_of(draft.chunks[0].title)


def _is_everywhere(corpus: Corpus, subject: str) -> bool:
    """Whether so many passages speak of it that each page has a definition of its own."""
    return len(corpus.passages_with(corpus.terms_of(subject))) > max(MOST_PASSAGES, 0.01 * len(corpus.chunks))


def _can_be_named(context: str) -> bool:
    words = context.split()
    return (
        1 <= len(words) <= 6
        and words[0].lower() not in VERBS
        and not re.search(r"[:;,?()|]", context)
        and (not has_pronoun(context) and context[:1].isalnum())
    )


def _opening(question: str) -> str:
    words = question.lower().split()
    return " ".join(words[:2]) if words[:1] == ["how"] else words[0] if words else ""
