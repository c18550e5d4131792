"""What support must hold to the letter: numbers, dates, names, units, negation and opposites."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from guardrails.grounding.words import NUMBER_WORDS, STOP_WORDS, Word, words

PartKind = Literal["number", "date", "name", "unit"]

_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th|s)\Z")
_TOKEN = re.compile(r"\d+(?:[.,:/]\d+)*(?:st|nd|rd|th|s)?\b|\d+(?:[.,:/]\d+)*|[^\W\d_][\w'’&-]*|%|[$€£¥°]")

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            ("january", "jan"), ("february", "feb"), ("march", "mar"), ("april", "apr"), ("may",), ("june", "jun"),
            ("july", "jul"), ("august", "aug"), ("september", "sep", "sept"), ("october", "oct"),
            ("november", "nov"), ("december", "dec"),
        ),
        start=1,
    )
    for name in names
}  # fmt: skip
DAYS = frozenset("monday tuesday wednesday thursday friday saturday sunday".split())  # noqa: SIM905

_UNIT_NAMES = {
    "percent": "% percent percentage pct",
    "dollar": "$ dollar dollars usd",
    "euro": "€ euro euros eur",
    "pound": "£ pound pounds lb lbs gbp",
    "second": "second seconds sec secs",
    "minute": "minute minutes min mins",
    "hour": "hour hours hr hrs",
    "day": "day days",
    "week": "week weeks",
    "month": "month months",
    "year": "year years yr yrs",
    "decade": "decade decades",
    "century": "century centuries",
    "thousand": "thousand k",
    "million": "million m mn",
    "billion": "billion bn",
    "trillion": "trillion",
    "gram": "gram grams g",
    "kilogram": "kilogram kilograms kg",
    "milligram": "milligram milligrams mg",
    "ounce": "ounce ounces oz",
    "metre": "metre metres meter meters",
    "centimetre": "centimetre centimetres centimeter centimeters cm",
    "kilometre": "kilometre kilometres kilometer kilometers km",
    "mile": "mile miles",
    "foot": "foot feet ft",
    "inch": "inch inches",
    "litre": "litre litres liter liters",
    "cup": "cup cups",
    "tablespoon": "tablespoon tablespoons tbsp",
    "teaspoon": "teaspoon teaspoons tsp",
    "degree": "degree degrees °",
    "byte": "byte bytes",
    "kilobyte": "kilobyte kilobytes kb kib",
    "megabyte": "megabyte megabytes mb mib",
    "gigabyte": "gigabyte gigabytes gb gib",
    "terabyte": "terabyte terabytes tb tib",
}
UNITS = {name: unit for unit, names in _UNIT_NAMES.items() for name in names.split()}

_NEGATION = frozenset("no not never cannot neither nor without none nothing nobody unable unlike fails failed".split())  # noqa: SIM905

_OPPOSITES = """increase/decrease increased/decreased increases/decreases increasing/decreasing rise/fall rose/fell
rising/falling higher/lower high/low highest/lowest more/less most/least more/fewer larger/smaller largest/smallest
big/small bigger/smaller greater/less before/after first/last early/late earlier/later start/end begin/end began/ended
include/exclude includes/excludes including/excluding included/excluded accept/reject accepted/rejected agree/disagree
agreed/disagreed agree/refuse agreed/refused allow/forbid allowed/forbidden allow/prevent allows/prevents always/never
win/lose won/lost wins/loses positive/negative success/failure successful/unsuccessful strong/weak stronger/weaker
better/worse best/worst good/bad easy/difficult easy/hard simple/complex fast/slow faster/slower long/short
longer/shorter old/new older/younger older/newer open/closed open/close opened/closed buy/sell bought/sold give/take
gave/took gain/loss gains/losses profit/loss import/export imports/exports above/below over/under inside/outside
internal/external north/south northern/southern east/west eastern/western left/right male/female man/woman men/women
husband/wife father/mother son/daughter brother/sister king/queen same/different similar/different possible/impossible
likely/unlikely necessary/unnecessary legal/illegal able/unable enable/disable enabled/disabled enables/disables
required/optional minimum/maximum public/private love/hate loves/hates like/dislike likes/dislikes remember/forget
arrive/leave arrived/left push/pull present/absent alive/dead live/die lived/died hot/cold warm/cool warmer/cooler
wet/dry full/empty safe/dangerous add/remove adds/removes added/removed adding/removing support/oppose
supported/opposed supports/opposes approve/reject approved/rejected approve/deny approved/denied confirm/deny
confirmed/denied encourage/discourage encourages/discourages happy/sad happy/unhappy satisfied/dissatisfied
improve/worsen improved/worsened improves/worsens improving/worsening expand/shrink expanded/reduced expand/reduce
reduce/raise reduced/raised reduces/raises reduce/increase reduced/increased reduces/increases reducing/increasing
up/down increase/drop growth/decline grow/shrink grew/shrank grew/declined optimistic/pessimistic cheap/expensive
near/far many/few often/rarely frequently/rarely all/none everyone/nobody ancient/modern rich/poor major/minor
voluntary/mandatory permanent/temporary active/inactive effective/ineffective aware/unaware together/apart
create/destroy created/destroyed build/demolish attack/defend guilty/innocent domestic/foreign rural/urban
maintain/abandon maintained/abandoned continue/stop continued/stopped continues/stops hire/fire hired/fired
heavy/light dark/light majority/minority ahead/behind exceed/miss exceeded/missed consistent/inconsistent
complete/incomplete accelerate/slow prior/subsequent previous/next former/latter offline/online manual/automatic
manually/automatically""".split()  # noqa: SIM905
OPPOSITES: dict[str, frozenset[str]] = {}
for _pair in _OPPOSITES:
    _one, _other = _pair.split("/")
    OPPOSITES[_one] = OPPOSITES.get(_one, frozenset()) | {_other}
    OPPOSITES[_other] = OPPOSITES.get(_other, frozenset()) | {_one}


@dataclass(frozen=True, slots=True)
class Part:
    """A number, date, name or unit at ``start``..``end`` of a text; ``value`` is the form that is compared."""

    kind: PartKind
    start: int
    end: int
    value: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a text holds to the letter: the values of its parts, and every word form; ``denials`` counts negations."""

    values: frozenset[str]
    words: frozenset[str]
    denials: int


def facts(text: str) -> Facts:
    """Everything of ``text`` that a claim may have to agree with."""
    found = words(text)
    return Facts(
        frozenset(part.value for part in exact_parts(text)), frozenset(word.form for word in found), denials(found)
    )


def joined(several: Iterable[Facts]) -> Facts:
    """What several texts hold together."""
    given = list(several)
    return Facts(
        frozenset().union(*(item.values for item in given)),
        frozenset().union(*(item.words for item in given)),
        sum(item.denials for item in given),
    )


def missing_parts(parts: Iterable[Part], evidence: Facts) -> list[Part]:
    """The parts that ``evidence`` does not hold. A name counts as held where its word stands in any case."""
    return [part for part in parts if not _held(part, evidence)]


def number_value(text: str) -> str:
    """ "1,000.50" and "1000.5" are one number; a time or fraction ("10:30") stays as it is."""
    if not re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?", text):
        return text
    value = text.replace(",", "")
    return value.rstrip("0").rstrip(".") if "." in value else value.lstrip("0") or "0"


def denials(found: Iterable[Word]) -> int:
    """How many of the words deny."""
    return sum(word.form in _NEGATION or word.form.endswith("n't") for word in found)


def opposites(claim: Iterable[Word], evidence: Facts) -> list[Word]:
    """Words of the claim that the evidence does not hold, while it holds their opposite."""
    return [
        word
        for word in claim
        if word.form in OPPOSITES and word.form not in evidence.words and OPPOSITES[word.form] & evidence.words
    ]


def _held(part: Part, evidence: Facts) -> bool:
    if part.value in evidence.values:
        return True
    return part.kind == "name" and part.value in evidence.words


def exact_parts(text: str) -> tuple[Part, ...]:
    """The numbers, dates, names and units of ``text``, in order."""
    return tuple(_parts(text))


def _parts(text: str) -> Iterator[Part]:
    tokens = [(match.start(), match.end(), match.group()) for match in _TOKEN.finditer(text)]
    for place, (start, end, token) in enumerate(tokens):
        lower = token.lower()
        ordinal = _ORDINAL.match(lower)
        if token[0].isdigit():
            number = number_value(ordinal.group(1) if ordinal else token)
            yield Part("number", start, end, number)
            if unit := _unit(tokens, place):
                yield Part("unit", start, end, f"{number} {unit}")
        elif lower in NUMBER_WORDS and lower != "one":
            yield Part("number", start, end, NUMBER_WORDS[lower])
            if unit := _unit(tokens, place):
                yield Part("unit", start, end, f"{NUMBER_WORDS[lower]} {unit}")
        elif token[0].isupper() and (lower in DAYS or (lower in MONTHS and _beside_number(tokens, place))):
            yield Part("date", start, end, str(MONTHS.get(lower, lower)) + " date")
        elif _named(text, token, start):
            yield from _name(token, start)


def _name(token: str, start: int) -> Iterator[Part]:
    for match in re.finditer(r"[^\W_]+", token):
        form = match.group().casefold()
        if len(form) > 1 and form not in STOP_WORDS:
            yield Part("name", start + match.start(), start + match.end(), form)


def _named(text: str, token: str, start: int) -> bool:
    """A capital that no sentence asked for, or a word such as "iPhone" or "GPU"."""
    if not any(map(str.isupper, token)) or token.lower() in STOP_WORDS:
        return False
    if any(map(str.isupper, token[1:])):
        return True
    before = text[max(0, start - 8) : start].rstrip(" \t\"'“‘(*_[")
    return bool(before) and before[-1] not in ".!?:\n-•*"


def _beside_number(tokens: list[tuple[int, int, str]], place: int) -> bool:
    return any(0 <= other < len(tokens) and tokens[other][2][0].isdigit() for other in (place - 1, place + 1))


def _unit(tokens: list[tuple[int, int, str]], place: int) -> str | None:
    if place and tokens[place - 1][2] in "$€£¥" and tokens[place - 1][1] == tokens[place][0]:
        scale = UNITS.get(tokens[place + 1][2].lower()) if place + 1 < len(tokens) else None
        scale = scale if scale in ("thousand", "million", "billion", "trillion") else None
        return f"{tokens[place - 1][2]} {scale}" if scale else UNITS.get(tokens[place - 1][2], "¥")
    return UNITS.get(tokens[place + 1][2].lower()) if place + 1 < len(tokens) else None
