"""Whether something that must not be said stands in a text, whatever it is dressed in."""

from __future__ import annotations

import re

from guardrails.decoding import decoded
from guardrails.normalise import normalised, without_markup

LEAK = 6
"""So many letters and digits in a row of what must not be said are a leak of it."""

_CANARY = re.compile(r"\blg-canary-[0-9a-z]{8,40}\b")
_WORDS_IN_A_ROW = 12
_TARGET = re.compile(r"\]\([^)\s]{1,200}\)|</?[a-z]{1,10}>")


def canaries_of(prompt: str) -> list[str]:
    """The canaries that stand in ``prompt``."""
    return list(dict.fromkeys(_CANARY.findall(prompt)))


def leaked(shown: str, secret: str) -> str:
    """The part of ``secret`` that stands in ``shown``, "" for none."""
    letters = _letters(secret)
    for reading in _readings(shown):
        for text in (reading, reading[::-1]):
            run = _common(letters, text)
            if run:
                return run
    return ""


def words_leaked(shown: str, prompt: str) -> str:
    """Twelve words in a row of ``prompt`` that stand in ``shown``, "" for none."""
    said = [each.split() for each in _wordings(shown)]
    words = _wording(prompt).split()
    for at in range(len(words) - _WORDS_IN_A_ROW + 1):
        run = words[at : at + _WORDS_IN_A_ROW]
        text = f" {' '.join(run)} "
        if any(text in f" {' '.join(each)} " for each in said):
            return text.strip()
    return ""


def _common(letters: str, text: str) -> str:
    for at in range(len(letters) - LEAK + 1):
        if letters[at : at + LEAK] in text:
            end = at + LEAK
            while end < len(letters) and letters[at : end + 1] in text:
                end += 1
            return letters[at:end]
    return ""


def _readings(shown: str) -> list[str]:
    # Markup between two halves of a secret hides it from nobody who reads the page.
    texts = [shown, _TARGET.sub("", shown), *(each.text for each in decoded(shown))]
    return list(dict.fromkeys(map(_letters, texts)))


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, normalised(text, accents=False).text)).casefold()


def _wordings(shown: str) -> list[str]:
    return [_wording(each) for each in (shown, shown[::-1], *(found.text for found in decoded(shown)))]


def _wording(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", without_markup(normalised(text, accents=False)).text.casefold()))
