"""A preview asks what the chain would be asked, keeps nothing, and says what stands in its way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from evals.case import Case
from lockgate.errors import UserError
from lockgate.store.releases import open_releases
from lockgate.store.traces import list_traces
from prompts.branch import Edit
from serving.prompt_preview import Preview, Sample, prepare_preview, preview
from serving.prompt_views import check_edit, read_basis
from tests.serving.benches import OWN_PROMPT, Bench, open_bench
from tests.serving.fakes import FakeAsker

EDITED = OWN_PROMPT.replace("passages only.", "passages only, in one sentence.")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path) as bench:
        yield bench


def edit(bench: Bench, name: str = "answer", text: str = EDITED) -> Edit:
    basis = read_basis(bench.workbench, name)
    return check_edit(bench.workbench, name, basis.main, text, base_hash=basis.hash).edit


async def samples(found: Preview, seconds: float = 20.0) -> list[Sample]:
    return [sample async for sample in preview(found, seconds=seconds)]


def suite(bench: Bench, *rows: str) -> None:
    folder = bench.folder / "evals" / "suites" / "docs-smoke"
    folder.mkdir(parents=True)
    (folder / "suite.yaml").write_text(
        "name: docs-smoke\nversion: 1\ncorpus: docs\nmetrics: [token_f1]\ntimeout_s: 5\n"
    )
    (folder / "cases.jsonl").write_text("\n".join(rows) + "\n")


def row(name: str, *, answerable: bool = True, history: bool = False) -> str:
    said = ', "history": [{"role": "user", "content": "What are keys?"}]' if history else ""
    gold = '"pages": ["keys.md"], "reference": "x", ' if answerable else ""
    return (
        f'{{"id": "{name}", "question": "How do I rotate a signing key ({name})?", {gold}'
        f'"answerable": {str(answerable).lower()}, "split": "dev"{said}}}'
    )


async def test_both_sides_are_asked_in_generative_mode_and_nothing_is_kept(bench: Bench) -> None:
    found = prepare_preview(bench.workbench, edit(bench))
    made = await samples(found)
    assert [(one.before.text, one.after.text) for one in made] == [("Rotate it.", "Rotate it.")] * 2
    systems = [request["messages"][0]["content"] for request in bench.server.asked]
    assert ["one sentence" in text for text in systems] == [False, True, False, True]
    assert {trace.origin for trace in list_traces(bench.project.db)} == {"eval"}
    assert open_releases(bench.project.settings, bench.project.db).list() == []
    assert bench.prompt.read_text() == OWN_PROMPT
    assert "answers by quoting" in found.note


async def test_the_first_three_answerable_cases_of_the_suite_are_asked(bench: Bench) -> None:
    suite(bench, row("no", answerable=False), row("a"), row("b", history=True), row("c"), row("d"))
    found = prepare_preview(bench.workbench, edit(bench))
    assert [case.id for case in found.cases] == ["a", "b", "c"]
    assert found.source == "Cases of the suite docs-smoke"


def test_without_a_suite_the_pages_are_asked_about(bench: Bench) -> None:
    found = prepare_preview(bench.workbench, edit(bench))
    assert [case.question for case in found.cases] == ["What is Keys?", "What is Ports?"]


def test_a_prompt_that_no_chain_uses_says_so(bench: Bench) -> None:
    other = bench.prompt.with_name("other.md")
    other.write_text(OWN_PROMPT.replace("name: answer", "name: other"))
    changed = edit(bench, "other", EDITED.replace("name: answer", "name: other"))
    with pytest.raises(UserError, match="No chain uses the prompt 'other'"):
        prepare_preview(bench.workbench, changed)


def test_a_condense_prompt_has_a_part_only_where_the_chain_asks_a_model(bench: Bench) -> None:
    text = read_basis(bench.workbench, "condense").files["condense.md"]
    changed = edit(bench, "condense", text.replace("Keep names", "Keep all names"))
    with pytest.raises(UserError, match="by a rule"):
        prepare_preview(bench.workbench, changed)
    definition = bench.folder / "chains" / "definitions" / "docs.yaml"
    definition.parent.mkdir(parents=True)
    definition.write_text("name: docs\ncondense: model\n")
    with pytest.raises(UserError, match="follow-up"):
        prepare_preview(bench.workbench, changed)
    suite(bench, row("a"), row("b", history=True))
    assert [case.id for case in prepare_preview(bench.workbench, changed).cases] == ["b"]


async def test_a_prompt_on_disk_that_does_not_load_can_still_be_mended(bench: Bench) -> None:
    bench.prompt.write_text(OWN_PROMPT.replace("{{ question | fence }}", "{{ qestion }}"))
    found = prepare_preview(bench.workbench, edit(bench))
    made = await samples(found)
    assert "cannot be used" in made[0].before.problem
    assert made[0].after.text == "Rotate it."


async def test_a_model_that_never_ends_costs_its_time_out_and_no_more() -> None:
    endless, quick = FakeAsker(endless=True, delay=0.01), FakeAsker()
    case = Case(id="page-1", question="How?", answerable=False, split="dev")
    found = Preview("docs", (case,), "", "", endless, "", quick)
    made = await asyncio.wait_for(samples(found, seconds=0.2), 5)
    assert "longer than 0.2 s" in made[0].before.problem
    assert made[0].after.text
    assert endless.closed == 1


async def test_a_model_server_that_is_gone_is_told_at_once(bench: Bench) -> None:
    made = await asyncio.wait_for(samples(prepare_preview(bench.without_server(), edit(bench))), 15)
    assert len(made) == 2
    for output in (made[0].before, made[1].after):
        assert output.text == ""
        assert "the model server failed" in output.problem


async def test_what_breaks_in_one_answer_says_nothing_of_the_insides_and_ends_no_other() -> None:
    broken, quick = FakeAsker(error=RuntimeError("hunter2")), FakeAsker()
    cases = tuple(Case(id=f"page-{n}", question="How?", answerable=False, split="dev") for n in (1, 2))
    made = await samples(Preview("docs", cases, "", "", broken, "", quick))
    assert [bool(sample.after.text) for sample in made] == [True, True]
    assert all(sample.before.problem and "hunter2" not in sample.before.problem for sample in made)
