"""One door to git: argument lists, no hooks, no prompts, no pager, nothing of the user's index touched by reading."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lockgate.errors import MissingExtra, Unavailable, UserError

TIMEOUT_SECONDS = 20.0

# A repository's own configuration may name programs to run; these are switched off.
_SAFE = (
    "--no-optional-locks",
    "--no-pager",
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.quotePath=false"),
    *("-c", "diff.external="),
    *("-c", "log.showSignature=false"),
    *("-c", "commit.gpgSign=false"),
    *("-c", "protocol.ext.allow=never"),
)
# A diff driver of the repository's own would be a program to run, too.
_DIFFING = ("diff", "log", "show", "diff-tree", "diff-index", "diff-files")
_NO_DRIVERS = ("--no-ext-diff", "--no-textconv")
_OWN_SCOPES = ("local", "worktree")
_ENVIRONMENT = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_EDITOR")
# What compares or writes files of the work tree, and would run the repository's own filter programs on them.
_FILTERING = ("status", "diff", "diff-index", "diff-files", "add", "commit", "worktree", "checkout", "switch", "reset")


@dataclass(frozen=True, slots=True)
class GitState:
    """``commit`` is what is checked out; ``dirty`` says that the work tree differs from it."""

    commit: str
    dirty: bool


def run_git(
    folder: Path,
    *arguments: str,
    input: str | None = None,
    timeout: float = TIMEOUT_SECONDS,
    environment: dict[str, str] | None = None,
) -> str:
    """What git prints. Bytes that are not UTF-8 become U+FFFD.

    Raises UserError with git's own words when it refuses, MissingExtra without git, Unavailable when it takes longer
    than ``timeout`` seconds.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in _ENVIRONMENT}
    drivers = _NO_DRIVERS if arguments[0] in _DIFFING else ()
    filters = _own_filters_off(folder) if arguments[0] in _FILTERING else ()
    try:
        done = subprocess.run(
            ["git", *_SAFE, *filters, "-C", str(folder), arguments[0], *drivers, *arguments[1:]],
            input=input.encode() if input is not None else None,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            timeout=timeout,
            check=False,
            env=inherited | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(environment or {})},
        )
    except FileNotFoundError:
        raise MissingExtra("git is not installed.", hint="Install it, for example: apt-get install git") from None
    except ValueError as error:  # a NUL, half a surrogate pair
        raise UserError(f"git {arguments[0]} in {folder}: {error}.") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"git {arguments[0]} in {folder} took longer than {timeout:g} s.") from None
    if done.returncode:
        words = " ".join(done.stderr.decode("utf-8", "replace").split())[:500]
        raise UserError(f"git {arguments[0]} in {folder}: {words or f'failed with exit code {done.returncode}'}.")
    return done.stdout.decode("utf-8", "replace")


def repository(folder: Path) -> Path | None:
    """The top of the work tree that ``folder`` lies in; None when it lies in none, or git is not there."""
    try:
        top = run_git(folder, "rev-parse", "--show-toplevel").removesuffix("\n")
    except (UserError, MissingExtra, Unavailable):
        return None
    return Path(top) if top else None


def git_state(folder: Path) -> GitState | None:
    """What is checked out where ``folder`` lies; None without a repository or before its first commit."""
    try:
        commit = run_git(folder, "rev-parse", "--verify", "HEAD").strip()
        # Looking into a submodule would run git there, with that repository's configuration and without _SAFE.
        status = run_git(folder, "status", "--porcelain", "--ignore-submodules=dirty", "--", ".")
    except (UserError, MissingExtra, Unavailable):
        return None
    return GitState(commit, dirty=bool(status))


def _own_filters_off(folder: Path) -> list[str]:
    """Options that empty the filters of the repository's own configuration; those of the user or the machine stay."""
    wanted = r"^filter\..*\.(clean|smudge|process|required)$"
    try:
        listed = run_git(folder, "config", "--show-scope", "--name-only", "-z", "--get-regexp", wanted)
    except UserError:  # none, or no repository
        return []
    fields = listed.split("\0")
    own = dict.fromkeys(name for scope, name in zip(fields[::2], fields[1::2], strict=False) if scope in _OWN_SCOPES)
    # A name with "=" cannot be said on the command line before its value, so nothing is run there at all.
    if bad := next((name for name in own if "=" in name), None):
        raise UserError(
            f"{folder}: the repository's configuration names a filter that cannot be switched off: {bad!r}."
        )
    return [part for name in own for part in ("-c", f"{name}={'false' if name.endswith('.required') else ''}")]
