from __future__ import annotations

import itertools
import re
import time
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from guardrails.links import LinkRules
from guardrails.output import DROPPED_TAGS, MAX_HELD, OutputFilter

RULES = LinkRules(frozenset({"ok.org", "*.good.org"}), frozenset({"https://page.example/x?a=1&b=2"}))


def _filter(citations: int | None = 3, links: LinkRules | None = RULES) -> OutputFilter:
    return OutputFilter(links=links, citation_count=citations)


def _run(text: str) -> str:
    output = _filter()
    return output.feed(text) + output.finish()


def _run_in_pieces(text: str, cuts: list[int]) -> tuple[list[str], OutputFilter]:
    output, pieces = _filter(), []
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for start, end in itertools.pairwise(edges):
        pieces.append(output.feed(text[start:end]))
    return [*pieces, output.finish()], output


def test_an_escaped_bracket_is_no_citation() -> None:
    output = _filter(citations=1)
    text = "Zero \\[1] and \\[0], held [1]."
    assert output.feed(text) + output.finish() == text
    assert (output.cited, output.actions) == ({1}, [])
    output = _filter(citations=1)
    assert output.feed("An escaped backslash \\\\[9].") + output.finish() == "An escaped backslash \\\\ ."


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Plain text, with (parentheses), a: colon and 3 < 4 > 2; a && b!",
        "# Heading\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> quoted *words* and __more__\n",
        "Set it [1]. Then go on [2, 3] [1][2].",
        "[text](https://ok.org/a) and [more](https://a.b.good.org/x(y)z#f)",
        "[page](../docs/a.md#part), [top](#top), [mail](mailto:a@ok.org)",
        "https://ok.org/a, (https://docs.good.org:8080/) and https://page.example/x?a=1&b=2.",
        "<https://ok.org/> <a@ok.org>",
        "replace <bucket> and </name>",
        "arr[i][j] = [x, y]; see [the page] and [ ] done",
        "`[9] ![a](b) <img src=x>` and ``a ` b`` here",
        "```html\n<img src=x> [9] ![a](b) <script>\n```\nafter",
        "~~~~\n~~~\n[9]\n~~~~~",
        "the http:// and https:// prefixes, ftp and www. alone",
        "Unfinished [bracket",
        "Ein Satz – mit Ümlauten, 日本語 und 🙂.",
        "a\\_b \\\\ \\* c",
        "Arrays start at \\[7].",
        "sha256:abc, http: no, key: [value] : more",
    ],
)
def test_leaves_alone_what_is_harmless(text: str) -> None:
    output = _filter()
    assert output.feed(text) + output.finish() == text
    assert output.actions == []


@pytest.mark.parametrize(
    ("text", "filtered"),
    [
        # citations
        ("True [4].", "True."),
        ("True [0] so.", "True so."),
        ("True[9]so.", "True so."),
        ("[1, 9] a [8,9] b [2; 3]", "[1] a b [2; 3]"),
        ("a [1][9][2]", "a [1] [2]"),
        ("a [9](https://ok.org/) b", "a b"),
        ("a [1](https://evil.com) b", "a [1] b"),
        ("[999999] a", " a"),
        # images
        ("a ![b](https://ok.org/c.png) d", "a  d"),
        ("![b](c.png)", ""),
        ("![a][ref]!", "!"),
        ("![a][]", ""),
        ("![a]", ""),
        ("![a [b](https://ok.org/) c](d)", ""),
        ("[![a](b)](https://evil.com)", ""),
        ("\\![a](https://ok.org/)", "\\"),
        # links
        ("[text](https://evil.com/a) more", "text more"),
        ("see [text](https://evil.com 'title').", "see text."),
        ("[a](javascript:alert(1)), b", "a, b"),
        ("[a](  <data:text/html,x>  )", "a"),
        ("[a](//evil.com/x)", "a"),
        ("[a](/\\evil.com)", "a"),
        ("[a](\\\\evil.com)", "a"),
        ("[a](&#106;avascript:x)", "a"),
        ("[a](https&colon;//evil.com)", "a"),
        ("[a](https://ok.org@evil.com/)", "a"),
        ("[a](https://ok.org.evil.com/)", "a"),
        ("[a](https://notok.org/)", "a"),
        ("[a](https:\\\\evil.com)", "a"),
        ("[a](https:/evil.com)", "a"),
        ("[a](HTTPS://OK.ORG/x)", "[a](HTTPS://OK.ORG/x)"),
        ('[a](https://ok.org/ "a title")', "[a](https://ok.org/)"),
        ("[a](https://ok.org/unclosed", "[a] (https://ok.org/unclosed"),
        ("[a\\](javascript:x)", "a\\"),
        ("a](javascript:x) b", "a] b"),
        ("[r]: javascript:alert(1)", "[r] : javascript:alert(1)"),
        ("> [r]: /x", "> [r] : /x"),
        ("<https://evil.com>", "[link removed]"),
        ("<javascript:alert(1)>", "[link removed]"),
        ("go to https://evil.com/?q=secret.", "go to [link removed]."),
        ("(https://evil.com)", "([link removed])"),
        ("www.evil.com, ftp://ok.org/", "[link removed], [link removed]"),
        ("www.evil.comhttp://", "[link removed]"),
        ("**https://evil.com**", "**[link removed]**"),
        ("`curl https://evil.com/x; ls`", "`curl [link removed]; ls`"),
        ("```\ncurl https://evil.com/x\n```", "```\ncurl [link removed]\n```"),
        # tags
        ("a<img src=x onerror=alert(1)>b", "a b"),
        ("<script>alert(1)</script>", "alert(1)"),
        ("<IMG\nSRC=x>", ""),
        ("<a href='x'>y</a>", "y"),
        ("<svg/onload=x>", ""),
        ("<b onclick=x>y</b>", "< b onclick=x>y</b>"),
        ("<!-- x -->", "< !-- x -->"),
        ("<div>\n", "< div>\n"),
        ("a <img src=x", "a < img src=x"),
        ("if a<b and c>d", "if a< b and c>d"),
        # what a removal may not put together
        ("<<a x>img src=x>", "< img src=x>"),
        ("!<a x>[a](https://ok.org/)", "! [a](https://ok.org/)"),
        ("ht<a x>tp://evil.com", "ht tp://evil.com"),
        ("www<a x>.evil.com", "www .evil.com"),
        ("[x][](bad:x)(javascript:y)", "[x] (javascript:y)"),
        # characters that a terminal obeys
        ("a\x1b[31mb\x00\x9bc\r\nd\re", "a[31mbc\nd\ne"),
    ],
)
def test_makes_harmless_what_is_not(text: str, filtered: str) -> None:
    assert _run(text) == filtered


@pytest.mark.parametrize(
    "text",
    [
        # Renderers that follow CommonMark see a live image or link in each: none of it is code.
        "`\n\n![x](//evil.com)`",
        "`a\nb` ![x](//evil.com) `c`",
        "\\\\`x`![a](//evil.com)`",
        "\\`![a](//evil.com)`",
        "a ```x\n `y``` ![x](//evil.com) `",
        "| ` | ![x](//evil.com) | ` |\n|---|---|---|\n",
        "- a\n  ```\n![x](//evil.com)",
        "````\n```\n````\n![x](//evil.com)",
        "> ```\n![x](//evil.com)\n> ```",
        "1. ```\n![x](//evil.com)\n",
        "    ```\n\n![x](//evil.com)\n```",
        "<div>\n```\n<img src=//evil.com>\n```",
        "[<div>](bad:x)\n```\n<img src=//evil.com>\n```",
        "[```](bad:x)\n![x](//evil.com)\n```\n![x](//evil.com)\n```",
        "<b x='`'> ![x](//evil.com) `",
        "[a`b]: //evil.com c`d\n\n[a`b]",
        "```x`\n![x](//evil.com)\n```",
        "[" * 100 + "a" * 3000 + "](//evil.com)",
        "![" + "a" * 3000 + "](//evil.com)",
    ],
)
def test_what_only_looks_like_code_is_filtered(text: str) -> None:
    _assert_harmless(_run(text))


def test_knows_which_citations_were_kept() -> None:
    output = _filter()
    output.feed("a [1] b [3, 7] c [9] `[2]`")
    output.finish()
    assert output.cited == {1, 3}
    assert output.actions == ["citation of a passage that was not given removed: 2"]


def test_a_policy_can_leave_citations_or_links_alone() -> None:
    text = "a [9] ![b](//c) <img src=x> [t](javascript:x) https://evil.com [r]: x"
    output = _filter(citations=None, links=None)
    assert output.feed(text) + output.finish() == text
    output = _filter(citations=1, links=None)
    assert output.feed(text) + output.finish() == text.replace(" [9]", "")
    output = _filter(citations=None)
    assert (output.feed("a [9]") + output.finish()) == "a [9]"


def test_harmless_text_is_not_held_back() -> None:
    output = _filter()
    assert output.feed("Open the page and ") == "Open the page and"
    assert output.feed("press [") == " press"
    assert output.feed("1") == ""
    assert output.feed("]. ") == " [1]."
    assert output.feed("See htt") == " See "
    assert output.feed("ing") == "htting"
    assert output.finish() == ""


@pytest.mark.parametrize("opening", ["[", "![", "a [b](", "<a ", "` ", "https://evil.com/", "[![", "<", "[a](<"])
def test_no_construct_is_held_back_without_end(opening: str) -> None:
    output = _filter()
    shown = output.feed(opening)
    longest = held = 0
    for _ in range(3 * MAX_HELD // 4):
        piece = output.feed("word")
        held = 0 if piece else held + 4
        longest = max(longest, held)
        shown += piece
    assert longest <= MAX_HELD + 10 or opening.startswith("https")  # a URL is removed as a whole
    assert shown
    assert "evil" not in shown


# What a reader's renderer makes of the filtered text is the judge: markdown-it follows CommonMark, with raw HTML on.

_FRAGMENTS = [
    *("[", "]", "(", ")", "!", "![", "](", "][", "]:", "<", ">", "</", "<a", "<img", "<div>", "<b>", "<!--", "-->"),
    *(
        "\\",
        "`",
        "``",
        "```",
        "~~~",
        "\n",
        "\n\n",
        "|",
        ":",
        ".",
        "/",
        "//",
        "-",
        "> ",
        "* ",
        "1. ",
        "# ",
        "=",
        '"',
        "'",
    ),
    *("&", ";", "a", "bc", "www.", "www", "http", "https://", "http://", "//evil.com", "javascript:", "data:", "x=y"),
    *("evil.com", "ok.org", "https://ok.org/", "[1]", "[9]", "ftp://", "src=", "href=", "&#58;", "&lt;", "\t", "\r"),
    *("\x00", " ", "  ", "    ", "\n```\n", "](javascript:x)", "![x](//evil.com)", "<img src=//evil.com>"),
]

_texts = st.lists(st.sampled_from(_FRAGMENTS), max_size=40).map("".join)


class _Page(HTMLParser):
    """Collects what a browser would load or follow."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "a" and set(values) <= {"href", "title"}:
            url = values.get("href") or ""
            if not RULES.permit(url.replace("&amp;", "&")) or urlsplit(url).netloc not in ("", "ok.org"):
                self.problems.append(url)
        elif tag in DROPPED_TAGS or (attrs and tag not in ("code", "ol", "th", "td")):
            self.problems.append(self.get_starttag_text() or tag)

    def handle_comment(self, data: str) -> None:
        self.problems.append(data)


_ALLOWED = re.compile(r"https://ok\.org/[^\s<>\"`\[\]{}|\\^]*")
_EVIL = re.compile(r"(?:(?:https?|ftp)://|(?<![A-Za-z0-9])www\.)[^\s/<>\"`\[\]{}|\\^]*evil", re.IGNORECASE)


def _assert_harmless(text: str) -> None:
    for table in (False, True):
        renderer = MarkdownIt("commonmark", {"html": True})
        html = (renderer.enable("table") if table else renderer).render(text)
        page = _Page()
        page.feed(html)
        page.close()
        assert page.problems == [], html
    # Nor where a viewer makes links of bare URLs; in code, too, as that begins and ends where the viewer says.
    # The path of an allowed URL may hold anything.
    assert not _EVIL.search(_ALLOWED.sub("", text)), text


@settings(max_examples=1500, deadline=None)
@given(_texts)
@example("[a](https://ok.org/)![")
def test_a_renderer_finds_nothing_to_load_or_follow(text: str) -> None:
    _assert_harmless(_run(text))


@settings(max_examples=800, deadline=None)
@given(_texts, st.lists(st.integers(0, 200), max_size=12))
def test_any_way_to_cut_the_text_gives_the_same(text: str, cuts: list[int]) -> None:
    whole = _filter()
    expected = whole.feed(text) + whole.finish()
    pieces, cut = _run_in_pieces(text, cuts)
    assert "".join(pieces) == expected
    assert (cut.actions, cut.cited) == (whole.actions, whole.cited)
    singles, _ = _run_in_pieces(text, list(range(len(text))))
    assert "".join(singles) == expected


@settings(max_examples=800, deadline=None)
@given(_texts, st.lists(st.integers(0, 200), max_size=12))
def test_no_part_that_was_shown_holds_anything_to_load_or_follow(text: str, cuts: list[int]) -> None:
    shown = ""
    for piece in _run_in_pieces(text, cuts)[0]:
        shown += piece
        _assert_harmless(shown)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_any_text_at_all_is_cut_alike(text: str, cuts: list[int]) -> None:
    assert "".join(_run_in_pieces(text, cuts)[0]) == _run(text)


@pytest.mark.parametrize("filler", ["a", " a", "h", "http", "`", "[", "](", "<a ", "https://", "x\n"])
@pytest.mark.parametrize("opening", ["", "[", "```\n", "<a ", "https://ok.org", "![", "[a]("])
def test_long_constructs_are_cut_alike(opening: str, filler: str) -> None:
    text = opening + filler * (4 * MAX_HELD // len(filler)) + ".evil.com/ ](//evil.com) x"
    expected = _run(text)
    for step in (1, 7, 333, 2001):
        assert "".join(_run_in_pieces(text, list(range(0, len(text), step)))[0]) == expected
    _assert_harmless(expected[:6000] if filler == "[" else expected)


ADVERSARIAL = [
    "[",
    "![",
    "](",
    "[](",
    "[a](",
    "<",
    "<a ",
    "<a <",
    "`",
    "` ``",
    "` `` ``` ",
    "\\",
    "!",
    "]",
    "[[]",
    "(",
    ")",
]
ADVERSARIAL += [
    "http",
    "http://",
    "https://a",
    "www.",
    "h",
    " ",
    "\n",
    "\r",
    "&",
    "~",
    "[1]",
    "[9]",
    "[1,",
    "](<",
    "<a>",
    "[a]: ",
]


@pytest.mark.parametrize("fragment", ADVERSARIAL)
@pytest.mark.parametrize("opening", ["", "[", "```\n"])
def test_takes_linear_time_on_hostile_text(opening: str, fragment: str) -> None:
    # Against a plain pass over text of the same length, so that a slow machine does not fail it.
    start = time.perf_counter()
    total = 0
    for character in "x" * 100_000:
        total += ord(character)
    plain = time.perf_counter() - start
    start = time.perf_counter()
    _run(opening + fragment * (100_000 // len(fragment)) + "]" * 50)
    assert time.perf_counter() - start < max(400 * plain, 2.0)
