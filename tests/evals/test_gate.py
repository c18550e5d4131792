from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from evals import gate as gate_module
from evals.gate import RULES, SHIPPED, channels, judge, load_gate
from evals.rules.definitions import SuiteRule
from evals.suite import SuiteDefinition
from evals.targets import TargetRow, TargetTable
from evals.verdict import Finding, GateContext, GateReport, RuleResult, Verdict
from lockgate.content import load_yaml
from lockgate.errors import EXIT_CODE, HTTP_STATUS, GateFailed, Inconclusive, NotFound, Unavailable, UserError
from lockgate.ports import Progress
from lockgate.types import Answer
from tests.evals.conftest import make_answer
from tests.lockgate.samples import sample_manifest

NEEDS = {"suite": ", floors: {mrr: 0.5}", "reviews": ", at_least: 1"}
STARTER = SHIPPED.parents[1] / "serving" / "project" / "evals" / "suites" / "starter"
VERIFY = "channel: {name}\nrules:\n  - rule: verify\n"


def write(project: Path, file: str, text: str) -> Path:
    path = project / "evals" / "gates" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def context(targets: TargetTable | None = None) -> GateContext:
    async def ask(question: str) -> Answer:
        return make_answer(f"About {question} [1].", ["a.md"])

    manifest = sample_manifest()
    return GateContext(manifest.id, manifest, list, ask, lambda: ["What is it?"], targets or TargetTable())


def result(verdict: Verdict, *, rule: str = "verify", reason: str = "why", hint: str = "") -> RuleResult:
    return RuleResult(rule, verdict, reason, hint, {}, 0.25)


def report(*verdicts: Verdict, **changes: Any) -> GateReport:
    return GateReport("staging", "a" * 64, "b" * 64, tuple(result(each, **changes) for each in verdicts))


def test_staging_and_production_exist_from_the_start(tmp_path: Path) -> None:
    assert channels(tmp_path) == ["staging", "production"]
    assert [rule.rule for rule in load_gate(tmp_path, "staging").rules] == ["verify"]
    assert [rule.label for rule in load_gate(tmp_path, "production").rules] == [
        "verify",
        "suite docs-smoke",
        "suite safety",
    ]


@pytest.mark.parametrize("folder", [SHIPPED.parent / "suites" / "docs-smoke", STARTER])
def test_the_shipped_suites_measure_what_the_production_gate_asks_for(tmp_path: Path, folder: Path) -> None:
    rule, _ = (each for each in load_gate(tmp_path, "production").rules if isinstance(each, SuiteRule))
    assert set(rule.metrics) <= set(load_yaml(folder / "suite.yaml", SuiteDefinition).metrics)
    assert (rule.min_n, rule.max_unscored) == (40, 0)


def test_one_more_channel_is_one_more_gate_file(tmp_path: Path) -> None:
    path = write(tmp_path, "canary.yaml", VERIFY.format(name="canary"))
    assert channels(tmp_path) == ["staging", "production", "canary"]
    gate = load_gate(tmp_path, "canary")
    assert (gate.channel, gate.path) == ("canary", path)


def test_a_projects_gate_replaces_the_shipped_one(tmp_path: Path) -> None:
    text = "channel: staging\nrules:\r\n  - rule: verify\r\n  - rule: evidence\n"
    (tmp_path / "evals" / "gates").mkdir(parents=True)
    (tmp_path / "evals" / "gates" / "staging.yaml").write_bytes(text.encode())
    gate = load_gate(tmp_path, "staging")
    assert [rule.rule for rule in gate.rules] == ["verify", "evidence"]
    assert gate.hash == hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()
    assert load_gate(tmp_path, "production").path == SHIPPED / "production.yaml"


def test_a_channel_without_a_gate_is_refused_with_the_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing may be promoted") as caught:
        load_gate(tmp_path, "canary")
    assert str(tmp_path / "evals" / "gates" / "canary.yaml") in caught.value.hint


@pytest.mark.parametrize(
    "name", ["", "../staging", "/etc/passwd", "a/b", "Staging", "a b", "a\0b", "ü", ".", "a" * 65, "-a", "staging\n"]
)
def test_what_cannot_be_a_channels_name_names_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="not the name of a channel"):
        load_gate(tmp_path, name)


def test_a_channel_cannot_look_like_a_release(tmp_path: Path) -> None:
    for name in ("deadbeef", "abcdef", "facade"):
        write(tmp_path, f"{name}.yaml", VERIFY.format(name=name))
        with pytest.raises(UserError, match="could be a release's id"):
            load_gate(tmp_path, name)
    write(tmp_path, "Notes.yaml", "no gate at all")
    assert channels(tmp_path) == ["staging", "production"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("channel: staging\nrules: []\n", ":2: key 'rules'"),
        ("channel: staging\n", ":1: key 'rules' is missing."),
        ("", ":1: key 'channel' is missing."),
        ("channel: staging\nrules:\n  - rule: verify\n  - rule: magic\n", ":4: key 'rules.1'"),
        ("channel: staging\nrules:\n  - verify\n", ":3: key 'rules.0'"),
        ("channel: staging\nrules:\n  - {rule: verify, floor: 1}\n", ":3: unknown key 'rules.0.verify.floor'"),
        ("channel: staging\nrules:\n  - rule: verify\n  - rule: verify\n", "the rule 'verify' is given twice"),
        (
            "channel: production\nrules:\n  - rule: verify\n",
            "the channel is 'production', but must be that of the file",
        ),
        ("channel: staging\nrules:\n  - rule: verify\nforce: true\n", ":4: unknown key 'force'."),
        ("channel: staging\nrules: &r [*r]\n", "not valid YAML"),
    ],
)
def test_a_broken_gate_is_an_error_and_never_the_shipped_gate(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, "staging.yaml", text)
    with pytest.raises(UserError) as caught:
        load_gate(tmp_path, "staging")
    assert str(path) in caught.value.message
    assert message in caught.value.message


def test_a_gate_that_is_no_file_is_no_gate(tmp_path: Path) -> None:
    (tmp_path / "evals" / "gates" / "canary.yaml").mkdir(parents=True)
    assert "canary" not in channels(tmp_path)
    with pytest.raises(NotFound):
        load_gate(tmp_path, "canary")


async def test_staging_lets_a_release_pass_that_answers(tmp_path: Path) -> None:
    judged = await judge(load_gate(tmp_path, "staging"), context())
    assert judged.verdict == "PASS"
    judged.require_pass()
    assert judged.rules[0].seconds > 0


@pytest.mark.parametrize("rule", ["evidence", "suite, floors: {mrr: 0.5}", "reviews, at_least: 3"])
async def test_without_evidence_no_rule_lets_a_release_pass(tmp_path: Path, rule: str) -> None:
    write(tmp_path, "canary.yaml", f"channel: canary\nrules: [{{rule: verify}}, {{rule: {rule}}}]\n")
    judged = await judge(load_gate(tmp_path, "canary"), context())
    assert [each.verdict for each in judged.rules] == ["PASS", "INCONCLUSIVE"]
    with pytest.raises(Inconclusive):
        judged.require_pass()


async def test_production_refuses_without_evidence(tmp_path: Path) -> None:
    judged = await judge(load_gate(tmp_path, "production"), context())
    assert [each.verdict for each in judged.rules] == ["PASS", "INCONCLUSIVE", "INCONCLUSIVE"]


async def test_a_rule_that_is_left_out_is_inconclusive(tmp_path: Path) -> None:
    judged = await judge(load_gate(tmp_path, "staging"), context(), left_out=("verify",))
    assert (judged.verdict, judged.rules[0].reason) == ("INCONCLUSIVE", "It was left out on request.")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("boom"), "the rule itself broke: RuntimeError: boom"),
        (Unavailable("The model is away.", hint="Start it."), "The model is away."),
        (KeyError("x"), "the rule itself broke: KeyError: 'x'"),
        (TimeoutError(), "the rule itself broke: TimeoutError: "),
    ],
)
async def test_a_rule_that_breaks_is_inconclusive_and_the_others_are_judged_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    async def breaks(_rule: object, _context: GateContext, _progress: Progress) -> Finding:
        raise error

    async def passes(_rule: object, _context: GateContext, _progress: Progress) -> Finding:
        return Finding("PASS", "fine")

    monkeypatch.setattr(gate_module, "RULES", {"verify": breaks, "suite": passes})
    judged = await judge(load_gate(tmp_path, "production"), context())
    assert [(each.verdict, each.reason) for each in judged.rules] == [
        ("INCONCLUSIVE", reason),
        ("PASS", "fine"),
        ("PASS", "fine"),
    ]
    assert judged.verdict == "INCONCLUSIVE"


SUITE = "channel: staging\nrules:\n  - rule: suite\n    "


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("floors: {recal@5: 0.5}", "unknown metric"),
        ("floors: {recall: 0.5}", "recall needs k"),
        ("floors: {mrr: 80}", "mrr: 80 is outside its scale, 0 to 1"),
        ("floors: {mrr: .nan}", "key 'rules.0.suite.floors.mrr'"),
        ("floors: {mrr: true}", "valid number"),
        ("floors: {'recall@5': 0.5, 'recall@05': 0.1}", "recall@5 is given twice"),
        ("max_drop: {mrr: 0}", "mrr: 0 is no drop"),
        ("max_drop: {mrr: 1}", "mrr: 1 is no drop"),
        ("max_drop: {mrr: -0.1}", "is no drop"),
        ("floors: {mrr: 0.5}\n    max_unscored: 0.03", "key 'rules.0.suite.max_unscored'"),
        ("floors: {mrr: 0.5}\n    min_n: 1", "key 'rules.0.suite.min_n'"),
        ("floors: {mrr: 0.5}\n    max_age_days: 0", "key 'rules.0.suite.max_age_days'"),
        ("floors: {mrr: 0.5}\n    floor: {}", "unknown key 'rules.0.suite.floor'"),
        ("floors: {mrr: 0.5}\n    suite: ../x", "is not the name of a suite"),
        ("zero_tolerance: [mrr, mrr]", "a metric is given twice"),
        ("min_n: 5", "needs floors, max_drop, slices or zero_tolerance"),
        ("slices: {topic: {billing: {}}}", "needs floors, max_drop, slices or zero_tolerance"),
        ("slices: {topic: {}}", "needs floors, max_drop, slices or zero_tolerance"),
    ],
)
def test_a_suite_rule_that_could_let_anything_pass_is_refused(tmp_path: Path, keys: str, message: str) -> None:
    path = write(tmp_path, "staging.yaml", SUITE + keys + "\n")
    with pytest.raises(UserError) as caught:
        load_gate(tmp_path, "staging")
    assert message in caught.value.message
    assert str(path) in caught.value.message


def test_one_suite_has_one_rule(tmp_path: Path) -> None:
    rules = "".join(f"  - {{rule: suite, suite: {name}, floors: {{mrr: 0.5}}}}\n" for name in ("one", "two", "one"))
    write(tmp_path, "staging.yaml", f"channel: staging\nrules:\n{rules}")
    with pytest.raises(UserError, match="the rule 'suite one' is given twice"):
        load_gate(tmp_path, "staging")


def test_every_rule_that_a_gate_file_may_name_has_a_judge(tmp_path: Path) -> None:
    for name in RULES:
        write(tmp_path, "canary.yaml", f"channel: canary\nrules: [{{rule: {name}{NEEDS.get(name, '')}}}]\n")
        assert [rule.rule for rule in load_gate(tmp_path, "canary").rules] == [name]
    write(tmp_path, "canary.yaml", "channel: canary\nrules: [{rule: x}]\n")
    with pytest.raises(UserError) as caught:
        load_gate(tmp_path, "canary")
    assert all(repr(name) in caught.value.message for name in RULES)


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        (["PASS"], "PASS"),
        (["PASS", "PASS"], "PASS"),
        (["PASS", "FAIL"], "FAIL"),
        (["INCONCLUSIVE", "FAIL"], "FAIL"),
        (["PASS", "INCONCLUSIVE"], "INCONCLUSIVE"),
        ([], "INCONCLUSIVE"),
    ],
)
def test_the_verdict_is_the_worst_of_the_rules_and_no_rule_is_no_pass(verdicts: list[Verdict], verdict: str) -> None:
    judged = report(*verdicts)
    assert judged.verdict == verdict
    if verdict == "PASS":
        judged.require_pass()
        return
    with pytest.raises(GateFailed if verdict == "FAIL" else Inconclusive) as caught:
        judged.require_pass()
    assert "aaaaaaaaaaaa" in caught.value.message


def test_inconclusive_has_its_own_exit_code() -> None:
    assert (EXIT_CODE[GateFailed.code], EXIT_CODE[Inconclusive.code]) == (1, 3)
    assert HTTP_STATUS[Inconclusive.code] == 409
    with pytest.raises(Inconclusive):
        report("INCONCLUSIVE").require_pass()


def test_only_rules_that_did_not_pass_are_named_in_the_refusal() -> None:
    rules = (result("PASS", reason="all there"), result("FAIL", rule="evidence", reason="none", hint="Run it."))
    with pytest.raises(GateFailed) as caught:
        GateReport("production", "a" * 64, "b", rules).require_pass()
    assert caught.value.message.endswith("evidence: none")
    assert caught.value.hint == "Run it."


def row(name: str, measured: float | None, met: bool | None) -> TargetRow:
    return TargetRow(name, "quality", "mrr", "at least 0.5", measured, 3, met, "suite starter, run x")


def test_the_report_prints_targets_beside_measurements() -> None:
    table = TargetTable((row("ranks well", 0.25, False), row("not yet", None, None)))
    judged = GateReport("staging", "a" * 64, "b" * 64, (result("PASS", reason="two\nlines"),), table)
    text = "\n".join(judged.lines())
    assert text.startswith("PASS  gate of staging, release aaaaaaaaaaaa\n")
    assert "two lines  (0.2 s)" in text
    assert "at least 0.5  0.25" in text
    assert "MISSED" in text
    assert "not measured" in text


def test_the_report_says_when_the_scope_is_broken() -> None:
    judged = GateReport("staging", "a" * 64, "b", (result("PASS"),), TargetTable(problem="scope.yaml:3: bad"))
    assert "Targets are not shown: scope.yaml:3: bad" in judged.lines()
    assert "Targets" not in "\n".join(report("PASS").lines())


async def test_the_report_as_json_holds_all_of_it(tmp_path: Path) -> None:
    gate = load_gate(tmp_path, "production")
    judged = await judge(gate, context(TargetTable((row("ranks well", 0.25, False),))))
    body = judged.as_json()
    assert (body["channel"], body["verdict"], body["gate"]) == ("production", "INCONCLUSIVE", gate.hash)
    assert body["release"] == sample_manifest().id
    assert [each["rule"] for each in body["rules"]] == ["verify", "suite docs-smoke", "suite safety"]
    assert body["rules"][0]["details"]["question"] == "What is it?"
    assert body["targets"][0]["met"] is False
    assert isinstance(body["rules"][0]["seconds"], float)


async def test_the_rules_report_their_progress(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    await judge(load_gate(tmp_path, "staging"), context(), lambda *step: seen.append(step))
    assert (seen[0], seen[-1]) == (("verify", 0, 0), ("verify", 1, 1))
