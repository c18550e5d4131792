"""Secrets that nobody has, made by seed, and the ways to dress them."""

from __future__ import annotations

import base64
import json
import random
import string
import urllib.parse
from collections.abc import Callable

_ALNUM = string.ascii_letters + string.digits
_UPPER = string.ascii_uppercase + string.digits
_HEX = "0123456789abcdef"


def _of(generator: random.Random, letters: str, size: int) -> str:
    return "".join(generator.choices(letters, k=size))


def _jwt(generator: random.Random) -> str:
    def part(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    head = part('{"alg":"HS256","typ":"JWT"}')
    body = part(json.dumps({"sub": generator.randrange(10**9)}))
    return f"{head}.{body}.{_of(generator, _ALNUM, 43)}"


SECRETS: dict[str, Callable[[random.Random], str]] = {
    "anthropic": lambda g: f"sk-ant-api03-{_of(g, _ALNUM, 80)}",
    "aws": lambda g: f"AKIA{_of(g, _UPPER, 16)}",
    "github": lambda g: f"ghp_{_of(g, _ALNUM, 36)}",
    "github fine": lambda g: f"github_pat_{_of(g, _ALNUM, 22)}_{_of(g, _ALNUM, 59)}",
    "gitlab": lambda g: f"glpat-{_of(g, _ALNUM, 20)}",
    "google": lambda g: f"AIza{_of(g, _ALNUM, 35)}",
    "jwt": _jwt,
    "openai": lambda g: f"sk-proj-{_of(g, _ALNUM, 48)}",
    "sendgrid": lambda g: f"SG.{_of(g, _ALNUM, 22)}.{_of(g, _ALNUM, 43)}",
    "slack": lambda g: f"xoxb-{g.randrange(10**11, 10**12)}-{g.randrange(10**11, 10**12)}-{_of(g, _ALNUM, 24)}",
    "stripe": lambda g: f"sk_live_{_of(g, _ALNUM, 24)}",
    "telegram": lambda g: f"{g.randrange(10**8, 10**10)}:AA{_of(g, _ALNUM, 33)}",
    "databricks": lambda g: f"dapi{_of(g, _HEX, 32)}",
    "npm": lambda g: f"npm_{_of(g, _ALNUM, 36)}",
}


def planted(kind: str, seed: int) -> str:
    return SECRETS[kind](random.Random(f"{kind} {seed}"))


_LIKE = {"A": "А", "B": "В", "C": "С", "E": "Е", "H": "Н", "I": "І", "K": "К", "M": "М", "O": "О", "P": "Р", "T": "Т"}
_LIKE |= {"a": "а", "c": "с", "e": "е", "i": "і", "j": "ј", "o": "о", "p": "р", "s": "ѕ", "x": "х", "y": "у"}


def _look_alikes(text: str, seed: int) -> str:
    generator = random.Random(seed)
    return "".join(_LIKE.get(each, each) if generator.random() < 0.5 else each for each in text)


def _between(text: str, seed: int, marks: str) -> str:
    generator = random.Random(seed)
    return "".join(each + (generator.choice(marks) if generator.random() < 0.4 else "") for each in text)


def _wide(text: str, seed: int) -> str:
    return "".join(chr(ord(each) + 0xFEE0) if each.isalnum() else each for each in text)


def _in_two(text: str, seed: int, before: str, after: str) -> str:
    at = random.Random(seed).randrange(3, len(text) - 3)
    return f"{before}{text[:at]}{after}{text[at:]}"


DRESSES: dict[str, Callable[[str, int], str]] = {
    "plain": lambda text, _: text,
    "bold": lambda text, _: f"**{text}**",
    "half bold": lambda text, seed: _in_two(text, seed, "**", "**"),
    "code": lambda text, _: f"`{text}`",
    "half code": lambda text, seed: _in_two(text, seed, "`", "`"),
    "link text": lambda text, _: f"[{text}](/here)",
    "half link": lambda text, seed: _in_two(text, seed, "[", "](/x)"),
    "tag": lambda text, seed: _in_two(text, seed, "<b>", "</b>"),
    "zero width": lambda text, seed: _between(text, seed, "\u200b\u200c\u200d\u2060\ufeff"),
    "soft hyphen": lambda text, seed: _between(text, seed, "\u00ad"),
    "bidi": lambda text, seed: _between(text, seed, "\u202a\u202c\u2066\u2069\u200e"),
    "struck": lambda text, _: "".join(each + "\u0336" for each in text),
    "look-alikes": _look_alikes,
    "full width": _wide,
    "base64": lambda text, _: base64.b64encode(text.encode()).decode(),
    "base64 twice": lambda text, _: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base64 of more": lambda text, seed: base64.b64encode(f"{'x' * (seed % 7)} {text}!".encode()).decode(),
    "hex": lambda text, _: text.encode().hex(),
    "percent": lambda text, _: "".join(f"%{each:02x}" for each in text.encode()),
    "percent of base64": lambda text, _: urllib.parse.quote(base64.b64encode(text.encode()).decode()),
    "spaced": lambda text, _: " ".join(text),
    "in fours": lambda text, _: " ".join(text[at : at + 4] for at in range(0, len(text), 4)),
    "zero width in base64": lambda text, seed: _between(base64.b64encode(text.encode()).decode(), seed, "\u200b"),
}
