"""Sentences of a passage said a little differently, so that "supported" is not "copied"."""

from __future__ import annotations

import random
import re

_PARENTHESES = re.compile(r"\s*\([^()]{1,120}\)")
_OPENING = re.compile(
    r"\A(?:However|Moreover|Furthermore|In addition|Additionally|Also|Therefore|Thus|Indeed|Finally),\s+"
)
_LEADING = re.compile(r"\A([A-Z][^,;:]{6,60}),\s+(?=(?:the|a|an|he|she|it|they|this|these)\b)")
_TAIL = re.compile(r",\s+(?:which|who|including|such as|where|although|while)\b[^,.]{8,160}(?=[.]?\Z)")
_SYNONYMS = {
    word: other
    for pair in """big/large large/big start/begin began/started started/began help/assist helps/assists show/indicate
    shows/indicates use/utilize used/utilized uses/employs many/numerous important/significant significant/important
    people/individuals common/frequent frequently/often often/frequently approximately/about about/approximately
    roughly/around purchase/buy buy/purchase obtain/get allows/lets allow/let requires/needs require/need
    because/since create/make created/made build/construct built/constructed children/kids however/but also/additionally
    usually/typically typically/usually commonly/generally generally/usually nearly/almost almost/nearly near/close
    main/primary primary/main different/distinct various/different entire/whole located/situated situated/located
    called/named named/called received/got famous/well-known rapidly/quickly quickly/rapidly whole/entire
    ended/finished finished/completed completed/finished said/stated stated/said wrote/authored killed/slain
    employees/workers workers/employees company/firm firm/company car/vehicle movie/film film/movie doctor/physician
    area/region region/area city/town war/conflict job/position change/alter changed/altered choose/select
    chosen/selected attempt/try attempted/tried fix/repair error/mistake enough/sufficient ask/request asked/requested
    answer/reply become/turn gave/provided gives/provides provide/offer provides/offers provided/offered
    contains/includes contain/include consists/is comprised increase/rise increased/rose decrease/decline
    decreased/declined over/more-than primarily/mainly mainly/mostly mostly/primarily prior/earlier subsequent/later
    additional/further further/additional several/some certain/some total/overall current/present""".split()  # noqa: SIM905
    for word, _, other in [pair.partition("/")]
}
_WORD = re.compile(r"[A-Za-z]+")


def rewrite(text: str, chance: random.Random) -> str:
    """``text`` with one or more harmless changes: parts left out, a clause moved, words exchanged for near synonyms."""
    said = _OPENING.sub("", text)
    if chance.random() < 0.7:
        said = _PARENTHESES.sub("", said)
    if chance.random() < 0.5:
        said = _TAIL.sub("", said)
    leading = _LEADING.match(said)
    if leading and chance.random() < 0.6:
        rest = said[leading.end() :].rstrip()
        stop = rest[-1] if rest[-1:] in ".!?" else ""
        first = leading.group(1)
        first = first if first.split()[0].lower() not in _LOWERED else first[0].lower() + first[1:]
        said = f"{rest[:1].upper()}{rest[1 : len(rest) - len(stop)]} {first}{stop}"
    share = chance.choice([0.0, 0.4, 0.8])
    said = _WORD.sub(lambda match: _exchanged(match.group(), share, chance), said)
    return said[:1].upper() + said[1:]


_LOWERED = frozenset("in on at after before during since from by when while as with for under to the if until".split())  # noqa: SIM905


def _exchanged(word: str, share: float, chance: random.Random) -> str:
    other = _SYNONYMS.get(word)
    return other.replace("-", " ") if other and chance.random() < share else word
