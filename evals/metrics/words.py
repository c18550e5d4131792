"""Words of answers and references, and how two texts are compared by them."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence

_CITATION = re.compile(r"\[\d{1,3}\]")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_WORD = re.compile(r"[^\W_]+")

_STOPWORDS = """
a about after again all also am an and any are as at be because been before being below between both but by can cannot
could did do does doing down during each few for from further had has have having he her here hers him his how i if in
into is it its itself just me more most my no nor not now of off on once only or other our ours out over own same she
should so some such than that the their theirs them then there these they this those through to too under until up very
was we were what when where which while who whom why will with would you your yours
"""

STOPWORDS = frozenset(_STOPWORDS.split())
"""English words that say nothing of a subject."""


def without_citations(text: str) -> str:
    """``text`` without its markers such as [2]."""
    return _CITATION.sub(" ", text)


def answer_tokens(text: str) -> list[str]:
    """Words after SQuAD's normalisation: lower case, no punctuation, no articles. Citation markers are left out.

    Source: the official evaluation script of SQuAD 1.1 (Rajpurkar et al., 2016).
    """
    text = without_citations(text).lower().translate(_PUNCTUATION)
    return _ARTICLES.sub(" ", text).split()


def words(text: str) -> list[str]:
    """Runs of letters and digits in lower case, in any script; citation markers are left out."""
    return _WORD.findall(unicodedata.normalize("NFKC", without_citations(text)).casefold())


def content_words(text: str) -> list[str]:
    """``words`` without those that say nothing of a subject."""
    return [word for word in words(text) if word not in STOPWORDS]


def longest_common_subsequence(first: Sequence[object], second: Sequence[object]) -> int:
    """Its length, in time proportional to len(first) * len(second) / the width of a machine word.

    Source: Hyyrö, "Bit-parallel LCS-length computation revisited", AWOCA 2004: one bit a place of ``first``, which
    Python's whole numbers hold at any length.
    """
    places: dict[object, int] = {}
    for place, item in enumerate(first):
        places[item] = places.get(item, 0) | 1 << place
    every = (1 << len(first)) - 1
    row = every
    for item in second:
        matches = row & places.get(item, 0)
        row = ((row + matches) | (row - matches)) & every
    return len(first) - row.bit_count()


def plain_form(text: str) -> str:
    """``text`` as one looks for it: compatibility forms and case folded, invisible characters and spacing levelled."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(char for char in text if unicodedata.category(char) != "Cf").split())


def letters_and_digits(text: str) -> str:
    """Only those of ``plain_form``: finds a telephone number or an address whatever stands between its parts."""
    return "".join(char for char in plain_form(text) if char.isalnum())
