"""Editing a prompt in a real browser: checked and tried in memory, committed to a branch of its own, or not at all."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from evals.case import Case
from lockgate.store.channels import get_channel
from lockgate.store.releases import open_releases
from lockgate.store.traces import list_traces
from serving.prompt_preview import Preview
from tests.serving.benches import OWN_PROMPT, PROMPT, Bench, open_bench
from tests.serving.fakes import FakeAsker, FakeBackend, wait_for

pytestmark = pytest.mark.browser

EDITED = OWN_PROMPT.replace("passages only.", "passages only, in one sentence.")


@pytest.fixture
def bench(tmp_path: Path, console: tuple[str, FakeBackend]) -> Iterator[Bench]:
    with open_bench(tmp_path / "project") as bench:
        console[1].bench = bench.workbench
        yield bench


@pytest.fixture
def page(chromium: Browser, console: tuple[str, FakeBackend]) -> Iterator[Page]:
    page = chromium.new_page(viewport={"width": 1280, "height": 860}, base_url=console[0])
    page.set_default_timeout(10_000)
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("dialog", lambda dialog: failures.append(f"a dialog: {dialog.message}"))
    yield page
    page.close()
    assert failures == []


def open_editor(page: Page, address: str = "/prompts/answer/edit") -> None:
    page.goto(address)
    page.wait_for_selector("#lg-text")


def check(page: Page, text: str) -> None:
    page.fill("#lg-text", text)
    page.get_by_role("button", name="Check and preview").click()


def commit(page: Page, message: str) -> None:
    page.fill("#lg-message", message)
    page.get_by_role("button", name="Commit to a branch").click()


def test_an_edit_is_checked_tried_and_committed_to_a_branch_while_everything_else_stays(
    page: Page, bench: Bench
) -> None:
    bench.begin_git()
    release = bench.project.build()
    bench.point("staging", release)
    before = {
        "head": bench.git("rev-parse", "HEAD"),
        "branch": bench.git("branch", "--show-current"),
        "status": bench.git("status", "--porcelain"),
        "releases": [record.id for record in open_releases(bench.project.settings, bench.project.db).list()],
        "channel": get_channel(bench.project.db, "staging", "docs"),
    }
    bench.server.words = ["Rotate ", "a key."]
    open_editor(page)
    button = page.get_by_role("button", name="Commit to a branch")
    expect(button).to_be_disabled()
    check(page, EDITED)
    page.get_by_text("No findings.").wait_for()
    expect(page.locator(".lg-sample")).to_have_count(2)  # the project has two pages and no suite
    sides = page.locator(".lg-side").first
    assert "On disk" in sides.inner_text()
    assert "Rotate a key." in sides.inner_text()
    page.get_by_text("Done.").wait_for()
    expect(button).to_be_enabled()
    commit(page, "Answer in one sentence")
    page.get_by_role("heading", name="Committed").wait_for()

    branch = bench.git("for-each-ref", "--format=%(refname:short)", "refs/heads/lockgate").strip()
    assert branch.startswith("lockgate/prompt-answer-")
    told = page.inner_text(".lg-done")
    for piece in (branch, bench.git("rev-parse", branch)[:12], "prompts/library/answer.md", f"merge {branch}"):
        assert piece in told
    assert bench.git("show", f"{branch}:prompts/library/answer.md") == EDITED
    assert bench.git("log", "-1", "--format=%s", branch).strip() == "Answer in one sentence"
    assert bench.prompt.read_text() == OWN_PROMPT
    after = {
        "head": bench.git("rev-parse", "HEAD"),
        "branch": bench.git("branch", "--show-current"),
        "status": bench.git("status", "--porcelain"),
        "releases": [record.id for record in open_releases(bench.project.settings, bench.project.db).list()],
        "channel": get_channel(bench.project.db, "staging", "docs"),
    }
    assert after == before
    traces = list_traces(bench.project.db)
    assert {trace.origin for trace in traces} == {"eval"}
    assert {trace.prompt_hash for trace in traces} and len(traces) == 4
    sent = [request["messages"][0]["content"] for request in bench.server.asked]
    assert sum("in one sentence" in text for text in sent) == 2


def test_an_edit_with_errors_has_neither_a_preview_nor_a_commit(page: Page, bench: Bench) -> None:
    bench.begin_git()
    open_editor(page)
    check(page, OWN_PROMPT.replace("{{ question | fence }}", "{{ qestion }}"))
    finding = page.locator(".lg-rows > li").filter(has_text="qestion")
    finding.get_by_text("error", exact=True).wait_for()
    assert "answer.md:19:14" in finding.inner_text()
    page.get_by_text("There are errors, so there is no preview.").wait_for()
    expect(page.get_by_role("button", name="Commit to a branch")).to_be_disabled()
    assert bench.server.asked == []
    # A script in the page can press a disabled button; the server does not take that.
    page.evaluate("document.querySelectorAll('.lg-commit button')[0].disabled = false")
    commit(page, "Sneak it in")
    page.wait_for_timeout(500)
    assert "lockgate/" not in bench.git("branch", "--all")


def test_only_the_very_text_that_was_checked_can_be_committed(page: Page, bench: Bench) -> None:
    bench.begin_git()
    open_editor(page)
    check(page, EDITED)
    button = page.get_by_role("button", name="Commit to a branch")
    expect(button).to_be_enabled()
    page.get_by_text("Done.").wait_for()
    page.locator("#lg-text").press_sequentially("x")
    expect(button).to_be_disabled()
    page.get_by_text("The text has changed since it was checked").wait_for()
    check(page, EDITED)
    expect(button).to_be_enabled()
    page.get_by_text("Done.").wait_for()
    # Without an input event, as a script would.
    page.evaluate("document.getElementById('lg-text').value += 'y'")
    commit(page, "Another text")
    expect(button).to_be_disabled()
    assert "lockgate/" not in bench.git("branch", "--all")


def test_what_is_typed_stays_while_the_page_is_drawn_anew(
    page: Page, bench: Bench, console: tuple[str, FakeBackend]
) -> None:
    open_editor(page)
    page.fill("#lg-text", "half an edit")
    console[1].not_ready("loading the model", model_loaded=False)
    page.get_by_text("Starting: loading the model").wait_for()
    assert page.input_value("#lg-text") == "half an edit"


def test_a_message_is_needed(page: Page, bench: Bench) -> None:
    bench.begin_git()
    open_editor(page)
    check(page, EDITED)
    page.get_by_text("Done.").wait_for()
    commit(page, "   ")
    page.get_by_text("Say first what the edit is for.").wait_for()
    assert "lockgate/" not in bench.git("branch", "--all")


def test_outside_a_repository_an_edit_can_be_tried_and_committing_says_why_it_is_not(page: Page, bench: Bench) -> None:
    open_editor(page)
    page.get_by_text("lies in no git repository").first.wait_for()
    check(page, EDITED)
    page.get_by_text("Done.").wait_for()
    assert page.locator(".lg-sample").count() == 2
    commit(page, "Keep it")
    assert "lies in no git repository" in page.get_by_role("alert").inner_text()
    assert bench.prompt.read_text() == OWN_PROMPT


def test_a_file_that_changed_on_disk_meanwhile_is_not_overwritten(page: Page, bench: Bench) -> None:
    bench.begin_git()
    open_editor(page)
    bench.prompt.write_text(OWN_PROMPT + "\nSomebody else was here.\n")
    check(page, EDITED)
    assert "has changed since you began to edit it" in page.get_by_role("alert").inner_text()
    expect(page.get_by_role("button", name="Commit to a branch")).to_be_disabled()


def test_a_text_that_did_not_change_says_so(page: Page, bench: Bench) -> None:
    open_editor(page)
    page.get_by_role("button", name="Check and preview").click()
    assert "there is nothing to commit" in page.get_by_role("alert").inner_text()


@pytest.mark.parametrize("size", [100_000, 700_000])
def test_a_text_too_long_for_a_prompt_is_refused_and_the_page_goes_on(page: Page, bench: Bench, size: int) -> None:
    open_editor(page)
    check(page, OWN_PROMPT + "word " * (size // 5))
    page.get_by_text("100,000 characters").or_(page.get_by_text("a prompt has at most 100000")).first.wait_for()
    check(page, EDITED)
    page.get_by_text("Done.").wait_for()


def test_a_text_of_almost_100_kilobytes_is_shown_and_edited(page: Page, bench: Bench) -> None:
    long = OWN_PROMPT.replace("passages only.", "passages only.\n" + "Name the page. " * 6_000)
    bench.prompt.write_text(long)
    page.goto("/prompts/answer")
    page.get_by_role("region", name="Text of answer.md").wait_for()
    open_editor(page)
    assert page.input_value("#lg-text") == long
    check(page, long.replace("Name the page.", "Name it.", 1))
    page.get_by_role("heading", name="Check").wait_for()


def test_a_hostile_text_is_a_text_in_the_field_in_findings_and_in_outputs(page: Page, bench: Bench) -> None:
    hostile = "</textarea><script>alert(1)</script><img src=x onerror=alert(2)>"
    bench.server.words = [hostile]
    open_editor(page)
    check(page, OWN_PROMPT.replace("passages only.", hostile))
    page.get_by_text("Done.").wait_for()
    assert page.locator(".lg-app :is(img, script)").count() == 0
    check(page, OWN_PROMPT.replace("owner: docs-team", f"owner: docs-team\n{hostile}: 1"))
    page.locator(".lg-tag.is-bad").first.wait_for()
    assert page.locator(".lg-app :is(img, script)").count() == 0


def test_each_file_of_a_prompt_can_be_edited(page: Page, bench: Bench) -> None:
    bench.prompt.unlink()
    folder = bench.prompt.parent / "answer"
    folder.mkdir()
    (folder / "prompt.md").write_text(
        PROMPT.replace(' {% include "shared/tone.md" %}', '\n\n{% include "shared/tone.md" %}')
    )
    (folder.parent / "shared").mkdir()
    (folder.parent / "shared" / "tone.md").write_text("Be kind.\n")
    bench.begin_git()
    open_editor(page)
    files = page.get_by_role("navigation", name="Files of the prompt").get_by_role("link")
    assert files.all_inner_texts() == ["answer/prompt.md", "shared/tone.md"]
    files.nth(1).click()
    page.wait_for_url(re.compile("tone"))
    page.wait_for_selector("#lg-text")
    assert page.input_value("#lg-text") == "Be kind.\n"
    check(page, "Be brief.\n")
    page.get_by_text("Done.").wait_for()
    assert any("Be brief." in request["messages"][0]["content"] for request in bench.server.asked)
    commit(page, "Be brief")
    page.get_by_role("heading", name="Committed").wait_for()
    branch = bench.git("for-each-ref", "--format=%(refname:short)", "refs/heads/lockgate").strip()
    assert bench.git("show", f"{branch}:prompts/library/shared/tone.md") == "Be brief.\n"
    open_editor(page, "/prompts/answer/edit?file=../../../etc/passwd")
    page.get_by_text("The address names a file that is not one of this prompt's.").wait_for()
    assert "for passage in passages" in page.input_value("#lg-text")


def test_a_model_that_never_ends_can_be_stopped_and_the_page_lives_on(
    page: Page, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = FakeAsker(endless=True, delay=0.02)
    monkeypatch.setattr("serving.console.prompt_editor.prepare_preview", lambda _bench, _edit: preview_of(endless))
    open_editor(page)
    check(page, EDITED)
    page.get_by_text("Asking case 1 of 1").wait_for()
    expect(page.get_by_role("button", name="Check and preview")).to_be_hidden()
    page.get_by_role("button", name="Light or dark").click()  # the page still answers
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()
    assert wait_for(lambda: endless.closed == 1)
    check(page, EDITED + "\nAgain.\n")
    page.get_by_text("Asking case 1 of 1").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()


def test_a_commit_need_not_wait_for_the_preview_and_two_clicks_make_one_branch(
    page: Page, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.begin_git()
    endless = FakeAsker(endless=True, delay=0.02)
    monkeypatch.setattr("serving.console.prompt_editor.prepare_preview", lambda _bench, _edit: preview_of(endless))
    open_editor(page)
    check(page, EDITED)
    page.get_by_text("Asking case 1 of 1").wait_for()
    page.fill("#lg-message", "Now")
    page.get_by_role("button", name="Commit to a branch").dblclick()
    page.get_by_role("heading", name="Committed").wait_for()
    assert wait_for(lambda: endless.closed == 1)
    assert len(bench.git("for-each-ref", "--format=%(refname)", "refs/heads/lockgate").split()) == 1
    expect(page.get_by_role("button", name="Check and preview")).to_be_visible()


def test_a_model_server_that_is_gone_is_told_in_each_case(
    page: Page, bench: Bench, console: tuple[str, FakeBackend]
) -> None:
    console[1].bench = bench.without_server()
    open_editor(page)
    check(page, EDITED)
    page.get_by_text("Done.").wait_for()
    assert page.get_by_text("(failed)").count() == 4


def test_a_check_that_takes_long_does_not_hold_up_the_server(
    page: Page, bench: Bench, monkeypatch: pytest.MonkeyPatch, chromium: Browser, console: tuple[str, FakeBackend]
) -> None:
    released = threading.Event()

    def slow(*_: object, **__: object) -> None:
        released.wait(10)
        raise RuntimeError("hunter2")

    monkeypatch.setattr("serving.console.prompt_editor.check_edit", slow)
    open_editor(page)
    check(page, EDITED)
    page.get_by_text("Checking").wait_for()
    started = time.monotonic()
    other = chromium.new_page(base_url=console[0])
    other.goto("/prompts")
    other.wait_for_selector(".lg-row")
    assert time.monotonic() - started < 5
    other.close()
    released.set()
    assert "hunter2" not in page.get_by_role("alert").inner_text()


def preview_of(asker: FakeAsker) -> Preview:
    case = Case(id="page-1", question="How?", answerable=False, split="dev")
    return Preview("docs", (case,), "Cases of a test", "", asker, "", asker)
