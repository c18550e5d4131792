"""An edit of a prompt as a commit on a branch of its own; what is checked out, and the index, stay as they are."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lockgate.atomic import write_atomic
from lockgate.errors import Conflict, LockgateError, UserError
from lockgate.git import repository, run_git
from prompts.checking import gather
from prompts.collection import find_file, own_library
from prompts.files import EXAMPLES, Files, FolderFiles, TextFiles, content_hash, lf, main_paths
from prompts.prompt import Prompt, prompt_from_files, read_prompt

MAX_MESSAGE = 2_000

_EMAIL = "lockgate@localhost"
_UNSAFE = re.compile(r"[\x00-\x1f\x7f<>]+")


@dataclass(frozen=True, slots=True)
class BranchCommit:
    """``path`` is the file that was written, from the top of the repository."""

    branch: str
    commit: str
    path: str


@dataclass(frozen=True, slots=True)
class Edit:
    """One file of a prompt with its new text. ``files`` is the library as it would be then."""

    name: str
    main: str
    path: str
    text: str
    files: Files
    changed: Mapping[str, str]
    """Every file of the prompt. All are committed, so that the branch holds what was checked and shown: some may not
    be committed yet, or, of a prompt that ships with Lockgate, not be in the project."""


def prepare_edit(project_dir: Path, name: str, path: str, text: str, *, base_hash: str) -> Edit:
    """The edit of ``path``, a file of the prompt ``name`` (relative to its library), not written anywhere yet.

    Raises Conflict when the prompt on disk is no longer ``base_hash``, NotFound or UserError for a path that is none
    of its files.
    """
    file = find_file(project_dir, name)
    main = file.only_main()
    before = gather(name, main, FolderFiles(file.library))
    if content_hash(before.files) != base_hash:
        raise Conflict(
            f"The prompt {name!r} has changed since you began to edit it: it is {content_hash(before.files)[:12]} now, "
            f"not {base_hash[:12]}.",
            hint="Load it again and repeat the edit.",
        )
    if path not in before.files:
        raise UserError(f"{path[:200]!r} is no file of the prompt {name!r}: {', '.join(sorted(before.files))}.")
    text = lf(text)
    changed = {path: text if text.endswith("\n") else f"{text}\n"}
    if changed[path] == before.files[path]:
        raise UserError("The text is as it was; there is nothing to commit.")
    edited = _Edited(FolderFiles(file.library), changed)
    return Edit(name, main, path, changed[path], edited, {**gather(name, main, edited).files, **changed})


def edited_prompt(edit: Edit) -> Prompt:
    """The prompt as the edit makes it, for a preview. Raises UserError that lists what is wrong with it."""
    return read_prompt(edit.files, edit.main)


def commit_edit(
    project_dir: Path, name: str, path_in_prompt: str, text: str, *, base_hash: str, author: str, message: str
) -> BranchCommit:
    """Commit the edit to a branch of its own, made from what is checked out.

    The commit is made in a work tree of its own, which is gone afterwards; hooks do not run. An edit of a prompt that
    ships with Lockgate makes the project's own. Raises what ``prepare_edit`` raises, UserError without a git
    repository or for a prompt that would not load, MissingExtra without git.
    """
    edit = prepare_edit(project_dir, name, path_in_prompt, text, base_hash=base_hash)
    edited_prompt(edit)
    top, inside = _repository(project_dir, own_library(project_dir))
    branch = f"lockgate/prompt-{name}-{uuid.uuid4().hex[:8]}"
    with _work_tree(top, branch) as tree:
        for path, content in edit.changed.items():
            _stage(tree, f"{inside}/{path}", content)
        for path in main_paths(name):
            if path != edit.main:  # not committed yet may be that the prompt has become a folder, or a file
                run_git(tree, "update-index", "--force-remove", "--", f"{inside}/{path}")
        commit = _commit(tree, author, message or f"Edit the prompt {name}")
    return BranchCommit(branch, commit, f"{inside}/{path_in_prompt}")


def check_branch(project_dir: Path, branch: str) -> None:
    """Raises UserError without a repository or a commit, and for a bad name; Conflict for a name that is taken."""
    top, _ = _repository(project_dir, own_library(project_dir))
    try:
        run_git(top, "check-ref-format", "--branch", branch)
    except UserError:
        raise UserError(f"{branch[:80]!r} cannot be the name of a branch.") from None
    with contextlib.suppress(UserError):
        run_git(top, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")
        raise Conflict(f"There is a branch {branch!r} already.", hint="Choose another name, or delete that one.")


def commit_prompt(
    project_dir: Path, name: str, files: Mapping[str, str], *, base_hash: str, branch: str, author: str, message: str
) -> BranchCommit:
    """Commit ``files``, all those of the prompt ``name``, to a new branch; those it had before and has no more go.

    As ``commit_edit``: what is checked out stays, and the branch is there only when all went well. Raises Conflict when
    the prompt on disk is no longer ``base_hash``.
    """
    file = find_file(project_dir, name)
    before = gather(name, file.only_main(), FolderFiles(file.library))
    if content_hash(before.files) != base_hash:
        raise Conflict(f"The prompt {name!r} has changed meanwhile.", hint="Run the command again.")
    prompt_from_files(name, files, where="the new prompt")
    check_branch(project_dir, branch)
    top, inside = _repository(project_dir, own_library(project_dir))
    with _work_tree(top, branch) as tree:
        for path in (*main_paths(name), *before.files):
            if path not in files and (path in main_paths(name) or path == f"{name}/{EXAMPLES}"):
                run_git(tree, "update-index", "--force-remove", "--", f"{inside}/{path}")
        for path, content in files.items():
            _stage(tree, f"{inside}/{path}", content)
        commit = _commit(tree, author, message)
    main = next(path for path in main_paths(name) if path in files)
    return BranchCommit(branch, commit, f"{inside}/{main}")


class _Edited:
    """A library with some of its files replaced."""

    def __init__(self, files: Files, changed: Mapping[str, str]) -> None:
        self._files = files
        self._changed = TextFiles(changed, "")

    def read(self, path: str) -> str | None:
        text = self._changed.read(path)
        return self._files.read(path) if text is None else text

    def label(self, path: str) -> str:
        return self._files.label(path)


def _repository(project_dir: Path, library: Path) -> tuple[Path, str]:
    top = repository(project_dir)
    if top is None:
        raise UserError(
            f"{project_dir} lies in no git repository, so an edit cannot be kept on a branch.",
            hint="Run git init and commit the project, or edit the file itself.",
        )
    try:
        run_git(top, "rev-parse", "--verify", "--quiet", "HEAD")
    except UserError:
        raise UserError(f"{top} has no commit yet to make a branch from.", hint="Commit the project first.") from None
    top = top.resolve()
    inside = library.resolve()
    if not inside.is_relative_to(top):
        raise UserError(f"{library} leads out of the repository {top}.")
    return top, inside.relative_to(top).as_posix()


@contextlib.contextmanager
def _work_tree(top: Path, branch: str) -> Iterator[Path]:
    """A work tree on a new branch; the branch stays only when all went well."""
    folder = Path(tempfile.mkdtemp(prefix="lockgate-edit-"))
    tree = folder / "tree"
    done = False
    try:
        run_git(top, "worktree", "add", "--quiet", "--no-checkout", "-b", branch, str(tree), "HEAD", timeout=60)
        run_git(tree, "read-tree", "HEAD", timeout=60)
        yield tree
        done = True
    finally:
        with contextlib.suppress(LockgateError):
            run_git(top, "worktree", "remove", "--force", str(tree))
        shutil.rmtree(folder, ignore_errors=True)
        if not done:
            with contextlib.suppress(LockgateError):
                run_git(top, "branch", "--quiet", "-D", branch)


def _stage(tree: Path, path: str, text: str) -> None:
    """Write a file of the work tree and put it into that tree's own index, past ignore rules and filter programs.

    Nothing else is checked out there, so no link can lead the path elsewhere.
    """
    write_atomic(tree / path, text.encode())
    blob = run_git(tree, "hash-object", "-w", "--no-filters", "--", path).strip()
    run_git(tree, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")


def _commit(tree: Path, author: str, message: str) -> str:
    who = " ".join(_UNSAFE.sub(" ", _encodable(author)).split()).strip(" .,:;\"'\\")[:100].strip() or "lockgate"
    identity = {"NAME": who, "EMAIL": _EMAIL}
    environment = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in identity.items()}
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]+", " ", _encodable(message)).strip()[:MAX_MESSAGE] or "Edit a prompt"
    made = run_git(tree, "write-tree").strip()
    if made == run_git(tree, "rev-parse", "HEAD^{tree}").strip():
        raise UserError("With this text the prompt is what is committed already; there is nothing to commit.")
    commit = run_git(tree, "commit-tree", made, "-p", "HEAD", "-F", "-", input=text, environment=environment).strip()
    run_git(tree, "update-ref", "HEAD", commit)
    return commit


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
