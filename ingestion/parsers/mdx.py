"""What makes MDX of Markdown, taken out again: imports, exports, expressions and component tags."""

from __future__ import annotations

import re

MAX_TAG_CHARS = 4_000
MAX_FAILED_TAGS = 500
"""Tags that never close are looked for from every ``<``; past this many the page is no MDX and is left as it is."""

# Each alternative consumes at least one character and none nests a repetition, so matching is linear.
_FENCE = re.compile(r"^[ \t>]*(`{3,}|~{3,})(.*)$")
_STATEMENT = re.compile(r"(?:import|export)\b(?=.*(?:\bfrom\b|[\"'{=(]|\bdefault\b))")
_COMMENT_END = re.compile(r"\*/\s*\}")
_BLANK_EXPRESSION = re.compile(r"\{\s*[\"'`]?\s{0,8}[\"'`]?\s*\}")
_TAG_START = re.compile(r"`+|</?(?=[A-Z>])")
_TAG_DELIMITER = re.compile(r"[\"'{}<>`]")
_CAPTION = re.compile(
    r"\b(?:title|label|path|query|header|name)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|\{\s*\"([^\"]*)\"\s*\})"
)
_CAPTIONED = frozenset({"Accordion", "Card", "Expandable", "ParamField", "ResponseField", "Step", "Tab", "TabItem"})
_TAG_NAME = re.compile(r"[\w.]*")


def strip(text: str) -> str:
    """``text`` as plain Markdown. Code blocks and inline code stay as they are; a component's title becomes text."""
    pieces: list[str] = []
    prose: list[str] = []
    fence = ""
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if fence:
            pieces.append(line)
            if found and found.group(1).startswith(fence) and not found.group(2).strip():
                fence = ""
        elif found and not (found.group(1)[0] == "`" and "`" in found.group(2)):
            pieces.append(_strip_prose("\n".join(prose)))
            prose = []
            pieces.append(line)
            fence = found.group(1)
        else:
            prose.append(line)
    pieces.append(_strip_prose("\n".join(prose)))
    return "\n".join(pieces)


def _strip_prose(text: str) -> str:
    text = _without_statements(text)
    if "{" in text:
        text = _BLANK_EXPRESSION.sub(" ", _without_comments(text))
    return _without_tags(text) if "<" in text else text


def _without_comments(text: str) -> str:
    pieces: list[str] = []
    position = 0
    while (start := text.find("{/*", position)) >= 0 and (end := _COMMENT_END.search(text, start)):
        pieces.append(text[position:start])
        position = end.end()
    return "".join(pieces) + text[position:]


def _without_statements(text: str) -> str:
    """Drop ``import`` and ``export`` statements: they begin a line and run to the next blank line."""
    if "import" not in text and "export" not in text:
        return text
    kept: list[str] = []
    in_statement = False
    for line in text.split("\n"):
        if not line.strip():
            in_statement = False
        elif _STATEMENT.match(line[:500]):
            in_statement = True
        elif in_statement and line[:1] in ("<", "#"):
            in_statement = False  # content that follows without a blank line
        if not in_statement:
            kept.append(line)
    return "\n".join(kept)


def _without_tags(text: str) -> str:
    pieces: list[str] = []
    position = failed = 0
    code_closes: dict[str, bool] = {}
    while failed < MAX_FAILED_TAGS and (found := _TAG_START.search(text, position)):
        start = found.start()
        pieces.append(text[position:start])
        if found.group().startswith("`"):
            end = _end_of_code(text, found.end(), found.group(), code_closes)
            pieces.append(text[start:end])
        else:
            end = _end_of_tag(text, found.end())
            if end < 0:
                failed += 1
                end = found.end()
                pieces.append(found.group())
            else:
                pieces.append(_caption(text[start:end]))
        position = end
    pieces.append(text[position:])
    return "".join(pieces)


def _end_of_code(text: str, after: int, run: str, closes: dict[str, bool]) -> int:
    """Where the inline code that ``run`` opens ends; after the backticks themselves when it never does."""
    if not closes.get(run, True):
        return after
    end = text.find(run, after)
    paragraph = text.find("\n\n", after)
    if end < 0:
        closes[run] = False  # asked again, the answer is the same, and the search is linear
    return after if end < 0 or 0 <= paragraph < end else end + len(run)


def _end_of_tag(text: str, after: int) -> int:
    """The position after the ``>`` that closes a tag, -1 if there is none nearby."""
    depth = 0
    quote = ""
    for found in _TAG_DELIMITER.finditer(text, after, after + MAX_TAG_CHARS):
        char = found.group()
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'`":
            quote = char
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
        elif depth <= 0:
            return found.end() if char == ">" else -1
    return -1


def _caption(tag: str) -> str:
    """What a reader sees of a component besides its content: its title, as a paragraph."""
    name = _TAG_NAME.match(tag, 1)
    if name is None or name.group() not in _CAPTIONED:
        return ""
    found = _CAPTION.search(tag)
    value = next((group for group in found.groups() if group), "") if found else ""
    return f"\n\n{value}\n\n" if value else ""
