"""The pages about releases, channels and prompts in a real browser, over a real project."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, Request

from serving.rollout import new_rollout
from tests.serving.benches import OWN_PROMPT, Bench, open_bench
from tests.serving.fakes import FakeBackend

browser_test = pytest.mark.browser

HOSTILE = "</textarea><script>alert(1)</script><img src=x onerror=alert(2)>`${alert(3)}` safe\u202etxt.exe {{ 1 }}"


@dataclasses.dataclass(frozen=True)
class Shelf:
    """A project with two releases: production was forced to the older, staging has the newer."""

    bench: Bench
    old: str
    new: str


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    with open_bench(tmp_path_factory.mktemp("project")) as bench:
        bench.begin_git()
        old = bench.project.build()
        bench.point("staging", old)
        bench.point("production", old, forced=True, reason="The demo is today.")
        bench.prompt.write_text(OWN_PROMPT.replace("passages only.", "given passages only."))
        definition = bench.folder / "chains" / "definitions" / "docs.yaml"
        definition.parent.mkdir(parents=True)
        definition.write_text("name: docs\npassages: 5\n")
        bench.commit("Say which passages")
        bench.project.sync({"new.md": "# New page\n\nA page that is new here.\n"})
        new = bench.project.build()
        bench.point("staging", new)
        yield Shelf(bench, old, new)


@pytest.fixture
def backend(console: tuple[str, FakeBackend], shelf: Shelf) -> FakeBackend:
    console[1].bench = shelf.bench.workbench
    return console[1]


@pytest.fixture
def page(chromium: Browser, console: tuple[str, FakeBackend], backend: FakeBackend) -> Iterator[Page]:
    """A page that fails the test when a request leaves the server, a script fails or a dialog opens."""
    page = chromium.new_page(viewport={"width": 1280, "height": 860}, base_url=console[0])
    page.set_default_timeout(10_000)
    failures: list[str] = []

    def note(request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(console[0]).netloc and not request.url.startswith("data:"):
            failures.append(request.url)

    page.on("request", note)
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("dialog", lambda dialog: failures.append(f"a dialog: {dialog.message}"))
    yield page
    page.close()
    assert failures == []


def text_of(page: Page) -> str:
    return page.inner_text("main")


# The chat's header


@browser_test
def test_the_chat_says_which_release_answers_and_follows_a_move_within_two_seconds(
    page: Page, backend: FakeBackend, shelf: Shelf
) -> None:
    backend.bench = None
    page.goto("/")
    strip = page.locator(".lg-served")
    strip.get_by_text("staging · release").wait_for()
    assert "e" * 12 in strip.inner_text()
    assert "FORCED" not in strip.inner_text()
    assert page.locator(".lg-served select").count() == 0  # there is nothing to choose between
    rolling = f"10 % of the conversations: release {shelf.new[:12]}"
    backend.state = dataclasses.replace(
        backend.state, release=shelf.old, channel="production", forced=True, rollout=rolling, warning="The sync failed."
    )
    strip.get_by_text("production · release").wait_for(timeout=2_500)
    told = strip.inner_text()
    for piece in (shelf.old[:12], "FORCED past its gate", rolling, "The sync failed."):
        assert piece in told
    assert strip.get_by_role("link").get_attribute("href") == f"/releases/{shelf.old}"


@browser_test
def test_a_conversation_can_ask_another_channel(page: Page, backend: FakeBackend, shelf: Shelf) -> None:
    page.goto("/")
    choice = page.get_by_role("combobox", name="Channel that this conversation asks")
    choice.select_option("production")
    page.locator(".lg-served").get_by_text("production · release").wait_for()
    assert shelf.old[:12] in page.inner_text(".lg-served")
    assert "FORCED" in page.inner_text(".lg-served")
    page.fill("#lg-field", "How?")
    page.press("#lg-field", "Enter")
    page.wait_for_selector(".lg-votes")
    assert backend.asked_models[-1] == "production"
    choice.select_option("")
    page.fill("#lg-field", "And by default?")
    page.press("#lg-field", "Enter")
    page.wait_for_selector(".lg-votes >> nth=1")
    assert backend.asked_models[-1] is None


@browser_test
@pytest.mark.parametrize(
    ("address", "current"),
    [("/", "Chat"), ("/prompts", "Prompts"), ("/prompts/answer", "Prompts"), ("/releases", "Releases")],
)
def test_every_page_has_links_to_the_others_and_marks_its_own(page: Page, address: str, current: str) -> None:
    page.goto(address)
    ways = page.get_by_role("navigation", name="Pages").get_by_role("link")
    assert ways.all_inner_texts() == ["Chat", "Prompts", "Releases"]
    assert page.locator(".lg-header [aria-current=page]").all_inner_texts() == [current]
    assert page.locator("h1").count() == 1


# Releases and channels


@browser_test
def test_the_releases_page_has_the_channels_on_top_and_the_newest_release_first(page: Page, shelf: Shelf) -> None:
    page.goto("/releases")
    production, staging = page.locator(".lg-card").all()
    told = production.inner_text()
    for piece in ("production", "FORCED past its gate", shelf.old[:12], "by ann (unverified)"):
        assert piece in told
    assert shelf.new[:12] in staging.inner_text()
    assert "FORCED" not in staging.inner_text()
    rows = page.locator(".lg-rows > li")
    assert shelf.new[:12] in rows.first.inner_text()
    assert "production of docs (forced)" in rows.last.inner_text()
    assert "commit" in rows.last.inner_text()


@browser_test
def test_a_move_and_a_rollout_appear_on_an_open_releases_page(page: Page, shelf: Shelf) -> None:
    page.goto("/releases")
    page.wait_for_selector(".lg-card")
    shelf.bench.point("preview", shelf.old, rollout=None)
    page.get_by_role("heading", name="preview").wait_for(timeout=4_000)
    shelf.bench.point("preview", shelf.old, rollout=new_rollout("percent", shelf.new, share=10))
    figures = page.get_by_role("region", name="Figures of the rollout in preview")
    figures.wait_for(timeout=4_000)
    assert shelf.new[:12] in figures.inner_text()


@browser_test
def test_a_release_shows_all_that_it_pins_and_who_built_it(page: Page, shelf: Shelf) -> None:
    (shelf.bench.folder / "scope.yaml").write_text(
        "owner: ann\nusers: [all]\ntargets:\n- {name: quick, kind: latency, metric: answer_seconds_p95, at_most: 5}\n"
    )
    page.goto(f"/releases/{shelf.new}")
    told = text_of(page)
    for piece in (
        shelf.new,
        "staging of docs",
        "given passages only.",  # the text of the prompt
        "max_characters: 8000",  # the text of the policy
        "3 pages",
        "smollm2-135m-instruct",
        "relevance.threshold",
        "ann (not verified",
        "holds (this installation's own key",
        "answer_seconds_p95",
        "not measured",
        f"lockgate release promote {shelf.new[:12]} staging",
    ):
        assert piece in told, piece
    page.get_by_role("combobox", name="Release to compare with").select_option(shelf.old)
    page.wait_for_url(f"**/releases/{shelf.old}/diff/{shelf.new}")


@browser_test
def test_a_comparison_colours_texts_counts_pages_and_lists_settings(page: Page, shelf: Shelf) -> None:
    page.goto(f"/releases/{shelf.old}/diff/{shelf.new}")
    page.wait_for_selector(".lg-line")
    assert page.inner_text(".lg-line.is-removed").startswith("-Answer from the passages only.")
    assert page.inner_text(".lg-line.is-added").startswith("+Answer from the given passages only.")
    told = text_of(page)
    for piece in (
        "2 → 3",
        "1 page added",
        "new.md (docs)",
        "0 pages removed",
        "0 pages changed",
        "chain.passages",
    ):
        assert piece in told, piece
    colours = {
        name: page.evaluate(f"getComputedStyle(document.querySelector('.lg-line.{name}')).backgroundColor")
        for name in ("is-added", "is-removed")
    }
    assert colours["is-added"] != colours["is-removed"]
    page.goto(f"/releases/{shelf.new}/diff/{shelf.new}")
    page.get_by_text("Both are the same release.").wait_for()


@browser_test
def test_a_channel_tells_who_moved_it_when_why_and_on_what_evidence(page: Page) -> None:
    page.goto("/channels/docs/production")
    told = text_of(page)
    for piece in ("production of docs", "promote", "by ann (unverified)", "The demo is today.", "FORCED", "FAIL"):
        assert piece in told, piece
    page.get_by_text("Evidence: gate").click()
    page.get_by_text("verify: All is here.").wait_for()
    page.get_by_text("lockgate release rollback production --chain docs").wait_for()


@browser_test
def test_a_touched_manifest_is_told_in_words_and_hides_no_other_release(page: Page, shelf: Shelf) -> None:
    path = shelf.bench.project.settings.state_dir / "objects"
    manifest = next(file for file in path.rglob("*") if file.is_file() and shelf.old[4:] in file.name)
    before = manifest.read_bytes()
    manifest.chmod(0o644)
    manifest.write_bytes(before.replace(b"docs", b"dogs", 1))
    try:
        page.goto(f"/releases/{shelf.old}")
        page.get_by_role("heading", name="This cannot be shown").wait_for()
        assert "Traceback" not in text_of(page)
        page.goto("/releases")
        assert page.locator(".lg-rows > li").count() == 2
    finally:
        manifest.write_bytes(before)


# Prompts


@browser_test
def test_the_prompts_page_says_where_each_is_used(page: Page, shelf: Shelf) -> None:
    page.goto("/prompts")
    rows = page.locator(".lg-rows > li")
    answer, condense = (
        rows.filter(has=page.get_by_role("link", name=name, exact=True)) for name in ("answer", "condense")
    )
    for piece in ("answer", "Answers from passages.", "docs-team", "prompts/library/answer.md", "staging of docs"):
        assert piece in answer.inner_text(), piece
    assert "ships with Lockgate: condense.md" in condense.inner_text()
    assert "in 2 releases" in condense.inner_text()


@browser_test
def test_a_prompt_has_its_text_its_versions_and_a_comparison_word_by_word(page: Page, shelf: Shelf) -> None:
    page.goto("/prompts/answer")
    told = text_of(page)
    for piece in ("given passages only.", "Say which passages", "Begin", shelf.old[:12], "production of docs now"):
        assert piece in told, piece
    page.get_by_role("link", name="What changed").click()
    page.wait_for_url("**#changes")
    changes = page.get_by_role("region", name="Changes of answer.md")
    assert changes.locator("ins").all_inner_texts() == ["given "]
    assert changes.locator("del").count() == 0
    assert "unchanged lines" in changes.inner_text()
    newest = page.get_by_role("combobox", name="The newer version")
    newest.select_option(index=1)
    page.get_by_text("The texts are equal.").wait_for()


# What is not there, and what should not be


@pytest.mark.parametrize(
    "address",
    [
        "/prompts/nope",
        "/prompts/..%2f..%2fetc%2fpasswd",
        "/prompts/%2e%2e",
        "/prompts/nope/edit",
        "/prompts/..%5c..%5cx/edit",
        "/prompts/%00",
        "/releases/zzzz",
        "/releases/0123456789ab",
        "/releases/%3Cscript%3E",
        "/releases/..%2f..%2fetc",
        f"/releases/{'f' * 64}",
        "/releases/aaaaaa/diff/bbbbbb",
        "/channels/docs/nope",
        "/channels/docs/NO%20PE",
        "/channels/x/production",
        "/nothing/at/all",
    ],
)
def test_what_is_not_there_is_a_page_of_the_console_with_404(
    console: tuple[str, FakeBackend], backend: FakeBackend, address: str
) -> None:
    response = httpx.get(f"{console[0]}{address}", trust_env=False, timeout=20)
    assert response.status_code == 404
    assert "Not found" in response.text
    assert "lg-header" in response.text
    assert "Traceback" not in response.text
    assert "<script>alert" not in response.text


@browser_test
def test_a_version_that_is_not_known_is_told(page: Page) -> None:
    page.goto("/prompts/answer?a=../../etc&b=%3Cimg%20src=x%3E")
    page.get_by_text("The address names a version that is not known here.").wait_for()


@browser_test
def test_while_the_server_opens_a_page_waits_and_then_comes_by_itself(
    page: Page, backend: FakeBackend, shelf: Shelf
) -> None:
    backend.bench = None
    response = page.goto("/releases")
    assert response is not None
    assert response.status == 503
    page.get_by_text("opening the index").wait_for()
    backend.bench = shelf.bench.workbench
    page.wait_for_selector(".lg-card")


@browser_test
def test_hostile_texts_and_names_do_nothing_on_any_page(
    chromium: Browser, page: Page, backend: FakeBackend, tmp_path: Path
) -> None:
    with open_bench(tmp_path / "hostile") as bench:
        bench.prompt.write_text(OWN_PROMPT.replace("passages only.", HOSTILE))
        named = bench.prompt.parent / "<img src=x onerror=alert(9)>.md"
        named.write_text(HOSTILE)
        first = bench.project.build()
        bench.prompt.write_text(bench.prompt.read_text().replace("safe", "other"))
        bench.project.sync({"<svg onload=alert(4)>.md": f"# {HOSTILE}\n\nx\n"})
        second = bench.project.build()
        bench.point("staging", first, reason=HOSTILE)
        bench.point("staging", second, reason=HOSTILE, forced=True)
        backend.bench = bench.workbench
        backend.state = dataclasses.replace(backend.state, warning=HOSTILE, rollout=HOSTILE, channel=HOSTILE)
        addresses = [
            *("/", "/prompts", "/prompts/answer", "/prompts/answer/edit", "/releases", "/channels/docs/staging"),
            *(f"/releases/{second}", f"/releases/{first}/diff/{second}"),
        ]
        for address in addresses:
            page.goto(address)
            page.wait_for_selector("h1")
            page.wait_for_timeout(300)
            assert page.locator(".lg-app :is(img, iframe, script, style)").count() == 0, address
            shown = page.inner_text(".lg-app")
            assert "\u202e" not in shown, address
        page.goto("/prompts/answer")
        assert "</textarea><script>alert(1)</script>" in text_of(page)
        assert "<U+202E>" in text_of(page)
        page.goto("/prompts/answer/edit")
        page.wait_for_selector("#lg-text")
        assert page.input_value("#lg-text") == bench.prompt.read_text()


@browser_test
def test_no_page_is_wider_than_a_phone(
    chromium: Browser, console: tuple[str, FakeBackend], backend: FakeBackend, tmp_path: Path
) -> None:
    word = "x" * 300
    with open_bench(tmp_path / "wide") as bench:
        bench.begin_git()
        first = bench.project.build()
        bench.point("staging", first, reason=word)
        bench.prompt.write_text(OWN_PROMPT.replace("passages only.", word).replace("from passages", word))
        bench.commit(word)
        second = bench.project.build()
        bench.point("staging", first, rollout=new_rollout("percent", second, share=10))
        bench.point("production", second, forced=True)
        backend.bench = bench.workbench
        backend.state = dataclasses.replace(
            backend.state, warning=word, rollout=word, forced=True, documents=1_000_000, indexing=0.5
        )
        context = chromium.new_context(
            viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, base_url=console[0]
        )
        phone = context.new_page()
        for address in (
            *("/", "/prompts", "/prompts/answer", "/prompts/answer/edit", "/releases", "/channels/docs/staging"),
            *(f"/releases/{second}", f"/releases/{first}/diff/{second}", "/prompts/nope"),
        ):
            phone.goto(address)
            phone.wait_for_selector("h1")
            phone.wait_for_timeout(200)
            assert phone.evaluate("document.documentElement.scrollWidth") == 390, address
            wider = phone.evaluate(
                "document.querySelector('main').scrollWidth - document.querySelector('main').clientWidth"
            )
            assert wider <= 0, address
        context.close()


@browser_test
def test_the_pages_are_dark_where_the_system_is(
    chromium: Browser, console: tuple[str, FakeBackend], backend: FakeBackend
) -> None:
    context = chromium.new_context(color_scheme="dark", base_url=console[0])
    dark = context.new_page()
    dark.goto("/prompts")
    dark.wait_for_selector("body.body--dark .lg-row")
    paper = dark.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(18, 22, 21)"
    dark.get_by_role("button", name="Light or dark").click()
    dark.wait_for_selector("body.body--light")
    dark.goto("/releases")
    dark.wait_for_selector("body.body--light .lg-card")
    context.close()


@browser_test
def test_a_command_is_copied_with_a_click(
    chromium: Browser, console: tuple[str, FakeBackend], backend: FakeBackend
) -> None:
    context = chromium.new_context(base_url=console[0], permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto("/channels/docs/production")
    page.get_by_role("button", name="Copy the command").first.click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "lockgate release rollback production --chain docs"
    context.close()


def test_the_pages_import_nothing_heavy_before_they_are_asked_for() -> None:
    script = (
        "import sys, serving.console.site\n"
        "heavy = {'torch', 'transformers', 'langchain_core', 'langchain', 'qdrant_edge', 'onnxruntime', 'evals'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
