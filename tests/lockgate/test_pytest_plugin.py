"""The pytest plug-in, run by pytest itself: what a verdict makes of a test, and what it costs who doesn't use it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import pytest

import evals.suite_check  # pytester forgets what is first imported while it runs; numpy doesn't survive that
from evals.suite_check import CheckOptions, SuiteCheck, SuiteResult
from evals.verdict import GateReport, RuleResult, Verdict
from lockgate.errors import NotFound
from lockgate.settings import Settings

pytest_plugins = ["pytester"]

INI = "[pytest]\naddopts = --strict-markers\nasyncio_default_fixture_loop_scope = function\n"
FEWER = [part for name in ("langsmith_plugin", "hypothesispytest", "anyio") for part in ("-p", f"no:{name}")]
TEST = """\
import pytest

@pytest.mark.lockgate_suite("tiny", floors={"token_f1": 0.5})
def test_docs():
    print("the body ran")
"""


def result_of(verdict: Verdict, check: SuiteCheck) -> SuiteResult:
    checks = [{"verdict": verdict, "reason": "token_f1 is\n0.2.", "resolve": "34 more cases."}]
    rule = RuleResult("suite", verdict, "token_f1 is 0.2.", "", {"checks": checks}, 0.1)
    report = GateReport("production", "r" * 64, "g" * 64, (rule,))
    return SuiteResult(check.suite, "r" * 64, None, report, "e" * 64, measured=True, said=("24 rows.",))


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, SuiteCheck, CheckOptions]]:
    """What was checked; the first word of a suite's name is its verdict, and "error" is none."""
    seen: list[tuple[Settings, SuiteCheck, CheckOptions]] = []
    verdicts: dict[str, Verdict] = {"tiny": "PASS", "fail": "FAIL", "unsure": "INCONCLUSIVE"}

    def check_suite(settings: Settings, check: SuiteCheck, options: CheckOptions) -> SuiteResult:
        seen.append((settings, check, options))
        if check.suite == "error":
            raise NotFound("There is no index.", hint="Run: lockgate ingestion sync")
        if check.suite == "broken":
            raise RuntimeError("a bug")
        return result_of(verdicts[check.suite], check)

    monkeypatch.setattr(evals.suite_check, "check_suite", check_suite)
    return seen


Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, checked: list[Any]) -> Run:
    pytester.makeini(INI)

    def run(source: str = TEST, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        return pytester.runpytest_inprocess(*FEWER, *arguments)

    return run


def test_it_is_installed() -> None:
    """If this fails, the environment is older than pyproject.toml: pip install -e . again."""
    (found,) = entry_points(group="pytest11", name="lockgate")
    assert found.value == "lockgate.pytest_plugin"


def test_pass_runs_the_body_and_says_what_was_judged(run: Run, checked: list[Any]) -> None:
    result = run(TEST, "-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*the body ran*", "*= lockgate =*", "PASS  tiny, release rrrrrrrrrrrr, measured now *"]
    )
    assert checked[0][1].floors == {"token_f1": 0.5}


@pytest.mark.parametrize(("suite", "verdict"), [("fail", "FAIL"), ("unsure", "INCONCLUSIVE")])
def test_anything_else_fails_with_the_reasons_and_no_traceback(run: Run, suite: str, verdict: str) -> None:
    result = run(TEST.replace("tiny", suite), "-s")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"{verdict}  {suite}, release *", f"  {verdict}: token_f1 is 0.2. -> 34 more cases."])
    text = result.stdout.str()
    assert "the body ran" not in text
    assert "Traceback" not in text
    assert "pytest_plugin.py" not in text
    assert "another exception" not in text


def test_inconclusive_can_be_an_expected_failure_and_nothing_weaker(run: Run) -> None:
    unsure = TEST.replace("tiny", "unsure")
    result = run(unsure, "--lockgate-inconclusive", "xfail")
    result.assert_outcomes(xfailed=1)
    run(unsure, "--lockgate-inconclusive=xfail", "--runxfail").assert_outcomes(failed=1)
    run(TEST.replace("tiny", "fail"), "--lockgate-inconclusive=xfail").assert_outcomes(failed=1)
    for what in ("skip", "pass", "ignore", "XFAIL"):
        result = run(unsure, f"--lockgate-inconclusive={what}")
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines([f"lockgate: --lockgate-inconclusive: '{what}' is neither 'fail' nor 'xfail'."])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (TEST.replace("tiny", "error"), "lockgate: There is no index."),
        (TEST.replace("floors", "flors"), "lockgate: unknown keyword 'flors'."),
        (TEST.replace("token_f1", "token_f7"), "lockgate: floors: unknown metric*"),
        (TEST.replace('"tiny", ', ""), "lockgate: lockgate_suite takes the name of one suite, then keywords: *"),
        (TEST.replace('"tiny"', '"tiny", "more"'), "lockgate: lockgate_suite takes the name of one suite*"),
        (TEST.replace('"tiny"', "7"), "lockgate: lockgate_suite takes the name of one suite*"),
        (
            TEST.replace('("tiny", floors={"token_f1": 0.5})', ""),
            "lockgate: lockgate_suite takes the name of one suite*",
        ),
    ],
)
def test_a_mistake_is_one_clear_failure(run: Run, source: str, message: str) -> None:
    result = run(source)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message])
    assert "Traceback" not in result.stdout.str()
    assert "another exception" not in result.stdout.str()


def test_a_hint_is_shown(run: Run) -> None:
    run(TEST.replace("tiny", "error")).stdout.fnmatch_lines(["hint: Run: lockgate ingestion sync"])


def test_a_bug_keeps_its_traceback(run: Run) -> None:
    result = run(TEST.replace("tiny", "broken"))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*RuntimeError: a bug*"])


def test_the_fixture_fails_the_test_or_gives_the_result(run: Run) -> None:
    source = """\
    import pytest

    def test_passes(lockgate_suite):
        assert lockgate_suite("tiny", floors={"token_f1": 0.5}).verdict == "PASS"

    def test_fails(lockgate_suite):
        lockgate_suite("unsure", floors={"token_f1": 0.5})
        print("went on")

    def test_mistake(lockgate_suite):
        lockgate_suite("tiny", floor={})
    """
    result = run(textwrap.dedent(source), "-s")
    result.assert_outcomes(passed=1, failed=2)
    assert "went on" not in result.stdout.str()


def test_what_is_marked_several_times_is_judged_once_each(run: Run, checked: list[Any]) -> None:
    source = """\
    import pytest

    @pytest.mark.lockgate_suite("fail", floors={"token_f1": 0.5})
    @pytest.mark.lockgate_suite("tiny", floors={"token_f1": 0.5})
    class TestBoth:
        def test_first(self): pass
        def test_second(self): pass
        @pytest.mark.parametrize("n", [1, 2])
        def test_third(self, n): pass
    """
    run(textwrap.dedent(source)).assert_outcomes(failed=4)
    assert sorted(check.suite for _, check, _ in checked) == ["fail", "tiny"]


def test_nothing_is_measured_to_collect_or_to_skip(run: Run, checked: list[Any]) -> None:
    result = run(TEST, "--collect-only", "-q")
    result.stdout.fnmatch_lines(["*::test_docs"])
    run(TEST, "-m", "not lockgate_suite").assert_outcomes(deselected=1)
    run(TEST.replace("import pytest\n", "import pytest\npytestmark = pytest.mark.skip\n")).assert_outcomes(skipped=1)
    run("def test_other(): pass\n").assert_outcomes(passed=1)
    assert checked == []


def test_the_marker_is_known_and_listed(run: Run) -> None:
    run(TEST, "--markers").stdout.fnmatch_lines(["@pytest.mark.lockgate_suite(suite, *"])
    run(TEST, "--help").stdout.fnmatch_lines(["Lockgate suites:", "*--lockgate-project=DIR*"])


def test_without_the_plug_in_a_strict_project_refuses_marker_and_fixture(pytester: pytest.Pytester) -> None:
    """In a process of its own: pytest remembers the markers that a process has seen."""
    pytester.makeini(INI)
    pytester.makepyfile(test_marker=TEST, test_fixture="def test_docs(lockgate_suite): pass\n")
    result = pytester.runpytest_subprocess("-p", "no:lockgate", "--continue-on-collection-errors")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines_random(
        ["*'lockgate_suite' not found in `markers` configuration option*", "*fixture 'lockgate_suite' not found*"]
    )


def test_options_and_ini_say_the_same(
    run: Run, checked: list[Any], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ours", "theirs", "env"):
        (pytester.path / name).mkdir()
    run()
    assert checked[-1][0].project_dir == pytester.path.resolve()
    assert checked[-1][2] == CheckOptions(run=True, since=None, wait=600.0)
    monkeypatch.setenv("LOCKGATE_PROJECT", str(pytester.path / "env"))
    run()
    assert checked[-1][0].project_dir.name == "env"
    keys = "lockgate_project = ours\nlockgate_wait = 5\nlockgate_release = staging\nlockgate_against = abcdef\n"
    pytester.makeini(INI + keys)
    run()
    settings, check, options = checked[-1]
    assert (settings.project_dir.name, options.wait, check.release, check.against) == ("ours", 5, "staging", "abcdef")
    given = ["--lockgate-project=theirs", "--lockgate-release=fedcba", "--lockgate-against=beta", "--lockgate-no-run"]
    run(TEST, *given)
    settings, check, options = checked[-1]
    assert (settings.project_dir.name, check.release, check.against, options.run) == ("theirs", "fedcba", "beta", False)
    own = TEST.replace("floors=", "channel='production', against='old', floors=")
    run(own, "--lockgate-rerun")
    check, options = checked[-1][1:]
    assert (check.release, check.channel, check.against) == (None, "production", "old")
    assert options.since is not None


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--lockgate-project=nowhere", "lockgate: --lockgate-project: *nowhere is not a folder."),
        ("--lockgate-wait=long", "lockgate: --lockgate-wait: 'long' is not a number of seconds*"),
        ("--lockgate-wait=-1", "lockgate: --lockgate-wait: '-1' is not a number*"),
        ("--lockgate-wait=nan", "lockgate: --lockgate-wait: 'nan' is not a number*"),
    ],
)
def test_an_option_that_means_nothing_fails_the_test(run: Run, option: str, message: str) -> None:
    result = run(TEST, option)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message])


def test_two_options_that_exclude_each_other_are_refused(run: Run) -> None:
    run(TEST, "--lockgate-rerun", "--lockgate-no-run").stdout.fnmatch_lines(["lockgate: *exclude each other."])


def test_the_report_files_say_it_too(run: Run, pytester: pytest.Pytester) -> None:
    run(TEST, "--junitxml=out.xml").assert_outcomes(passed=1)
    assert 'name="lockgate" value="PASS  tiny, release' in (pytester.path / "out.xml").read_text()


def test_async_tests_are_judged_too(run: Run, pytester: pytest.Pytester) -> None:
    source = TEST.replace("tiny", "unsure").replace("def test_docs", "async def test_docs")
    run(source, "--asyncio-mode=auto").assert_outcomes(failed=1)
    run(source.replace("unsure", "tiny"), "--asyncio-mode=auto").assert_outcomes(passed=1)


# What it costs a project that doesn't use it

HEAVY = ("torch", "langchain", "langchain_core", "ragas", "sqlalchemy", "pydantic", "numpy", "evals", "chains", "typer")


def test_importing_it_imports_nothing_but_pytest() -> None:
    code = f"import sys, pytest, lockgate.pytest_plugin; print([n for n in {HEAVY!r} if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_project_that_does_not_use_it_loads_nothing_of_lockgate(pytester: pytest.Pytester) -> None:
    pytester.makeini(INI)
    pytester.makepyfile(f"""\
        import sys

        def test_unrelated():
            assert [name for name in {("torch", "sqlalchemy", "evals", "chains", "lockgate.settings")!r}
                    if name in sys.modules] == []
        """)
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)


def test_a_project_with_packages_of_the_same_names_still_runs_its_tests(pytester: pytest.Pytester) -> None:
    pytester.makeini(INI)
    for name in ("evals", "serving"):
        pytester.mkpydir(name)
    pytester.makepyfile("import evals\n\ndef test_unrelated(): assert 'lockgate' not in str(evals.__file__)\n")
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)
    pytester.makepyfile(TEST)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["lockgate: evals.suite_check cannot be imported *a package named 'evals', it hides *"])


# The whole of it, with real suites

CONFTEST = """\
import warnings
warnings.simplefilter("error")
import ingestion.embedding
from tests.ingestion.fakes import WordEmbedder, handle

EMBEDDER = WordEmbedder()
ingestion.embedding.open_embedder = lambda _settings: handle(EMBEDDER)
"""
REAL = """\
import pytest

GOOD = {"floors": {"abstention_accuracy": 0.0}, "min_n": 4}

@pytest.mark.lockgate_suite("tiny", **GOOD)
def test_pass(): pass

@pytest.mark.lockgate_suite("tiny", **GOOD)
def test_pass_again(): pass

@pytest.mark.lockgate_suite("tiny", zero_tolerance=("token_f1",))
def test_fail(): pass

@pytest.mark.lockgate_suite("tiny", floors={"token_f1": 0.5})
def test_inconclusive(): pass

@pytest.mark.lockgate_suite("tinny", **GOOD)
def test_unknown(): pass

def test_fixture(lockgate_suite):
    assert lockgate_suite("tiny", **GOOD).value("abstention_accuracy") > 0.1
"""


@pytest.fixture
def real(pytester: pytest.Pytester) -> Any:
    from tests.evals.projects import Project

    project = Project(pytester.path / "project")
    pytester.makeini(INI + "lockgate_project = project\n")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(REAL)
    return project


def expect(result: pytest.RunResult, *patterns: str) -> None:
    result.assert_outcomes(passed=3, failed=3)
    result.stdout.fnmatch_lines_random(
        ["FAIL  tiny, release *", "INCONCLUSIVE  tiny, *", "lockgate: There is no suite 'tinny' in *", *patterns]
    )
    assert "Traceback" not in result.stdout.str()


def test_real_suites_pass_fail_and_stay_undecided(real: Any, pytester: pytest.Pytester) -> None:
    without = pytester.runpytest_subprocess("-k", "test_pass_again")
    without.assert_outcomes(failed=1)
    without.stdout.fnmatch_lines(["hint: *lockgate ingestion sync*"])
    real.sync()
    expect(pytester.runpytest_subprocess(), "PASS  tiny, release *")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("xdist") is None, reason="needs pytest-xdist: pip install pytest-xdist")
def test_workers_of_xdist_measure_once(real: Any, pytester: pytest.Pytester) -> None:
    from lockgate.store.eval_runs import list_eval_runs

    real.sync()
    expect(pytester.runpytest_subprocess("-n", "2"), "PASS  tiny, release *")
    with real.database() as db:
        assert len(list_eval_runs(db)) == 1
