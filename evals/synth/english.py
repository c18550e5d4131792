"""The little English that makers of questions share: noun phrases, capitals, headings that say what to do."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from lockgate.terminal import plain

_MARKUP = re.compile(r"[*_]{2,}|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)")
_ARTICLE = re.compile(r"^(an?|the|your|our|its|their)\s+", re.IGNORECASE)
_VAGUE = frozenset(
    """it this that these those they them one ones there here he she we you i which what who whose where why how
    following above below example note first second third next previous last other another some many most all both each
    such same if when while for after before by to in on with as however also then so but and or because although once
    step steps section topic page guide chapter documentation list table figure code command value values""".split()  # noqa: SIM905
)
_BASES = """
access add allow apply archive assign associate attach authorize automate back build call cancel change choose
clean clear clone close collect compare compile configure confirm connect convert copy create customize debug define
delete deploy describe detach develop disable disassociate discover download drop edit enable encrypt evaluate execute
export extend filter find format generate get give grant handle identify implement import improve increase initialize
insert inspect install integrate invoke isolate launch limit list load log make manage migrate modify monitor mount move
measure name open optimize organize override package pass pause perform prepare promote protect provision
publish purchase put query read reboot receive recover reduce register release reload remove rename render repair
replace replicate request require reset resize resolve restart restore restrict resume retrieve review revoke rewrite
roll rotate run save scale schedule search secure select send set share show sign skip sort specify split start
stop store stream submit subscribe switch synchronize tag terminate test track train transfer translate trigger
troubleshoot tune turn undo uninstall unlock update upgrade upload use validate verify view visualize watch work write
""".split()  # noqa: SIM905 - a block of words is easier to keep than a list
_DOUBLED = frozenset("drop get log plan put run set skip split stop submit tag".split())  # noqa: SIM905

_NUMBERED = re.compile(r"^(?:step|task|part)?\s*\d+(?:\.\d+)*\s*[:.)]\s*", re.IGNORECASE)
_HOW = re.compile(r"^(?:how\s+(?:do\s+(?:i|you)|to|can\s+i)|to)\s+", re.IGNORECASE)
_A_TOPIC = re.compile(
    r"\b(?:considerations?|overview|examples?|requirements?|errors|limits|limitations|basics|reference|permissions)$",
    re.IGNORECASE,
)
_PRONOUN = re.compile(
    r"\b(?:it|them|one|ones|this|that|these|those|here|there|more|started|something)\b", re.IGNORECASE
)


def _gerund(base: str) -> str:
    if base in _DOUBLED:
        return f"{base}{base[-1]}ing"
    return f"{base[:-1]}ing" if base.endswith("e") and not base.endswith("ee") else f"{base}ing"


GERUNDS = {_gerund(base): base for base in _BASES}
DOES = frozenset(
    f"{base}{'es' if base.endswith(('s', 'x', 'sh', 'ch', 'o')) else 's'}"
    for base in [
        *_BASES,
        "print",
        "say",
        "keep",
        "hold",
        "count",
        "tell",
        "leave",
        "need",
        "look",
        "go",
        "contain",
        "mean",
    ]
) | {"specifies", "says", "applies", "modifies", "verifies", "identifies", "retries"}
"""What a thing does, as a word after its name."""

VERBS = {base: base for base in _BASES} | GERUNDS


def one_line(text: str) -> str:
    """``text`` on one line, composed, without what cannot be seen or drives a terminal."""
    return " ".join(plain(unicodedata.normalize("NFC", text)).split())


def without_marks(text: str) -> str:
    """One line without the signs of bold and italic; code keeps its marks."""
    parts = re.split(r"(`[^`]*`)", one_line(text))
    return "".join(part if part.startswith("`") else _MARKUP.sub("", part) for part in parts).strip()


def bare_subject(text: str) -> str:
    """A noun phrase without its article; "" for what cannot stand alone: "This", "The following", half a clause."""
    words = _ARTICLE.sub("", text.strip()).strip(" ,;:")
    first = words.split(" ")[0].strip("`\"'").lower() if words else ""
    if not words or first in _VAGUE or len(words.split()) > 6 or len(words) > 60 or re.search(r"[,;:()|]|\.\s", words):
        return ""
    return "" if has_pronoun(words) else words


def has_pronoun(text: str) -> bool:
    """Whether ``text`` points at something that was said before."""
    return bool(_PRONOUN.search(text))


@dataclass(frozen=True, slots=True)
class Casing:
    """How a page writes its words: ``small`` without a capital, ``names`` with one in the middle of a sentence."""

    small: frozenset[str]
    names: frozenset[str]


def casing_of(text: str) -> Casing:
    small = re.findall(r"(?<![\w`./-])[a-z]+(?![\w`/]|\.\w)", text)
    names = re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", text)
    return Casing(frozenset(small), frozenset(names))


def in_sentence(phrase: str, casing: Casing) -> str:
    """A phrase from the start of a sentence or a heading as it stands inside one: words that the page writes small
    elsewhere become small, and "your" becomes "my"."""
    words = phrase.strip().split(" ")
    found = [word.lower() if _opens(words, place, casing) else word for place, word in enumerate(words)]
    return re.sub(r"\byour\b", "my", " ".join(found))


def is_plural(noun_phrase: str) -> bool:
    head = re.split(r"\s+(?:of|for|in|on|with|to|from)\s+", noun_phrase)[0].split(" ")[-1].lower().strip("`")
    return bool(re.search(r"[a-z]{2}s$", head)) and not re.search(r"(?:ss|us|is|ics|lens|alias|canvas|atlas)$", head)


def verb_and_object(heading: str) -> tuple[str, str] | None:
    """(verb, what it is done to) of a heading that tells to do something; None for any other."""
    text = _NUMBERED.sub("", heading.strip().rstrip(".:!"))
    explicit = bool(_HOW.match(text))
    first, _, rest = _HOW.sub("", text).partition(" ")
    verb = VERBS.get(first.lower())
    if not verb or not rest or len(rest.split()) > 9 or re.search(r"[:;?()\[\]|/]|\s[-\u2013\u2014]\s|,", rest):
        return None
    # "Test events" and "Access logs" are things. With an article after it, or as a gerund, a verb is one.
    if (
        first.lower() not in GERUNDS
        and not explicit
        and not re.match(r"(?:an?|the|your|each|all|from|to)\s", rest, re.IGNORECASE)
    ):
        return None
    if (
        has_pronoun(rest)
        or _A_TOPIC.search(rest)
        or re.match(r"(?:with|in|on|at|and|or|for|by)\s", rest, re.IGNORECASE)
    ):
        return None
    # "Viewing and listing log files" is two things to do.
    return None if re.search(r"\b(?:and|or)\s+(?:to\s+)?\w+ing\b", rest, re.IGNORECASE) else (verb, rest)


def shortened(text: str, limit: int) -> str:
    """``text`` up to ``limit`` characters, cut after a sentence; "" when its first one is longer."""
    if len(text) <= limit:
        return text
    cut = max((found.end() for found in re.finditer(r"[.!?](?=\s)", text[:limit])), default=0)
    return text[:cut].rstrip()


def _opens(words: Sequence[str], place: int, casing: Casing) -> bool:
    """Whether the capital of a word is only there because of where it stands."""
    word = words[place]
    if not word[:1].isupper() or word[1:] != word[1:].lower():
        return False
    if word.lower() in casing.small:
        return True
    if place:
        return False
    # "Old keys" opens a sentence, "Lambda functions" begins with a name.
    before_small = len(words) > 1 and words[1][:1].islower() and word not in casing.names
    return before_small or word.lower() in GERUNDS or bool(_ARTICLE.match(f"{word} "))
