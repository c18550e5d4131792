"""PDF to paragraphs, headings and code, with page numbers."""

from __future__ import annotations

import io
import logging
import re
import time
from collections.abc import Iterator
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING

from ingestion.parsers.page import MAX_HEADING_CHARS, PageBuilder, Parsed, one_line, title_from_name
from ingestion.parsers.pdf_layout import Line, LineCollector, body_size, leading, without_furniture
from lockgate.errors import UserError
from lockgate.types import BlockKind

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

MAX_PAGES = 10_000
MAX_SECONDS = 600
MAX_STREAM_BYTES = 20_000_000
MAX_STREAM_TOKENS = 1_000_000
"""Per content stream, unpacked. A dense page of text has about 10,000 tokens."""
SHORT_LINE = 0.6
HEADING_RATIO = 1.15
"""Text this much larger than the body is a heading."""

_MARK = re.compile(r"%PDF-\d")
_LIST_ITEM = re.compile(r"(?:[-•‣◦▪●*–]|\d{1,3}[.)]|[a-z][.)])\s+(?=\S)")
_BULLET = re.compile(r"^[•‣◦▪●*–]\s*")
_SENTENCE_END = (".", "!", "?", ":", ";", "。", "”", '"')
_HYPHENATED = re.compile(r"[^\W\d_]{2,}-[^\W\d_]{2,}")
_WORD_BEFORE = re.compile(r"([^\W\d_]+)[-\u00ad]$")
_WORD_AFTER = re.compile(r"[^\W\d_]+")


def parse(data: bytes, *, name: str) -> Parsed:
    """A PDF with a text layer. Headers and footers are dropped, paragraphs joined, hyphenation undone.

    Raises UserError for a file that is no PDF, is broken, needs a password or has no text.
    """
    if not data:
        raise UserError(f"{name}: the file is empty.")
    if not _MARK.search(data[:1024].decode("latin-1")):
        raise UserError(f"{name}: is not a PDF file.", hint="Give it its right extension.")
    pages, title = _read(data, name=name)
    if not any(pages):
        raise UserError(
            f"{name}: has no text on its {len(pages)} pages, so they are probably scanned images.",
            hint="Run it through OCR first, for example ocrmypdf.",
        )
    return _build(without_furniture(pages), title=title, name=name)


def _read(data: bytes, *, name: str) -> tuple[list[list[Line]], str]:
    """(lines of each page, title of the document)."""
    from pypdf import PdfReader, apply_configuration

    # pypdf logs what it repairs; to the reader of a sync report that is noise.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    at = "the beginning"
    pages: list[list[Line]] = []
    try:
        with apply_configuration(
            zlib_maximum_output_length=MAX_STREAM_BYTES, stream_parsing_work_maximum_count=MAX_STREAM_TOKENS
        ):
            reader = PdfReader(io.BytesIO(data), strict=False)
            _unlock(reader, name=name)
            for page in _pages(reader, name=name):
                at = f"page {len(pages) + 1}"
                collector = LineCollector(len(pages) + 1)
                page.extract_text(visitor_text=collector.visit)
                pages.append(collector.lines())
            return pages, _title(reader)
    except UserError:
        raise
    except Exception as error:
        # pypdf raises whatever its code trips over on a damaged file, not only its own errors.
        reason = one_line(str(error))[:200] or type(error).__name__
        raise UserError(
            f"{name}: the PDF is broken at {at} ({reason}).", hint="Try to save or print it anew."
        ) from error


def _pages(reader: PdfReader, *, name: str) -> Iterator[PageObject]:
    """The pages, as long as the file keeps within its limits: a small file can name one huge page many times."""
    count = len(reader.pages)
    if count > MAX_PAGES:
        raise UserError(f"{name}: has {count} pages, the limit is {MAX_PAGES}.", hint="Split it.")
    deadline = time.monotonic() + MAX_SECONDS
    for number, page in enumerate(reader.pages, start=1):
        yield page
        if time.monotonic() > deadline and number < count:
            raise UserError(f"{name}: page {number} of {count} was reached after {MAX_SECONDS} s.", hint="Split it.")


def _unlock(reader: PdfReader, *, name: str) -> None:
    """Open a PDF that is encrypted with an empty password, as many are that only forbid printing."""
    from pypdf.errors import DependencyError, PdfReadError

    if not reader.is_encrypted:
        return
    try:
        opened = bool(reader.decrypt(""))
    except (DependencyError, PdfReadError, NotImplementedError):
        opened = False
    if not opened:
        raise UserError(f"{name}: the PDF is encrypted.", hint="Save a copy without a password.")


def _title(reader: PdfReader) -> str:
    """The title in the document's properties, unless it is only the name of some file."""
    try:
        title = one_line(str(reader.metadata.title or "") if reader.metadata else "")
    except Exception:  # broken properties do not matter when the pages can be read
        return ""
    looks_like_file = re.search(r"\.\w{2,5}$|^Microsoft Word|^untitled$", title, re.IGNORECASE)
    return "" if looks_like_file or not title.isprintable() else title[:MAX_HEADING_CHARS]


def _build(pages: list[list[Line]], *, title: str, name: str) -> Parsed:
    levels = _heading_levels(pages, body_size(pages))
    groups = list(_join_across_pages(_groups(pages, levels)))
    builder = PageBuilder(title=title or _only_first_level(groups, levels) or title_from_name(name), has_anchors=False)
    compounds = {found.lower() for page in pages for line in page for found in _HYPHENATED.findall(line.text)}
    items: list[str] = []
    for group, following in zip_longest(groups, groups[1:]):
        if _is_heading(group, levels):
            builder.heading(levels[group[0].size], " ".join(line.text for line in group))
            continue
        kind, text = _block(group, compounds)
        items.append(text)
        if kind == "list" and following and following[0].page == group[0].page and _LIST_ITEM.match(following[0].text):
            continue  # the items of a list on one page make one block
        builder.add(kind, "\n".join(items), page=group[0].page)
        items = []
    return builder.finish(name=name)


def _only_first_level(groups: list[list[Line]], levels: dict[float, int]) -> str:
    """The one heading in the largest type; with several, the file is a collection and none is its title."""
    found = [group for group in groups if levels.get(group[0].size) == 1 and _is_heading(group, levels)]
    return one_line(" ".join(line.text for line in found[0])) if len(found) == 1 else ""


def _heading_levels(pages: list[list[Line]], body: float) -> dict[float, int]:
    sizes = {line.size for page in pages for line in page if not line.monospaced and line.size >= body * HEADING_RATIO}
    return {size: min(level, 6) for level, size in enumerate(sorted(sizes, reverse=True), start=1)} if body else {}


def _groups(pages: list[list[Line]], levels: dict[float, int]) -> Iterator[list[Line]]:
    """Lines that belong together: a paragraph, a list item, a heading, a code block."""
    for page in pages:
        step = leading(page)
        group: list[Line] = []
        for line in page:
            if group and _begins_group(group[-1], line, step=step, levels=levels):
                yield group
                group = []
            group.append(line)
        if group:
            yield group


def _begins_group(previous: Line, line: Line, *, step: float, levels: dict[float, int]) -> bool:
    if previous.monospaced != line.monospaced or levels.get(previous.size) != levels.get(line.size):
        return True
    gap = previous.y - line.y
    if line.monospaced:
        return gap > 3 * line.size
    if _LIST_ITEM.match(line.text):
        return True
    # A jump upwards is the next column, where a paragraph may go on.
    return gap > min(step * 1.3 + 0.5, 2.2 * line.size) if gap > 0 else previous.text.endswith(_SENTENCE_END)


def _is_heading(group: list[Line], levels: dict[float, int]) -> bool:
    return (
        group[0].size in levels
        and not group[0].monospaced
        and sum(len(line.text) for line in group) <= MAX_HEADING_CHARS
    )


def _join_across_pages(groups: Iterator[list[Line]]) -> Iterator[list[Line]]:
    """Join a paragraph that a page break cut: it ends without a full stop and goes on in lower case."""
    held: list[Line] = []
    for group in groups:
        if held and _goes_on(held[-1], group[0]):
            held = held + group
            continue
        if held:
            yield held
        held = group
    if held:
        yield held


def _goes_on(last: Line, first: Line) -> bool:
    if first.page != last.page + 1 or last.monospaced or first.monospaced or last.size != first.size:
        return False
    return not last.text.endswith(_SENTENCE_END) and first.text[:1].islower()


def _block(group: list[Line], compounds: set[str]) -> tuple[BlockKind, str]:
    if group[0].monospaced:
        indent = min(line.x for line in group)
        return "code", "\n".join(_indented(line, indent) for line in group)
    widest = max(len(line.text) for line in group)
    text = group[0].text
    for previous, line in pairwise(group):
        # A line well short of the others was ended by its writer, not by the margin.
        ended = len(previous.text) < widest * SHORT_LINE and not line.text[:1].islower()
        text = f"{text}\n{line.text}" if ended else _join(text, line.text, compounds)
    if _LIST_ITEM.match(text):
        return "list", _BULLET.sub("- ", text)
    return "text", text


def _indented(line: Line, indent: float) -> str:
    """A line of code with the indentation that its place on the page shows."""
    columns = round((line.x - indent) / (line.size * 0.6)) if line.size else 0
    return " " * max(0, min(columns, 80)) + line.text.lstrip() if not line.text.startswith(" ") else line.text


def _join(text: str, line: str, compounds: set[str]) -> str:
    before = _WORD_BEFORE.search(text[-80:])
    after = _WORD_AFTER.match(line)
    if before is None or after is None or not after.group()[0].islower():
        return f"{text} {line}"
    is_compound = f"{before.group(1)}-{after.group()}".lower() in compounds and not text.endswith("\u00ad")
    return text + line if is_compound else text[:-1] + line
