"""One answer on the page: as it grows, then with its sources and votes."""

from __future__ import annotations

from collections.abc import Iterator

from nicegui import ui

from lockgate.types import Answer, Citation
from serving.console import icons, safe_markdown
from serving.console.elements import box, words
from serving.console.sources import open_source, source_card
from serving.console.votes import Votes
from serving.metrics import Metrics
from serving.ports import Backend

ON_CITE = "(event) => { const mark = event.target.closest('[data-cite]'); if (mark) emit(mark.dataset.cite); }"


class Reply:
    """Built where it is created; the other methods may be called from any task of the event loop."""

    def __init__(self, backend: Backend, metrics: Metrics) -> None:
        self._backend = backend
        self._metrics = metrics
        self._text = ""
        self._citations: dict[int, Citation] = {}
        self._underlines: list[safe_markdown.Underline] = []
        self._body = box("lg-reply", "article").props("aria-label=Answer")
        with self._body:
            with box("lg-wait") as self._waiting:
                with box("lg-dots").props("aria-hidden=true"):
                    for _ in range(3):
                        ui.element("i")
                self._waiting_for = words("Looking it up")
            self._answer = ui.html("").classes("lg-answer").on("click", self._cite, js_handler=ON_CITE)
            self._answer.set_visibility(False)

    @property
    def gone(self) -> bool:
        return self._body.is_deleted

    def wait_for(self, what: str) -> None:
        if not self.gone:
            self._waiting_for.set_text(what)

    def add(self, piece: str) -> None:
        self._text += piece

    def draw(self) -> None:
        """Show what has come so far."""
        if self.gone:
            return
        self._waiting.set_visibility(False)
        self._answer.set_visibility(True)
        titles = {number: citation.title for number, citation in self._citations.items()}
        self._answer.set_content(safe_markdown.render(self._text, titles, self._underlines))

    def finish(self, answer: Answer) -> None:
        """The answer as the chain ended it, with everything that comes with it."""
        if self.gone:
            return
        self._text = answer.text
        self._citations = {citation.number: citation for citation in answer.citations}
        self._underlines = list(underlines_of(answer))
        if answer.abstained:
            self._show_absent()
        else:
            self.draw()
        with self._body:
            if answer.citations:
                self._show_sources(answer.citations)
            self._show_notes(answer)
            Votes(answer.trace_id, self._backend, self._metrics)

    def stop(self) -> None:
        if self.gone:
            return
        if self._text:
            self.draw()
        self._waiting.set_visibility(False)
        with self._body:
            words("Stopped.", "lg-note")

    def fail(self, message: str, hint: str = "") -> None:
        if self.gone:
            return
        self._waiting.set_visibility(False)
        with self._body, box("lg-error").props("role=alert"):
            words(message)
            if hint:
                words(hint)

    def _show_absent(self) -> None:
        self._waiting.delete()
        self._answer.delete()
        with self._body, box("lg-absent"):
            with box("lg-absent-title"):
                icons.icon(icons.ABSENT)
                words("Not in the documents")
            ui.html(safe_markdown.render(self._text)).classes("lg-answer")

    def _show_sources(self, citations: tuple[Citation, ...]) -> None:
        with box("", "section").props("aria-label=Sources"):
            words("Sources", "lg-sources-title")
            with box("lg-sources"):
                for citation in citations:
                    source_card(citation, self._open)

    def _show_notes(self, answer: Answer) -> None:
        notes = list(answer.guardrails)
        if answer.indexing is not None:
            notes.append(f"Still indexing ({round(answer.indexing * 100)} %): more pages may change this answer.")
        if answer.finish_reason == "length":
            notes.append("The answer was cut at its length limit.")
        if answer.snapshot:
            done = "Looked in" if answer.abstained else "Answered from"
            notes.append(f"{done} snapshot {answer.snapshot[:12]}, release {answer.release[:12]}{_through(answer)}.")
        if self._underlines:
            self._show_unsupported()
        for note in notes:
            words(safe_markdown.visible(note), "lg-note")

    def _show_unsupported(self) -> None:
        count = len(self._underlines)
        what, it = ("sentence lacks", "it") if count == 1 else ("sentences lack", "them")
        with box("lg-doubt").props("role=note"):
            icons.icon(icons.ABSENT)
            words(f"The underlined {what} support in the passages. Check before you rely on {it}.")

    def _cite(self, event: object) -> None:
        number = getattr(event, "args", None)
        citation = self._citations.get(int(number)) if isinstance(number, str) and number.isdecimal() else None
        if citation is not None:
            self._open(citation)

    def _open(self, citation: Citation) -> None:
        with self._body:
            open_source(citation)


def underlines_of(answer: Answer) -> Iterator[safe_markdown.Underline]:
    """What of the answer lacks support, and how sure that is."""
    for each in answer.grounding.unsupported if answer.grounding else ():
        what = "Contradicts the passages" if each.status == "contradicted" else "Not found in the passages"
        yield safe_markdown.Underline(each.start, each.end, f"{what} ({each.score:.0%} sure)")


def _through(answer: Answer) -> str:
    if not answer.channel:
        return ""
    return f" of {answer.channel}" + (", which was set past its gate" if answer.forced else "")
