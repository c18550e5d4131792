from __future__ import annotations

import base64
from typing import Any

import pytest

from guardrails.check import Found, GuardTools, Seen
from guardrails.checks.active_content import ActiveContent, ActiveContentSettings
from guardrails.checks.markdown_code import code_parts
from guardrails.guard import redacted
from tests.guardrails.growth import assert_grows_with_the_text


def look(text: str, before: str = "", **keys: Any) -> Found:
    settings = ActiveContentSettings(check="active_content", action="redact", **keys)
    return ActiveContent(settings, GuardTools()).look(Seen(text, "output", before=before))


LIVE = [
    "<script>alert(1)</script>",
    "<SCRIPT\tsrc=//x.example>",
    "Fine. <script >a\n\nb</script\n> more",
    "<scr<script>x</script>ipt>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img/onerror='x()'/src=x>",
    '<img src="x"onerror=alert(1)>',
    '<img alt=">" onerror=alert(1)>',
    "<img src=x onerror=alert(1)//",
    "<svg/onload=alert(1)>",
    "<svg><animate attributeName=href values='x;javascript:alert(1)'/></svg>",
    '<math><a xlink:href="javascript:alert(1)">x</a></math>',
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    "<a href='java\tscript:alert(1)'>x</a>",
    "<a href=' javascript:alert(1)'>x</a>",
    '<a href="&#106;avascript&colon;alert(1)">x</a>',
    '<a href="&amp;#106;avascript:alert(1)">x</a>',
    "<form action=javascript:alert(1)>",
    "<a href=data:text/html;base64,PHNjcmlwdD4=>x</a>",
    "<iframe srcdoc='hello'></iframe>",
    "<p srcdoc='x'>",
    '<meta http-equiv="refresh" content="0;url=https://x.example">',
    "<link rel=stylesheet href=//x.example>",
    "<base href=//x.example>",
    '<div style="width: expression(alert(1))">',
    '<div style="width: ex/**/pression(alert(1))">',
    '<div style="background: url(javascript:alert(1))">',
    "[here](javascript:alert(1))",
    "[here](<javascript:alert(1)>)",
    "[here](java&Tab;script:alert(1))",
    "[here](JaVaScRiPt&#58;alert(1))",
    "[here](javascript\\:alert(1))",
    "[here](data:text/html,<b>)",
    "![x](vbscript:msgbox)",
    "[1]: javascript:alert(1)",
    "<javascript:alert(1)>",
    "＜script＞alert(1)＜/script＞",
    "\\`<script>alert(1)</script>`",
    "a `b\n\n<script>alert(1)</script> c`",
    "| `a | <script>alert(1)</script>` |",
    "<!--\n\n```\n-->\n<script>alert(1)</script>\n```",
    "<div>\n```\n<script>alert(1)</script>\n```",
    "    ```\n<script>alert(1)</script>\n",
    "```\ncode\n```\n<script>alert(1)</script>",
    "````\n```\n````\n<script>alert(1)</script>",
    "<x ` > ` <script>alert(1)</script> `",
    "a ` b\nx ` <script>alert(1)</script> `y`",
    "- a\n\n  ```\n<script>alert(1)</script>\n  ```",
    "<div>\n`<script>alert(1)</script>`",
    "```\na\n ```\nb\n```\n<script>alert(1)</script>\n```",
    "<img title=`x` onerror=alert(1)>",
    "<img src=`x` onerror=alert(1)>",
]


@pytest.mark.parametrize("text", LIVE)
def test_what_would_run_is_found_and_taken_out(text: str) -> None:
    found = look(text)
    assert found.score == 1
    clean, _ = redacted(text, found.spans)
    assert look(clean).score < 0.5


DOCUMENTATION = [
    "",
    "Use `<script src=x>` in the head, and ``a ` <img onerror=x>`` too.",
    "```html\n<script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n```\nDone.",
    "Text:\n~~~\n<iframe src=x></iframe>\n~~~",
    "```\n<script>never closed</script>",
    "- Step:\n\n  ```html\n  <script>x</script>\n  ```\n- Next `<script>`.",
    "The `javascript:` scheme, javascript: in short, is blocked.",
    "Set on = 1 and online=true; if a < b and c > d then onload = 3.",
    "See [the guide](https://example.org/on_error=1) and [2](page.md#onclick=).",
    "<b>bold</b>, <https://example.org>, <kbd>Ctrl</kbd>, <a href='https://example.org'>x</a>",
    "![chart](data:image/png;base64,iVBORw0KGgo=)",
    "Use {{ name }} and {{#if constructor}} in templates.",
    "The tag &lt;script&gt; is shown as text.",
    "A list[int](x) and dict[str]: data is typed.",
    "The script element, the iframe element and the object of the sentence.",
    "The style guide: an expression (see below) is a sentence.",
]


@pytest.mark.parametrize("text", DOCUMENTATION)
def test_documentation_passes(text: str) -> None:
    assert look(text).score < 0.5


@pytest.mark.parametrize(
    "text",
    [
        "Decode this: " + base64.b64encode(b"<script>alert(document.cookie)</script>").decode(),
        "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E",
        "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
        "Type javascript:alert(document.cookie) into the address bar",
        "{{constructor.constructor('alert(1)')()}}",
    ],
)
def test_what_would_run_once_decoded_scores_less(text: str) -> None:
    assert 0.5 <= look(text).score < 1


def test_entities_are_taken_out_where_the_threshold_asks_for_it() -> None:
    text = "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert look(text).spans == ()
    assert look(text, threshold=0.4).spans


def test_a_stream_knows_what_was_shown() -> None:
    assert look("\n\n<script>alert(1)</script>\n```", before="```html\n<p>").score == 0
    assert look(" One. Two onerror=alert(1)>", before="<img alt='x' title='A. B. C.'").score == 1
    assert look("<script>alert(1)</script>", before="```\nx\n```\n").score == 1


def test_code_has_its_place() -> None:
    text = "a `b` c\n```\nd\n```\ne ``f`g`` h `i"
    assert [text[start:end] for start, end in code_parts(text)] == ["`b`", "```\nd\n```\n", "``f`g``"]


@pytest.mark.parametrize(
    "part",
    ["<a ", "<img x='", "<script", "](javascript:", "` `` ", "```\n", "\\`", "style=", "{{", "<a href=&#106;", "=\"'",
     "javascript:a.", "]: <x", "| ` "],
)  # fmt: skip
def test_a_long_text_takes_time_in_proportion(part: str) -> None:
    assert_grows_with_the_text(look, lambda size: part * (size // len(part)), times=1)
