"""What the server is doing, in the few words that fit into the header."""

from __future__ import annotations

from typing import Literal

from serving.console.elements import box, set_attribute, words
from serving.ports import Readiness

Mood = Literal["is-ready", "is-busy", "is-idle"]


def describe(readiness: Readiness) -> tuple[Mood, str]:
    """(mood, words) for a person who waits for an answer."""
    if readiness.indexing is not None and (readiness.ready or readiness.model_loaded):
        return "is-busy", f"Still indexing, {round(readiness.indexing * 100)} %"
    if readiness.ready:
        return "is-ready", "Ready"
    if readiness.snapshot is None and readiness.model_loaded:
        return "is-idle", "Nothing indexed yet"
    return "is-busy", f"Starting: {readiness.missing[0]}" if readiness.missing else "Starting"


class StatePill:
    """The state in the header, told to screen readers when it changes."""

    def __init__(self, readiness: Readiness) -> None:
        self._pill = box("lg-state").props("role=status")
        with self._pill:
            box("lg-dot").props("aria-hidden=true")
            self._words = words("", tag="span")
            self._pages = words("", "lg-state-more", "span")
        self.show(readiness)

    def show(self, readiness: Readiness) -> None:
        if self._pill.is_deleted:
            return
        mood, text = describe(readiness)
        if text != self._words.text:
            self._pill.classes(replace=f"lg-state {mood}")
            self._words.set_text(text)
        plural = "" if readiness.documents == 1 else "s"
        self._pages.set_text(f"· {readiness.documents:,} page{plural}" if mood == "is-ready" else "")
        if readiness.snapshot:
            set_attribute(self._pill, "title", f"Snapshot {readiness.snapshot[:12]}, {readiness.chunks:,} passages")
