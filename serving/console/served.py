"""Under the chat's header: which channel and release answer, and which channel this conversation asks."""

from __future__ import annotations

from collections.abc import Sequence

from serving.console.elements import box, forced_tag, release_link, select, tag, warning, words
from serving.console.safe_markdown import marked
from serving.ports import Readiness
from serving.release_views import Pointer

DEFAULT = ""
_Shown = tuple[str, str, bool, str, str]


class ServedStrip:
    """Drawn anew only where something changed, which screen readers then tell."""

    def __init__(self, readiness: Readiness) -> None:
        self._choice = DEFAULT
        self._options: list[tuple[str, str]] = []
        self._shown: _Shown | None = None
        self._last: tuple[Readiness, Sequence[Pointer]] = (readiness, ())
        self._strip = box("lg-served")
        with self._strip:
            self._field = box("lg-served-choice")
            self._told = box("lg-served-text").props("role=status")
        self.show(readiness, ())

    @property
    def model(self) -> str | None:
        """What the next question asks for; None is whatever is the default."""
        return self._choice or None

    def show(self, readiness: Readiness, pointers: Sequence[Pointer]) -> None:
        if self._strip.is_deleted:
            return
        self._last = (readiness, pointers)
        self._show_choice(readiness, pointers)
        chosen = next((pointer for pointer in pointers if pointer.model == self._choice), None)
        if chosen is not None:
            name = chosen.channel if "@" not in chosen.model else f"{chosen.channel} of {chosen.chain}"
            shown = (name, chosen.release, chosen.forced, chosen.rollout, readiness.warning)
        else:
            shown = (
                readiness.channel,
                readiness.release or "",
                readiness.forced,
                readiness.rollout,
                readiness.warning,
            )
        if shown != self._shown:
            self._shown = shown
            self._tell(*shown)

    def _show_choice(self, readiness: Readiness, pointers: Sequence[Pointer]) -> None:
        """Only where there is something to choose between."""
        options = [(pointer.model, pointer.model) for pointer in pointers]
        if self._choice not in (DEFAULT, *(value for value, _ in options)):
            self._choice = DEFAULT
        default = f"Default ({readiness.channel})" if readiness.channel else "Default"
        options = [(DEFAULT, default), *options] if len(options) > 1 else []
        if options == self._options:
            return
        self._options = options
        self._field.clear()
        if options:
            with self._field:
                select("Channel that this conversation asks", options, self._choice, self._choose)

    def _choose(self, model: str) -> None:
        self._choice = model
        self.show(*self._last)

    def _tell(self, channel: str, release: str, forced: bool, rollout: str, problem: str) -> None:
        self._strip.set_visibility(bool(release or problem or self._options))
        self._told.clear()
        with self._told:
            if release:
                with box("lg-served-line"):
                    words(f"{marked(channel)} · release ", tag="span")
                    release_link(release)
                    if forced:
                        forced_tag()
                    if rollout:
                        tag(f"Rollout: {rollout}", "is-warn")
            if problem:
                warning(problem)
