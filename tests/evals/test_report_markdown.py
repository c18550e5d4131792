from __future__ import annotations

from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from evals.reports.markdown import MAX_CHARACTERS, render_markdown
from evals.reports.report import Report
from evals.reports.texts import code_block, code_span, visible
from tests.evals.compared import row
from tests.evals.reported import (
    HOSTILE,
    NAMES,
    good_rows,
    hostile_report,
    hostile_rows,
    made_gate,
    made_report,
    made_run,
    plain_rows,
    scores,
)

GITHUB = 65_536
OURS = {"details", "summary", "code"}


def tokens(markdown: str) -> list[Token]:
    """Every token that GitHub's dialect makes of it."""
    parser = MarkdownIt("gfm-like", {"linkify": False, "html": True})
    found = []
    for token in parser.parse(markdown):
        found += [token, *(token.children or ())]
    return found


class Words(HTMLParser):
    """The tags of a piece of HTML, and its text outside of code."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.within = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.within = tag

    def handle_endtag(self, tag: str) -> None:
        self.within = ""

    def handle_data(self, data: str) -> None:
        self.text += "" if self.within == "code" else data


def assert_harmless(markdown: str) -> None:
    """No HTML but ours, and neither links, images, mentions nor references outside of code."""
    found = tokens(markdown)
    assert not [token for token in found if token.type in ("image", "link_open")]
    text = ""
    for token in found:
        if token.type in ("html_block", "html_inline"):
            words = Words(token.content)
            assert set(words.tags) <= OURS
            assert not words.attributes
            text += words.text
        elif token.type == "text":
            text += token.content
    for bad in ("@octocat", "evil.example", "#1", "script", "alert"):
        assert bad not in text


def test_leads_with_the_verdict_then_the_differences_then_the_worst_cases() -> None:
    report = made_report(plain_rows(), [*plain_rows(11), row("c11", scores(0.1, 0.0), "other")], gate=made_gate("FAIL"))
    text = render_markdown(report)
    assert text.index("FAIL") < text.index("| metric |") < text.index("<details><summary>worse: <code>c11</code>")
    line = next(each for each in text.splitlines() if each.startswith("| `token_f1` |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:4] == ["0.510", "0.475", "-0.035"]
    assert cells[5:] == ["12", "0", "1", "0"]
    assert "| `latency_seconds` | 500 ms | 500 ms | +0 ms |" in text
    assert "Cases: 1 worse, 11 with the same scores." in text
    assert "- same\n+ other" in text


def test_at_most_five_cases_are_folded_in_the_worst_first() -> None:
    new = [row(f"c{n}", scores(0.5 - 0.04 * n), "other") for n in range(9)]
    text = render_markdown(made_report(plain_rows(9), new))
    assert text.count("<details><summary>worse") == 5
    assert text.index("<code>c8</code>") < text.index("<code>c7</code>")
    assert "<code>c2</code>" not in text


def test_a_run_on_its_own_has_its_values() -> None:
    text = render_markdown(Report(made_run(plain_rows()), notes=("Compared with nothing: it is alone.",)))
    assert "| metric | value | 95 % interval | n | unscored |" in text
    assert "Compared with nothing" in text
    assert "PASS" not in text


def test_hostile_text_makes_no_mention_link_image_or_html() -> None:
    text = render_markdown(hostile_report())
    assert_harmless(text)
    assert "\x00" not in text
    assert "\u202e" not in text
    text.encode()


def test_hostile_text_in_a_single_run_is_as_harmless() -> None:
    assert_harmless(render_markdown(Report(made_run(hostile_rows()))))
    assert_harmless(render_markdown(made_report(hostile_rows("short"), good_rows())))


def test_a_table_keeps_its_columns_whatever_stands_in_it() -> None:
    rows = [
        token for token in tokens(render_markdown(hostile_report())) if token.type in ("tr_open", "th_open", "td_open")
    ]
    widths: list[int] = []
    for token in rows:
        if token.type == "tr_open":
            widths.append(0)
        else:
            widths[-1] += 1
    assert set(widths) == {9, 5}


@pytest.mark.parametrize("text", ["`", "``", "a`b", "`a", "a`", "````", "|", "\\|", "\\", " ", "", "\n", "x" * 999])
def test_a_code_span_holds_the_text_and_nothing_gets_out(text: str) -> None:
    inline = tokens(f"| a |\n|---|\n| {code_span(text)} |\n")
    codes = [token.content for token in inline if token.type == "code_inline"]
    assert len(codes) == (1 if text.strip() else 0)
    if len(text) < 300 and text.strip():
        assert codes == [text.replace("|", "\u00a6")]


@pytest.mark.parametrize("text", ["```", "````\nx", "~~~", "a\n```\nb", "\r```\r", "\u2028```", ""])
def test_no_line_ends_a_block(text: str) -> None:
    found = [token for token in tokens(code_block([text])) if token.type != "inline"]
    assert [token.type for token in found] == ["fence"]
    assert found[0].content.strip("\n") == visible(text).strip("\n")


@pytest.mark.parametrize("answer", ["x" * 100_000, "`" * 100_000, "w\n" * 50_000, "\u202e" * 100_000])
def test_it_stays_below_the_size_of_a_comment_whatever_the_answers_are(answer: str) -> None:
    new = [row(f"c{n}", scores(0.1), answer, question=answer[:4000], answer_error=answer) for n in range(400)]
    text = render_markdown(made_report(plain_rows(400), new, notes=(answer,)))
    assert len(text) <= MAX_CHARACTERS < GITHUB
    assert text.count("<details>") == text.count("</details>") > 0


def test_what_does_not_fit_is_said_to_be_missing() -> None:
    text = render_markdown(made_report(plain_rows(), plain_rows(f1=0.1, answer="other")), limit=1_500)
    assert len(text) <= 1_500
    assert "The rest is left out" in text
    assert text.count("<details>") == text.count("</details>")


def test_a_run_that_is_not_whole_says_so_on_top_and_never_looks_passed() -> None:
    rows = [row(f"c{n}", {}, None, answer_error="boom", unscored=dict.fromkeys(NAMES, "boom")) for n in range(3)]
    for run in (made_run(rows), made_run(plain_rows(2), finished_at=None, expected=12), made_run([])):
        text = render_markdown(Report(run, gate=made_gate("PASS")))
        assert "\u2705" not in text
        assert "INCONCLUSIVE for this run" in text
        assert text.index("Not to be relied on") < text.index("Release")
    assert "\u2705" in render_markdown(Report(made_run(plain_rows()), gate=made_gate("PASS")))


def test_a_case_that_lost_its_score_comes_before_one_that_got_worse() -> None:
    new = [*plain_rows(10), row("c10", scores(0.1), "other"), row("c11", {}, None, answer_error="gone")]
    text = render_markdown(made_report(plain_rows(), new))
    assert text.index("score lost: <code>c11</code>") < text.index("worse: <code>c10</code>")
    assert "+ (failed) gone" in text


def test_the_hostile_text_is_as_hostile_as_it_is_meant_to_be() -> None:
    with pytest.raises(AssertionError):
        assert_harmless(HOSTILE.encode("utf-8", "replace").decode())
