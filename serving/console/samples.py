"""The preview of an edit: what the prompt on disk and the edited one make of the same cases, side by side."""

from __future__ import annotations

from lockgate.errors import LockgateError
from serving.console.elements import box, note, warning, words
from serving.console.safe_markdown import marked
from serving.console.texts import show_side, side_html
from serving.prompt_preview import Output, Preview, Sample


class Samples:
    """Built where it is created; grows as the cases are answered."""

    def __init__(self) -> None:
        self._body = box("lg-section", "section").props("aria-label=Preview")
        with self._body:
            words("Preview", tag="h2")

    def fail(self, error: LockgateError) -> None:
        if not self._body.is_deleted:
            with self._body:
                warning(str(error))

    def begin(self, found: Preview) -> None:
        if self._body.is_deleted:
            return
        with self._body:
            note(f"{found.source}, asked of the chain {found.chain}. They do not count as requests of users.")
            if found.note:
                note(found.note)

    def add(self, sample: Sample) -> None:
        if self._body.is_deleted:
            return
        from prompts.difference import word_pieces

        pieces = word_pieces(_words(sample.before), _words(sample.after))
        same = sample.before == sample.after
        with self._body, box("lg-sample", "article"):
            words(marked(sample.question), "lg-strong")
            note(f"{sample.case}{' · same output' if same else ''}", "lg-note")
            with box("lg-sides"):
                for name, left_out in (("On disk", "insert"), ("Edited", "delete")):
                    with box("lg-side"):
                        words(name, "lg-note")
                        show_side(side_html(pieces, left_out), f"{name}: {sample.case}")


def _words(output: Output) -> str:
    if output.problem:
        return f"(failed) {output.problem}"
    return f"(abstains) {output.text}" if output.abstained else output.text
