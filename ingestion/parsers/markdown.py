"""Markdown and MDX to blocks of plain text, through markdown-it's tokens."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ingestion.parsers import frontmatter, mdx
from ingestion.parsers.decoding import decode
from ingestion.parsers.html import HTML_TAGS, add_html, html_lines
from ingestion.parsers.page import PageBuilder, Parsed, fenced, list_item, one_line, pipe_table
from ingestion.parsers.text import add_paragraphs

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token

MAX_NESTING = 100
"""Lists and quotes within each other, in levels of markdown-it (a list counts two). Beyond it: read as plain text."""

MAX_INLINE_CHARS = 20_000
MAX_BRACKETS = 500
"""A paragraph with more of either is taken as it stands: inline markup can cost the square of the length, and open
brackets the cube."""

_ANCHOR_TAG = re.compile(r"<a\s[^>]*?\b(?:name|id)\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE)
_TAG_NAME = re.compile(r"</?([A-Za-z][\w.:-]*)")
_HEADING_ID = re.compile(r"\s*\{#([\w.:-]+)\}\s*$")
_LANGUAGE = re.compile(r"[\w+#.-]+")
_SPACES = re.compile(r"[ \t\xa0]+")
_LOOSE_STRONG = re.compile(r"`[^`]*`|(?<!\S)\*\* ([^*`\n]{1,200}) \*\*(?!\S)")
_LINK_IN_CODE = re.compile(r"\[([^\]]{1,300})\]\([\w./:#?=&%~+-]{1,1000}\)")
_HIDDEN = frozenset({"script", "style"})
_ADMONITION = re.compile(r"^[ \t]*:{3,}[ \t]*(?:\w+)?[ \t]*(.*)$", re.MULTILINE)


def parse(data: bytes, *, name: str) -> Parsed:
    """A Markdown page: CommonMark with tables; inline HTML is dropped, block HTML read as HTML.

    Raises UserError when ``data`` is not text.
    """
    return _parse(decode(data, name=name), name=name, is_mdx=False)


def parse_mdx(data: bytes, *, name: str) -> Parsed:
    """An MDX page: as Markdown, after imports, exports, expressions and component tags are taken out."""
    return _parse(decode(data, name=name), name=name, is_mdx=True)


def _parse(text: str, *, name: str, is_mdx: bool) -> Parsed:
    front, body = frontmatter.split(text)
    builder = PageBuilder(title=front.title)
    if front.malformed:
        builder.add("text", front.malformed.strip())
    if front.description:
        builder.metadata["description"] = front.description
        builder.add("text", one_line(front.description))
    if is_mdx:
        body = mdx.strip(body)
    if ":::" in body:
        body = _ADMONITION.sub(r"\1", body)
    tokens = _markdown(is_mdx).parse(body)
    if any(token.nesting == 1 and token.level >= MAX_NESTING - 1 for token in tokens):
        # markdown-it drops what lies deeper than its limit; plain text loses nothing.
        add_paragraphs(builder, body)
    else:
        _Walk(tokens, builder, name=name, keep_placeholders=not is_mdx).run()
    return builder.finish(name=name)


@functools.cache
def _markdown(is_mdx: bool) -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"maxNesting": MAX_NESTING}).enable(["table", "strikethrough"])
    parser.core.ruler.before("inline", "long_paragraphs", _set_long_paragraphs_aside)
    # MDX has no indented code: what is indented there is the content of a component.
    return parser.disable("code") if is_mdx else parser


def _set_long_paragraphs_aside(state: StateCore) -> None:
    """Runs before markdown-it's inline parser, which looks at tokens of type ``inline`` only."""
    for token in state.tokens:
        text = token.content
        if token.type == "inline" and (
            len(text) > MAX_INLINE_CHARS or text.count("[") - text.count("]") > MAX_BRACKETS
        ):
            token.type = "long_paragraph"


class _Walk:
    """Goes through markdown-it's flat token list once. Lists recurse, at most ``MAX_NESTING`` deep."""

    def __init__(self, tokens: Sequence[Token], builder: PageBuilder, *, name: str, keep_placeholders: bool) -> None:
        self._name = name
        self._tokens = tokens
        self._builder = builder
        self._keep_placeholders = keep_placeholders
        self._at = 0
        self._anchor = ""  # of an anchor tag since the last heading: it names the heading that follows

    def run(self) -> None:
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            match token.type:
                case "heading_open":
                    self._heading(int(token.tag[1]))
                case "inline" | "long_paragraph":
                    self._builder.add("text", self._text(token))
                case "bullet_list_open" | "ordered_list_open":
                    self._builder.add("list", "\n".join(self._list()))
                    continue
                case "table_open":
                    self._builder.add("table", self._table())
                    continue
                case "fence" | "code_block":
                    self._builder.add("code", token.content.rstrip("\n"), language=_language(token))
                case "html_block":
                    add_html(self._builder, token.content, name=self._name)
            self._at += 1

    def _heading(self, level: int) -> None:
        self._at += 1
        before, self._anchor = self._anchor, ""
        text = self._text(self._tokens[self._at])
        explicit = _HEADING_ID.search(text[-200:])
        if explicit:
            text = text[: text.rindex("{#")]
        anchor = self._anchor or (explicit.group(1) if explicit else "") or before
        self._anchor = ""
        self._builder.heading(level, text, anchor=anchor)

    def _list(self) -> list[str]:
        """The lines of the list that begins here; goes past its end."""
        opening = self._tokens[self._at]
        ordered = opening.type == "ordered_list_open"
        number = int(opening.attrs.get("start", 1))
        closing = opening.type.replace("_open", "_close")
        lines: list[str] = []
        self._at += 1
        while self._tokens[self._at].type != closing:
            self._at += 1  # past list_item_open
            lines.extend(list_item(f"{number}. " if ordered else "- ", self._lines_until("list_item_close")))
            number += 1
        self._at += 1
        return lines

    def _lines_until(self, closing: str) -> list[str]:
        """The lines of everything up to ``closing``; goes past it."""
        lines: list[str] = []
        while (token := self._tokens[self._at]).type != closing:
            match token.type:
                case "inline" | "long_paragraph":
                    lines.extend(line for line in self._text(token).split("\n") if line)
                case "bullet_list_open" | "ordered_list_open":
                    lines.extend(self._list())
                    continue
                case "blockquote_open":
                    self._at += 1
                    lines.extend(self._lines_until("blockquote_close"))
                    continue
                case "table_open":
                    lines.extend(self._table().split("\n"))
                    continue
                case "fence" | "code_block":
                    lines.extend(fenced(token.content, _language(token)))
                case "html_block":
                    lines.extend(html_lines(token.content, name=self._name))
            self._at += 1
        self._at += 1
        return lines

    def _table(self) -> str:
        rows: list[list[str]] = []
        while (token := self._tokens[self._at]).type != "table_close":
            if token.type == "tr_open":
                rows.append([])
            elif token.type in ("inline", "long_paragraph"):
                rows[-1].append(self._text(token))
            self._at += 1
        self._at += 1
        return pipe_table(rows)

    def _text(self, token: Token) -> str:
        """Plain text of a paragraph, heading or cell."""
        if token.type == "long_paragraph" or token.children is None:
            return _tidy(token.content)
        text = "".join(self._pieces(token.children))
        if "** " in text:
            text = _LOOSE_STRONG.sub(lambda found: found.group(1) or found.group(), text)
        return _tidy(text)

    def _pieces(self, children: Sequence[Token]) -> Iterator[str]:
        hidden = ""
        after_anchor = False
        for child in children:
            if child.type == "softbreak" and after_anchor:
                yield "\n"  # ``Name <a name="x"></a>`` on its own line is a caption, not the start of the sentence
                continue
            after_anchor = child.type == "html_inline" and child.content == "</a>"
            if child.type == "html_inline":
                tag = _TAG_NAME.match(child.content)
                name = tag.group(1).lower() if tag else ""
                if hidden:
                    hidden = "" if name == hidden and child.content.startswith("</") else hidden
                elif name in _HIDDEN and not child.content.startswith("</"):
                    hidden = name
                else:
                    yield self._tag(child.content, name)
            elif not hidden:
                yield from self._piece(child)

    def _piece(self, child: Token) -> Iterator[str]:
        match child.type:
            case "text" | "text_special":
                yield child.content
            case "code_inline":
                yield f"`{_code(child.content)}`"
            case "softbreak":
                yield " "
            case "hardbreak":
                yield "\n"
            case "image":
                yield from self._pieces(child.children or ())

    def _tag(self, tag: str, name: str) -> str:
        """What remains of an inline tag: nothing, as a rule."""
        if name == "a" and (found := _ANCHOR_TAG.match(tag)):
            self._anchor = self._anchor or found.group(1)
        if name == "br":
            return "\n"
        return tag if name and self._keep_placeholders and name not in HTML_TAGS else ""


def _tidy(text: str) -> str:
    return "\n".join(_SPACES.sub(" ", line).strip() for line in text.strip().split("\n"))


def _code(code: str) -> str:
    """Inline code; a link that was wrongly put inside the backticks is reduced to its text."""
    found = _LINK_IN_CODE.fullmatch(code) if code.startswith("[") else None
    return found.group(1).replace("\\", "") if found else code


def _language(token: Token) -> str:
    found = _LANGUAGE.match(token.info.strip())
    return found.group() if found else ""
