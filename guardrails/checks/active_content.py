"""Code that would run in a page that shows the answer as HTML: tags, handlers, addresses, in Markdown and encoded.

What stands in Markdown code is documentation and passes. Everything else is read as a browser reads it, and where that
is in doubt, as the more dangerous of the readings.
"""

from __future__ import annotations

import html
import re
import urllib.parse
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from guardrails.check import MAX_SPANS, NOTHING, Action, CheckSettings, Found, GuardTools, Seen, Span, Stage
from guardrails.checks.markdown_code import code_parts
from guardrails.normalise import normalised

MAX_TAG = 2_000
"""Characters after the beginning of a tag in which what stands there may still belong to it."""


class ActiveContentSettings(CheckSettings):
    """Finds what a page would run.

    The score is 1 for tags, handlers and addresses that run as they stand, 0.7 for a template expression that runs
    code, 0.6 for such a thing in base64, hex, percent signs or escapes and for a bare ``javascript:`` call, 0.4 for
    tags in entities, which a page shows as text. ::

        - check: active_content
          action: redact
    """

    check: Literal["active_content"]
    action: Literal["redact", "block", "flag", "log"]


class ActiveContent:
    """Code that would run in a page: scripts, frames, event handlers, ``javascript:`` addresses, also in Markdown links
    and encoded."""

    name: ClassVar[str] = "active_content"
    stages: ClassVar[frozenset[Stage]] = frozenset({"output"})
    actions: ClassVar[frozenset[Action]] = frozenset({"redact", "block", "flag", "log"})
    settings: ClassVar[type[CheckSettings]] = ActiveContentSettings

    def __init__(self, settings: ActiveContentSettings, _tools: GuardTools, /) -> None:
        self._threshold = settings.threshold

    def look(self, seen: Seen) -> Found:
        whole = seen.before + seen.text
        shown = len(seen.before)
        code = code_parts(whole) if "`" in whole or "~~~" in whole else []
        first = max(0, shown - MAX_TAG)
        hits = list(_on_the_page(_without(whole, code)[first:], first))
        hits += [
            _Hit(each.start + shown, each.end + shown, f"{inner.what} in {each.how}", 0.4 if _shown(each.how) else 0.6)
            for each in seen.reading.hidden
            if not _within(each.start + shown, code)
            for inner in _on_the_page(each.text, 0)
            if inner.score == 1
        ]
        return _found([each for each in hits if each.end > shown], shown, self._threshold)


@dataclass(frozen=True, slots=True)
class _Hit:
    start: int
    end: int
    what: str
    score: float = 1.0
    replacement: str = "[removed]"


def _found(hits: list[_Hit], shown: int, threshold: float) -> Found:
    """The spans are those that reach the policy's threshold: a page shows the others as text."""
    if not hits:
        return NOTHING
    hits.sort(key=lambda each: (-each.score, each.start))
    spans = tuple(
        Span(max(0, each.start - shown), each.end - shown, each.what, each.replacement)
        for each in hits[: MAX_SPANS + 1]
        if each.score >= threshold
    )
    kinds = ", ".join(sorted({each.what for each in hits}))
    return Found(hits[0].score, spans, f"would run in a page: {kinds}"[:300])


def _shown(how: str) -> bool:
    """Whether a page shows what is encoded so as text."""
    return how == "entities"


def _without(text: str, code: list[tuple[int, int]]) -> str:
    """``text`` with code as spaces, every other character where it was."""
    pieces, at = [], 0
    for start, end in code:
        pieces += [text[at:start], " " * (end - start)]
        at = end
    return "".join([*pieces, text[at:]])


def _within(place: int, parts: list[tuple[int, int]]) -> bool:
    index = bisect_right(parts, (place, len(parts) and parts[-1][1])) - 1
    return index >= 0 and parts[index][0] <= place < parts[index][1]


_SIGN = re.compile(r"<[a-z!/?]|\]\(|\]:|javascript|vbscript|\{\{", re.IGNORECASE)


def _on_the_page(text: str, offset: int) -> Iterator[_Hit]:
    read = normalised(text)
    if _SIGN.search(read.text) is None:
        return
    for find in (_elements, _attributes, _styles, _markdown, _bare, _templates):
        for each in find(read.text):
            start, end = read.spans_back(each.start, each.end)
            yield _Hit(start + offset, end + offset, each.what, each.score, each.replacement)


# Tags

_ELEMENT = re.compile(
    r"<(script|iframe|frame|frameset|object|embed|applet|portal|base|link|meta|xsl:[a-z]{1,20}|fencedframe)(?=[\s/>]|\Z)",
    re.IGNORECASE,
)
_SCRIPT_END = re.compile(r"</script[^>]{0,200}>?", re.IGNORECASE)
_RUNS_LINK = re.compile(r"stylesheet|import|preload|prefetch|manifest|modulepreload", re.IGNORECASE)
_RUNS_META = re.compile(r"refresh|set-cookie|content-security|javascript", re.IGNORECASE)


def _elements(text: str) -> Iterator[_Hit]:
    """Elements that run or load something whatever their attributes say; a script goes with what is in it."""
    at = 0
    while (found := _ELEMENT.search(text, at)) is not None:
        name = found.group(1).lower()
        at = found.end()
        end = _end_of_tag(text, found.end())
        inner = text[found.end() : end]
        if (name == "link" and not _RUNS_LINK.search(inner)) or (name == "meta" and not _RUNS_META.search(inner)):
            continue
        if name == "script":
            closing = _SCRIPT_END.search(text, found.end())
            end = closing.end() if closing else len(text)
        at = end
        yield _Hit(found.start(), end, f"<{name}>")


def _end_of_tag(text: str, start: int) -> int:
    found = text.find(">", start, start + MAX_TAG)
    return found + 1 if found >= 0 else min(len(text), start + MAX_TAG)


@dataclass(frozen=True, slots=True)
class _Tag:
    start: int
    end: int


_TOKEN = re.compile(r"<[A-Za-z]|>|=[\s]{0,20}[\"']|[\"']")


def _tags(text: str) -> list[_Tag]:
    """Tags from "<" to the ">" that is in no quotation; one that never ends goes on for ``MAX_TAG``. In order, none
    within another: what looks like one within a quotation is part of it, and is judged there."""
    tags: list[_Tag] = []
    start, quote = -1, ""
    for token in _TOKEN.finditer(text):
        what = token.group()
        if start >= 0 and token.start() - start > MAX_TAG:
            tags.append(_Tag(start, start + MAX_TAG))
            start, quote = -1, ""
        if start < 0:
            if what[0] == "<":
                start = token.start()
        elif quote:
            if what[-1] == quote:
                quote = ""
        elif what[0] == "=":
            quote = what[-1]
        elif what == ">":
            tags.append(_Tag(start, token.end()))
            start = -1
    if start >= 0:
        tags.append(_Tag(start, min(len(text), start + MAX_TAG)))
    return tags


_ATTRIBUTE = re.compile(
    r"(?<=[\s/\"'`<>])(?:(on[a-z]{3,30})|(srcdoc)|([a-z][a-z:-]{0,30}))\s{0,20}=\s{0,20}(?=([\"'`]?))", re.IGNORECASE
)


def _attributes(text: str) -> Iterator[_Hit]:
    """Event handlers, documents within attributes, and addresses that run."""
    tags = _tags(text)
    if not tags:
        return
    starts = [tag.start for tag in tags]
    for found in _ATTRIBUTE.finditer(text):
        tag = tags[bisect_right(starts, found.start()) - 1]
        if not tag.start < found.start() < tag.end:
            continue
        handler, document, name, _ = found.groups()
        if handler:
            yield _Hit(tag.start, tag.end, "event handler")
        elif document:
            yield _Hit(tag.start, tag.end, "srcdoc")
        elif any(_runs(part) for part in _values(text, found.end(), name)):
            yield _Hit(tag.start, tag.end, "address that runs")


def _values(text: str, start: int, name: str) -> Iterator[str]:
    """The value from ``start`` on; those of animations hold several."""
    value = text[start : start + 200].lstrip("\"'` ")
    yield value
    if name.lower() in ("values", "srcset"):
        yield from re.split("[;,]", value)[1:]


# Addresses

_NO_SCHEME = re.compile(r"[\x00-\x20\u00ad\u200b-\u200f\u2028-\u202e\ufeff]+")
_RUNNING = re.compile(
    r"(?:view-source:|feed:|jar:)?(?:javascript|vbscript|livescript|mocha):"
    r"|data:(?:text/(?:html|xml|javascript|ecmascript|vbscript)|image/svg|application/(?:xhtml|xml|javascript"
    r"|ecmascript|x-javascript|pdf)|multipart/)",
    re.IGNORECASE,
)
_ESCAPED = re.compile(r"\\(?=[!-/:-@\[-`{-~])")


def _runs(address: str) -> bool:
    """Whether a browser runs what is at ``address``, in any way that a renderer may read it."""
    head = address[:200]
    if ":" not in head and "&" not in head and "%" not in head:
        return False
    readings = [head, html.unescape(head)]
    readings += [html.unescape(readings[1]), urllib.parse.unquote(readings[1]), _ESCAPED.sub("", readings[1])]
    return any(_RUNNING.match(_NO_SCHEME.sub("", each).lstrip("<\"'")) for each in readings)


# Styles

_STYLE = re.compile(
    r"(?:\bexpression\s{0,20}\(|-moz-binding\s{0,20}:|\bbehaviou?r\s{0,20}:\s{0,20}url"
    r"|\burl\s{0,20}\(\s{0,20}[\"']?\s{0,20}(?:javascript|vbscript|data:text))",
    re.IGNORECASE,
)
_STYLED = re.compile(r"style[^A-Za-z0-9]|<style", re.IGNORECASE)
_COMMENT = re.compile(r"/\*[^*]{0,200}\*/")
_CSS_ESCAPE = re.compile(r"\\([0-9a-f]{1,6})\s?", re.IGNORECASE)


def _styles(text: str) -> Iterator[_Hit]:
    """Styles that old browsers run, in the characters after a ``style``."""
    at = 0
    while (found := _STYLED.search(text, at)) is not None:
        at = found.end()
        part = text[found.start() : found.start() + 500]
        plain = _COMMENT.sub("", html.unescape(_CSS_ESCAPE.sub(_css, part)))
        if _STYLE.search(plain):
            open_tag = text.rfind("<", max(0, found.start() - MAX_TAG), found.start() + 1)
            start = open_tag if open_tag >= 0 else -1
            if start >= 0:
                at = max(at, _end_of_tag(text, found.end()))
                yield _Hit(start, at, "style that runs")


def _css(found: re.Match[str]) -> str:
    number = int(found.group(1), 16)
    return chr(number) if 0 < number < 0x110000 and not 0xD800 <= number < 0xE000 else ""


# Markdown

_DESTINATION = re.compile(
    r"\](?:\(|:)[ \t]{0,20}\n?[ \t]{0,20}(<[^<>\n]{1,500}>|[^\s()]{1,500}(?:\([^\s()]{0,200}\))?)"
)
_CLOSING = re.compile(r"[)\n]")
_AUTOLINK = re.compile(r"<([A-Za-z][A-Za-z0-9+.-]{1,20}:[^\s<>]{1,500})>")


def _markdown(text: str) -> Iterator[_Hit]:
    """Links, images, definitions and autolinks that lead to what runs. Blanks within the scheme count as nothing."""
    for found in _DESTINATION.finditer(text):
        spaced = text[found.start(1) : found.start(1) + 80]
        if _runs(found.group(1)) or _runs(spaced):
            closing = _CLOSING.search(text, found.end(1), found.end(1) + 500)
            yield _Hit(found.start(1), closing.start() if closing else found.end(1), "address that runs", 1.0, "#")
    for found in _AUTOLINK.finditer(text):
        if _runs(found.group(1)):
            yield _Hit(found.start(), found.end(), "address that runs")


# Text

_CALL = re.compile(r"\b(?:javascript|vbscript)\s{0,10}:\s{0,10}[\w.$\[\]'\"/]{1,60}\s{0,5}[(=]", re.IGNORECASE)
_TEMPLATE = re.compile(
    r"\{\{[^{}]{0,300}(?:\bconstructor\s{0,5}[.(\[]|\.\s{0,5}constructor\b|__proto__|\balert\s{0,5}\(|\beval\s{0,5}\(|\$on\.|\bfetch\s{0,5}\()",
    re.IGNORECASE,
)


def _bare(text: str) -> Iterator[_Hit]:
    """For the address bar: no page runs it by itself."""
    for found in _CALL.finditer(text):
        yield _Hit(found.start(), found.end(), "javascript: call", 0.6)


def _templates(text: str) -> Iterator[_Hit]:
    """What frameworks evaluate in a page."""
    for found in _TEMPLATE.finditer(text):
        yield _Hit(found.start(), found.end(), "template expression", 0.7)
