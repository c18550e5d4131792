"""/prompts/{name}/edit: an edit is checked and tried on three cases in memory, then committed to its own branch."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from nicegui import ui

from lockgate.errors import LockgateError
from serving.console.elements import box, command, failure, link, note, path_to, set_attribute, warning, words
from serving.console.findings import show_findings
from serving.console.frame import show_page, title
from serving.console.safe_markdown import marked
from serving.console.samples import Samples
from serving.failures import INTERNAL_MESSAGE
from serving.ports import Backend
from serving.prompt_preview import prepare_preview, preview
from serving.prompt_views import EditBasis, check_edit, commit_prompt, read_basis

if TYPE_CHECKING:
    from pathlib import Path

    from prompts.branch import BranchCommit, Edit

log = logging.getLogger(__name__)

MAX_MESSAGE = 2_000
READ = "() => { const text = lockgate.edited(); emit(text); }"
READ_WITH_MESSAGE = "() => emit([lockgate.edited(), document.getElementById('lg-message').value])"
CHANGED = "The text has changed since it was checked: check it again."
TOO_LONG = "The text is too long to be sent; a prompt has at most 100,000 characters."


async def show(backend: Backend, name: str, path: str) -> None:
    """``path`` is the file of the prompt to edit, from the address; "" is the main file."""

    def build(basis: EditBasis) -> None:
        known = path if path in basis.files else basis.main
        _Editor(backend, basis, known).build(is_unknown=bool(path) and path != known)

    await show_page(backend, "/prompts", lambda bench: read_basis(bench, name), build, script="edit.js")


class _Editor:
    """One open editor. The text lives in the browser; what was checked is kept here, and only that can be committed."""

    def __init__(self, backend: Backend, basis: EditBasis, path: str) -> None:
        self._backend = backend
        self._basis = basis
        self._path = path
        self._checked: str | None = None  # the text that had no error
        self._work: asyncio.Task[None] | None = None
        self._is_committing = False

    def build(self, *, is_unknown: bool) -> None:
        basis = self._basis
        title(f"Edit {basis.name}")
        note(
            "An edit is kept as a commit on a branch of its own. The branch that is checked out, the files of the "
            "project and what the channels answer from stay as they are."
        )
        if not basis.is_own:
            note("This prompt ships with Lockgate. An edit becomes the project's own, which then replaces it.")
        if basis.not_kept:
            warning(basis.not_kept)
        if is_unknown:
            warning("The address names a file that is not one of this prompt's.")
        if len(basis.files) > 1:
            self._files()
        self._fields()
        self._outcome = box("lg-stack")
        self._results = box("lg-stack")
        ui.context.client.on_delete(self._stop)

    def _files(self) -> None:
        with box("lg-nav is-files", "nav").props('aria-label="Files of the prompt"'):
            for path in sorted(self._basis.files, key=lambda path: (path != self._basis.main, path)):
                address = f"{path_to('prompts', self._basis.name, 'edit')}?file={path_to(path)[1:]}"
                way = link(marked(path), address, "lg-way")
                if path == self._path:
                    way.props("aria-current=page")

    def _fields(self) -> None:
        # Text as the element's content, not as a value: a value would be set again whenever the page is drawn.
        area = words(self._basis.files[self._path], "lg-editor", "textarea").props(
            "id=lg-text rows=22 spellcheck=false autocomplete=off wrap=soft"
        )
        set_attribute(area, "aria-label", f"Text of {self._path}")
        area.on("input", self._edited, args=[], js_handler="() => { lockgate.edit(); emit(); }")
        with box("lg-actions is-left"):
            self._check_button = words("Check and preview", "lg-button is-main", "button").props("type=button")
            self._check_button.on("click", lambda event: self._check(event.args), js_handler=READ)
            self._stop_button = words("Stop", "lg-button", "button").props("type=button")
            self._stop_button.on("click", self._stop, args=[]).set_visibility(False)
            self._state = words("", "lg-note", "span").props("role=status")
        with box("lg-commit"):
            message = box("lg-field", "input").props('id=lg-message type=text aria-label="What the edit is for"')
            set_attribute(message, "placeholder", "What the edit is for")
            set_attribute(message, "maxlength", str(MAX_MESSAGE))
            self._commit_button = words("Commit to a branch", "lg-button", "button").props("type=button disabled")
            self._commit_button.on("click", lambda event: self._commit(event.args), js_handler=READ_WITH_MESSAGE)
        self._standing = words("A text can be committed when it was checked without an error.", "lg-note", "p")
        self._standing.props("role=status")

    # What the browser tells, which may be anything

    def _edited(self) -> None:
        self._forget(CHANGED)

    def _check(self, text: object) -> None:
        if self._work is not None:
            return
        if not isinstance(text, str):
            self._say(TOO_LONG)
            return
        self._forget("The text is being checked.")
        self._results.clear()
        self._outcome.clear()
        self._start(self._check_and_preview(text))

    def _commit(self, arguments: object) -> None:
        if not isinstance(arguments, list) or len(arguments) != 2:
            return
        text, message = arguments
        if not isinstance(text, str) or text != self._checked:
            self._forget(CHANGED)
        elif not isinstance(message, str) or not message.strip():
            self._standing.set_text("Say first what the edit is for.")
        else:
            # From here on the text is no longer one to commit, so that a second click makes no second branch.
            self._forget("Committing …")
            self._is_committing = True
            self._start(self._keep(text, message.strip()[:MAX_MESSAGE], self._work))

    # Work that may take long, one at a time

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._set_working(True)
        self._work = asyncio.create_task(self._run(work))

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            self._say("Stopped.")
        except LockgateError as error:
            self._fail(error.message, error.hint)
        except Exception:
            log.exception("The console could not work on a prompt.")
            self._fail(INTERNAL_MESSAGE, "")
        finally:
            if self._work is asyncio.current_task():
                self._work = None
                self._is_committing = False
                self._set_working(False)

    async def _check_and_preview(self, text: str) -> None:
        self._say("Checking …")
        bench = self._backend.workbench()
        checked = await asyncio.to_thread(
            check_edit, bench, self._basis.name, self._path, text, base_hash=self._basis.hash
        )
        if self._results.is_deleted:
            return
        with self._results:
            show_findings(checked.findings, bench.settings.project_dir)
        if checked.findings.errors:
            self._say("There are errors, so there is no preview.")
            return
        self._checked = text
        self._allow("This very text was checked and can be committed.", disabled=False)
        await self._preview(checked.edit)

    async def _preview(self, edit: Edit) -> None:
        self._say("Preparing the preview …")
        with self._results:
            samples = Samples()
        try:
            found = await asyncio.to_thread(prepare_preview, self._backend.workbench(), edit)
        except LockgateError as error:
            samples.fail(error)
            self._say("")
            return
        samples.begin(found)
        count = len(found.cases)
        self._say(f"Asking case 1 of {count} …")
        done = 0
        async with aclosing(preview(found)) as made:
            async for sample in made:
                done += 1
                samples.add(sample)
                self._say(f"Asking case {done + 1} of {count} …" if done < count else "Done.")

    async def _keep(self, text: str, message: str, running: asyncio.Task[None] | None) -> None:
        """``running`` is the preview, which a commit ends."""
        if running is not None:
            running.cancel()
            await asyncio.wait([running])
        self._say("")
        self._outcome.clear()
        try:
            made, top = await asyncio.to_thread(
                commit_prompt,
                self._backend.workbench(),
                self._basis.name,
                self._path,
                text,
                base_hash=self._basis.hash,
                message=message,
            )
        except LockgateError:
            self._checked = text
            self._allow("It was not committed.", disabled=False)
            raise
        self._allow("Committed. To commit again, check the text again.", disabled=True)
        if self._outcome.is_deleted:
            return
        with self._outcome:
            _show_commit(made, top)
            ui.run_javascript("lockgate.kept()")

    def _stop(self) -> None:
        # A commit takes a moment, and whether it was made must be told.
        if self._work is not None and not self._is_committing:
            self._work.cancel()

    # What is shown

    def _fail(self, message: str, hint: str) -> None:
        self._say("")
        if not self._outcome.is_deleted:
            with self._outcome:
                failure(message, hint)

    def _forget(self, said: str) -> None:
        """What was checked, if anything was: no text can be committed until it is checked again."""
        if self._checked is not None:
            self._checked = None
            self._allow(said, disabled=True)

    def _say(self, text: str) -> None:
        if not self._state.is_deleted:
            self._state.set_text(text)

    def _allow(self, said: str, *, disabled: bool) -> None:
        if not self._commit_button.is_deleted:
            self._commit_button.props.set_bool("disabled", disabled)
            self._standing.set_text(said)

    def _set_working(self, working: bool) -> None:
        if self._results.is_deleted:
            return
        set_attribute(self._results, "aria-busy", "true" if working else "false")
        self._check_button.set_visibility(not working)
        self._stop_button.set_visibility(working)


def _show_commit(made: BranchCommit, top: Path) -> None:
    with box("lg-done").props("role=status"):
        words("Committed", tag="h2")
        words(f"Branch {made.branch}, commit {made.commit[:12]}, file {marked(made.path)}.", tag="p")
        note("Nothing else changed: the checked-out branch and the channels are as they were. Next, in a terminal:")
        folder = shlex.quote(str(top))
        command(f"git -C {folder} diff HEAD...{made.branch}")
        command(f"git -C {folder} merge {made.branch}")
        command("lockgate release build")
