"""The example of docs/guardrails-own-checks.md, installed and run; and plug-ins that cannot be used."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardrails.catalogue import about, check_class
from guardrails.plug_ins import plug_in
from guardrails.policy import load_policy, policy_from_text
from lockgate.errors import UserError
from serving.cli import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guardrails-own-checks.md"

Install = Callable[..., None]


def block(language: str, after: str) -> str:
    """The fenced block of the page that follows ``after``."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text().split(after, 1)[1], re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a distribution with one entry point where Python finds it."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    before = set(sys.modules)

    def put(code: str, entry: str = "shouting = shouting:Shouting", *, name: str = "lockgate-shouting") -> None:
        info = tmp_path / "site" / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[lockgate.checks]\n{entry}\n")
        (tmp_path / "site" / "shouting.py").write_text(code)
        plug_in.cache_clear()

    yield put
    for each in set(sys.modules) - before:
        if each == "shouting":
            del sys.modules[each]
    plug_in.cache_clear()


def test_the_example_of_the_page_works_as_it_says(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = re.search(r'\[project\.entry-points\."lockgate\.checks"\]\n(.*)\n', block("toml", "`pyproject.toml`"))
    assert entry is not None
    install(block("python", "`shouting.py`"), entry[1].replace('"', ""))
    policies = tmp_path / "project" / "guardrails" / "policies"
    policies.mkdir(parents=True)
    (policies / "quiet.yaml").write_text(block("yaml", "`guardrails/policies/quiet.yaml`"))
    monkeypatch.setenv("LOCKGATE_PROJECT", str(tmp_path / "project"))

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["guardrails", *arguments])
        return done.exit_code, done.output

    assert run("test", "--policy", "quiet") == (0, "2 of 2 examples went as the policy says.\n")
    code, said = run("check", "WHERE IS MY KEY?", "--policy", "quiet")
    assert code == 1
    assert "input shouting: blocked (1.00)" in said
    assert about("shouting") == "A text in capital letters."
    text = (policies / "quiet.yaml").read_text()
    for wrong, message in (
        ("least_letters: 0", r"own.yaml:6: .*least_letters: Input should be greater"),
        ("most_letters: 3", r"own.yaml:6: .*most_letters: Extra inputs"),
        ("action: redact", r"own.yaml:.* can block, flag, log, not redact"),
    ):
        key = wrong.split(":")[0]
        broken = re.sub(r"action: block\n" if key == "action" else r"least_letters: 8", wrong + "\n", text, count=1)
        with pytest.raises(UserError, match=message):
            policy_from_text("quiet", broken, where="own.yaml")
    with pytest.raises(UserError, match="for the stages input, output, not context"):
        policy_from_text("quiet", text.replace("input:", "context:").split("examples:")[0], where="own.yaml")


GOOD = "from guardrails.checks.length import InputLength\n\n\nclass Shouting(InputLength):\n    name = 'shouting'\n"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nothing_of_that_name\n", "cannot be loaded: ModuleNotFoundError"),
        ("raise SystemError('broken')\n", "cannot be loaded: SystemError: broken"),
        ("Another = 1\n", "cannot be loaded: AttributeError"),
        ("Shouting = 1\n", "is no class"),
        ("class Shouting:\n    pass\n", "calls itself None"),
        (GOOD + "    stages = ['input']\n", "has stages that are no set of document, input"),
        (GOOD + "    actions = frozenset({'explode'})\n", "has actions that are no set of block"),
        (GOOD + "    settings = dict\n", "has settings that are no subclass"),
        (GOOD + "    look = None\n", "has no method look"),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_told_with_its_distribution(install: Install, code: str, message: str) -> None:
    install(code)
    text = "name: own\ndescription: d\nowner: me\ninput:\n  - check: shouting\n    action: block\n"
    with pytest.raises(UserError) as told:
        policy_from_text("own", text, where="own.yaml")
    assert "the distribution lockgate-shouting 1.0" in str(told.value)
    assert message in str(told.value)
    assert "own.yaml:5" in str(told.value)


def test_two_distributions_with_one_name_are_refused_and_a_name_that_ships_is_not_taken(install: Install) -> None:
    install(GOOD, "shouting = shouting:Shouting\nsecrets = shouting:Shouting", name="one")
    install(GOOD, name="two")
    with pytest.raises(UserError, match=r"several distributions: one 1\.0, two 1\.0"):
        check_class("shouting")
    shipped = check_class("secrets")
    assert shipped is not None
    assert shipped.__module__ == "guardrails.checks.secrets"
    assert check_class("links") is None


def test_a_plug_in_is_loaded_only_when_a_policy_names_it(install: Install, tmp_path: Path) -> None:
    install("raise SystemError('loaded')\n")
    load_policy(tmp_path, "default")
