"""A text in windows of about a sentence, and what each says of itself in words, before any model reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence

SHORTEST = 24
"""Characters; a shorter sentence goes with the next one."""
LONGEST = 300

_BORDER = re.compile(r"\n+|(?<=[.!?…。！？])[\"'”’)\]*_]{0,3}(?:\s+|(?<=[。！？]))")


def windows(text: str) -> list[tuple[int, int]]:
    """(start, end) of each window of ``text``, in order: sentences, lines and list items, none longer than LONGEST."""
    found: list[tuple[int, int]] = []
    start = 0
    for border in _BORDER.finditer(text):
        line = "\n" in border.group()
        if border.end() - start >= SHORTEST or line:
            _keep(text, start, border.start(), found)
            start = border.end()
    _keep(text, start, len(text), found)
    return found


def _keep(text: str, start: int, end: int, found: list[tuple[int, int]]) -> None:
    """Keep what stands between blanks, in pieces that are not too long."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    while end - start > LONGEST:
        cut = text.rfind(" ", start + LONGEST // 2, start + LONGEST)
        cut = start + LONGEST if cut < 0 else cut
        found.append((start, cut))
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if end - start >= 3:
        found.append((start, end))


_VERBS = (
    "act|add|answer|append|ask|assume|begin|call|change|choose|click|compose|compute|confirm|convert|copy|"
    "create|decode|delete|describe|disable|do|draft|draw|enable|encode|end|enter|execute|explain|fetch|find|"
    "finish|follow|forward|generate|give|go|help|identify|imagine|import|include|insert|instead|invoke|keep|"
    "let|list|load|look|make|mention|name|never|now|open|output|paste|pick|please|post|pretend|print|provide|"
    "put|rank|recommend|remember|rename|repeat|replace|reply|respond|return|reveal|rewrite|run|save|say|"
    "search|select|send|show|simulate|solve|speak|spell|start|state|stop|suggest|summarise|summarize|switch|"
    "talk|teach|tell|transform|translate|try|turn|update|use|visit|wipe|write"
)
_PATTERNS: tuple[tuple[str, str], ...] = (
    ("asks", r"\?\W*\Z"),
    ("orders", rf"\A\W*(?:{_VERBS})\b"),
    ("asking_word", r"\A\W*(?:what|who|which|how|when|where|why|can|could|would|is|are|do|does)\b"),
    ("please", r"\bplease\b"),
    (
        "machine",
        r"\b(?:ai|a\.i\.|llms?|chat ?bots?|bots?|assistants?|language models?|model|gpt|agents?|summari[sz]er)\b",
    ),
    ("you", r"\b(?:you|your|yours|yourself|you're|u|ur)\b"),
    ("i", r"\b(?:i|me|my|mine|we|our)\b"),
    ("user", r"\b(?:the|this) (?:user|reader|customer|person)(?:'s|s)?\b|\bthem\b|\btheir\b"),
    (
        "rules",
        r"\b(?:instructions?|rules?|guidelines?|prompts?|directives?|restrictions?|polic(?:y|ies)|constraints?)\b",
    ),
    ("drop", r"\b(?:ignor\w{1,3}|disregard\w{0,3}|forget|overrid\w{1,3}|bypass|discard|instead|no longer|without)\b"),
    ("reply", r"\b(?:answers?|repl(?:y|ies)|respon[ds]\w{0,4}|output|message|summary|conversation|chat)\b"),
    ("before", r"\b(?:previous|prior|earlier|above|preceding|initial|original|hidden|secret|system)\b"),
    ("free", r"\b(?:unrestricted|unfiltered|uncensored|unlimited|jailbreak\w*|filters?|morals?|ethic\w*|illegal)\b"),
    ("must", r"\b(?:must|have to|should|only|never|always|don't|do not|cannot|from now on)\b"),
    ("address", r"https?://|www\.|!\[|\]\("),
    ("role", r"</?\w{1,20}>|<\||\[/?inst\]|<!--|^\s*#{2,}|\b(?:system|assistant|user|human) ?:"),
    ("code", r"[{}=;]|\(\)|\bimport\b|\bdef\b"),
    ("cells", r"\|[^|\n]{0,80}\|"),
    ("quote", r"[\"“”«»]"),
)
CUES = (*(name for name, _ in _PATTERNS), "length", "upper", "digits", "marks")
_CUES = tuple((name, re.compile(pattern, re.I | re.M)) for name, pattern in _PATTERNS)
_ASKING = frozenset({"asks", "orders", "please", "machine", "you", "rules", "drop", "reply", "before", "free", "role"})


def cues(text: str) -> list[float]:
    """One value for each of CUES, between 0 and 1."""
    size = max(1, len(text))
    found = [1.0 if pattern.search(text) else 0.0 for _, pattern in _CUES]
    marks = sum(not each.isalnum() and not each.isspace() for each in text)
    upper, digits = sum(map(str.isupper, text)), sum(map(str.isdigit, text))
    return [*found, min(1.0, size / LONGEST), upper / size, digits / size, marks / size]


def most_telling(texts: Sequence[str], limit: int, characters: int) -> list[int]:
    """The places, in order, of the windows that sound most like a wish to somebody: at most ``limit`` of them, and
    beside the first no more than fit into ``characters``."""
    values = [cues(each) for each in texts]
    asking = [place for place, name in enumerate(CUES) if name in _ASKING]
    order = sorted(range(len(values)), key=lambda at: -sum(values[at][place] for place in asking))
    kept: list[int] = []
    left = characters
    for at in order[:limit]:
        if not kept or len(texts[at]) <= left:
            kept.append(at)
            left -= len(texts[at])
    return sorted(kept)
