"""What keys, tokens and passwords look like: formats of known issuers, assignments, and what is random."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

MAX_KEY_BLOCK = 20_000


@dataclass(frozen=True, slots=True)
class Format:
    """``signs`` are strings, one of which every such secret has: without one the pattern is not tried. ``random``: the
    match has to look random too, as words could have its form. The secret is the group ``secret``, else all of it."""

    label: str
    signs: tuple[str, ...]
    pattern: re.Pattern[str]
    random: bool = False


def _format(label: str, signs: str, pattern: str, *, random: bool = False) -> Format:
    return Format(label, tuple(signs.split()), re.compile(pattern), random)


# No pattern asks for the end of a word before it: a letter in front must not save a secret.
FORMATS: tuple[Format, ...] = (
    # Its own documentation ends the ids of keys that are nobody's in EXAMPLE.
    _format(
        "AWS access key",
        "AKIA ASIA ABIA ACCA",
        r"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{9}(?!EXAMPLE(?![A-Za-z0-9]))[A-Z0-9]{7}",
    ),
    _format("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{30,255}"),
    _format("GitHub token", "github_pat_", r"github_pat_[A-Za-z0-9_]{22,255}"),
    _format("GitLab token", "glpat- glrt- gldt- glptt-", r"gl(?:pat|rt|dt|ptt)-[A-Za-z0-9_-]{20,64}"),
    _format("Slack token", "xox", r"xox[abeoprs]-[A-Za-z0-9-]{10,250}"),
    _format("Slack token", "xapp-", r"xapp-[0-9]-[A-Za-z0-9-]{20,250}"),
    _format(
        "Slack web hook",
        "hooks.slack.com",
        r"hooks\.slack\.com/services/[A-Z0-9]{6,14}/[A-Z0-9]{6,14}/[A-Za-z0-9]{16,40}",
    ),
    _format("Stripe key", "_live_ _test_", r"[srp]k_(?:live|test)_[A-Za-z0-9]{10,247}"),
    _format("Stripe key", "whsec_", r"whsec_[A-Za-z0-9+/=]{24,100}"),
    _format("Google API key", "AIza", r"AIza[0-9A-Za-z_-]{35}"),
    _format("Google token", "ya29.", r"ya29\.[0-9A-Za-z_-]{20,1000}"),
    _format("Google client secret", "GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{20,40}"),
    _format("Anthropic key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{20,200}"),
    _format("OpenAI key", "sk-", r"sk-(?:proj-|svcacct-|admin-|or-v1-|None-)?[A-Za-z0-9_-]{20,250}", random=True),
    _format("Groq key", "gsk_", r"gsk_[A-Za-z0-9]{40,64}"),
    _format("xAI key", "xai-", r"xai-[A-Za-z0-9]{60,100}"),
    _format("Hugging Face token", "hf_", r"hf_[A-Za-z0-9]{30,64}"),
    _format("Replicate token", "r8_", r"r8_[A-Za-z0-9]{36,40}"),
    _format("npm token", "npm_", r"npm_[A-Za-z0-9]{36}"),
    _format("PyPI token", "pypi-", r"pypi-[A-Za-z0-9_-]{50,400}"),
    _format("SendGrid key", "SG.", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"),
    _format("Twilio key", "SK AC", r"(?:SK|AC)[0-9a-f]{32}"),
    _format("Mailgun key", "key-", r"key-[0-9a-f]{32}"),
    _format("Telegram token", ":AA", r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    _format("Discord token", ".", r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}", random=True),
    _format("DigitalOcean token", "_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    _format("Shopify token", "shp", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _format("Databricks token", "dapi", r"dapi[a-f0-9]{32}"),
    _format("Docker token", "dckr_", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,64}"),
    _format("Vault token", "hvs. hvb.", r"hv[sb]\.[A-Za-z0-9_-]{20,200}"),
    _format("Atlassian token", "ATATT3", r"ATATT3[A-Za-z0-9_=-]{50,250}"),
    _format("New Relic key", "NRAK-", r"NRAK-[A-Z0-9]{27}"),
    _format("Linear key", "lin_api_", r"lin_api_[A-Za-z0-9]{32,64}"),
    _format("age key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    _format(
        "Azure key",
        "AccountKey= SharedAccessKey=",
        r"(?:Account|SharedAccess)Key=(?P<secret>[A-Za-z0-9+/]{40,90}={0,2})",
    ),
    _format("JSON web token", "eyJ", r"eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{4,4000}(?:\.[A-Za-z0-9_-]{0,1000})?"),
    _format("password in a URL", "://", r"://[^\s:/?#@]{0,100}:(?P<secret>[^\s/@]{3,200})@"),
)

_NAMES = (
    "password", "passwd", "passphrase", "passcode", "pwd", "secret", "token", "apikey", "api_key", "api-key", "api key",
    "accesskey", "access_key", "access-key", "access key", "private_key", "private-key", "client_secret", "credential",
)  # fmt: skip
_ASSIGNED = re.compile(
    r"(?:passw(?:or)?d|passphrase|passcode|pwd|secret|token|api[_ -]?key|access[_ -]?key|private[_-]key|credential)s?"
    r"(?:[_ -]?(?:id|key|value|access[_ -]?key))?"
    r"[\"'\]]{0,2} {0,3}(?:=>|:=|==?|:|\bis\b|\bwas\b) {0,3}"
    r"(?P<quote>[\"']?)(?P<secret>[^\s\"'<>]{6,256})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(?:Bearer|Basic)\s{1,3}(?P<secret>[A-Za-z0-9._~+/-]{16,2000}={0,2})")
_PLACEHOLDER = re.compile(
    r"example|placeholder|your|change.?me|redacted|removed|dummy|sample|x{4,}|\*{3,}|\.{3}|0{6,}|123456\Z|\A(?:pass(?:word|wd)?|pwd?|secret|token|key)\Z",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"[({\[<%]|\$[A-Za-z_{(]\w*\Z|.*(?:\(\)|\$\{|\{\{)")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:(?:\.|::|->|/)[A-Za-z_]\w*)+\Z")
_TOKEN = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_HEXADECIMAL = re.compile(r"[0-9a-f-]+\Z|[0-9A-F-]+\Z")
_DIGEST = re.compile(r"sha(?:1|224|256|384|512)[-:=]", re.IGNORECASE)
_BEGIN = re.compile(r"-{2,5} ?BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)? ?-{2,5}")
_END = re.compile(r"-{2,5} ?END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)? ?-{2,5}")
_KEY_BODY = re.compile(r"(?:[A-Za-z0-9+/=]{16,80}[\r\n ]{1,3}){1,400}\Z")

Hit = tuple[int, int, str, float]
"""Start, end, label and score."""


def by_format(text: str, *, always_random: bool = False) -> Iterator[Hit]:
    """Secrets of known issuers. ``always_random`` asks of every match that it looks random."""
    for kind in FORMATS:
        for sign in kind.signs:
            if sign in text:
                break
        else:
            continue
        group = "secret" if "secret" in kind.pattern.groupindex else 0
        for match in kind.pattern.finditer(text):
            said = match.group(group)
            if is_placeholder(said) or ((kind.random or always_random) and not has_random_part(said)):
                continue
            yield match.start(group), match.end(group), kind.label, 1.0


def key_blocks(text: str) -> Iterator[Hit]:
    """Private keys from their first line to the last, or as much as there is of one."""
    if "PRIVATE KEY" not in text:
        return
    at = 0
    for begin in _BEGIN.finditer(text):
        if begin.start() < at:
            continue
        end = _END.search(text, begin.end(), begin.end() + MAX_KEY_BLOCK)
        at = end.end() if end else min(len(text), begin.end() + MAX_KEY_BLOCK)
        yield begin.start(), at, "private key", 1.0
    for end in _END.finditer(text):
        if end.start() >= at or at == 0:
            body = _KEY_BODY.search(text, max(at, end.start() - MAX_KEY_BLOCK), end.start())
            yield (body.start() if body else end.start()), end.end(), "private key", 1.0
            at = end.end()


def assigned(text: str) -> Iterator[Hit]:
    """What is given as a password, token or key: ``password=…``, "token": "…", Bearer …."""
    lower = text.lower()
    if any(name in lower for name in _NAMES):
        for match in _ASSIGNED.finditer(text):
            said = match.group("secret").rstrip(".,;:)]}*`")
            if _may_be_secret(said, quoted=bool(match.group("quote"))):
                start = match.start("secret")
                yield start, start + len(said), "password or key", 0.8
    if "Bearer" in text or "Basic" in text:
        for match in _BEARER.finditer(text):
            said = match.group("secret")
            if not is_placeholder(said) and has_random_part(said):
                yield match.start("secret"), match.end("secret"), "bearer token", 0.8


def by_entropy(text: str) -> Iterator[Hit]:
    """Long strings that are as random as keys are. Hexadecimal ones are not: they are mostly digests."""
    for match in _TOKEN.finditer(text):
        said = match.group()
        if _HEXADECIMAL.match(said) or _DIGEST.search(text, max(0, match.start() - 8), match.start() + 8):
            continue
        if not is_placeholder(said) and looks_random(said):
            yield match.start(), match.end(), "random string", 0.6


def is_placeholder(text: str) -> bool:
    """Whether this is what documentation writes where a secret belongs. A secret beside the word "example" is none."""
    rest = _PLACEHOLDER.sub("", text)
    return rest != text and not has_random_part(rest)


def looks_random(text: str) -> bool:
    """Whether upper case, lower case and digits follow each other as in a random string, all of them often."""
    length = len(text)
    kinds = [_kind(each) for each in text]
    counts = Counter(kinds)
    if min(counts["a"], counts["A"]) < 3 or counts["0"] < 2 or counts["-"] > length // 4:
        return False
    changes = sum(a != b for a, b in pairwise(kinds))
    return changes >= 0.4 * (length - 1) and entropy(text) >= min(4.0, 0.85 * math.log2(length))


_PARTS = re.compile(r"[A-Za-z0-9]{12,}")


def has_random_part(text: str) -> bool:
    """Whether a part without hyphens begins with letters and digits in a mix that words and dates do not have."""
    for part in _PARTS.findall(text):
        kinds = [_kind(each) for each in part[:24]]
        changes = sum(a != b for a, b in pairwise(kinds))
        if changes >= (4 if "0" in kinds else 6):
            return True
    return False


def entropy(text: str) -> float:
    """Shannon's, in bits a character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def _kind(character: str) -> str:
    if character.isdigit():
        return "0"
    if character.isupper():
        return "A"
    return "a" if character.islower() else "-"


def _may_be_secret(value: str, *, quoted: bool) -> bool:
    """A name, a word and a call are what documentation gives; a password has more than letters of one case."""
    if (
        len(value) < 6
        or is_placeholder(value)
        or _DOTTED.match(value)
        or _VARIABLE.match(value)
        or value.startswith(("--", "//", "http"))
    ):
        return False
    counts = Counter(_kind(each) for each in value)
    digits, upper, lower = counts["0"], counts["A"], counts["a"]
    marks = sum(value.count(each) for each in "!@#$%^&*?~")
    if digits == len(value):
        return quoted or len(value) <= 12
    inner_upper = sum(map(str.isupper, value[1:]))
    strong = (digits and (upper or lower)) or (marks and (upper or lower or digits))
    return bool(strong) or (quoted and inner_upper > 0 and lower > 0 and len(value) >= 10)


FINDERS: tuple[Callable[[str], Iterator[Hit]], ...] = (by_format, key_blocks, assigned)
