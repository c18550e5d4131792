from __future__ import annotations

import pytest

from ingestion.parsers.html import parse
from ingestion.parsers.page import Parsed
from lockgate.errors import UserError
from lockgate.types import Block

PAGE = """<?xml version="1.0" encoding="utf-8"?>
<!doctype html><html><head><title>Site | Page</title><meta name="description" content="About keys">
<style>p{}</style></head><body>
<header><a href="/">Home</a></header><nav>Menu</nav>
<main><article><header><h1 id="top">Rotate  <em>keys</em><a class="headerlink" href="#top">¶</a></h1></header>
<p>First<br>line with <a href="x">a link</a>, <code>a  b</code> &amp; <img src="x" alt="a picture">.</p>
<section id="steps"><h2>Steps</h2>
<ol start="3"><li>One<ul><li>Inner</li></ul></li><li><p>Two</p><pre>ls
  -l</pre></li></ol>
<table><caption>Limits</caption><tr><th>A<th>B|C</tr><tr><td>1<td><code>x</code></table></section>
<div class="highlight-python"><pre><span>def</span> f():
    pass
</pre></div>
<form>subscribe<input></form><script>alert(1)</script><p hidden>secret</p>
</article></main><aside>ads</aside><footer>legal</footer></body></html>"""


def read(html: str) -> Parsed:
    return parse(html.encode(), name="rotate.html")


def test_the_main_content_is_read_and_what_surrounds_it_is_not() -> None:
    parsed = read(PAGE)
    assert parsed.title == "Rotate keys"
    assert parsed.metadata == {"description": "About keys"}
    assert parsed.blocks == (
        Block("text", "First\nline with a link, `a b` & a picture .", (), "top"),
        Block("list", "3. One\n   - Inner\n4. Two\n   ```\n   ls\n     -l\n   ```", ("Steps",), "steps"),
        Block("text", "Limits", ("Steps",), "steps"),
        Block("table", "| A | B\\|C |\n| --- | --- |\n| 1 | `x` |", ("Steps",), "steps"),
        Block("code", "def f():\n    pass", ("Steps",), "steps", language="python"),
    )


def test_the_title_element_stands_in_for_a_missing_heading() -> None:
    assert read("<title>From the head</title><p>Text").title == "From the head"
    assert read("<p>Text").title == "Rotate"


def test_a_form_around_the_whole_page_is_read() -> None:
    assert [block.text for block in read("<form><h1>T</h1><p>Content</p></form>").blocks] == ["Content"]


def test_a_layout_table_is_read_as_its_content() -> None:
    parsed = read("<table><tr><td><p>One</p><p>Two</p></td></tr></table>")
    assert [block.text for block in parsed.blocks] == ["One", "Two"]


def test_a_declared_encoding_is_used_when_the_page_is_not_utf8() -> None:
    data = '<meta charset="iso-8859-1"><p>Schlüssel'.encode("latin-1")
    assert parse(data, name="x.html").blocks[0].text == "Schlüssel"


@pytest.mark.parametrize("charset", ["hex", "no-such", "utf-8"])
def test_a_wrong_declared_encoding_is_refused(charset: str) -> None:
    with pytest.raises(UserError, match=r"x\.html: is not valid UTF-8 \(byte \d+, line 1: 0xfc\)"):
        parse(f'<meta charset="{charset}"><p>'.encode() + b"\xfc", name="x.html")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("tag", ["div", "ul><li", "span", "table><tr><td", "blockquote"])
def test_a_hundred_thousand_nested_elements_are_refused_with_the_reason(tag: str) -> None:
    with pytest.raises(UserError, match=r"rotate\.html: its HTML elements lie too deep"):
        read(f"<{tag}>" * 100_000 + "text")


def test_nesting_that_a_page_may_have_is_read_in_full() -> None:
    assert read("<div>" * 1_000 + "inner" + "</div>" * 1_000 + "<p>after").blocks[-1].text == "after"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", ["<", "&a", "<p>a", "<!--", "<a b='", "<tr><td>a", "<h2>x</h2>", "word "])
def test_half_a_megabyte_of_one_thing_is_read_in_bounded_time(unit: str) -> None:
    read("<p>start</p><table>" + unit * (500_000 // len(unit)))
