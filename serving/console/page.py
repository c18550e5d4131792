"""The chat page: one conversation, each answer with the passages that it rests on."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from contextlib import aclosing

from nicegui import ui

from lockgate.errors import LockgateError, Unavailable
from lockgate.types import Answer, AskRequest, Finished, Message, Token
from serving.console import icons
from serving.console.elements import box, icon_button, set_attribute, words
from serving.console.frame import STATE_SECONDS, add_header, add_look
from serving.console.reply import Reply
from serving.console.served import ServedStrip
from serving.console.state import describe
from serving.failures import INTERNAL_MESSAGE
from serving.metrics import Metrics
from serving.ports import Backend, Readiness
from serving.release_views import Pointer, read_pointers

log = logging.getLogger(__name__)

MAX_QUESTION = 20_000
HISTORY_MESSAGES = 20
REFRESH_SECONDS = 0.08
"""How often a growing answer is drawn: each time it is rendered whole."""
START_SECONDS = 180.0


class ChatPage:
    """One open page: its conversation, and the answer being written, if any."""

    def __init__(self, backend: Backend, metrics: Metrics) -> None:
        self._backend = backend
        self._metrics = metrics
        self._history: list[Message] = []
        self._conversation = uuid.uuid4().hex
        self._answering: asyncio.Task[None] | None = None

    def build(self) -> None:
        add_look("chat.js")
        self._app = box("lg-app")
        with self._app:
            with box("lg-top"):
                self._header()
            with box("lg-scroll", "main").props("tabindex=0 aria-label=Conversation"), box("lg-column"):
                self._log = box("lg-log").props('role=log aria-live=polite aria-label="Questions and answers"')
            self._footer()
        self._welcome()
        client = ui.context.client
        client.on_delete(self._stop)
        ui.timer(STATE_SECONDS, self._refresh_state)

    def _header(self) -> None:
        def new_button() -> None:
            icon_button(icons.NEW, "New conversation").on("click", self._reset, args=[])

        readiness = self._backend.readiness()
        self._state = add_header(readiness, "/", new_button)
        self._served = ServedStrip(readiness)

    def _footer(self) -> None:
        with box("lg-footer", "footer"):
            with box("lg-composer"):
                field = box("", "textarea").props('id=lg-field rows=1 aria-label="Your question" autocomplete=off')
                set_attribute(field, "placeholder", "Ask your documents")
                set_attribute(field, "maxlength", str(MAX_QUESTION))
                field.on(
                    "keydown",
                    lambda event: self._send(event.args),
                    js_handler="(event) => { const text = lockgate.wantsToSend(event); if (text) emit(text); }",
                )
                self._send_button = icon_button(icons.SEND, "Send", "lg-send").on(
                    "click",
                    lambda event: self._send(event.args),
                    js_handler="() => { const text = lockgate.take(); if (text) emit(text); }",
                )
                self._stop_button = icon_button(icons.STOP, "Stop", "lg-send").on("click", self._stop, args=[])
                self._stop_button.set_visibility(False)
            with box("lg-hint"):
                words("Answers quote your documents and name the page.", tag="span")
                words(" Enter sends, Shift+Enter starts a new line.", "lg-keys", "span")

    def _welcome(self) -> None:
        with self._log, box("lg-welcome") as self._greeting:
            icons.icon(icons.GATE)
            words("Ask your documents", tag="h1")
            words("Every answer quotes the passages it rests on. What they do not say, it does not claim.", tag="p")

    def _send(self, text: object) -> None:
        """Called with what the browser emitted, which may be anything."""
        if not isinstance(text, str) or not text.strip() or self._answering is not None:
            return
        if not self._greeting.is_deleted:
            self._greeting.delete()
        question = text.strip()[:MAX_QUESTION]
        with self._log:
            words(question, "lg-question")
            reply = Reply(self._backend, self._metrics)
        self._set_answering(True)
        self._answering = asyncio.create_task(self._answer(question, reply))

    async def _answer(self, question: str, reply: Reply) -> None:
        try:
            answer = await self._stream(question, reply)
            if answer is not None:
                self._history += [Message("user", question), Message("assistant", answer.text)]
                del self._history[:-HISTORY_MESSAGES]
        except asyncio.CancelledError:
            reply.stop()
        except LockgateError as error:
            reply.fail(error.message, error.hint)
        except Exception:
            log.exception("The console could not answer.")
            reply.fail(INTERNAL_MESSAGE)
        finally:
            self._answering = None
            self._set_answering(False)

    async def _stream(self, question: str, reply: Reply) -> Answer | None:
        model = self._served.model
        await self._until_ready(model, reply)
        request = AskRequest(question, history=tuple(self._history), conversation=self._conversation)
        answer: Answer | None = None
        drawn = 0.0
        asker = await asyncio.to_thread(self._backend.asker, model)
        events = self._metrics.observe(asker.ask(request), door="console")
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Finished):
                    answer = event.answer
                elif isinstance(event, Token):
                    reply.add(event.text)
                    if time.monotonic() - drawn > REFRESH_SECONDS:
                        reply.draw()
                        drawn = time.monotonic()
                        await asyncio.sleep(0)
        if answer is not None:
            reply.finish(answer)
        return answer

    async def _until_ready(self, model: str | None, reply: Reply) -> None:
        """Wait for a server that is still starting; what cannot be waited for is raised by asking."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                await asyncio.to_thread(self._backend.asker, model)
                return
            except Unavailable:
                readiness = await asyncio.to_thread(self._backend.readiness)
                reply.wait_for(describe(readiness)[1])
                await asyncio.sleep(0.5)

    def _set_answering(self, answering: bool) -> None:
        if self._app.is_deleted:
            return
        set_attribute(self._app, "data-answering", "yes" if answering else "no")
        set_attribute(self._log, "aria-busy", "true" if answering else "false")
        self._send_button.set_visibility(not answering)
        self._stop_button.set_visibility(answering)

    def _stop(self) -> None:
        if self._answering is not None:
            self._answering.cancel()

    def _reset(self) -> None:
        self._stop()
        self._history.clear()
        self._conversation = uuid.uuid4().hex
        self._log.clear()
        self._welcome()

    async def _refresh_state(self) -> None:
        readiness, pointers = await asyncio.to_thread(self._read_state)
        self._state.show(readiness)
        self._served.show(readiness, pointers)

    def _read_state(self) -> tuple[Readiness, tuple[Pointer, ...]]:
        try:
            pointers = read_pointers(self._backend.workbench())
        except Unavailable:
            pointers = ()
        return self._backend.readiness(), pointers
