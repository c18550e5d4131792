"""The pytest plug-in: suites as tests of a team's own, by ``@pytest.mark.lockgate_suite`` or the fixture of that name.

pytest loads this in every project of an environment that has Lockgate, so nothing but pytest is imported here. What
does the work lies in evals and is looked up by name when a test needs it: this module has to be in a package whose name
no project has, and "evals" is a name that projects have.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest

MARKER = "lockgate_suite"
PROPERTY = "lockgate"
_WORKER = "evals.suite_check"
_SIGNATURE = (
    f"{MARKER}(suite, *, release, channel, chain, against, gate, floors, max_drop, slices, zero_tolerance, min_n, "
    "max_unscored, max_age_days, tier, concurrency): the test passes only if Lockgate's suite does, judged like a gate."
)
_OPTIONS = (
    ("project", "DIR", "Folder of the Lockgate project; default: LOCKGATE_PROJECT, else pytest's rootdir."),
    (
        "release",
        "RELEASE",
        "Measure this release where a test names none; default: one built from the project's files.",
    ),
    ("against", "RELEASE", "Compare with this release or channel where a test names none; default: production."),
    ("wait", "SECONDS", "How long to wait for another process that measures or has the index; default: 600."),
    ("inconclusive", "WHAT", "What INCONCLUSIVE makes of a test: fail (default) or xfail. It never passes."),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lockgate", "Lockgate suites")
    for name, metavar, text in _OPTIONS:
        group.addoption(f"--lockgate-{name}", metavar=metavar, default=None, help=text)
        parser.addini(f"lockgate_{name}", f"Default of --lockgate-{name}.", default="")
    group.addoption("--lockgate-rerun", action="store_true", help="Measure again whatever evidence there is.")
    group.addoption(
        "--lockgate-no-run", action="store_true", help="Measure nothing: judge by the evidence that is there."
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _SIGNATURE)
    config.stash[_SESSION] = _Session(config)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Judges before the test's own body, so that a body may rely on it."""
    for marker in item.iter_markers(MARKER):
        _require_pass(item, marker.args, marker.kwargs)


@pytest.fixture
def lockgate_suite(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Call it like the marker; the test fails unless the suite passes, and gets the result otherwise."""

    def check(*args: Any, **keywords: Any) -> Any:
        return _require_pass(request.node, args, keywords)

    return check


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was judged, each once; under xdist the reports of all workers arrive here."""
    reports = (each for group in terminalreporter.stats.values() for each in group)
    found = (value for each in reports for name, value in getattr(each, "user_properties", ()) if name == PROPERTY)
    lines = list(dict.fromkeys(str(value) for value in found))
    if lines and terminalreporter.verbosity >= 0:
        terminalreporter.section("lockgate")
        for line in lines:
            terminalreporter.line(line)


class _Session:
    """What was judged so far: a marker on a class is judged once."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.started = datetime.now(UTC)
        self.done: dict[str, Any] = {}

    def text(self, name: str) -> str:
        given = self.config.getoption(f"--lockgate-{name}")
        return str(given if given is not None else self.config.getini(f"lockgate_{name}"))

    def settings(self, worker: Any) -> Any:
        given = self.text("project")
        if given:
            # A folder of the ini file is meant from where that file lies, one of the command line from here.
            on_command_line = self.config.getoption("--lockgate-project") is not None
            base = self.config.invocation_params.dir if on_command_line else self.config.rootpath
            folder = base / Path(given).expanduser()
            if not folder.is_dir():
                raise worker.UserError(f"--lockgate-project: {folder} is not a folder.")
        else:
            folder = Path(os.environ.get("LOCKGATE_PROJECT") or self.config.rootpath)
        return importlib.import_module("lockgate.settings").load_settings(project=folder)

    def options(self, worker: Any) -> Any:
        wait = self.text("wait") or "600"
        try:
            seconds = float(wait)
            if not 0 <= seconds <= 86_400:
                raise ValueError
        except ValueError:
            raise worker.UserError(f"--lockgate-wait: {wait!r} is not a number of seconds, from 0 to 86400.") from None
        since = self.started if self.config.getoption("--lockgate-rerun") else None
        run = not self.config.getoption("--lockgate-no-run")
        if since and not run:
            raise worker.UserError("--lockgate-rerun and --lockgate-no-run exclude each other.")
        return worker.CheckOptions(run=run, since=since, wait=seconds)

    def inconclusive(self, worker: Any) -> str:
        what = self.text("inconclusive") or "fail"
        if what not in ("fail", "xfail"):
            raise worker.UserError(f"--lockgate-inconclusive: {what!r} is neither 'fail' nor 'xfail'.")
        return what

    def judge(self, worker: Any, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
        """The result, or the error, of the same check the first time."""
        if len(args) != 1 or not isinstance(args[0], str):
            raise worker.UserError(f"{MARKER} takes the name of one suite, then keywords: {MARKER}('docs-smoke', ...).")
        given = dict(keywords)
        if "release" not in given and "channel" not in given and (release := self.text("release")):
            given["release"] = release
        if "against" not in given and "gate" not in given and (against := self.text("against")):
            given["against"] = against
        check = worker.read_check(args[0], given)
        key = json.dumps(check.model_dump(mode="json"), sort_keys=True, default=repr)
        if key not in self.done:
            try:
                self.done[key] = worker.check_suite(self.settings(worker), check, self.options(worker))
            except worker.LockgateError as error:
                self.done[key] = error
        if isinstance(self.done[key], worker.LockgateError):
            raise self.done[key]
        return self.done[key]


_SESSION = pytest.StashKey[_Session]()


def _require_pass(item: pytest.Item, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
    __tracebackhide__ = True
    session = item.config.stash[_SESSION]
    worker = _worker()
    problem = ""
    try:
        what = session.inconclusive(worker)
        result = session.judge(worker, args, keywords)
    except worker.LockgateError as error:
        problem = "\n".join([f"lockgate: {error.message}", *([f"hint: {error.hint}"] if error.hint else [])])
    if problem:  # failed out here, or pytest would print what the error came from as well
        pytest.fail(problem, pytrace=False)
    item.user_properties.append((PROPERTY, result.line()))
    if result.said:
        item.add_report_section("call", "lockgate", "\n".join(result.said))
    if result.verdict != "PASS":
        _refuse(result, what)
    return result


def _refuse(result: Any, what: str) -> NoReturn:
    __tracebackhide__ = True
    message = "\n".join([result.line(), *(f"  {reason}" for reason in result.reasons())])
    if result.verdict == "INCONCLUSIVE" and what == "xfail":
        pytest.xfail(message)  # returns where pytest was told --runxfail
    pytest.fail(message, pytrace=False)


def _worker() -> Any:
    """Lockgate's own part that measures and judges; another package of that name is an error of its own."""
    __tracebackhide__ = True
    try:
        return importlib.import_module(_WORKER)
    except ImportError as error:
        reason = str(error)
    package = _WORKER.partition(".")[0]
    pytest.fail(
        f"lockgate: {_WORKER} cannot be imported ({reason}). If your project has a package named {package!r}, it hides "
        "Lockgate's: remove its __init__.py, or test elsewhere.",
        pytrace=False,
    )
