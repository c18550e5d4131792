"""Thumbs up and down, and the comment that may come with them."""

from __future__ import annotations

import asyncio

from nicegui import ui
from nicegui.element import Element

from lockgate.errors import LockgateError
from serving.console import icons
from serving.console.elements import box, icon_button, set_attribute, text_button, words
from serving.metrics import Metrics
from serving.ports import Backend, Vote

MAX_COMMENT = 4000
READ_COMMENT = "() => emit(document.getElementById('lg-comment').value)"


class Votes:
    """The votes on one answer. A vote is stored at once; a comment is stored with it when it is sent."""

    def __init__(self, trace_id: str, backend: Backend, metrics: Metrics) -> None:
        self._trace_id = trace_id
        self._backend = backend
        self._metrics = metrics
        self._vote: Vote | None = None
        with box("lg-votes") as self._row:
            self._up = self._button("up", icons.UP, "Good answer")
            self._down = self._button("down", icons.DOWN, "Bad answer")
            self._comment = text_button("Add a comment", self._ask_comment, "lg-link")
            self._comment.set_visibility(False)
            self._said = words("", "lg-note").props("role=status")

    def _button(self, vote: Vote, drawing: str, label: str) -> Element:
        async def cast() -> None:
            await self._cast(vote)

        return icon_button(drawing, label).props("aria-pressed=false").on("click", cast, args=[])

    async def _cast(self, vote: Vote) -> None:
        if not await self._store(vote, None):
            return
        self._vote = vote
        set_attribute(self._up, "aria-pressed", str(vote == "up").lower())
        set_attribute(self._down, "aria-pressed", str(vote == "down").lower())
        self._comment.set_visibility(True)
        self._said.set_text("Thank you.")
        if vote == "down":
            self._ask_comment()

    async def _store(self, vote: Vote, comment: str | None) -> bool:
        try:
            await asyncio.to_thread(self._backend.write_feedback, self._trace_id, vote, comment)
        except LockgateError as error:
            self._said.set_text(str(error))
            return False
        self._metrics.feedback.labels(vote).inc()
        return True

    def _ask_comment(self) -> None:
        async def send(comment: object) -> None:
            dialog.close()
            if not isinstance(comment, str) or not comment.strip() or self._vote is None:
                return
            if await self._store(self._vote, comment.strip()[:MAX_COMMENT]):
                self._said.set_text("Thank you, your comment is stored.")
                self._comment.set_visibility(False)

        with self._row, ui.dialog() as dialog, box("lg-dialog is-small") as sheet:
            sheet.props('role=dialog aria-modal=true aria-label="Comment on this answer"')
            words("What was wrong?" if self._vote == "down" else "What was good?", tag="h2")
            words("Optional. It is stored with the question and the answer, on this machine.", "lg-crumbs")
            area = box("", "textarea").props('id=lg-comment aria-label="Your comment" autofocus')
            set_attribute(area, "maxlength", str(MAX_COMMENT))
            with box("lg-actions"):
                text_button("Skip", dialog.close)
                words("Send comment", "lg-button is-main", "button").props("type=button").on(
                    "click", lambda event: send(event.args), js_handler=READ_COMMENT
                )
        dialog.on("hide", dialog.delete, args=[])
        dialog.open()
