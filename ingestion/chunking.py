"""Cut a parsed page into passages that fit the embedder, along headings, paragraphs, list items, rows and lines.

A section (the blocks under one heading) is filled into chunks of at most ``max_tokens``; a chunk never spans two
sections unless the section is a fragment too small to stand alone, which joins its neighbour under the same parent.
Tables and code are cut only when they do not fit into one chunk: tables between rows with the header row repeated, code
between lines. Code stands in fences with its language, so that what reads a passage later still knows that it is code.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pydantic import Field

from lockgate.content import ContentModel
from lockgate.types import Block, Chunk, Document

CountTokens = Callable[[Sequence[str]], list[int]]

VERSION = 1
"""Changes when the same page would be cut differently; part of every snapshot's chunking."""

_SENTENCE = re.compile(r"(?<=[.!?:;])\s+(?=\S)")
_HEAD_CHARACTERS = 240


class Chunking(ContentModel):
    """Chunk sizes in tokens of the embedder's own tokenizer, title and headings counted in."""

    max_tokens: int = Field(default=128, ge=32, le=8192)
    min_tokens: int = Field(default=30, ge=0, le=2048)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Text that is never cut further, with its token count."""

    text: str
    tokens: int
    block: Block
    joiner: str  # what stands before it inside a chunk


def chunk_document(document: Document, chunking: Chunking, count_tokens: CountTokens) -> list[Chunk]:
    """The chunks of one page, in reading order; empty when the page has no text."""
    title = document.title[:_HEAD_CHARACTERS]
    chunks: list[Chunk] = []
    seen: Counter[tuple[str, str]] = Counter()
    count = _Counted(count_tokens)
    sections = list(_sections(document.blocks, chunking, count))
    heads = [" > ".join(dict.fromkeys((title, *heading))) for heading, _ in sections]
    count(heads)
    for (heading, blocks), head in zip(sections, heads, strict=True):
        room = max(chunking.max_tokens - count([head])[0], chunking.max_tokens // 2)
        pieces = list(_pieces(blocks, room, count))
        for group in _fill(pieces, room, chunking.min_tokens):
            text = "".join(p.joiner + p.text if i else p.text for i, p in enumerate(group)).strip("\n")
            first = group[0].block
            seen[head, text] += 1
            chunks.append(
                Chunk(
                    id=chunk_id(document.source, document.path, head, text, seen[head, text]),
                    source=document.source,
                    path=document.path,
                    title=title,
                    heading=heading,
                    version=document.version,
                    position=len(chunks),
                    text=text,
                    tokens=0,
                    anchor=first.anchor,
                    page=first.page,
                )
            )
    counts = count_tokens([chunk.embed_text for chunk in chunks]) if chunks else []
    return [replace(chunk, tokens=tokens) for chunk, tokens in zip(chunks, counts, strict=True)]


class _Counted:
    """``count_tokens`` that counts no text of a page twice, and as many as possible in one call."""

    def __init__(self, count_tokens: CountTokens) -> None:
        self._count_tokens = count_tokens
        self._known: dict[str, int] = {}

    def __call__(self, texts: Sequence[str]) -> list[int]:
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        if new:
            self._known.update(zip(new, self._count_tokens(new), strict=True))
        return [self._known[text] for text in texts]


def chunk_id(source: str, path: str, head: str, text: str, nth: int) -> str:
    """``head`` is the first line of the embedded text; ``nth`` counts, from 1, how often the page said this by now."""
    return _hash("\x1f".join((source, path, head, text, str(nth))))


def text_hash(chunk: Chunk) -> str:
    """Names the embedded text alone, so that equal passages on two pages share one vector."""
    return _hash(chunk.embed_text)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _sections(
    blocks: Sequence[Block], chunking: Chunking, count_tokens: CountTokens
) -> Iterator[tuple[tuple[str, ...], list[Block]]]:
    """Blocks grouped by heading path; a fragment joins the section before it when both have the same parent.

    Its own heading then becomes part of the text, so that nothing is lost to search or to the reader.
    """
    groups: list[tuple[tuple[str, ...], list[Block]]] = []
    for block in blocks:
        heading = tuple(part[:_HEAD_CHARACTERS] for part in block.heading)
        if groups and groups[-1][0] == heading:
            groups[-1][1].append(block)
        else:
            groups.append((heading, [block]))
    if len(groups) < 2:
        yield from groups
        return
    count_tokens([block.text for block in blocks])
    sizes = [sum(count_tokens([block.text for block in group])) for _, group in groups]
    merged: list[tuple[tuple[str, ...], list[Block]]] = []
    merged_size = 0
    for (heading, group), size in zip(groups, sizes, strict=True):
        if merged:
            before = merged[-1][0]
            fits = merged_size + size <= chunking.max_tokens * 3 // 4
            tiny = size < chunking.min_tokens or merged_size < chunking.min_tokens
            # Siblings, or a child directly under the section that introduces it.
            related = bool(heading) and (heading[:-1] == before[:-1] or heading[:-1] == before)
            if fits and tiny and related:
                label = Block("text", f"{heading[-1]}:", heading, group[0].anchor, group[0].page)
                merged[-1] = (before, [*merged[-1][1], label, *group])
                merged_size += size
                continue
        merged.append((heading, list(group)))
        merged_size = size
    yield from merged


def _pieces(blocks: Sequence[Block], room: int, count_tokens: CountTokens) -> Iterator[_Piece]:
    texts = [_fenced(block.text, block) if block.kind == "code" else block.text for block in blocks]
    for block, text, size in zip(blocks, texts, count_tokens(texts), strict=True):
        if size <= room:
            yield _Piece(text, size, block, "\n\n")
        elif block.kind == "code":
            yield from _code_pieces(block, room, count_tokens)
        elif block.kind == "table":
            yield from _table_pieces(block, room, count_tokens)
        else:
            yield from _line_pieces(block, room, count_tokens)


def _table_pieces(block: Block, room: int, count_tokens: CountTokens) -> Iterator[_Piece]:
    """Groups of rows, each under the table's header; a row that alone is too long is cut like text."""
    lines = block.text.split("\n")
    header = lines[:2] if len(lines) > 2 and set(lines[1]) <= set("|-: ") else []
    head_size = sum(count_tokens(header)) if header else 0
    if head_size > room // 2:
        header, head_size = [], 0
    rows = lines[len(header) :]
    group: list[str] = []
    used = head_size
    for row, size in zip(rows, count_tokens(rows), strict=True):
        if group and used + size > room:
            yield _Piece("\n".join(header + group), used, block, "\n\n")
            group, used = [], head_size
        if head_size + size > room:
            for part in _split_long(row, room - head_size, count_tokens):
                text = "\n".join([*header, part])
                yield _Piece(text, head_size + count_tokens([part])[0], block, "\n\n")
            continue
        group.append(row)
        used += size
    if group:
        yield _Piece("\n".join(header + group), used, block, "\n\n")


def _code_pieces(block: Block, room: int, count_tokens: CountTokens) -> Iterator[_Piece]:
    """Groups of lines, each in fences of its own."""
    room = max(room - count_tokens([_fenced("", block)])[0], room // 2)
    group: list[_Piece] = []
    used = 0
    for piece in _line_pieces(block, room, count_tokens):
        if group and used + piece.tokens > room:
            yield _fenced_piece(group, block, count_tokens)
            group, used = [], 0
        group.append(piece)
        used += piece.tokens
    if group:
        yield _fenced_piece(group, block, count_tokens)


def _fenced_piece(group: Sequence[_Piece], block: Block, count_tokens: CountTokens) -> _Piece:
    text = _fenced("\n".join(piece.text for piece in group), block)
    return _Piece(text, count_tokens([text])[0], block, "\n\n")


def _fenced(code: str, block: Block) -> str:
    """In a fence longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", block.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{block.language}\n{code}\n{fence}"


def _line_pieces(block: Block, room: int, count_tokens: CountTokens) -> Iterator[_Piece]:
    """Lines of code and lists, sentences of text; what is still too long is cut between words."""
    if block.kind == "text":
        units, joiner = _SENTENCE.split(block.text), " "
    else:
        units, joiner = block.text.split("\n"), "\n"
    first = True
    for unit, size in zip(units, count_tokens(units), strict=True):
        if not unit.strip():
            continue
        parts = [unit] if size <= room else list(_split_long(unit, room, count_tokens))
        for part in parts:
            yield _Piece(part, count_tokens([part])[0], block, "\n\n" if first else joiner)
            first = False


def _split_long(text: str, room: int, count_tokens: CountTokens) -> Iterator[str]:
    """Cut between words; a single word longer than the room is cut between characters."""
    words = re.findall(r"\s*\S+", text)
    sizes = count_tokens(words)
    current: list[str] = []
    used = 0
    for word, size in zip(words, sizes, strict=True):
        if current and used + size > room:
            yield "".join(current).strip()
            current, used = [], 0
        if size > room:
            step = max(1, len(word) * room // (size + 1))
            yield from (word[i : i + step].strip() for i in range(0, len(word), step))
            continue
        current.append(word)
        used += size
    if current:
        yield "".join(current).strip()


def _fill(pieces: Sequence[_Piece], room: int, min_tokens: int) -> Iterator[list[_Piece]]:
    """Greedy: each group takes what fits; a last group that is a fragment takes pieces from the one before."""
    groups: list[list[_Piece]] = []
    used = 0
    for piece in pieces:
        if groups and used + piece.tokens <= room:
            groups[-1].append(piece)
            used += piece.tokens
        else:
            groups.append([piece])
            used = piece.tokens
    if len(groups) > 1 and used < min_tokens:
        before, last = groups[-2], groups[-1]
        while len(before) > 1 and used < min_tokens and used + before[-1].tokens <= room:
            last.insert(0, before.pop())
            used += last[0].tokens
    yield from groups
