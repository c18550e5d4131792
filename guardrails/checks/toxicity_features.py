"""What the toxicity model reads of a text: short windows, hashed words and letters, and counts of telling words.

A model holds for these features alone: whoever changes them raises ``VERSION`` and trains again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from zlib import crc32

VERSION = 1
BUCKETS = 1 << 15
"""Places that hashed words and letters share."""
SHORT = 40
"""A window of fewer characters takes the next sentence in: "No." says little alone. A longer one stays alone, so that
what a sentence says is not thinned out by its neighbours."""
MAX_WINDOW = 320

_SENTENCE = re.compile(
    rf"[^\n]{{1,{MAX_WINDOW}}}?(?:[.!?…。！？][\"'”’)\]]{{0,3}}(?=\s)|\n|\Z)"
    rf"|[^\n]{{1,{MAX_WINDOW}}}(?:\s|\Z)"
    rf"|[^\n]{{1,{MAX_WINDOW}}}"
)
_WORD = re.compile(r"[^\W_][\w'’@$!*]*[\w$*]|[^\W_]")
_LONG_DRAWN = re.compile(r"(.)\1{2,}")
_LEET = str.maketrans("013457@$!", "oieastasi")


def windows(text: str) -> list[tuple[int, int]]:
    """(start, end) of the windows of ``text``: its sentences, with very short ones added to the next."""
    found: list[tuple[int, int]] = []
    for match in _SENTENCE.finditer(text):
        start, end = match.span()
        if not match.group().strip():
            continue
        first, last = found[-1] if found else (start, start)
        joins = found and last - first < SHORT and end - first <= MAX_WINDOW
        if joins and "\n\n" not in text[last - 1 : start + 1]:
            found[-1] = (first, end)
        else:
            found.append((start, end))
    return found


def words(text: str) -> list[str]:
    """Lower-case words, letters that are drawn out shortened, digits and signs that stand for letters as letters."""
    return [_word(each) for each in _WORD.findall(text.lower())]


def _word(word: str) -> str:
    if not word.isalpha():
        word = word.replace("’", "'")
        letters = sum(map(str.isalpha, word))
        if letters > 1 and 2 * letters >= len(word):
            word = word.translate(_LEET)
    return _LONG_DRAWN.sub(r"\1\1", word)


def hashed(said: Sequence[str]) -> list[int]:
    """Places of the words, their pairs and their letters, each once."""
    places = {crc32(word.encode("utf-8", "replace")) % BUCKETS for word in said}
    for first, second in pairwise(said):
        places.add(crc32(f"{first} {second}".encode("utf-8", "replace")) % BUCKETS)
    for word in set(said):
        places.update(_letters(word))
    return sorted(places)


def _letters(word: str) -> Iterator[int]:
    marked = f"<{word[:30]}>".encode("utf-8", "replace")
    for size in (3, 4, 5):
        for start in range(len(marked) - size + 1):
            yield crc32(marked[start : start + size]) % BUCKETS


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_GROUPS = _set(
    """women woman girls girl men man females males gays gay lesbian lesbians bisexual bisexuals queer trans
    transgender lgbt homosexual homosexuals nonbinary muslim muslims islam islamic jew jews jewish judaism christian
    christians catholic catholics hindu hindus sikh sikhs buddhist buddhists atheist atheists mormon mormons black
    blacks african africans white whites asian asians arab arabs latino latinos latina latinas hispanic hispanics
    mexican mexicans chinese indian indians pakistani pakistanis turkish turks polish poles russian russians
    ukrainian ukrainians roma romani gypsy gypsies syrian syrians nigerian nigerians somali somalis japanese korean
    koreans vietnamese filipino filipinos irish german germans french american americans israeli israelis
    palestinian palestinians iranian iranians afghan afghans immigrant immigrants migrant migrants refugee refugees
    foreigner foreigners asylum disabled disability disabilities autistic deaf blind wheelchair elderly old seniors
    ethnic minority minorities indigenous aboriginal native race races people folks feminists mothers albanian
    albanians bengali brazilian brazilians"""
)
_HOSTILE = _set(
    """hate hates hated loathe detest disgust disgusting disgusts disgusted disgrace filth filthy dirty scum trash
    garbage vermin plague parasite parasites leech leeches rat rats cockroach cockroaches animals animal pig pigs
    dog dogs ape apes monkeys worthless inferior stupid dumb dumbest idiot idiots moron morons imbecile criminals
    criminal thieves lazy sick stink stinks smell perverts pervert freak freaks terrorist terrorists ugly pathetic
    useless cancer poison infestation crawl breed subhuman savage savages retarded degenerate degenerates evil liars
    lying lowest ruin ruins ruined waste whining superior incompetent brainless loser losers coward clown bastard
    asshole bitch"""
)
_VIOLENCE = _set(
    """kill kills killed killing shoot shot stab burn burned beat beaten hang hanged bomb gun rifle knife knives die
    dies dead death murder murdered gas gassed strangle throat acid bullet blood smash hunt exterminate exterminated
    wiped destroy attack attacked rape raped slaughter drown execute executed lynch lynched punch kick hurt"""
)
_EXCLUDE = _set(
    """deport deported ban banned throw thrown rid separate segregate expelled expel camp locked lock banish boat
    belong allowed rights vote away gone leave kick sent send back remove removed keep"""
)
_NEGATION = _set("not no never nobody none nor without neither cannot can't don't doesn't isn't aren't won't shouldn't")
_CONDEMN = _set(
    """racist racism sexist sexism homophobic homophobia wrong report reported discrimination hurtful forbidden rules
    rule prejudice bullying insult insulted insults lie false shame shameful ashamed cruel injustice hatred court
    police complaint condemn offensive harassment protect protects protest told called calling says said wrote
    written claim"""
)
_KIND = _set(
    """love loves loved proud welcome thank thanks great kind help helped support celebrate happy equal respect friend
    friends lovely brilliant good best glad beautiful enjoy please"""
)
_ALL = _set("all every these those always everyone typical whole entire each any most them they")
_YOU = _set("you your yours you're u ur yourself")
_ME = _set("i my me we our us i'm i'll mine")
_WILL = _set("will going gonna i'll we'll hope should must deserve deserves ought better let's wish")

_LISTS = (_GROUPS, _HOSTILE, _VIOLENCE, _EXCLUDE, _NEGATION, _CONDEMN, _KIND, _ALL, _YOU, _ME, _WILL)

COUNTS = len(_LISTS) + 9
"""Numbers that ``counted`` gives."""


def counted(text: str, said: Sequence[str]) -> list[float]:
    """How many words of each list there are, and how those for groups and those that hurt stand to each other."""
    marks = [[index for index, word in enumerate(said) if word in each] for each in _LISTS]
    groups, hostile, violence, exclude, negation = marks[:5]
    hurting = sorted({*hostile, *violence, *exclude})
    before = set(negation)
    negated = sum(not before.isdisjoint(range(index - 3, index)) for index in hurting)
    return [
        *(min(len(each), 4) / 2 for each in marks),
        _nearness(groups, hostile),
        _nearness(groups, violence),
        _nearness(groups, exclude),
        _nearness(marks[8], [*hostile, *violence]),
        min(negated, 2) / 2,
        float('"' in text or "“" in text or "«" in text),
        float("?" in text),
        min(text.count("!"), 3) / 3,
        min(len(said), 40) / 40,
    ]


def _nearness(some: Sequence[int], others: Sequence[int]) -> float:
    """1 for neighbours, less the more words are between, 0 without a pair."""
    least = min((abs(one - other) for one in some[:20] for other in others[:20]), default=0)
    return 1 / least if least else 0.0
