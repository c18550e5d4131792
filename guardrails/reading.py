"""How a text reads, found out once for all checks that look at it."""

from __future__ import annotations

from functools import cached_property

from guardrails.decoding import Decoded, decoded
from guardrails.normalise import Normalised, normalised, without_markup


class Reading:
    """The ways in which one text can be read, each worked out when it is first asked for.

    It holds the text, so it must not outlive the look at it.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def letters(self) -> Normalised:
        """What the reader sees, accents kept."""
        return normalised(self._text)

    @cached_property
    def plain(self) -> Normalised:
        """The same, as a renderer of Markdown shows it."""
        return without_markup(self.letters)

    @cached_property
    def folded(self) -> Normalised:
        """What the reader sees, without accents."""
        return self.letters if self._text.isascii() else normalised(self._text, accents=False)

    @cached_property
    def hidden(self) -> tuple[Decoded, ...]:
        """What is written in another encoding, also what is recognised by English words (rot13, backwards)."""
        return tuple(decoded(self._text))
