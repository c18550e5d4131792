"""Model text as HTML that can do nothing: no script, no image, no style, no link but to a shown http(s) host.

What a model writes may come from a poisoned document. Raw HTML is shown as text, images become their words, links open
in a new tab without a referrer and say where they lead, and characters that make text look like other text are dropped.
The page sanitises once more in the browser, and its Content-Security-Policy loads nothing from elsewhere.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

MAX_CHARACTERS = 200_000

# Bidirectional controls, zero-width and invisible characters, tags: nothing an answer needs, all of them disguises.
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
# Joiners are part of Persian, Hindi and emoji; beside ASCII they are only there to hide something.
_JOINERS = re.compile(
    "(?<=[\x00-\x7f])[\u200c\u200d]+|[\u200c\u200d]+(?=[\x00-\x7f])|^[\u200c\u200d]+|[\u200c\u200d]+$"
)
# Punctuation, which the Markdown around it does not mind. A text's own are replaced while there is something to mark.
_OPEN, _CLOSE = "\u2e28", "\u2e29"
_EDGES = str.maketrans({_OPEN: "(", _CLOSE: ")"})
_EDGE = re.compile(f"([{_OPEN}{_CLOSE}])")
_BLOCK_START = re.compile(r"(?:[ \t]*(?:[-*+>]|#{1,6}|\d{1,9}[.)])[ \t]+)*")
_MARKER = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]([.,;:!?)]*)")


@dataclass(frozen=True, slots=True)
class Underline:
    """The part ``start``..``end`` of a text, and what is said of it."""

    start: int
    end: int
    label: str


def visible(text: str) -> str:
    """``text`` without the characters that are not seen, or that turn around what is."""
    return _JOINERS.sub("", _INVISIBLE.sub("", text))


def marked(text: str) -> str:
    """``text`` with each character that is not seen written out, such as ``<U+202E>``: for who has to review it."""
    return _INVISIBLE.sub(lambda found: f"<U+{ord(found[0]):04X}>", text)


def render(text: str, citations: Mapping[int, str] | None = None, underlines: Sequence[Underline] = ()) -> str:
    """HTML of the Markdown ``text``. A marker ``[n]`` whose number is in ``citations`` becomes a button with
    ``data-cite="n"``, labelled with the title that the mapping gives. ``underlines`` come in order, apart."""
    shown = [each for each in underlines if 0 <= each.start < each.end <= MAX_CHARACTERS]
    cut = visible(_with_edges(text[:MAX_CHARACTERS], shown) if shown else text[:MAX_CHARACTERS])
    given = {"citations": dict(citations or {}), "labels": [each.label for each in shown]}
    html = str(_markdown().render(cut, given))
    # Once more on the result: an entity such as &#x202e; is a character only after parsing.
    return visible(html.replace(_OPEN, "").replace(_CLOSE, "") if shown else html)


def _with_edges(text: str, underlines: Sequence[Underline]) -> str:
    """``text`` with a sign at each end of what is underlined; what makes a line a list or a heading stays in front."""
    text = text.translate(_EDGES)
    pieces: list[str] = []
    at = 0
    for each in underlines:
        found = _BLOCK_START.match(text, each.start, each.end)
        start = found.end() if found else each.start
        if each.start < at or start >= each.end:
            pieces.append(_OPEN + _CLOSE)  # keeps the count
            continue
        pieces += [text[at:start], _OPEN, text[start : each.end], _CLOSE]
        at = each.end
    return "".join([*pieces, text[at:]])


def shown_host(url: str) -> str | None:
    """The host of an http(s) address as it is to be shown, or None when the address must not become a link."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        name = host.encode("idna").decode() if host else ""
    except (ValueError, UnicodeError):
        return None
    # A user name before the host is there to be mistaken for it.
    if parts.scheme not in ("http", "https") or not name or "@" in parts.netloc or "\\" in url:
        return None
    return f"{name}:{port}" if port else name


@functools.cache
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": False})
    markdown.enable(["table", "strikethrough"]).disable("reference")  # [1]: would turn every marker into a link
    markdown.validateLink = lambda url: shown_host(url) is not None  # type: ignore[method-assign]
    # Before escaped characters become plain text: a document's "\[1]" is no marker.
    markdown.core.ruler.before("text_join", "underlines", _underline)
    markdown.core.ruler.before("underlines", "citations", _mark_citations)
    rules: dict[str, Any] = {
        "link_open": _open_link,
        "link_close": _close_link,
        "image": _image,
        "citation": _citation,
        "underlined": _underlined,
        "fence": _code,
        "code_block": _code,
    }
    renderer = markdown.renderer
    assert isinstance(renderer, RendererHTML)  # noqa: S101 - the default renderer, narrowed for the type checker
    renderer.rules.update(rules)
    return markdown


def _mark_citations(state: Any) -> None:
    """Split the text tokens outside links at the markers of known citations."""
    known = state.env.get("citations", {})
    for block in state.tokens:
        if block.type != "inline" or not block.children:
            continue
        depth = 0
        children: list[Token] = []
        for token in block.children:
            depth += {"link_open": 1, "link_close": -1}.get(token.type, 0)
            children += _split(token, known) if token.type == "text" and depth == 0 else [token]
        block.children = children


def _split(token: Token, known: Mapping[int, str]) -> list[Token]:
    pieces: list[Token] = []
    at = 0
    for found in _MARKER.finditer(token.content):
        numbers = [int(number) for number in found[1].split(",")]
        if not all(number in known for number in numbers):
            continue
        pieces.append(_text(token.content[at : found.start()]))
        pieces += [Token("citation", "", 0, meta={"number": number}) for number in numbers]
        # A button is a place where a line may break; the full stop after it must not start the next one.
        pieces[-1].content = found[2]
        at = found.end()
    return [*pieces, _text(token.content[at:])] if at else [token]


def _underline(state: Any) -> None:
    """Split the text tokens at the signs. Each text between them is underlined by itself, so that it nests whatever
    emphasis or link it is in."""
    edges = _Edges(iter(state.env.get("labels", ())))
    for block in state.tokens:
        if block.type != "inline" or not block.children:
            edges.pass_by(block)
            continue
        children: list[Token] = []
        for token in block.children:
            if token.type == "text":
                children += edges.split(token.content)
            else:
                edges.pass_by(token)
                children.append(token)
        block.children = children


@dataclass(slots=True)
class _Edges:
    """Reads the signs in order; ``label`` is that of the underline which is open, if one is."""

    labels: Iterator[str]
    label: str | None = None

    def split(self, text: str) -> Iterator[Token]:
        for piece in _EDGE.split(text):
            if piece == _OPEN:
                self.label = next(self.labels, None)
            elif piece == _CLOSE:
                self.label = None
            elif piece and self.label is not None:
                yield Token("underlined", "", 0, content=piece, meta={"label": self.label})
            elif piece:
                yield _text(piece)

    def pass_by(self, token: Token) -> None:
        """Code stays as it is, without the signs."""
        if token.type != "inline" and _EDGE.search(token.content):
            token.content = "".join([each.content for each in self.split(token.content)])


def _underlined(tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    token = tokens[index]
    label = escape(visible(token.meta["label"]), quote=True)
    return f'<span class="lg-unsupported" title="{label}">{escape(token.content)}</span>'


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _citation(tokens: Sequence[Token], index: int, _options: Any, env: Mapping[str, Any]) -> str:
    number = tokens[index].meta["number"]
    title = escape(visible(env["citations"][number]), quote=True)
    label = f'aria-label="Source {number}: {title}"'
    button = f'<button type="button" class="lg-cite" data-cite="{number}" {label}>{number}</button>'
    return f'<span class="lg-together">{button}{tokens[index].content}</span>'


def _open_link(tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    href = escape(str(tokens[index].attrGet("href") or ""), quote=True)
    return f'<a href="{href}" rel="noopener noreferrer nofollow" target="_blank">'


def _close_link(tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    opening = next(token for token in reversed(tokens[:index]) if token.type == "link_open")
    host = shown_host(str(opening.attrGet("href") or "")) or ""
    return f'</a> <span class="lg-host">({escape(host)})</span>'


def _image(tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    words = escape(tokens[index].content.strip())
    return f'<span class="lg-image">[image: {words}]</span>' if words else ""


def _code(tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    return f'<pre tabindex="0"><code>{escape(tokens[index].content)}</code></pre>\n'
