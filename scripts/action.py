"""The steps of the GitHub Action (action.yml): install, prepare, measure, comment, verdict.

Standard library only, since it runs before Lockgate is installed. Branch names, questions and answers are written by
whoever opened the pull request: they never reach a shell, an expression, an output, or the beginning of a log line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MARKER = "<!-- lockgate-action"
MAX_COMMENT = 65_000
"""GitHub takes 65,536 characters."""

MAX_NAMED = 20
"""Files that a note names."""

FORMATS = {"html": "html", "markdown": "md", "junit": "xml", "json": "json"}
EXIT = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}
SECRETS = (
    "INPUT_TOKEN",
    "INPUT_SIGNING_KEY",
    "GITHUB_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
)
TORCH = "torch==2.13.0"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*\Z")
_OUTPUT = re.compile(r"[A-Za-z0-9._/-]*\Z")
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+\Z")


class Stop(Exception):
    """Something is wrong that a person has to put right; the text says what."""


@dataclass(frozen=True)
class Job:
    """Where things lie: all of it below RUNNER_TEMP, apart from the repository itself."""

    workspace: Path
    temp: Path

    @property
    def state(self) -> Path:
        return self.temp / "state"

    @property
    def base(self) -> Path:
        return self.temp / "base"

    @property
    def cache(self) -> Path:
        return self.temp / "cache"

    @property
    def out(self) -> Path:
        return self.temp / "out"

    def project(self, tree: Path) -> Path:
        """The project in one of the two trees. Raises Stop for a folder outside of it."""
        return _inside(tree, given("PROJECT") or ".", "project")


@dataclass
class Measured:
    """What ``measure`` found; written to out/verdict.json."""

    verdict: str = "INCONCLUSIVE"
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    release: str = ""
    base_release: str = ""
    base_from_cache: bool = False
    gate: dict[str, Any] = field(default_factory=dict)
    suites: list[str] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    steps: Mapping[str, Callable[[], int]] = {
        "install": install,
        "prepare": prepare,
        "measure": measure,
        "comment": comment,
        "verdict": verdict,
    }
    if len(arguments) != 1 or arguments[0] not in steps:
        say(f"usage: action.py {'|'.join(steps)}")
        return 2
    try:
        return steps[arguments[0]]()
    except Stop as error:
        say(f"error: {error}")
    except Exception as error:
        say(f"error: {type(error).__name__}: {error}")
    return 3


# install


def install() -> int:
    """Put a command ``lockgate`` on the path of the later steps."""
    shutil.rmtree(job().out, ignore_errors=True)  # of an earlier use in the same job: not to be told as this one's
    wanted = given("LOCKGATE")
    if wanted == "installed":
        if shutil.which("lockgate") is None:
            raise Stop("lockgate: installed, but there is no command lockgate on the path.")
        return 0
    venv = job().temp / "venv"
    source = Path(__file__).resolve().parent.parent
    index = given("TORCH_INDEX")
    if wanted.startswith("-"):
        raise Stop(f"lockgate: {wanted[:80]!r} is an option of pip, not a path or requirement.")
    if wanted:
        run([sys.executable, "-m", "venv", str(venv)])
        pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
        run([*pip, TORCH, *(["--extra-index-url", index] if index else [])])
        run([*pip, "--", wanted])
    else:
        environment = {**clean_environment(), "PYTHON": sys.executable, "TORCH_INDEX": index}
        run(["sh", "scripts/install.sh", str(venv), ""], cwd=source, env=environment)
    _append("GITHUB_PATH", f"{venv / 'bin'}\n")
    return 0


# prepare


def prepare() -> int:
    """Fetch the base into a tree of its own, and name the cache that may hold what was measured of it."""
    here = job()
    for folder in (here.state, here.cache, here.out, here.base):
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier use in the same job
        if folder != here.base:
            folder.mkdir(parents=True)
    git(here.workspace, "worktree", "prune")
    if key := os.environ.get("INPUT_SIGNING_KEY", "").strip():
        _keep_key(here, key)
    base = _base_commit(here.workspace)
    output("base", base)
    if not base:
        output("cache-key", "")
        return 0
    git(here.workspace, "worktree", "add", "--detach", "--force", str(here.base), base)
    output("cache-key", "" if given("CACHE") == "false" else f"lockgate-base-{_cache_name(here, base)}")
    return 0


def _keep_key(here: Job, key: str) -> None:
    folder = here.state / "keys"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "signing.pem"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key + "\n")


def _base_commit(workspace: Path) -> str:
    """The commit to compare with; "" when there is none to compare with, as in a push to the main branch."""
    wanted = given("BASE_REF")
    if wanted == "none":
        return ""
    if not wanted:
        request = event().get("pull_request")
        wanted = str(request["base"]["sha"]) if isinstance(request, dict) else ""
    if not wanted:
        return ""
    if re.fullmatch(r"[0-9a-f]{40,64}", wanted):
        if not _has(workspace, wanted):
            git(workspace, "fetch", "--no-tags", "--depth=1", "--", "origin", wanted)
        return git(workspace, "rev-parse", "--verify", "--end-of-options", f"{wanted}^{{commit}}").strip()
    return _branch_commit(workspace, wanted)


def _branch_commit(workspace: Path, name: str) -> str:
    """A name is whatever git allows, so it only goes where git takes it for a name."""
    full = f"refs/heads/{name}"
    if not _works(["git", "check-ref-format", full], workspace):
        raise Stop(f"base-ref: {name[:80]!r} is not the name of a branch.")
    if not _works(["git", "fetch", "--no-tags", "--depth=1", "--", "origin", full], workspace):
        for known in (f"refs/remotes/origin/{name}", full):
            if _has(workspace, known):
                return git(workspace, "rev-parse", "--verify", "--end-of-options", f"{known}^{{commit}}").strip()
        raise Stop(f"base-ref: the branch {name[:80]!r} cannot be fetched from origin, and is not here.")
    return git(workspace, "rev-parse", "--verify", "FETCH_HEAD^{commit}").strip()


def _cache_name(here: Job, base: str) -> str:
    """Everything that what is measured of the base depends on. Both trees' files have their content in it."""
    project = here.project(here.workspace)
    parts = [base, given("PROJECT"), given("DOCS"), given("CHAIN"), given("CHANNEL"), *_suites(project)]
    parts.append(lockgate(here, project, "version").out)
    parts.extend(_settings())
    if os.environ.get("INPUT_SIGNING_KEY", "").strip():
        parts.append(lockgate(here, project, "evals", "evidence", "key").out)  # its own key: no other evidence counts
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "replace")
        digest.update(len(data).to_bytes(8, "big") + data)
    for suite in _suites(project):
        for path in sorted((project / "evals" / "suites" / suite).rglob("*")):
            if path.is_file() and not path.is_symlink():
                digest.update(
                    str(path.relative_to(project)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest()
                )
    return digest.hexdigest()[:40]


def _settings() -> Iterator[str]:
    """Lockgate's variables, sorted, without secrets. An address may hold one, so it counts by its hash."""
    for name, value in sorted(os.environ.items()):
        if name.startswith("LOCKGATE_") and not name.endswith(("KEY", "TOKEN", "SECRET", "PASSWORD")):
            shown = hashlib.sha256(value.encode("utf-8", "replace")).hexdigest() if "://" in value else value
            yield f"{name}={shown}"


# measure


def measure() -> int:
    """Measure both releases and ask the gate. Exits with 0 whatever the verdict: comment and upload come first."""
    here = job()
    found = Measured()
    try:
        _measure(here, found)
    except Stop as error:
        found.verdict = "INCONCLUSIVE"
        found.reasons.append(str(error))
    except Exception as error:  # whatever it is, it is no verdict
        found.verdict = "INCONCLUSIVE"
        found.reasons.append(f"The action itself broke: {type(error).__name__}: {error}")
    (here.out / "verdict.json").write_text(json.dumps(found.__dict__, indent=2, sort_keys=True) + "\n")
    (here.out / "comment.md").write_text(_comment(here, found), encoding="utf-8")
    output("verdict", found.verdict)
    output("exit-code", str(EXIT[found.verdict]))
    output("release", found.release)
    output("base-release", found.base_release)
    output("base-measured", "true" if found.base_release and not found.base_from_cache else "false")
    say(f"{found.verdict}: release {found.release[:12] or 'none'}, base {found.base_release[:12] or 'none'}")
    return 0


def _measure(here: Job, found: Measured) -> None:
    project = here.project(here.workspace)
    found.suites = _suites(project)
    if not found.suites:
        raise Stop(f"There is no suite in {given('PROJECT') or '.'}/evals/suites.")
    if given("PULL_MODELS") != "false":
        lockgate(here, project, "models", "pull").or_stop("The models cannot be fetched")
    found.release = _build(here, here.workspace)
    for suite in found.suites:
        _run(here, project, suite, found.release)
    base_problem = ""
    if here.base.exists():
        found.notes.extend(_own_gate(project, here.project(here.base)))
        try:
            _measure_base(here, project, found)
        except Stop as error:
            base_problem = str(error)
            found.base_release = ""
    _export(here, project, found.release, found.suites, here.out / "evidence.tar")
    for suite in found.suites:
        _report(here, project, suite, found)
    _ask_gate(here, project, found)
    if base_problem:
        found.notes.append(f"The base was not measured: {base_problem}")
        if found.verdict == "PASS":
            found.verdict = "INCONCLUSIVE"
            found.reasons.append("Without the base nothing says that this is no worse.")


def _own_gate(head: Path, base: Path) -> Iterator[str]:
    """What says when the pull request changes what judges it: it passed its own bounds then, not the base's."""
    before, after = _judging_files(base), _judging_files(head)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        names = [json.dumps(name)[1:-1] for name in changed[:MAX_NAMED]]  # ASCII: whatever else is escaped
        more = f" and {len(changed) - MAX_NAMED} more" if len(changed) > MAX_NAMED else ""
        yield f"This pull request changes what judges it, so review these first: {', '.join(names)}{more}."


def _judging_files(project: Path) -> dict[str, str]:
    """Contents by path, as hashes; a link counts as where it leads."""
    evals = project / "evals"
    paths = [evals / "trusted-keys.yaml", *(path for name in ("gates", "suites") for path in _below(evals / name))]
    found = {}
    for path in paths:
        name = path.relative_to(project).as_posix()
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _below(folder: Path) -> Iterator[Path]:
    """Everything in the folder, and the folder itself, which may be a link."""
    yield folder
    if not folder.is_symlink():
        yield from folder.rglob("*")


def _measure_base(here: Job, project: Path, found: Measured) -> None:
    """From the cache when it holds exactly this, else anew; the suites are those of the head, for both."""
    if (here.cache / "release").is_file():
        try:
            found.base_release = _from_cache(here, project, found)
            found.base_from_cache = True
            return
        except Stop as error:
            say(f"The cache is of no use: {error}")
    found.base_release = _build(here, here.base)
    if found.base_release != found.release:
        for suite in found.suites:
            _run(here, project, suite, found.base_release)
    shutil.rmtree(here.cache)
    here.cache.mkdir()
    _export(here, project, found.base_release, found.suites, here.cache / "evidence.tar")
    lockgate(here, project, "release", "export", found.base_release, str(here.cache / "release.tar")).or_stop("export")
    key = lockgate(here, project, "evals", "evidence", "key").or_stop("key").strip()
    (here.cache / "key").write_text(key)
    (here.cache / "release").write_text(found.base_release)


def _from_cache(here: Job, project: Path, found: Measured) -> str:
    """The base's release, taken in with its evidence. What is in a cache never says anything of the head."""
    try:
        release, key = ((here.cache / name).read_text(encoding="ascii").strip() for name in ("release", "key"))
    except (OSError, ValueError) as error:
        raise Stop(f"it is not whole ({error}).") from None
    if not re.fullmatch(r"[0-9a-f]{64}", release) or not re.fullmatch(r"[A-Za-z0-9+/=]{44}", key):
        raise Stop("it does not hold what this action writes.")
    if release == found.release:
        raise Stop("it is about the release of the head, which was just measured.")
    trusted = os.environ.get("LOCKGATE_TRUSTED_KEYS", "")
    # For this job alone: what is in the cache is believed as much as the cache is.
    os.environ["LOCKGATE_TRUSTED_KEYS"] = ",".join(filter(None, [trusted, key]))
    try:
        lockgate(here, project, "release", "import", str(here.cache / "release.tar"), "--no-index").or_stop("import")
        file = str(here.cache / "evidence.tar")
        taken = json.loads(lockgate(here, project, "evals", "evidence", "import", file, "--json").or_stop("import"))
        if sorted(each["suite"] for each in taken) != sorted(found.suites) or {each["release"] for each in taken} != {
            release
        }:
            raise Stop("it holds other evidence than that of its release.")
    except Stop:
        os.environ["LOCKGATE_TRUSTED_KEYS"] = trusted
        raise
    return release


def _build(here: Job, tree: Path) -> str:
    project = here.project(tree)
    which = "base" if tree == here.base else "head"
    docs = _inside(project, given("DOCS") or "docs", "docs")
    if not docs.is_dir():
        raise Stop(f"The {which} has no folder {given('DOCS') or 'docs'}.")
    lockgate(here, project, "ingestion", "sync", str(docs)).or_stop(f"The documents of the {which} cannot be indexed")
    chain = ["--chain", given("CHAIN")] if given("CHAIN") else []
    built = lockgate(here, project, "release", "build", *chain, "--json").or_stop(f"The {which} cannot be built")
    return str(json.loads(built)["id"])


def _run(here: Job, project: Path, suite: str, release: str) -> None:
    """A run that scored nothing ends with 1 and leaves evidence all the same: what it means, the gate says."""
    arguments = ["evals", "run", suite, "--release", release, "--tier", "offline", "--json"]
    done = lockgate(here, project, *arguments, quiet=True)
    if done.code and not _evidence(here, project, release, suite):
        raise Stop(f"The suite {suite} cannot be run on {release[:12]}: {done.problem}")


def _export(here: Job, project: Path, release: str, suites: Sequence[str], path: Path) -> None:
    ids = [_evidence_id(here, project, release, suite) for suite in suites]
    lockgate(here, project, "evals", "evidence", "export", *ids, "--out", str(path)).or_stop("No evidence to export")


def _evidence(here: Job, project: Path, release: str, suite: str) -> list[dict[str, Any]]:
    arguments = ["evals", "evidence", "list", "--release", release, "--suite", suite, "--limit", "1", "--json"]
    found: list[dict[str, Any]] = json.loads(lockgate(here, project, *arguments, quiet=True).or_stop("No evidence"))
    return found


def _evidence_id(here: Job, project: Path, release: str, suite: str) -> str:
    listed = _evidence(here, project, release, suite)
    if not listed:
        raise Stop(f"There is no evidence of suite {suite} for release {release[:12]}.")
    return str(listed[0]["id"])


def _report(here: Job, project: Path, suite: str, found: Measured) -> None:
    against = ["--against", found.base_release] if found.base_release not in ("", found.release) else []
    for name, ending in FORMATS.items():
        path = here.out / f"{suite}.{ending}"
        arguments = ["evals", "report", found.release, "--suite", suite, "--format", name, "--out", str(path), *against]
        done = lockgate(here, project, *arguments)
        if done.code and against:
            found.notes.append(f"Suite {suite} is not compared with the base: {done.problem}")
            against = []
            done = lockgate(here, project, *arguments[:-2])
        if done.code:
            found.notes.append(f"No {name} report of suite {suite}: {done.problem}")


def _ask_gate(here: Job, project: Path, found: Measured) -> None:
    against = ["--against", found.base_release] if found.base_release else []
    done = lockgate(here, project, "evals", "gate", found.release, given("CHANNEL") or "production", "--json", *against)
    try:
        found.gate = json.loads(done.out)
        found.verdict = found.gate["verdict"]
    except (ValueError, KeyError, TypeError):
        raise Stop(f"The gate was not asked: {done.problem}") from None
    if EXIT.get(found.verdict) != done.code:
        raise Stop(f"The gate said {found.verdict!r} and ended with {done.code}.")
    (here.out / "gate.json").write_text(done.out)


# comment


def _comment(here: Job, found: Measured) -> str:
    """The marker first, so that only a comment of this action begins like it."""
    head, base = found.release[:12] or "none", found.base_release[:12]
    same = " They are the same." if base and found.base_release == found.release else ""
    parts = [
        marker(),
        f"## Lockgate: {found.verdict}",
        f"Release `{head}`{f', compared with `{base}` of the base' if base else ', compared with nothing'}.{same}",
    ]
    lines = [*found.reasons, *_gate_lines(found.gate), *found.notes]
    if lines:
        parts.append(fenced("\n".join(lines)))
    left_out = []
    for suite in found.suites:
        path = here.out / f"{suite}.md"
        text = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
        if len("\n\n".join([*parts, text])) > MAX_COMMENT - 1000:
            left_out.append(suite)
        elif text:
            parts.append(text)
    if left_out:
        parts.append(f"Too long for a comment, see the artifact: {', '.join(f'`{name}`' for name in left_out)}.")
    return "\n\n".join(parts) + "\n"


def marker() -> str:
    """The hidden first line of a comment; each project and channel of a repository has a comment of its own."""
    what = hashlib.sha256(f"{given('PROJECT')}\0{given('CHANNEL')}".encode()).hexdigest()[:12]
    return f"{MARKER} {what} -->"


def _gate_lines(gate: Mapping[str, Any]) -> Iterator[str]:
    for rule in gate.get("rules", ()):
        yield f"{rule['verdict']:<12}  {rule['rule']}: {' '.join(str(rule['reason']).split())}"[:600]
        for check in rule.get("details", {}).get("checks", ()):
            if check["verdict"] != "PASS":
                resolve = f" -> {check['resolve']}" if check["resolve"] else ""
                yield f"  {check['verdict']:<12}  {' '.join(str(check['reason'] + resolve).split())}"[:600]


def fenced(text: str, limit: int = 12_000) -> str:
    """``text`` where a forge shows it as it is; nothing in it can end the block."""
    text = "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)[:limit]
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def comment() -> int:
    """Write the job's summary, and the comment where there is a pull request and a token that may."""
    here = job()
    path = here.out / "comment.md"
    nothing = f"{marker()}\n\n## Lockgate: INCONCLUSIVE\n\nNothing was measured; see the log.\n"
    text = path.read_text(encoding="utf-8") if path.is_file() else nothing
    _append("GITHUB_STEP_SUMMARY", text)
    number = _pull_request()
    token = os.environ.get("INPUT_TOKEN", "").strip()
    if given("COMMENT") == "false" or not number:
        return 0
    if not token:
        say("There is no token: the table is in the job's summary.")
        return 0
    try:
        _send(number, token, text[:MAX_COMMENT])
    except (Stop, OSError, ValueError, KeyError, TypeError) as error:
        # A pull request from a fork has a token that may only read. The verdict does not depend on a comment.
        say(f"No comment could be written ({error}): the table is in the job's summary.")
    return 0


def _send(number: int, token: str, text: str) -> None:
    repository = os.environ.get("GITHUB_REPOSITORY", "")
    if not _REPOSITORY.fullmatch(repository):
        raise Stop("GITHUB_REPOSITORY names no repository.")
    api = f"{_api()}/repos/{repository}/issues"
    known = _own_comment(f"{api}/{number}/comments", token, text.partition("\n")[0])
    if known is None:
        call("POST", f"{api}/{number}/comments", token, {"body": text})
    else:
        call("PATCH", f"{api}/comments/{known}", token, {"body": text})


def _own_comment(url: str, token: str, first: str) -> int | None:
    """That of this action: by its marker and by who wrote it, since anybody can write a marker."""
    author = given("COMMENT_AUTHOR") or "github-actions[bot]"
    for page in range(1, 101):
        found = call("GET", f"{url}?per_page=100&page={page}", token)
        for each in found:
            if str(each.get("body") or "").startswith(first) and (each.get("user") or {}).get("login") == author:
                return int(each["id"])
        if len(found) < 100:
            return None
    return None


def _api() -> str:
    url = os.environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise Stop("GITHUB_API_URL is not https: the token stays here.")
    return url


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token elsewhere."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


def call(method: str, url: str, token: str, body: Mapping[str, Any] | None = None) -> Any:
    """The JSON of the answer. Raises Stop with the status."""
    request = urllib.request.Request(  # noqa: S310 - _api() says which addresses there are
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "Content-Type": "application/json",
            "User-Agent": "lockgate-action",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    try:
        with urllib.request.build_opener(_NoRedirect()).open(request, timeout=30) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise Stop(f"{method} of the comment: status {error.code}") from None


# verdict


def verdict() -> int:
    """The exit code of the whole: 0, 1 for FAIL, 3 for INCONCLUSIVE and for whatever left no verdict."""
    path = job().out / "verdict.json"
    try:
        said = json.loads(path.read_text())["verdict"]
    except (OSError, ValueError, KeyError, TypeError):
        said = "INCONCLUSIVE"
    say(f"Lockgate: {said}")
    return EXIT.get(said, 3)


# running things


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def problem(self) -> str:
        """The last thing that was said about it."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        first = next((n for n, line in enumerate(lines) if line.startswith("error:")), max(0, len(lines) - 3))
        return " ".join(" ".join(lines[first:]).split())[:2000] or f"it ended with {self.code}"

    def or_stop(self, what: str) -> str:
        if self.code:
            raise Stop(f"{what}: {self.problem}")
        return self.out


def lockgate(here: Job, project: Path, *arguments: str, quiet: bool = False) -> Done:
    environment = {**clean_environment(), "LOCKGATE_STATE": str(here.state), "NO_COLOR": "1"}
    environment.pop("LOCKGATE_PROJECT", None)
    say(f"lockgate {' '.join(arguments)}")
    command = ["lockgate", "--project", str(project), *arguments]
    done = subprocess.run(command, capture_output=True, env=environment, cwd=project, check=False)
    out, err = (part.decode("utf-8", "replace") for part in (done.stdout, done.stderr))
    for line in (err if quiet else err + out).splitlines():
        say(line)
    return Done(done.returncode, out, err)


def run(command: Sequence[str], **options: Any) -> None:
    """Raises Stop when it fails; its output goes to the log."""
    options.setdefault("env", clean_environment())
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options) as process:
        for line in process.stdout or ():
            say(line.decode("utf-8", "replace"))
    if process.returncode:
        raise Stop(f"{command[0]} ended with {process.returncode}.")


def git(folder: Path, *arguments: str) -> str:
    """Without hooks and without questions."""
    command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", *arguments]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(command, cwd=folder, capture_output=True, env=environment, check=False)
    if done.returncode:
        raise Stop(f"git {arguments[0]}: {done.stderr.decode('utf-8', 'replace').strip()[:500]}")
    return done.stdout.decode("utf-8", "replace")


def _works(command: Sequence[str], folder: Path) -> bool:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    return subprocess.run(command, cwd=folder, capture_output=True, env=environment, check=False).returncode == 0


def _has(folder: Path, name: str) -> bool:
    return _works(["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"], folder)


def clean_environment() -> dict[str, str]:
    """What a program may know that reads a pull request's files."""
    return {name: value for name, value in os.environ.items() if name not in SECRETS}


# what the runner gives and takes


def given(name: str) -> str:
    return os.environ.get(f"INPUT_{name}", "").strip()


def job() -> Job:
    workspace = Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve()
    temp = Path(os.environ.get("RUNNER_TEMP") or workspace / ".lockgate-action").resolve() / "lockgate"
    return Job(workspace, temp)


def event() -> dict[str, Any]:
    path = os.environ.get("GITHUB_EVENT_PATH", "")
    with contextlib.suppress(OSError, ValueError):
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        if isinstance(data, dict):
            return data
    return {}


def _pull_request() -> int | None:
    request = event().get("pull_request")
    number = request.get("number") if isinstance(request, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) and number > 0 else None


def _suites(project: Path) -> list[str]:
    """Those that were asked for, else all of the project's and those that its gate names, such as the one that ships
    with Lockgate. Raises Stop for what is no name of a suite."""
    wanted = given("SUITES").replace(",", " ").split()
    if not wanted:
        wanted = sorted(path.parent.name for path in (project / "evals" / "suites").glob("*/suite.yaml"))
        wanted += _gated_suites(project) if wanted else []
    for name in wanted:
        if not _NAME.match(name):
            raise Stop(f"suites: {name[:80]!r} is not the name of a suite.")
    return list(dict.fromkeys(wanted))


def _gated_suites(project: Path) -> list[str]:
    """Lockgate reads the gate; here a name that is missed makes it INCONCLUSIVE, and one too many costs a run."""
    try:
        text = (project / "evals" / "gates" / f"{given('CHANNEL') or 'production'}.yaml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return []
    return re.findall(r"^\s+suite: ([a-z0-9][a-z0-9-]*)\s*$", text, re.MULTILINE)


def _inside(root: Path, folder: str, what: str) -> Path:
    path = (root / folder).resolve()
    if not path.is_relative_to(root.resolve()):
        raise Stop(f"{what}: {folder[:80]!r} leads out of the repository.")
    return path


def output(name: str, value: str) -> None:
    """An output is read by expressions of the workflow, so it is of plain characters only."""
    if not _OUTPUT.match(value):
        raise Stop(f"{name}: {value[:80]!r} cannot be an output.")
    _append("GITHUB_OUTPUT", f"{name}={value}\n")


def _append(variable: str, text: str) -> None:
    path = os.environ.get(variable, "")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)


def say(text: str) -> None:
    """Into the log. The runner takes a line that begins with :: or holds ##[ for a command."""
    for line in text.splitlines() or [""]:
        shown = "".join(char if char.isprintable() else " " for char in line)
        sys.stdout.write(f"| {shown.replace('##[', '## [')}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
