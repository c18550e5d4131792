"""Words of claims and evidence: where they stand, and the form in which two of them are the same word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

# Zero-width characters and soft hyphens belong to the word that they stand in: they must not hide it.
_INVISIBLE = "\u00ad\u200b-\u200f\u2060-\u2064\ufeff"
_WORD = re.compile(rf"[^\W_](?:[{_INVISIBLE}]*[^\W_]|['’](?=[^\W\d_]))*|(?<=[^\W_])%|[$€£¥](?=\d)")
_HIDDEN = re.compile(f"[{_INVISIBLE}]")
_POSSESSIVE = re.compile(r"['’]s?\Z")
_VOWEL = re.compile(r"[aeiouy]")

STOP_WORDS = frozenset(
    """a about above after again all also although am among an and any are aren't as at be because been before being
    below between both but by can can't cannot could couldn't did didn't do does doesn't doing don't down during each
    either else etc even every few for from further get gets got had hadn't has hasn't have haven't having he her here
    hers herself him himself his how however i i'm if in into is isn't it it's its itself just let like may me might
    more most must my myself neither no nor not now of off on once one ones only onto or other others our ours out over
    own per rather same she should shouldn't since so some such than that that's the their theirs them themselves then
    there there's therefore these they they're this those though through thus to too toward towards under until up upon
    us very via was wasn't we well were weren't what when where whether which while who whom whose why will with within
    without won't would wouldn't yes yet you you're your yours yourself""".split()  # noqa: SIM905
)
"""English words that carry no fact of their own. Negations are among them: they are checked on their own."""

SOURCE_WORDS = frozenset(
    """according additional additionally answer based context contextual describe described describes discuss discussed
    discusses document documents example explain explained explains finally firstly furthermore given highlight
    highlighted highlights include included includes including information instance mention mentioned mentions moreover
    note noted notes overall passage passages provide provided provides referenced regarding relevant response secondly
    several source sources specific specifically specified specify specifies state stated states suggest suggested
    suggests summary text various worth important essential""".split()  # noqa: SIM905
)
"""Words with which an answer speaks of its sources and of itself; no passage has to hold them."""

NUMBER_WORDS: Mapping[str, str] = {
    word: str(value)
    for value, word in enumerate(
        """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
        seventeen eighteen nineteen twenty""".split()  # noqa: SIM905
    )
} | {
    word: str(10 * value)
    for value, word in enumerate("thirty forty fifty sixty seventy eighty ninety".split(), start=3)  # noqa: SIM905
}


@dataclass(frozen=True, slots=True)
class Word:
    """A word at ``start``..``end`` of its text; ``form`` is its plain lower-case form and ``stem`` what is compared."""

    start: int
    end: int
    form: str
    stem: str

    @property
    def says_something(self) -> bool:
        return self.form not in STOP_WORDS and self.form not in SOURCE_WORDS


def words(text: str) -> list[Word]:
    """The words of ``text`` in order, in time linear in its length."""
    found = []
    for match in _WORD.finditer(text):
        form = plain_form(match.group())
        if form:
            found.append(Word(match.start(), match.end(), form, stem(form)))
    return found


@lru_cache(maxsize=16_384)
def plain_form(word: str) -> str:
    """``word`` in lower case without marks that hide or decorate it, and without its possessive ending."""
    if not word.isascii():
        word = unicodedata.normalize("NFKC", _HIDDEN.sub("", word)).replace("’", "'")
    word = word.casefold()
    return word[: -len(match.group())] if (match := _POSSESSIVE.search(word)) and "n't" not in word else word


@lru_cache(maxsize=16_384)
def stem(form: str) -> str:
    """A form on which "rotate", "rotates", "rotated", "rotating" and "rotation" agree; a number word is its digits.

    It may join words that differ (as every stemmer does); numbers and names are compared by their whole form.
    """
    if form in NUMBER_WORDS:
        return NUMBER_WORDS[form]
    if len(form) < 4 or not form.isalpha():
        return form
    for suffix, rest in _SUFFIXES:
        if form.endswith(suffix) and len(form) - len(suffix) >= 3 and _VOWEL.search(form[: -len(suffix)]):
            form = form[: -len(suffix)] + rest
            break
    if len(form) > 3 and form[-1] == form[-2] and form[-1] not in "aeiouls":
        form = form[:-1]
    return form[:-1] if len(form) > 3 and form[-1] in "ey" else form


_SUFFIXES = (
    ("ization", "iz"),
    ("isation", "iz"),
    ("ational", "at"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("iveness", "iv"),
    ("ations", "at"),
    ("ation", "at"),
    ("ities", ""),
    ("ement", ""),
    ("ments", ""),
    ("ment", ""),
    ("ising", "iz"),
    ("izing", "iz"),
    ("ised", "iz"),
    ("ized", "iz"),
    ("ises", "iz"),
    ("izes", "iz"),
    ("ise", "iz"),
    ("ize", "iz"),
    ("ated", "at"),
    ("ating", "at"),
    ("ates", "at"),
    ("ions", ""),
    ("ness", ""),
    ("ally", "al"),
    ("ical", "ic"),
    ("ings", ""),
    ("ing", ""),
    ("ies", ""),
    ("ied", ""),
    ("ier", ""),
    ("ion", ""),
    ("ity", ""),
    ("ers", ""),
    ("ful", ""),
    ("ily", ""),
    ("est", ""),
    ("es", ""),
    ("ed", ""),
    ("er", ""),
    ("ly", ""),
    ("or", ""),
    ("s", ""),
)
"""Endings, longest first, and what takes their place."""
