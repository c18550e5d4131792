"""Which language a text is in: by its script, by words that every sentence of a language has, and by letters in a row.

Small on purpose: 24 letters-in-a-row profiles from texts written for it, no library. Short texts get no verdict.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationError

from guardrails.check import NOTHING, Action, CheckSettings, Found, GuardTools, Seen, Stage
from guardrails.checks.markdown_code import code_parts
from lockgate.content import ContentModel
from lockgate.errors import Corrupt, NotFound

TEXTS = Path(__file__).resolve().parent.parent / "models" / "language" / "texts.json"

Code = Literal[
    "en", "de", "fr", "es", "pt", "it", "nl", "sv", "da", "nb", "fi", "pl", "cs", "ro", "hu", "tr", "id", "vi", "ru",
    "uk", "bg", "el", "ar", "fa", "he", "hi", "bn", "ta", "th", "ka", "hy", "zh", "ja", "ko",
]  # fmt: skip

WORDS = 20
"""Words that are judged together."""
FEWEST_WORDS, FEWEST_LETTERS = 4, 16
"""A text with less gets no verdict; in scripts without spaces a third of the letters are enough."""
MAX_WORDS = 4_000

_OWN_SCRIPT: tuple[tuple[Code, str], ...] = (
    ("el", "\u0370-\u03ff\u1f00-\u1fff"),
    ("he", "\u0590-\u05ff"),
    ("ar", "\u0600-\u06ff\u0750-\u077f"),
    ("hi", "\u0900-\u097f"),
    ("bn", "\u0980-\u09ff"),
    ("ta", "\u0b80-\u0bff"),
    ("th", "\u0e00-\u0e7f"),
    ("ka", "\u10a0-\u10ff"),
    ("hy", "\u0530-\u058f"),
    ("ko", "\u1100-\u11ff\uac00-\ud7af"),
    ("ja", "\u3040-\u30ff"),
    ("zh", "\u3400-\u4dbf\u4e00-\u9fff"),
)
_SCRIPTS = {code: re.compile(f"[{letters}]") for code, letters in _OWN_SCRIPT}
_PERSIAN = re.compile("[پچژگک‌ی]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_CYRILLIC = re.compile("[\u0400-\u04ff]")
_NO_WORDS = re.compile(
    r"https?://\S{1,500}|www\.\S{1,500}|\S{1,64}@\S{1,200}|<[^<>\n]{1,200}>|\S{0,60}[\d_/\\{}=$#]\S{0,60}"
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SPECIAL = re.compile(r"[a-z][A-Z]|^[A-Z]{2,}")

TRIGRAM_WEIGHT = 0.6
KNOWN_WORD = 2.5
STRANGE_LETTER = 2.0
SOFTNESS = 2.0


class LanguageSettings(CheckSettings):
    """Finds text in another language than the allowed ones.

    The score is the share of the text, by letters, that is in another language, each part counted as likely as it is.
    Code, addresses and names in capitals do not count. Less than four words get no verdict. ::

        - check: language
          action: block
          allowed: [en, de]
          message: Please ask in English or German.
    """

    check: Literal["language"]
    action: Literal["block", "flag", "log"]
    allowed: Annotated[tuple[Code, ...], Field(min_length=1)]


class Language:
    """Text in another language than the policy allows, out of 34; of less than four words nothing is said."""

    name: ClassVar[str] = "language"
    stages: ClassVar[frozenset[Stage]] = frozenset({"input", "output"})
    actions: ClassVar[frozenset[Action]] = frozenset({"block", "flag", "log"})
    settings: ClassVar[type[CheckSettings]] = LanguageSettings
    weights: ClassVar[Path] = TEXTS

    def __init__(self, settings: LanguageSettings, _tools: GuardTools, /) -> None:
        self._allowed = frozenset(settings.allowed)

    def look(self, seen: Seen) -> Found:
        likely = languages(seen.text)
        other = {code: share for code, share in likely.items() if code not in self._allowed}
        if not other:
            return NOTHING
        score = min(1.0, sum(other.values()))
        most = max(other, key=lambda code: other[code])
        return Found(score, reason=f"reads like {most}" if score >= 0.5 else "")


def languages(text: str) -> dict[str, float]:
    """How much of ``text`` is likely in which language; the shares add up to 1, or there are none."""
    plain = _prose(text)
    found: dict[str, float] = defaultdict(float)
    for part in _parts(plain):
        for code, weight in _judged(part):
            found[code] += weight
    whole = sum(found.values())
    return {code: weight / whole for code, weight in sorted(found.items(), key=lambda each: -each[1])} if whole else {}


def _prose(text: str) -> str:
    pieces, at = [], 0
    for start, end in code_parts(text) if "`" in text or "~~~" in text else ():
        pieces += [text[at:start], " "]
        at = end
    return _NO_WORDS.sub(" ", "".join([*pieces, text[at:]]))


def _parts(text: str) -> Iterator[list[str]]:
    """Words, ``WORDS`` together; a short rest belongs to the part before."""
    words = [each for each in _WORD.findall(text) if not _SPECIAL.search(each)][:MAX_WORDS]
    starts = list(range(0, len(words), WORDS))
    if len(starts) > 1 and len(words) - starts[-1] < WORDS // 2:
        starts.pop()
    for number, start in enumerate(starts):
        yield words[start : starts[number + 1]] if number + 1 < len(starts) else words[start:]


def _judged(words: Sequence[str]) -> Iterator[tuple[str, float]]:
    """(language, letters) of some words."""
    joined = "".join(words)
    for script, letters in _SCRIPTS.items():
        count = len(letters.findall(joined))
        if count >= FEWEST_LETTERS // 3:
            yield _of_script(script, joined, count), float(3 * count if script in ("zh", "ja", "ko") else count)
    for letters, codes in ((_LATIN, _profiles().latin), (_CYRILLIC, _profiles().cyrillic)):
        own = [each.lower().replace("’", "'") for each in words if letters.match(each)]
        size = sum(map(len, own))
        if len(own) >= FEWEST_WORDS and size >= FEWEST_LETTERS:
            for code, likely in _likely(own, codes).items():
                yield code, size * likely


def _of_script(script: Code, joined: str, count: int) -> Code:
    """The language, where a script has two: Persian has letters that Arabic lacks, Japanese has kana."""
    if script == "ar" and len(_PERSIAN.findall(joined)) > 0.05 * count:
        return "fa"
    return "ja" if script == "zh" and _SCRIPTS["ja"].search(joined) else script


def _likely(words: Sequence[str], profiles: Mapping[str, _Profile]) -> dict[str, float]:
    """The likelihood of each language; none where no word of them is one that every sentence of the language has: names
    and lists of things read like any."""
    scores = {code: sum(map(profile.score, words)) for code, profile in profiles.items()}
    best = max(scores.values())
    odds = {code: math.exp((score - best) / SOFTNESS) for code, score in scores.items()}
    whole = sum(odds.values())
    likely = {code: value / whole for code, value in odds.items() if value > 1e-4 * whole}
    first = max(likely, key=lambda code: likely[code])
    if not any(word in profiles[first].words for word in words):
        return {}
    return likely


@dataclass(frozen=True, slots=True)
class _Profile:
    words: frozenset[str]
    alphabet: frozenset[str]
    trigrams: Mapping[str, float]
    unseen: float

    def score(self, word: str) -> float:
        """Log-likelihood of a word, up to what all languages share."""
        marked = f"^{word[:24]}$"
        triples = [marked[at : at + 3] for at in range(len(marked) - 2)]
        letters = sum(self.trigrams.get(each, self.unseen) for each in triples)
        strange = sum(each not in self.alphabet for each in set(marked))
        return TRIGRAM_WEIGHT * letters + KNOWN_WORD * (word in self.words) - STRANGE_LETTER * strange


@dataclass(frozen=True, slots=True)
class _Profiles:
    latin: Mapping[str, _Profile]
    cyrillic: Mapping[str, _Profile]


class _Sample(ContentModel):
    text: str
    words: str


@cache
def _profiles() -> _Profiles:
    try:
        raw = json.loads(TEXTS.read_bytes())
        samples = {code: _Sample.model_validate(each) for code, each in raw.items()}
    except FileNotFoundError:
        raise NotFound(f"{TEXTS}: no such file, so no language can be told.", hint="Install Lockgate again.") from None
    except (ValueError, AttributeError, ValidationError) as error:
        raise Corrupt(f"{TEXTS}: is no file of language samples ({error}).", hint="Install Lockgate again.") from None
    found = {code: _profile(sample) for code, sample in samples.items()}
    cyrillic = {code for code, sample in samples.items() if _CYRILLIC.match(sample.words)}
    return _Profiles(
        {code: each for code, each in found.items() if code not in cyrillic},
        {code: each for code, each in found.items() if code in cyrillic},
    )


def _profile(sample: _Sample) -> _Profile:
    known = sample.words.split()
    words = [each.lower().replace("’", "'") for each in _WORD.findall(sample.text)] + known
    counts: Counter[str] = Counter()
    for word in words:
        marked = f"^{word}$"
        counts.update(marked[at : at + 3] for at in range(len(marked) - 2))
    whole = sum(counts.values()) + 4_000 * 0.2
    return _Profile(
        frozenset(known),
        frozenset("".join(counts)) | set("abcdefghijklmnopqrstuvwxyz'"),
        {triple: math.log((count + 0.2) / whole) for triple, count in counts.items()},
        math.log(0.2 / whole),
    )
