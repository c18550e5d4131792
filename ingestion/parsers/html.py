"""HTML to blocks: the main content, without navigation, forms, scripts and styles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingestion.parsers.decoding import decode_html
from ingestion.parsers.page import PageBuilder, Parsed, fenced, one_line, pipe_table
from lockgate.errors import UserError

if TYPE_CHECKING:
    from lxml.etree import _Element

HTML_TAGS = frozenset(
    {
        *("a", "abbr", "acronym", "address", "area", "article", "aside", "audio", "b", "base", "bdi", "bdo"),
        *("big", "blockquote", "body", "br", "button", "canvas", "caption", "center", "cite", "code", "col"),
        *("colgroup", "data", "datalist", "dd", "del", "details", "dfn", "dialog", "dir", "div", "dl", "dt"),
        *("em", "embed", "fieldset", "figcaption", "figure", "font", "footer", "form", "frame", "frameset"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hgroup", "hr", "html", "i", "iframe", "img"),
        *("input", "ins", "kbd", "label", "legend", "li", "link", "main", "map", "mark", "menu", "meta"),
        *("meter", "nav", "noframes", "noscript", "object", "ol", "optgroup", "option", "output", "p"),
        *("param", "picture", "pre", "progress", "q", "rp", "rt", "ruby", "s", "samp", "script", "search"),
        *("section", "select", "slot", "small", "source", "span", "strike", "strong", "style", "sub"),
        *("summary", "sup", "svg", "table", "tbody", "td", "template", "textarea", "tfoot", "th", "thead"),
        *("time", "title", "tr", "track", "tt", "u", "ul", "var", "video", "wbr"),
    }
)
"""The elements of HTML. A tag that is none of these, in Markdown prose, is a placeholder such as ``<account-id>``."""

MAX_LIST_INDENT = 20

_DROPPED = frozenset(
    {
        *("nav", "footer", "aside", "script", "style", "form", "noscript", "template", "svg", "iframe"),
        *("button", "head", "title", "object", "embed", "select", "textarea", "dialog", "canvas", "audio"),
        *("video", "math", "input"),
    }
)
_BLOCKS = frozenset(
    {
        *("address", "article", "blockquote", "body", "center", "dd", "details", "dialog", "div", "dl", "dt"),
        *("fieldset", "figcaption", "figure", "hgroup", "hr", "html", "main", "p", "section", "summary"),
        *("table", "tbody", "td", "tfoot", "th", "thead", "tr", "caption", "header"),
    }
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_DROPPED_ROLES = frozenset({"navigation", "search", "banner", "contentinfo", "complementary"})
_PERMALINKS = frozenset({"#", "¶", "§", "🔗", "\uf0c1"})
_LANGUAGE = re.compile(r"\b(?:language|lang|highlight|brush:)-?\s*([A-Za-z0-9+#.]+)")
_SPACES = re.compile(r"[ \t\n\r\f\v\xa0]+")
_SPACES_ONLY = re.compile(r" +")
_AROUND_BREAK = re.compile(r" *\n[ \n]*")


def parse(data: bytes, *, name: str) -> Parsed:
    """An HTML page. Raises UserError when ``data`` is not text."""
    builder = PageBuilder()
    root = _tree(decode_html(data, name=name), name=name)
    title = ""
    if root is not None:
        title = one_line(root.findtext(".//title") or "")
        description = root.find(".//meta[@name='description']")
        if description is not None and (content := one_line(description.get("content") or "")):
            builder.metadata["description"] = content
        _Walk(builder).run(_main_content(root))
    return builder.finish(name=name, title=title)


def add_html(builder: PageBuilder, html: str, *, name: str) -> None:
    """Add the blocks of an HTML fragment."""
    root = _tree(html, name=name)
    if root is not None:
        _Walk(builder).run(root)


def html_lines(html: str, *, name: str) -> list[str]:
    """The text of an HTML fragment, line by line."""
    builder = PageBuilder()
    add_html(builder, html, name=name)
    return [line for block in builder.finish(name="fragment").blocks for line in block.text.split("\n")]


def _tree(html: str, *, name: str) -> _Element | None:
    from lxml import etree

    # huge_tree raises libxml2's depth limit from 256 to 2,048 elements; it drops the page from there on.
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(html.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError):
        return None  # nothing in it that could be a document, such as a lone comment
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise UserError(f"{name}: its HTML elements lie too deep within each other (over 2,000 levels).")
    return root


def _main_content(root: _Element) -> _Element:
    for path in (".//main", ".//*[@role='main']", ".//article", ".//body"):
        found = root.findall(path)
        # Several articles are a list of posts: the page is all of them.
        if len(found) == 1 or (found and path != ".//article"):
            return found[0]
    return root


class _Walk:
    """Goes through a tree without recursion and turns what it meets into blocks."""

    def __init__(self, builder: PageBuilder) -> None:
        self._builder = builder
        self._inline: list[str] = []
        self._lists: list[_List] = []
        self._list_lines: list[str] = []
        self._section_anchor = ""
        self._holds_title: set[_Element] = set()

    def run(self, root: _Element) -> None:
        from lxml import etree

        self._holds_title = _ancestors_of_titles(root)
        walker = etree.iterwalk(root, events=("start", "end"))
        for event, element in walker:
            if event == "start":
                if self._open(element):
                    self._text(element.text)
                else:
                    walker.skip_subtree()
            else:
                self._close(element)
                if element is not root:
                    self._text(element.tail)
        self._flush()
        self._end_list()

    def _open(self, element: _Element) -> bool:
        """True when the children of ``element`` are to be walked."""
        tag = element.tag
        if not isinstance(tag, str) or _is_dropped(element, tag, self._holds_title):
            return False
        if tag in _HEADINGS and not self._lists:
            self._heading(element, _HEADINGS[tag])
            return False
        if tag == "pre":
            self._code(element)
            return False
        if tag == "table" and not _is_layout(element):
            self._table(element)
            return False
        if tag in ("code", "kbd", "samp", "tt"):
            self._inline.append(_inline_code(element))
            return False
        self._open_flow(element, tag)
        return True

    def _open_flow(self, element: _Element, tag: str) -> None:
        if tag in ("ul", "ol", "menu", "dir"):
            self._flush()
            self._lists.append(_List(ordered=tag == "ol", number=_start(element), indent=self._indent()))
        elif tag == "li":
            self._flush()
            if self._lists:
                self._lists[-1].next_item()
        elif tag == "br":
            self._inline.append("\n")
        elif tag == "img":
            self._inline.append(f" {one_line(element.get('alt') or '')} ")
        elif tag in _BLOCKS or tag in _HEADINGS:
            self._flush()
        if tag in ("section", "div", "article") and element.get("id"):
            self._section_anchor = element.get("id") or ""

    def _close(self, element: _Element) -> None:
        tag = element.tag
        if tag in ("ul", "ol", "menu", "dir") and self._lists:
            self._flush()
            self._lists.pop()
            if not self._lists:
                self._end_list()
        elif tag in _BLOCKS or tag == "li" or (tag in _HEADINGS and self._lists):
            self._flush()

    def _text(self, text: str | None) -> None:
        if text:
            self._inline.append(_SPACES.sub(" ", text))

    def _indent(self) -> int:
        return min(sum(len(entry.marker) for entry in self._lists[-MAX_LIST_INDENT:]), 3 * MAX_LIST_INDENT)

    def _flush(self) -> None:
        if not self._inline:
            return
        text = _AROUND_BREAK.sub("\n", _SPACES_ONLY.sub(" ", "".join(self._inline))).strip()
        self._inline = []
        if not text:
            return
        if self._lists:
            self._list_lines.extend(self._lists[-1].lines(text.split("\n")))
        else:
            self._builder.add("text", text)

    def _end_list(self) -> None:
        self._builder.add("list", "\n".join(self._list_lines))
        self._list_lines = []

    def _heading(self, element: _Element, level: int) -> None:
        self._flush()
        inner = element.xpath("string((.//a/@id | .//a/@name | .//span/@id)[1])")
        anchor = element.get("id") or str(inner) or self._section_anchor
        self._section_anchor = ""
        self._builder.heading(level, _visible_text(element), anchor=anchor)

    def _code(self, element: _Element) -> None:
        self._flush()
        code = "".join(element.itertext()).strip("\n")
        language = _language(element)
        if self._lists:
            self._list_lines.extend(self._lists[-1].lines(fenced(code, language)))
        else:
            self._builder.add("code", code, language=language)

    def _table(self, element: _Element) -> None:
        self._flush()
        rows = [[_visible_text(cell) for cell in row if cell.tag in ("td", "th")] for row in element.iter("tr")]
        caption = element.find("caption")
        if caption is not None and (text := _visible_text(caption)):
            self._inline.append(text)
            self._flush()
        table = pipe_table([row for row in rows if any(row)])
        if self._lists and table:
            self._list_lines.extend(self._lists[-1].lines(table.split("\n")))
        else:
            self._builder.add("table", table)


class _List:
    """One level of a list: its marker and how far it is indented."""

    def __init__(self, *, ordered: bool, number: int, indent: int) -> None:
        self._ordered = ordered
        self._number = number - 1
        self._indent = " " * indent
        self._fresh = True
        self.marker = "- "

    def next_item(self) -> None:
        self._number += 1
        self._fresh = True
        self.marker = f"{self._number}. " if self._ordered else "- "

    def lines(self, lines: list[str]) -> list[str]:
        """``lines`` as part of the current item; the first ever gets the marker."""
        rest = " " * len(self.marker)
        done = []
        for line in lines:
            done.append(self._indent + (self.marker if self._fresh else rest) + line)
            self._fresh = False
        return done


def _is_dropped(element: _Element, tag: str, holds_title: set[_Element]) -> bool:
    if tag in ("form", "header"):
        # Some frameworks wrap the whole page in a form; an article's header holds its title, the page's its menu.
        return element not in holds_title
    if tag in _DROPPED or element.get("role") in _DROPPED_ROLES:
        return True
    if tag == "a" and (element.text or "").strip() in _PERMALINKS and (element.get("href") or "").startswith("#"):
        return len(element) == 0
    return element.get("hidden") is not None or element.get("aria-hidden") == "true"


def _ancestors_of_titles(root: _Element) -> set[_Element]:
    """Every element that has an ``h1`` or a ``main`` somewhere below it."""
    found: set[_Element] = set()
    for title in root.iter("h1", "main"):
        for ancestor in title.iterancestors():
            if ancestor in found:
                break
            found.add(ancestor)
    return found


def _is_layout(table: _Element) -> bool:
    """A table used to place things on the page: it holds other tables, or it has a single cell."""
    return table.find(".//table") is not None or len(table.findall(".//td")) + len(table.findall(".//th")) <= 1


def _visible_text(element: _Element) -> str:
    """The text of a heading or a cell on one line, inline code in backticks."""
    from lxml import etree

    pieces: list[str] = []
    walker = etree.iterwalk(element, events=("start", "end"))
    for event, node in walker:
        if event == "end":
            pieces.append(" " if node.tag in _BLOCKS or node.tag in ("li", "br") else "")
            pieces.append((node.tail or "") if node is not element else "")
        elif not isinstance(node.tag, str) or (node is not element and _is_dropped(node, node.tag, set())):
            walker.skip_subtree()
        elif node.tag == "code":
            pieces.append(_inline_code(node))
            walker.skip_subtree()
        else:
            pieces.append(node.get("alt") or "" if node.tag == "img" else node.text or "")
    return one_line("".join(pieces))


def _inline_code(element: _Element) -> str:
    text = one_line("".join(element.itertext()))
    return f"`{text}`" if text else ""


def _start(element: _Element) -> int:
    start = element.get("start") or ""
    return int(start) if start.isascii() and start.isdigit() and len(start) < 7 else 1


def _language(pre: _Element) -> str:
    """From the class of the block, of the code in it, or of the box around it, as highlighters write it."""
    parent = pre.getparent()
    grandparent = parent.getparent() if parent is not None else None
    for element in (pre, pre.find("code"), parent, grandparent):
        if element is not None and (found := _LANGUAGE.search(element.get("class") or "")):
            return found.group(1)
    return ""
