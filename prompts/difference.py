"""The difference between two versions of a prompt, word by word, file by file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal, Protocol

from prompts.files import EXAMPLES, MAIN
from prompts.revision import Revision

Op = Literal["equal", "delete", "insert"]

MAX_LINES = 5_000
MAX_WORDS = 4_000
"""Words of one changed passage that are compared one by one; a longer one is shown as replaced as a whole."""

_WORD = re.compile(r"\w+|\n|[^\S\n]+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """``equal`` text stands in both, ``delete`` in the first, ``insert`` in the second."""

    op: Op
    text: str


@dataclass(frozen=True, slots=True)
class FileDifference:
    """``before`` or ``after`` is "" for a file that only the other has; main files are a pair whatever their names."""

    before: str
    after: str
    pieces: tuple[Piece, ...]

    @property
    def title(self) -> str:
        return self.before if self.before == self.after else f"{self.before or '(none)'} -> {self.after or '(none)'}"


class Texts(Protocol):
    """A version of a prompt: ``prompts.revision.Revision``, or what a release pins."""

    @property
    def name(self) -> str: ...

    @property
    def files(self) -> Mapping[str, str]: ...


def compare(first: Revision, second: Revision) -> list[FileDifference]:
    """The files that differ, the main file first."""
    pairs = file_pairs(first, second)
    made = [
        FileDifference(before, after, word_pieces(first.files.get(before, ""), second.files.get(after, "")))
        for before, after in pairs
    ]
    return [one for one in made if one.before != one.after or any(piece.op != "equal" for piece in one.pieces)]


def word_pieces(before: str, after: str) -> tuple[Piece, ...]:
    """Both texts as pieces: equal lines first, then, where lines changed, the words of them."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    whole = max(len(old), len(new)) > MAX_LINES
    return tuple(_joined(_changed(before, after) if whole else _line_pieces(old, new)))


def file_pairs(first: Texts, second: Texts) -> list[tuple[str, str]]:
    """Which files are compared with each other, the main files first, "" for none: the prompt may have been renamed."""
    mains = _main(first), _main(second)
    kinds = _examples(first), _examples(second)
    rest = (first.files.keys() | second.files.keys()) - {*mains, *kinds}
    moved = {path: after for path in rest if (after := _moved(path, first, second)) in rest}
    named = [
        (path if path in first.files else "", moved.get(path) or (path if path in second.files else ""))
        for path in sorted(rest - set(moved.values()))
    ]
    return [mains, *([kinds] if any(kinds) else []), *named]


def _moved(path: str, first: Texts, second: Texts) -> str:
    """Where a file of only the first's own folder lies in the second's, which has another name; "" when nowhere."""
    if path in second.files or path not in first.files or not path.startswith(f"{first.name}/"):
        return ""
    after = f"{second.name}{path.removeprefix(first.name)}"
    return after if after in second.files and after not in first.files else ""


def _main(revision: Texts) -> str:
    folder = f"{revision.name}/{MAIN}"
    return folder if folder in revision.files else f"{revision.name}.md"


def _examples(revision: Texts) -> str:
    path = f"{revision.name}/{EXAMPLES}"
    return path if path in revision.files else ""


def _line_pieces(before: Sequence[str], after: Sequence[str]) -> Iterator[Piece]:
    for op, a, b, c, d in SequenceMatcher(None, before, after).get_opcodes():
        if op == "equal":
            yield Piece("equal", "".join(before[a:b]))
        else:
            yield from _changed("".join(before[a:b]), "".join(after[c:d]))


def _changed(before: str, after: str) -> Iterator[Piece]:
    old, new = _WORD.findall(before), _WORD.findall(after)
    if max(len(old), len(new)) > MAX_WORDS:
        yield from (Piece("delete", before), Piece("insert", after))
        return
    for op, a, b, c, d in SequenceMatcher(_is_space, old, new).get_opcodes():
        if op == "equal":
            yield Piece("equal", "".join(old[a:b]))
        else:
            yield from (Piece("delete", "".join(old[a:b])), Piece("insert", "".join(new[c:d])))


def _is_space(word: str) -> bool:
    """What is no reason to call two places the same: spaces, but not line ends."""
    return word.isspace() and "\n" not in word


def _joined(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Without empty pieces, and with neighbours of one kind as one."""
    last: Piece | None = None
    for piece in pieces:
        if not piece.text:
            continue
        if last is not None and last.op == piece.op:
            last = Piece(last.op, last.text + piece.text)
            continue
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last
