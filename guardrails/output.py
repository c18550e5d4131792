"""The output filter: model text in, text that is safe to show out, piece by piece.

It reads character by character as a small state machine, so that any way to cut the text into pieces gives the same
result and the time is linear. A construct is held back until it is complete; one that never completes within
``MAX_HELD`` characters is made harmless instead. Where renderers disagree on what is code, it is not code here: text
that was filtered needlessly is a blemish, text that was not is a hole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from guardrails.links import BARE_URL, LINK_REMOVED, LinkRules, prefix_of, split_bare

MAX_HELD = 2000
"""Characters of an unfinished construct that are held back before it is given up."""

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_PLAIN = re.compile(r"[^\[\]!<`~\\\n:.]+")
_CITATION = re.compile(r" *[0-9]{1,6}(?: *[,;] *[0-9]{1,6})* *\Z")
_AUTOLINK = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*\Z")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+\Z")
_TAG = re.compile(r"/?([A-Za-z][A-Za-z0-9-]*)(.*)\Z", re.DOTALL)
_INFO = re.compile(r"[\w+#./{}=, -]{0,80}\Z")
_MAX_MARKER = 80
_NEEDLES = ("https://", "ftp://", "www.", "http://")
_PREFIXES = frozenset(needle[:length] for needle in _NEEDLES for length in range(1, len(needle)))
_LONGEST = max(map(len, _NEEDLES))
_MARKERS = frozenset(" \t>*+-0123456789.)[!")  # what may stand on a line before the text of a list or quotation
_URL_ENDS = frozenset('<>"`[]{}|\\^')

DROPPED_TAGS = frozenset(
    {"a", "animate", "applet", "area", "audio", "base", "body", "button", "canvas", "embed", "form", "frame"}
    | {"frameset", "head", "html", "iframe", "image", "img", "input", "link", "listing", "map", "math", "meta"}
    | {"noembed", "noframes", "noscript", "object", "param", "picture", "plaintext", "script", "select", "source"}
    | {"style", "svg", "template", "textarea", "title", "track", "video", "xmp"}
)
"""Elements that load, run or hide something, or send the reader somewhere. Their tags go, the text between stays."""


@dataclass(slots=True)
class _Bracket:
    """An open "[" or "![": its place in what is held, and the state of the output before it."""

    index: int
    held: int
    image: bool
    tail: str
    at_start: bool
    line_blank: bool


class OutputFilter:
    """Filters one answer. Feed the pieces in order, then call ``finish`` once.

    ``citation_count`` is how many passages the model was given; None leaves markers such as [3] alone. ``links`` of
    None leaves links, images and tags alone. ``cited`` holds the numbers of the citations that were kept.
    """

    def __init__(self, *, links: LinkRules | None, citation_count: int | None) -> None:
        self.cited: set[int] = set()
        self._links = links
        self._citation_count = citation_count
        self._counts: Counter[str] = Counter()
        self._inputs: list[tuple[str, int]] = []
        self._after_cr = False
        self._state: Callable[[str], None] = self._text
        self._ready: list[str] = []  # can be emitted
        self._held: list[str] = []  # from the outermost open bracket on
        self._held_characters = 0
        self._brackets: list[_Bracket] = []
        self._tail = ""  # the last characters of the output, emitted or not
        self._gap = False  # something was removed here
        self._at_start = True  # only markers so far on this line of the output
        self._line_blank = True
        self._no_code = False  # until the paragraph ends: renderers may disagree on what is an inline code span
        self._no_fence = False  # for good: renderers may disagree on where a fenced block ends
        self._buffer = ""  # what the current state has collected
        self._depth = 0
        self._run = ""  # the backticks or tildes that opened what is being read
        self._line_cut = False  # the beginning of this line of code is emitted already
        self._skipping = False  # inside a URL of a line of code that was too long to judge

    @property
    def actions(self) -> list[str]:
        """What was done so far, in words."""
        return [f"{what}: {count}" for what, count in sorted(self._counts.items())]

    def feed(self, piece: str) -> str:
        """The text that became safe to show with ``piece``; may be empty."""
        self._read(self._clean(piece))
        return self._emit(final=False)

    def finish(self) -> str:
        """The rest, unfinished constructs made harmless."""
        while self._state != self._text or self._inputs:
            self._state("")
            self._read("")
        self._give_up_brackets()
        return self._emit(final=True)

    # Reading

    def _clean(self, piece: str) -> str:
        """Line ends as LF, and no control characters: a terminal would obey them, a browser skips them."""
        if not piece:
            return piece
        if self._after_cr and piece[0] == "\n":
            piece = piece[1:]
            self._after_cr = False
            if not piece:
                return piece
        self._after_cr = piece[-1] == "\r"
        return _CONTROLS.sub("", piece.replace("\r\n", "\n").replace("\r", "\n"))

    def _read(self, text: str) -> None:
        # Text that a state gives back is read first, before what follows it.
        if text:
            self._inputs.append((text, 0))
        while self._inputs:
            if self._held_characters > MAX_HELD and self._state == self._text:
                self._give_up_brackets()
            text, at = self._inputs.pop()
            # Never past the limit in one step, so that it is met at the same character however the text is cut.
            stop = at + MAX_HELD + 1 - self._held_characters
            if self._state == self._text and (plain := _PLAIN.match(text, at, stop)):
                if plain.end() < len(text):
                    self._inputs.append((text, plain.end()))
                self._put(plain.group())
                continue
            if at + 1 < len(text):
                self._inputs.append((text, at + 1))
            self._state(text[at])

    def _again(self, text: str) -> None:
        """Read ``text`` again, as running text."""
        self._state = self._text
        if text:
            self._inputs.append((text, 0))

    # Writing

    def _put(self, text: str) -> None:
        self._close_gap(text[0])
        self._append(text)

    def _close_gap(self, following: str) -> None:
        if self._gap:
            self._gap = False
            if _would_join(self._tail, following):
                self._append(" ")

    def _append(self, text: str) -> None:
        if self._brackets:
            self._held.append(text)
            self._held_characters += len(text)
        else:
            self._ready.append(text)
        self._tail = (self._tail + text[-_LONGEST:])[-_LONGEST:]
        line = text
        if "\n" in text:
            line = text[text.rindex("\n") + 1 :]
            self._at_start = self._line_blank = True
        if line:
            self._at_start = self._at_start and _MARKERS.issuperset(line)
            self._line_blank = self._line_blank and line.isspace()

    def _take_back(self, length: int) -> str:
        """The last ``length`` characters of the output, removed from it; they are never emitted yet."""
        pieces = self._held if self._brackets else self._ready
        taken = ""
        while len(taken) < length:
            taken = pieces.pop() + taken
        kept, taken = taken[: len(taken) - length], taken[len(taken) - length :]
        if kept:
            pieces.append(kept)
        if self._brackets:
            self._held_characters -= length
        self._tail = self._tail[: len(self._tail) - length]
        return taken

    def _emit(self, *, final: bool) -> str:
        text = "".join(self._ready)
        keep = 0
        if not final:
            if text.endswith(" "):
                keep = 1  # goes when a citation after it goes
            elif not self._brackets:
                keep = max(
                    (n for n in range(1, min(_LONGEST, len(text) + 1)) if text[-n:].lower() in _PREFIXES), default=0
                )
        self._ready = [text[len(text) - keep :]] if keep else []
        return text[: len(text) - keep]

    # Running text

    def _text(self, character: str) -> None:
        match character:
            case "":
                return
            case "\n":
                blank = self._line_blank
                if blank:
                    self._give_up_brackets()
                    self._no_code = False
                self._put(character)
            case "`" | "~":
                self._run = character
                self._state = self._in_run
            case "\\":
                self._state = self._after_backslash
            case "!":
                self._state = self._after_bang
            case "[":
                self._open(image=False)
            case "]":
                self._state = self._after_bracket
            case "<" if self._links is not None:
                self._buffer = ""
                self._state = self._in_tag
            case ":" | "." if self._links is not None and not self._gap:
                self._maybe_url(character)
            case _:
                self._put(character)

    def _after_backslash(self, character: str) -> None:
        if character in ("\\", "["):
            # A bracket that is escaped opens nothing: "\[7]" is text in every renderer.
            self._put(f"\\{character}")
            self._again("")
            return
        if character == "`":
            self._no_code = True
        self._put("\\")
        self._again(character)

    def _after_bang(self, character: str) -> None:
        self._state = self._text
        if character == "[" and self._links is not None:
            self._open(image=True)
            return
        self._put("!")
        self._again(character)

    # Bare URLs

    def _maybe_url(self, character: str) -> None:
        tail = self._tail.lower()
        if character == ".":
            if tail.endswith("www") and not tail[-4:-3].isalnum():
                self._buffer = self._take_back(3) + "."
                self._state = self._in_url
            else:
                self._put(character)
            return
        scheme = next((name for name in ("https", "http", "ftp") if tail.endswith(name)), "")
        if not scheme:
            self._put(character)
            return
        self._buffer = self._take_back(len(scheme)) + ":"
        self._state = self._in_scheme

    def _in_scheme(self, character: str) -> None:
        if character == "/":
            self._buffer += character
            if self._buffer.endswith("//"):
                self._state = self._in_url
            return
        self._put(self._buffer)
        self._again(character)

    def _in_url(self, character: str) -> None:
        if character and not character.isspace() and character not in _URL_ENDS:
            self._buffer += character
            if len(self._buffer) > MAX_HELD:
                self._remove_url()
                self._state = self._in_long_url
            return
        prefix = prefix_of(self._buffer)
        url, rest = split_bare(self._buffer)
        if not any(map(str.isalnum, self._buffer[len(prefix) :])):
            # It names no place, as in "the https:// prefix". What follows is read again: it may be "!".
            self._put(prefix)
            rest = self._buffer[len(prefix) :]
        elif self._links is not None and self._links.permit_bare(url):
            self._put(url)
        else:
            self._remove_url()
        self._again(rest + character)

    def _in_long_url(self, character: str) -> None:
        if not character or character.isspace() or character in _URL_ENDS:
            self._again(character)

    def _remove_url(self) -> None:
        self._put(LINK_REMOVED)
        self._removed("link removed")

    # Brackets: links, images, citations, definitions

    def _open(self, *, image: bool) -> None:
        text = "![" if image else "["
        self._close_gap(text[0])
        bracket = _Bracket(
            index=len(self._held),
            held=self._held_characters,
            image=image,
            tail=self._tail,
            at_start=self._at_start,
            line_blank=self._line_blank,
        )
        self._brackets.append(bracket)
        self._append(text)

    def _after_bracket(self, character: str) -> None:
        if character == "(":
            self._buffer, self._depth = "", 0
            self._state = self._in_destination
            return
        bracket = self._brackets[-1] if self._brackets else None
        image = self._close_bracket()
        if image and character == "[":
            self._buffer = ""
            self._state = self._in_reference
            return
        # "]:" defines where a reference leads; with a space between it defines nothing.
        if character == ":" and (bracket is None or bracket.at_start) and self._links is not None:
            self._put(" ")
        self._again(character)

    def _in_destination(self, character: str) -> None:
        if character == ")" and self._depth == 0:
            self._close_link(_url_of(self._buffer))
            self._state = self._text
            return
        blank = character == "\n" and self._buffer.rstrip(" \t").endswith("\n")
        if not character or character in "[]" or blank or len(self._buffer) >= MAX_HELD:
            self._close_bracket()
            self._put("(" if self._links is None else " (")
            self._again(self._buffer + character)
            return
        self._depth += (character == "(") - (character == ")")
        self._buffer += character

    def _in_reference(self, character: str) -> None:
        """The second half of ``![image][reference]``."""
        if character == "]":
            self._again("")
        elif not character or character in "[\n" or len(self._buffer) >= MAX_HELD:
            self._open(image=False)
            self._again(self._buffer + character)
        else:
            self._buffer += character

    def _close_link(self, url: str) -> None:
        links = self._links
        bracket = self._brackets[-1] if self._brackets else None
        if links is None:
            self._end_bracket(f"]({self._buffer})")
            return
        if bracket is not None and (bracket.image or self._is_citation(bracket)):
            self._close_bracket()
            if not bracket.image:
                self._removed("link removed")
        elif links.permit(url):
            self._end_bracket(f"]({url})")
        elif bracket is None:
            self._put("]")
            self._removed("link removed")
        else:
            label = next((piece for piece in self._held[bracket.index + 1 :] if piece), "")
            self._held[bracket.index] = " " if label and _would_join(bracket.tail, label[0]) else ""
            if not label:
                self._tail = bracket.tail
            self._end_bracket("")
            self._removed("link removed")

    def _close_bracket(self) -> bool:
        """Deal with "]" when no link follows: True when an image was removed."""
        bracket = self._brackets[-1] if self._brackets else None
        if bracket is None:
            self._put("]")
            return False
        if bracket.image:
            self._drop(bracket)
            self._removed("image removed")
            return True
        if self._is_citation(bracket):
            self._cite(bracket)
        else:
            self._end_bracket("]")
        return False

    def _is_citation(self, bracket: _Bracket) -> bool:
        if self._citation_count is None or self._gap or self._held_after(bracket) > _MAX_MARKER:
            return False
        return _CITATION.match("".join(self._held[bracket.index + 1 :])) is not None

    def _held_after(self, bracket: _Bracket) -> int:
        return self._held_characters - bracket.held - 1

    def _cite(self, bracket: _Bracket) -> None:
        label = "".join(self._held[bracket.index + 1 :])
        numbers = [int(number) for number in re.findall("[0-9]+", label)]
        kept = [number for number in numbers if 1 <= number <= (self._citation_count or 0)]
        self.cited.update(kept)
        if len(kept) == len(numbers):
            self._end_bracket("]")
            return
        self._drop(bracket)
        if kept:
            self._put(f"[{', '.join(map(str, kept))}]")
        elif self._tail.endswith(" "):
            self._take_back(1)
        self._removed("citation of a passage that was not given removed", len(numbers) - len(kept), gap=not kept)

    def _end_bracket(self, text: str) -> None:
        """The innermost bracket is closed by ``text`` and needs no more watching."""
        if text:
            self._put(text)
        if self._brackets:
            self._brackets.pop()
        self._settle()

    def _drop(self, bracket: _Bracket) -> None:
        """Take back everything from the innermost bracket on."""
        del self._held[bracket.index :]
        self._held_characters = bracket.held
        self._tail, self._at_start, self._line_blank = bracket.tail, bracket.at_start, bracket.line_blank
        self._brackets.pop()
        self._settle()

    def _give_up_brackets(self) -> None:
        """No link can end here any more: what is open is text, and no "!" stands before a bracket."""
        for bracket in self._brackets:
            if bracket.image:
                self._held[bracket.index] = " ["
        self._brackets.clear()
        self._settle()

    def _settle(self) -> None:
        if not self._brackets:
            self._ready += self._held
            self._held.clear()
            self._held_characters = 0

    def _removed(self, what: str, count: int = 1, *, gap: bool = True) -> None:
        self._counts[what] += count
        self._gap = self._gap or gap

    # HTML

    def _in_tag(self, character: str) -> None:
        if not self._buffer and not (character.isascii() and (character.isalpha() or character == "/")):
            # "<!" begins a comment and "<?" an instruction; with a space after it, "<" begins nothing.
            self._put("< " if character in ("!", "?") else "<")
            self._again(character)
            return
        if character == ">":
            self._state = self._text
            self._close_tag(self._buffer)
            return
        blank = character == "\n" and self._buffer.rstrip(" \t").endswith("\n")
        if character in ("", "<") or blank or len(self._buffer) >= MAX_HELD:
            self._put("< ")
            self._again(self._buffer + character)
            return
        self._buffer += character

    def _close_tag(self, inner: str) -> None:
        tag = _TAG.match(inner)
        if _AUTOLINK.match(inner):
            if self._links is not None and self._links.permit(inner):
                self._put(f"<{inner}>")
            else:
                self._remove_url()
        elif _EMAIL.match(inner):
            self._put(f"<{inner}>")
        elif tag is not None and tag.group(1).lower() in DROPPED_TAGS:
            self._removed("HTML tag removed")
        elif tag is not None and tag.group(2).strip() in ("", "/") and not self._at_start:
            self._put(f"<{inner}>")
        else:
            # At the start of a line a tag would turn the lines after it into raw HTML; with attributes it could load.
            self._put("< ")
            self._again(inner + ">")

    # Code

    def _in_run(self, character: str) -> None:
        if character and character == self._run[0]:
            self._run += character
            return
        long = len(self._run) >= 3
        if long and self._at_start:
            if not self._no_fence and (not self._tail or self._tail.endswith("\n")) and not self._gap:
                self._buffer = ""
                self._state = self._in_info
                self._state(character)
                return
            self._no_fence = True
        if self._run[0] == "~":
            self._put(self._run)
        elif long or self._no_code:
            self._no_code = True
            self._put(self._run)
        else:
            self._buffer = ""
            self._state = self._in_span
            self._state(character)
            return
        self._again(character)

    def _in_span(self, character: str) -> None:
        stripped = self._buffer.rstrip("`")
        if character != "`" and len(self._buffer) - len(stripped) == len(self._run) and stripped:
            if not ("|" in stripped or "]:" in stripped or stripped.endswith("\\")):
                self._put(self._run + self._scrub(stripped) + self._run)
                self._again(character)
                return
            self._give_up_span(character)
        elif character in ("", "\n") or len(self._buffer) >= MAX_HELD:
            self._give_up_span(character)
        else:
            self._buffer += character

    def _give_up_span(self, character: str) -> None:
        self._no_code = True
        self._put(self._run)
        self._again(self._buffer + character)

    def _in_info(self, character: str) -> None:
        """The rest of the line that opens a fenced block."""
        if character in ("", "\n"):
            self._give_up_brackets()
            self._put(self._run + self._buffer + character)
            self._buffer, self._line_cut = "", False
            self._state = self._in_fence if character else self._text
        elif _INFO.match(self._buffer + character):
            self._buffer += character
        else:
            self._no_fence = self._no_code = True
            self._put(self._run)
            self._again(self._buffer + character)

    def _in_fence(self, character: str) -> None:
        if self._skipping:
            if character and not character.isspace() and character not in _URL_ENDS:
                return
            self._skipping = False
        if character in ("", "\n"):
            line, self._buffer = self._buffer, ""
            closes = not self._line_cut and self._closes_fence(line)
            self._line_cut = False
            if line + character:
                self._put(self._scrub(line) + character)
            if closes or not character:
                self._state = self._text
                self._no_code = False
            return
        self._buffer += character
        if len(self._buffer) >= MAX_HELD:
            self._cut_line()

    def _cut_line(self) -> None:
        """Let go of the beginning of a long line of code, but of no part of a URL that is not complete."""
        cut = _before_url(self._buffer)
        if cut:
            self._put(self._scrub(self._buffer[:cut]))
            self._buffer = self._buffer[cut:]
        else:
            self._remove_url()
            self._buffer, self._skipping = "", True
        self._line_cut = True

    def _closes_fence(self, line: str) -> bool:
        rest = line.lstrip(" ")
        run = rest.rstrip(" \t")
        return len(line) - len(rest) <= 3 and len(run) >= len(self._run) and not run.strip(self._run[0]) and bool(run)

    def _scrub(self, code: str) -> str:
        if self._links is None:
            return code
        text, removed = self._links.scrub(code)
        if removed:
            self._removed("link removed", removed, gap=False)
        return text


def _url_of(destination: str) -> str:
    """The URL in what stands between the parentheses of a link; a title after it is left out."""
    text = destination.strip()
    if text.startswith("<"):
        return text[1:].partition(">")[0]
    return text.split(maxsplit=1)[0] if text else ""


def _would_join(before: str, after: str) -> bool:
    """Whether the two sides could form something new once nothing stands between them: then a space parts them."""
    last = before[-1:]
    if not last or last.isspace() or after.isspace():
        return False
    if last.isalnum() or last in "\"')]":
        return after not in ".,;?!)*_" or before[-2:].lower() == "ww"
    opens_a_word = last in "(\"'" and (not before[-2:-1] or before[-2].isspace())
    return not (opens_a_word and after.isalnum())


def _before_url(text: str) -> int:
    """Where a long line of code can be cut; 0 when it begins with a URL that does not end."""
    space = next((n for n in range(len(text) - 1, 0, -1) if text[n].isspace()), 0)
    if space:
        return space
    end = 0
    for match in BARE_URL.finditer(text):
        end = match.end()
        if end == len(text):
            return match.start()
    cut = len(text) - _LONGEST
    # A URL may begin right before the cut.
    cut -= max((n for n in range(1, _LONGEST) if text[cut - n : cut].lower() in _PREFIXES), default=0)
    return max(cut, end, 1)
