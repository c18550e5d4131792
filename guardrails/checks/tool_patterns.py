"""Patterns for what a tool may be given: regular expressions that a hostile argument cannot make slow."""

from __future__ import annotations

import re

LONGEST_ARGUMENT = 2_000
"""Characters of an argument that are matched at most; a longer one does not match."""

_MOST_WAYS = LONGEST_ARGUMENT**2
_COUNT = re.compile(r"\{(\d{1,9})?(,)?(\d{1,9})?\}")


def compiled(pattern: str) -> re.Pattern[str]:
    """``pattern`` for a full match. Raises ValueError for one that is wrong or could take long on some text.

    Python's engine goes back over what it has matched. So a group that repeats must not hold anything that repeats
    or "|", groups are ``(...)`` and ``(?:...)`` alone, and the ways in which the parts can share a text are bounded.
    """
    try:
        found = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    ways = _ways(pattern)
    if ways > _MOST_WAYS:
        raise ValueError(f"{pattern!r} could take long on some text: use fewer of *, +, {{m,n}} and |")
    return found


def _ways(pattern: str) -> int:
    """How many ways there are, at most, to match the parts of ``pattern``: * and + count as the longest argument."""
    total = 1
    groups = [False]  # for each open group, whether it holds something that varies
    at, closed = 0, False
    while at < len(pattern):
        character = pattern[at]
        count = _COUNT.match(pattern, at)
        inner, closed = closed, False
        if character == "\\":
            at += 2
        elif character == "[":
            at = _class_end(pattern, at)
        elif character == "(":
            if pattern[at + 1 : at + 2] == "?" and pattern[at + 2 : at + 3] != ":":
                raise ValueError(f"{pattern!r} has a group that begins with (?{pattern[at + 2 : at + 3]}")
            at += 3 if pattern[at + 1 : at + 2] == "?" else 1
            groups.append(False)
        elif character == ")":
            closed = groups.pop()
            groups[-1] = groups[-1] or closed
            at += 1
        elif character == "|":
            groups[-1], total, at = True, total * 2, at + 1
        elif character in "*+?" or count:
            if inner and character != "?":
                raise ValueError(f"{pattern!r} repeats a group that holds *, +, ?, {{m,n}} or |")
            total *= LONGEST_ARGUMENT if character in "*+" else 2 if count is None else _spread(count)
            groups[-1], at = True, count.end() if count else at + 1
            at += pattern[at : at + 1] in ("?", "+")  # lazy or possessive
        else:
            at += 1
    return total


def _spread(count: re.Match[str]) -> int:
    least, comma, most = count.groups()
    if not comma:
        return 1
    return max(1, int(most or LONGEST_ARGUMENT) - int(least or 0) + 1)


def _class_end(pattern: str, at: int) -> int:
    """Where the set of characters that begins at ``at`` has ended; a "]" that comes first belongs to it."""
    at += 2 if pattern[at + 1 : at + 2] == "^" else 1
    at += pattern[at : at + 1] == "]"
    while pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at + 1
