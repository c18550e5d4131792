from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from evals.reports.report import Report
from evals.reports.report_html import render_html
from evals.verdict import Verdict
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
from tests.evals.test_report import Tags

CHROMIUM = Path("/usr/bin/chromium")
SWITCHES = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]
GREEN = 'class="banner is-good"'


def changed_report() -> Report:
    new = [
        *plain_rows(9),
        row(
            "c9",
            scores(0.9),
            "better words here",
            citations=[{"number": 1, "path": "keys.md", "heading": ["Rotation"]}],
        ),
        row("c10", scores(0.1), "worse words here"),
        row("c11", {}, None, answer_error="it broke", unscored=dict.fromkeys(NAMES, "it broke")),
    ]
    return made_report(plain_rows(), new, margins={"token_f1": 0.15}, margins_of="production")


def test_shows_both_runs_their_difference_and_the_drop_that_is_allowed() -> None:
    html = render_html(changed_report())
    assert re.search(r'aria-label="token_f1: 0\.510, 0\.\d+ to 0\.\d+ against this run 0\.\d+, 0\.\d+ to 0\.\d+"', html)
    assert "allowed drop 0.150" in html
    assert html.count("<svg") >= 2 * len(NAMES)
    assert "500 ms" in html
    assert "NaN" not in html
    assert "inf" not in re.sub(r"[a-z]*inf[a-z]+", "", html)


def test_shows_both_answers_with_the_words_that_differ_and_what_they_cite() -> None:
    html = render_html(changed_report())
    assert "<del>same</del>" in html
    assert "<ins>worse words here</ins>" in html
    assert "keys.md</bdi> \u203a Rotation" in html
    assert 'token_f1 0.500 \u2192 <b class="good">0.900</b>' in html
    assert "it broke" in html
    assert html.index("is-lost") < html.index("change is-worse") < html.index("change is-better")


def test_the_style_sheet_is_the_only_thing_that_the_policy_allows() -> None:
    html = render_html(changed_report())
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'" in html
    assert "style=" not in html


@pytest.mark.parametrize(
    "report",
    [
        hostile_report(),
        made_report(hostile_rows("short"), good_rows()),
        Report(made_run(hostile_rows(), metadata={HOSTILE: HOSTILE, "judge": {HOSTILE: [HOSTILE]}}, suite=HOSTILE)),
        made_report(plain_rows(), plain_rows(), base_name=HOSTILE, margins={"token_f1": 0.1}, margins_of=HOSTILE),
    ],
)
def test_hostile_text_stays_text(report: Report) -> None:
    html = render_html(report)
    tags = Tags(html).found
    assert not {tag for tag, _ in tags} & {"script", "img", "a", "iframe", "link", "object", "form", "b out"}
    allowed = {
        "aria-hidden", "aria-label", "charset", "checked", "class", "content", "cx", "cy", "data-name", "dir",
        "http-equiv", "id", "lang", "name", "r", "role", "tabindex", "type", "viewbox", "x1", "x2", "y1", "y2",
    }  # fmt: skip
    assert {name for _, attributes in tags for name in attributes} <= allowed
    assert not set(html) & set("\x00\x1b\x08\u202e\ufffe")
    html.encode()


def test_ids_do_not_repeat() -> None:
    ids = [value for _, attributes in Tags(render_html(changed_report())).found if (value := attributes.get("id"))]
    assert len(ids) == len(set(ids)) > 5


@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "INCONCLUSIVE"])
def test_a_verdict_stands_on_top_with_every_check_and_reason(verdict: Verdict) -> None:
    html = render_html(made_report(plain_rows(), plain_rows(), gate=made_gate(verdict)))
    assert html.index(f">{verdict}</strong>") < html.index("<h2>Metrics")
    assert "check PASS" in html
    assert (GREEN in html) == (verdict == "PASS")


def test_without_a_gate_it_says_that_it_is_no_verdict() -> None:
    assert "No gate was asked" in render_html(made_report(plain_rows(), plain_rows()))


@pytest.mark.parametrize("case", ["unscored", "unfinished", "empty", "one failed", "base"])
def test_a_run_that_is_not_whole_says_so_on_top_and_never_looks_green(case: str) -> None:
    bad = [row(f"c{n}", {}, None, answer_error="boom", unscored=dict.fromkeys(NAMES, "boom")) for n in range(3)]
    gate = made_gate("PASS")
    report = {
        "unscored": lambda: Report(made_run(bad), gate=gate),
        "unfinished": lambda: Report(made_run(plain_rows(2), finished_at=None, expected=12), gate=gate),
        "empty": lambda: Report(made_run([]), gate=gate),
        "one failed": lambda: Report(made_run([*plain_rows(), bad[0]]), gate=gate),
        "base": lambda: made_report([*plain_rows(), bad[0]], plain_rows(), gate=gate),
    }[case]()
    html = render_html(report)
    assert "Not to be relied on" in html
    assert html.index("Not to be relied on") < html.index("<h2>")
    assert GREEN not in html


def test_answers_of_100_kb_are_cut_and_take_no_time() -> None:
    words = " ".join(f"w{n * 7919 % 5003}" for n in range(17_000))

    def rendered(text: str) -> tuple[str, float]:
        old = [row(f"c{n}", scores(0.5), text) for n in range(60)]
        new = [row(f"c{n}", scores(0.4), text[::-1]) for n in range(60)]
        report = made_report(old, new)
        started = time.process_time()
        return render_html(report), time.process_time() - started

    html, seconds = rendered(words)
    assert seconds < 5 * max(rendered(words[:20_000])[1], 0.05)
    assert "more characters)" in html
    assert len(html) < 6_000_000


def test_a_metric_of_another_version_is_shown_and_not_judged() -> None:
    run = made_run(plain_rows())
    run.aggregates["metrics"]["gone_metric"] = {**run.aggregates["metrics"]["token_f1"], "metric": "gone_metric"}
    assert "gone_metric" in render_html(Report(run))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("apt-get install chromium")
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=str(CHROMIUM), args=SWITCHES)
        yield browser
        browser.close()


def opened(browser: Browser, html: str, folder: Path, width: int = 1280) -> tuple[Page, list[str]]:
    """The page, and what it asked for beside itself or complained of."""
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url) if request.url != path.as_uri() else None)
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("dialog", lambda dialog: seen.append(dialog.message))
    page.goto(path.as_uri())
    return page, seen


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_nothing_is_asked_for_no_script_runs_and_nothing_sticks_out(
    chromium: Browser, tmp_path: Path, width: int
) -> None:
    page, seen = opened(chromium, render_html(hostile_report()), tmp_path, width)
    page.wait_for_timeout(200)
    assert page.evaluate("window.hit") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.scripts.length + document.images.length + document.links.length") == 0
    assert page.locator("h2").count() >= 6
    page.close()
    assert seen == []


@pytest.mark.browser
def test_the_policy_stops_a_script_and_an_image_should_one_ever_slip_through(chromium: Browser, tmp_path: Path) -> None:
    slipped = "<script>window.hit=1</script><img src='http://evil.example/x.png'><p style='color:red'>x</p></main>"
    page, seen = opened(chromium, render_html(changed_report()).replace("</main>", slipped), tmp_path)
    page.wait_for_timeout(200)
    assert page.evaluate("window.hit") is None
    assert len([text for text in seen if "Content Security Policy" in text]) == 3
    page.close()


@pytest.mark.browser
def test_filters_work_without_a_script(chromium: Browser, tmp_path: Path) -> None:
    page, _ = opened(chromium, render_html(changed_report()), tmp_path)
    shown = page.locator(".change:visible h3 bdi")
    assert shown.all_inner_texts() == ["c11", "c10", "c9"]
    page.get_by_label("worse 1", exact=True).check()
    assert shown.all_inner_texts() == ["c10"]
    page.locator("#kind-all").check()
    page.get_by_label("abstention_accuracy", exact=True).check()
    assert shown.all_inner_texts() == ["c11"]
    page.get_by_label("failed or lacks a score 1").check()
    assert page.locator("details.row:visible").count() == 1
    page.close()
