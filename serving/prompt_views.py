"""What the console shows of prompts, and an edit: checked without being written, then committed to its own branch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.errors import LockgateError, NotFound

if TYPE_CHECKING:
    from lockgate.settings import Settings
    from prompts.branch import BranchCommit, Edit
    from prompts.collection import PromptFile
    from prompts.difference import FileDifference
    from prompts.history import Version
    from prompts.lint import Findings
    from prompts.pins import ChannelUse, Pin
    from serving.workbench import Workbench

ON_DISK = "disk"
"""The key of the version in the working tree where that is no commit's."""


@dataclass(frozen=True, slots=True)
class Use:
    """Where one version of a prompt is used: channels that point at it now, and how many releases pin it."""

    channels: tuple[ChannelUse, ...] = ()
    releases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptRow:
    """``problem`` says why the files on disk do not load; then the rest is what could be read of them."""

    name: str
    description: str
    owner: str
    hash: str
    file: str
    is_own: bool
    use: Use
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PromptView:
    """``row`` is None for a prompt that is not on disk any more; ``files`` is then its newest known version."""

    name: str
    row: PromptRow | None
    main: str
    files: Mapping[str, str]
    versions: Sequence[Version]
    has_git: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EditBasis:
    """The files that an edit starts from. ``not_kept`` says why an edit could not be committed here, "" if it can."""

    name: str
    main: str
    files: Mapping[str, str]
    hash: str
    is_own: bool
    not_kept: str


@dataclass(frozen=True, slots=True)
class CheckedEdit:
    edit: Edit
    findings: Findings


def read_prompts(bench: Workbench) -> list[PromptRow]:
    from prompts.collection import prompt_files
    from prompts.pins import read_pins

    uses = _uses(read_pins(bench.settings).pins)
    files = prompt_files(bench.settings.project_dir)
    return [_row(bench.settings, file, uses) for _, file in sorted(files.items())]


def read_prompt(bench: Workbench, name: str) -> PromptView:
    """Raises NotFound when neither disk, git nor a release knows the prompt."""
    from prompts.collection import prompt_files
    from prompts.header import NAME
    from prompts.history import prompt_history

    if not NAME.match(name):
        raise _unknown(bench, name)
    history = prompt_history(bench.settings, name)
    file = prompt_files(bench.settings.project_dir).get(name)
    if file is not None:
        pins = [pin for version in history.versions for pin in version.pins]
        row = _row(bench.settings, file, _uses(pins))
        main, files = file.mains[0], _texts(file)
    else:
        row, newest = None, history.versions[0]
        main = next((path for path in newest.files if path in (f"{newest.name}.md", f"{newest.name}/prompt.md")), "")
        files = dict(newest.files)
    return PromptView(name, row, main, files, history.versions, history.has_git, history.notes)


def key_of(version: Version) -> str:
    """What names the version in an address."""
    if version.place == "commit" and version.commit is not None:
        return version.commit.id
    return version.hash if version.place == "release" else ON_DISK


def compare_versions(before: Version, after: Version) -> list[FileDifference]:
    from prompts.difference import compare
    from prompts.revision import Revision

    first, second = (Revision(one.name, one.hash, key_of(one), one.files) for one in (before, after))
    return compare(first, second)


def read_basis(bench: Workbench, name: str) -> EditBasis:
    """Raises NotFound for a prompt that is not on disk, UserError for files that cannot be read."""
    from lockgate.git import repository
    from prompts.checking import gather
    from prompts.collection import find_file, own_library
    from prompts.files import FolderFiles, content_hash

    file = find_file(bench.settings.project_dir, name)
    main = file.only_main()
    files = gather(name, main, FolderFiles(file.library)).files
    why = ""
    if repository(bench.settings.project_dir) is None:
        why = (
            "This project lies in no git repository, so there is no branch to keep an edit on. You can check and "
            "preview one here; to keep it, run git init and commit the project, or edit the file itself."
        )
    is_own = file.library == own_library(bench.settings.project_dir)
    return EditBasis(name, main, dict(files), content_hash(files), is_own, why)


def check_edit(bench: Workbench, name: str, path: str, text: str, *, base_hash: str) -> CheckedEdit:
    """Lint the prompt as edited. Nothing is written. Raises what ``prompts.branch.prepare_edit`` raises."""
    from prompts.branch import prepare_edit
    from prompts.lint import lint_files

    edit = prepare_edit(bench.settings.project_dir, name, path, text, base_hash=base_hash)
    return CheckedEdit(edit, lint_files(bench.settings, edit.name, edit.main, edit.files))


def commit_prompt(
    bench: Workbench, name: str, path: str, text: str, *, base_hash: str, message: str
) -> tuple[BranchCommit, Path]:
    """(the commit, the top of the repository). Raises what ``prompts.branch.commit_edit`` does."""
    from lockgate.actor import current_actor
    from lockgate.git import repository
    from prompts.branch import commit_edit

    project = bench.settings.project_dir
    author = current_actor().name
    made = commit_edit(project, name, path, text, base_hash=base_hash, author=author, message=message)
    return made, repository(project) or project


def place_of(settings: Settings, file: PromptFile) -> str:
    """Where a prompt's main file lies, in as few words as are clear."""
    path = file.path
    if path.is_relative_to(settings.project_dir):
        return path.relative_to(settings.project_dir).as_posix()
    return f"ships with Lockgate: {file.mains[0]}"


def _row(settings: Settings, file: PromptFile, uses: Mapping[str, Use]) -> PromptRow:
    from prompts.checking import check_prompt
    from prompts.collection import own_library
    from prompts.files import FolderFiles, content_hash

    is_own = file.library == own_library(settings.project_dir)
    place = place_of(settings, file)
    try:
        checked = check_prompt(file.name, file.only_main(), FolderFiles(file.library))
    except LockgateError as error:
        return PromptRow(file.name, "", "", "", place, is_own, Use(), str(error))
    digest = content_hash(checked.files) if checked.files else ""
    errors = [problem for problem in checked.problems if problem.level == "error"]
    return PromptRow(
        name=file.name,
        description=checked.front.description if checked.front else "",
        owner=checked.front.owner if checked.front else "",
        hash=digest,
        file=place,
        is_own=is_own,
        use=uses.get(digest, Use()),
        problem=errors[0].message if errors else "",
    )


def _texts(file: PromptFile) -> dict[str, str]:
    from prompts.checking import gather
    from prompts.files import FolderFiles

    try:
        return dict(gather(file.name, file.mains[0], FolderFiles(file.library)).files)
    except LockgateError:  # the row says why
        return {}


def _uses(pins: Sequence[Pin]) -> dict[str, Use]:
    """By hash: the channels that serve that version now, and the releases that pin it, the newest first."""
    channels: dict[str, dict[tuple[str, str], ChannelUse]] = defaultdict(dict)
    releases: dict[str, list[str]] = defaultdict(list)
    for pin in pins:
        releases[pin.hash].append(pin.release)
        channels[pin.hash] |= {(use.chain, use.channel): use for use in pin.channels if use.is_current}
    return {digest: Use(tuple(channels[digest].values()), tuple(found)) for digest, found in releases.items()}


def _unknown(bench: Workbench, name: str) -> NotFound:
    from prompts.collection import prompt_files

    known = ", ".join(sorted(prompt_files(bench.settings.project_dir))) or "none"
    return NotFound(f"No prompt is or was called {name[:80]!r}.", hint=f"Prompts: {known}.")
