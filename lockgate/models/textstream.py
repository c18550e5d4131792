"""Tokens turned into pieces of text that are safe to show: whole characters, and never part of a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

UNFINISHED = "\ufffd"
"""What a tokenizer decodes an incomplete or invalid UTF-8 sequence to."""


class Detokenizer:
    """Text of a growing token sequence, piece by piece.

    Some tokens are parts of one character, and some tokenizers drop the space before the first word they are given:
    each step therefore decodes a short window that begins before the new tokens, and holds back unfinished characters.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._start = 0  # the window's first token
        self._read = 0  # the first token whose text was not given out yet

    def feed(self, token: int) -> str:
        """The text that ``token`` completes; "" while a character is unfinished."""
        self._ids.append(token)
        before = self._decode(self._ids[self._start : self._read])
        after = self._decode(self._ids[self._start :])
        if len(after) <= len(before) or after.endswith(UNFINISHED):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return after[len(before) :].replace(UNFINISHED, "")

    def finish(self) -> str:
        """The rest; a character that never became whole is dropped."""
        before = self._decode(self._ids[self._start : self._read])
        after = self._decode(self._ids[self._start :])
        self._start = self._read = len(self._ids)
        return after[len(before) :].replace(UNFINISHED, "")


class StopStrings:
    """Cuts a stream of text before the first stop string, wherever the pieces are split."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False

    def feed(self, piece: str) -> str:
        """The text that cannot be the beginning of a stop string any more; nothing once one was found."""
        if self.stopped:
            return ""
        text = self._held + piece
        found = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        # A stop string that begins earlier may still be unfinished; it wins over one that is whole but later.
        safe = len(text) - self._unfinished(text)
        if found and min(found) <= safe:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        self._held = text[safe:]
        return text[:safe]

    def finish(self) -> str:
        """What was held back and turned out not to be a stop string."""
        held, self._held = self._held, ""
        if self.stopped:
            return ""
        found = [at for at in (held.find(stop) for stop in self._stops) if at >= 0]
        self.stopped = bool(found)
        return held[: min(found)] if found else held

    def _unfinished(self, text: str) -> int:
        """Characters from the earliest place on where ``text`` ends in the beginning of a stop string."""
        longest = 0
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:size]):
                    longest = size
                    break
        return longest
