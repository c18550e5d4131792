"""reStructuredText to blocks, through docutils' document tree."""

from __future__ import annotations

import functools
import re
import textwrap
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ingestion.parsers.decoding import decode
from ingestion.parsers.page import PageBuilder, Parsed, fenced, list_item, one_line, pipe_table
from ingestion.parsers.text import add_paragraphs

if TYPE_CHECKING:
    from docutils import nodes
    from docutils.frontend import Values

MAX_PARAGRAPH_CHARS = 50_000
"""docutils' inline patterns can cost the square of a paragraph's length: a page with a longer one is read as text."""

MAX_DIRECTIVE_DEPTH = 5
MAX_DIRECTIVES = 2_000
"""Each unknown directive costs a parse of its own: a page with more of them is read as text."""

_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_ROLE = re.compile(r":([\w:+.-]+):`([^`]+)`")
_ROLE_TARGET = re.compile(r"\s*<[^<>]*>$")
_DIRECTIVE = re.compile(r"\.\. +(?:\|[^|\n]*\| +)?([\w:+.-]+)::[ \t]*(.*)")
_OPTION = re.compile(r":[\w-]+:")
_CODE_ROLES = frozenset(
    {
        *("attr", "class", "cmd", "code", "command", "const", "data", "envvar", "exc", "file", "func", "kbd"),
        *("macro", "meth", "mod", "obj", "option", "program", "samp", "type"),
    }
)
_CODE_DIRECTIVES = frozenset({"code", "code-block", "sourcecode", "prompt", "doctest", "testcode"})
# What these hold is for the builder and not for the reader, or it comes from elsewhere.
_SILENT_DIRECTIVES = frozenset(
    {
        *("toctree", "index", "currentmodule", "module", "highlight", "tabularcolumns", "only", "role", "default-role"),
        *("include", "literalinclude", "raw", "csv-table", "math", "graphviz", "image", "meta", "class", "contents"),
    }
)
_VERSION_NOTES = {
    "versionadded": "New in version",
    "versionchanged": "Changed in version",
    "deprecated": "Deprecated since version",
}
_SKIPPED = frozenset(
    {
        "comment",
        "substitution_definition",
        "pending",
        "raw",
        "meta",
        "decoration",
        "header",
        "footer",
        "docinfo",
        "label",
        "colspec",
        "transition",
    }
)
_LISTS = frozenset({"bullet_list", "enumerated_list", "definition_list", "field_list", "option_list"})
_CODE = frozenset({"literal_block", "doctest_block"})
_TEXT = frozenset({"paragraph", "rubric", "attribution", "caption", "term", "title", "subtitle", "math_block"})

_docutils_lock = threading.Lock()


def parse(data: bytes, *, name: str) -> Parsed:
    """A reStructuredText page. It includes no file, inserts nothing raw and runs no unknown directive.

    Raises UserError when ``data`` is not text.
    """
    text = decode(data, name=name)
    if max(len(paragraph) for paragraph in _BLANK_LINE.split(text)) <= MAX_PARAGRAPH_CHARS:
        try:
            builder = PageBuilder()
            _Walk(builder).run(_tree(text), level=0)
            return builder.finish(name=name)
        except Exception:  # noqa: S110 - docutils fails on nesting and on odd markup; as text, nothing is lost
            pass
    builder = PageBuilder()
    add_paragraphs(builder, text)
    return builder.finish(name=name)


def _tree(text: str) -> nodes.document:
    from docutils.parsers.rst import Parser, roles
    from docutils.utils import new_document

    document = new_document("page", _settings().copy())
    # docutils keeps the roles that a page defines in a global table, where the next page would find them.
    with _docutils_lock:
        try:
            Parser().parse(text, document)
        finally:
            roles._roles.clear()  # type: ignore[attr-defined]
    return document


@functools.cache
def _settings() -> Values:
    from docutils.frontend import get_default_settings
    from docutils.parsers.rst import Parser

    settings = get_default_settings(Parser)
    settings.file_insertion_enabled = False
    settings.raw_enabled = False
    settings.halt_level = settings.report_level = 5
    settings.warning_stream = False
    settings.syntax_highlight = "none"
    settings.line_length_limit = MAX_PARAGRAPH_CHARS  # docutils drops a page with a longer line, without a word
    return settings


class _Walk:
    def __init__(self, builder: PageBuilder, *, depth: int = 0, budget: Iterator[int] | None = None) -> None:
        self._builder = builder
        self._depth = depth
        self._budget = budget if budget is not None else iter(range(MAX_DIRECTIVES))

    def run(self, node: nodes.Element, *, level: int) -> None:
        """Add the blocks of what ``node`` holds; ``level`` is how many sections it lies in."""
        for child in node.children:
            kind = _kind(child)
            if kind == "section":
                self._section(child, level + 1)  # type: ignore[arg-type]
            elif kind in _LISTS:
                self._builder.add("list", "\n".join(self.lines([child])))
            elif kind in _CODE:
                self._builder.add("code", child.astext().rstrip("\n"), language=_language(child))
            elif kind == "table":
                self._table(child)  # type: ignore[arg-type]
            elif kind == "system_message":
                self._directive(child, level)
            elif kind in _TEXT or kind in ("image", "line_block"):
                self._builder.add("text", "\n".join(self.lines([child])))
            elif kind not in _SKIPPED and kind != "Text" and hasattr(child, "children"):
                self.run(child, level=level)  # type: ignore[arg-type]

    def lines(self, children: Iterable[nodes.Node]) -> list[str]:
        """The text of ``children``, line by line, as it stands in a list item."""
        lines: list[str] = []
        for child in children:
            kind = _kind(child)
            if kind == "enumerated_list":
                lines.extend(self._numbered(child))  # type: ignore[arg-type]
            elif kind == "bullet_list":
                lines.extend(line for item in child.children for line in list_item("- ", self.lines(item.children)))
            elif kind in _LISTS:
                lines.extend(line for item in child.children for line in list_item("- ", self._pair(item)))
            elif kind in _CODE:
                lines.extend(fenced(child.astext(), _language(child)))
            elif kind == "table":
                lines.extend(pipe_table(_rows(child)).split("\n"))
            elif kind == "image":
                lines.append(one_line(str(child.get("alt", ""))))  # type: ignore[attr-defined]
            elif kind == "line_block":
                lines.extend(self.lines(child.children))
            elif kind in _TEXT or kind == "line":
                lines.append(one_line("".join(_inline(child))))
            elif kind not in _SKIPPED and kind not in ("Text", "system_message"):
                lines.extend(self.lines(child.children))
        return [line for line in lines if line]

    def _section(self, section: nodes.Element, level: int) -> None:
        title = section.children[0]
        names: list[str] = section.get("ids", [])
        ids = [name for name in names if not re.fullmatch(r"(?:toc-entry-|section-|id)\d+", name)]
        self._builder.heading(level, "".join(_inline(title)), anchor=ids[0] if ids else "")
        for child in section.children[1:]:
            holder = type(section)("")
            holder.children = [child]
            self.run(holder, level=level)

    def _numbered(self, node: nodes.Element) -> Iterator[str]:
        for number, item in enumerate(node.children, start=int(node.get("start", 1))):
            yield from list_item(f"{number}. ", self.lines(item.children))

    def _pair(self, item: nodes.Node) -> list[str]:
        """A term with its definition, a field with its body, an option with its description: ``term: text``."""
        body = item.children[-1]
        head = ", ".join(text for child in item.children[:-1] if (text := one_line("".join(_inline(child)))))
        lines = self.lines(body.children)
        return [f"{head}: {lines[0]}", *lines[1:]] if lines else [head]

    def _table(self, table: nodes.Element) -> None:
        for child in table.children:
            if _kind(child) == "title":
                self._builder.add("text", one_line("".join(_inline(child))))
        self._builder.add("table", pipe_table(_rows(table)))

    def _directive(self, message: nodes.Node, level: int) -> None:
        """Read what docutils could not: directives and options of Sphinx, broken tables; files stay left out."""
        source = next((child.astext() for child in message.children if _kind(child) == "literal_block"), "")
        found = _DIRECTIVE.match(source)
        if not found:
            self._builder.add("text", source.strip())
        if not found or self._depth >= MAX_DIRECTIVE_DEPTH:
            return
        name, argument = found.group(1).lower(), found.group(2).strip()
        if name in _SILENT_DIRECTIVES or name.startswith("auto"):
            return
        body = textwrap.dedent(source[found.end() :].lstrip("\n")).split("\n")
        while body and (_OPTION.match(body[0]) or not body[0].strip()):
            del body[0]
        if name in _CODE_DIRECTIVES:
            self._builder.add("code", "\n".join(body).rstrip(), language=argument)
            return
        argument = f"{_VERSION_NOTES[name]} {argument}" if name in _VERSION_NOTES else argument
        if argument:
            self._builder.add("text", f"`{argument}`" if ":" in name else one_line("".join(_plain_roles(argument))))
        if body:
            if next(self._budget, None) is None:
                raise OverflowError("more unknown directives than a page has")
            _Walk(self._builder, depth=self._depth + 1, budget=self._budget).run(_tree("\n".join(body)), level=level)


def _kind(node: nodes.Node) -> str:
    return type(node).__name__


def _rows(table: nodes.Node) -> list[list[str]]:
    from docutils import nodes

    return [
        [one_line(" ".join("".join(_inline(part)) for part in entry.children)) for entry in row.children]
        for row in table.findall(nodes.row)
    ]


def _inline(node: nodes.Node) -> Iterator[str]:
    kind = _kind(node)
    if kind == "Text":
        yield node.astext()
    elif kind == "literal":
        yield f"`{one_line(node.astext())}`"
    elif kind == "problematic":
        yield _plain_roles(node.astext())
    elif kind == "image":
        yield str(node.get("alt", ""))  # type: ignore[attr-defined]
    elif kind not in ("footnote_reference", "raw", "system_message"):
        for child in node.children:
            yield from _inline(child)
            if kind in ("list_item", "entry", "bullet_list"):
                yield " "


def _plain_roles(text: str) -> str:
    """The text of roles that docutils does not know: ``:ref:`Install <install>``` is ``Install``."""
    return _ROLE.sub(_role_text, text)


def _role_text(found: re.Match[str]) -> str:
    text = _ROLE_TARGET.sub("", found.group(2)).strip() or found.group(2).strip("<>")
    if found.group(1).rpartition(":")[2] not in _CODE_ROLES:
        return text
    # ``~package.module.Name`` shows as ``Name``, ``!name`` as ``name``.
    text = text.lstrip("!")
    return f"`{text[1:].rpartition('.')[2] if text.startswith('~') else text}`"


def _language(node: nodes.Node) -> str:
    if _kind(node) == "doctest_block":
        return "python"
    classes: list[str] = [str(name) for name in node.get("classes", ())]  # type: ignore[attr-defined]
    return classes[1] if len(classes) > 1 and classes[0] == "code" else str(node.get("language", ""))  # type: ignore[attr-defined]
