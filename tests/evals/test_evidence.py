from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evals.evidence import (
    EvidenceBody,
    body_of,
    evidence_rows,
    read_evidence,
    record_evidence,
)
from evals.evidence_commands import app
from evals.suite import Suite
from lockgate.errors import Corrupt, NotFound
from lockgate.release import canonical_json
from lockgate.settings import Settings
from lockgate.signing import Signature, own_key_fingerprint, sign, verify
from lockgate.store.database import open_database
from lockgate.store.eval_runs import get_eval_run
from lockgate.store.evidence import list_evidence, write_evidence
from tests.evals.evidenced import FACTS, OTHER, RELEASE, Bench


@pytest.fixture
def bench(suite: Suite) -> Iterator[Bench]:
    with open_database(Settings(project=suite.folder.parents[2], _env_file=None).database) as db:
        yield Bench(suite, db)


async def test_a_finished_run_becomes_signed_evidence_that_is_found(bench: Bench) -> None:
    record = await bench.keep()
    found = bench.find()
    assert (found.evidence.id, found.why) == (record.id, ())
    assert (record.release, record.suite, record.suite_version, record.suite_hash) == (
        RELEASE,
        "tiny",
        "3",
        bench.suite.hash,
    )
    body = found.evidence.body
    assert found.evidence.own
    assert body.complete
    assert (body.release, body.suite, body.run, body.cases) == (RELEASE, "tiny", record.run, 4)
    assert body.environment == {"lockgate": "0.1.0", "model": "m", "python": "3.11"}
    assert body.judge == FACTS["judge"]
    assert body.aggregates["mrr"]["n"] == 2
    assert {
        "value",
        "low",
        "high",
        "n",
        "unscored",
        "not_applicable",
        "pessimistic",
        "scale",
        "direction",
        "binary",
    } <= (body.aggregates["token_f1"].keys())
    assert [row.case for row in evidence_rows(bench.objects, found.evidence)] == ["port", "follow", "moon", "price"]


async def test_its_name_is_the_hash_of_its_bytes_and_the_same_run_gives_the_same(bench: Bench) -> None:
    record = await bench.keep()
    again = record_evidence(bench.settings, bench.db, get_eval_run(bench.db, record.run))
    assert again.id == record.id
    assert len(list_evidence(bench.db)) == 1


async def test_the_public_key_in_it_is_all_that_a_check_needs(bench: Bench) -> None:
    record = await bench.keep()
    envelope = bench.envelope(record.id)
    for file in (bench.settings.state_dir / "keys").iterdir():
        file.unlink()
    assert verify(Signature(envelope["key"], envelope["signature"]), canonical_json(envelope["body"]))
    assert not read_evidence(bench.objects, record.id).own


async def test_the_newest_counts(bench: Bench) -> None:
    await bench.keep()
    second = await bench.keep()
    assert bench.find().evidence.id == second.id


async def test_evidence_of_another_release_or_suite_version_is_not_found(bench: Bench) -> None:
    await bench.keep(OTHER)
    assert bench.find().evidence is None
    found = bench.find(OTHER, "c" * 64)
    assert found.evidence is None
    assert "the suite as it was in version 3, and it has changed since" in found.why[0]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"split": "dev"}, "a part of the suite only (split dev)"),
        ({"limit": 2}, "a part of the suite only (split all, the first 2 cases)"),
        ({"limit": 4}, "a part of the suite only"),
    ],
)
async def test_a_run_over_a_part_is_kept_and_does_not_count(bench: Bench, options: dict[str, Any], why: str) -> None:
    await bench.keep(**options)
    found = bench.find()
    assert found.evidence is None
    assert why in found.why[0]


@pytest.mark.parametrize("place", ["aggregates", "complete", "release", "rows", "judge", "finished_at", "mode"])
async def test_whatever_is_touched_breaks_the_signature(bench: Bench, place: str) -> None:
    record = await bench.keep(OTHER)
    envelope = bench.envelope(record.id)
    new: dict[str, Any] = {
        "aggregates": {"mrr": {"value": 1.0}},
        "complete": False,
        "release": RELEASE,
        "rows": "d" * 64,
        "judge": None,
        "finished_at": "2030-01-01T00:00:00Z",
        "mode": "generative",
    }
    assert envelope["body"][place] != new[place]
    envelope["body"][place] = new[place]
    name = bench.plant(envelope)
    with pytest.raises(Corrupt, match="the signature does not hold"):
        read_evidence(bench.objects, name)
    found = bench.find()
    assert found.evidence is None
    assert "the signature does not hold" in found.why[0]


async def test_evidence_that_is_filed_under_another_release_does_not_count(bench: Bench) -> None:
    record = await bench.keep(OTHER)
    bench.plant(bench.envelope(record.id))
    write_evidence(bench.db, replace(record, id=record.id, release=RELEASE))  # there already: nothing happens
    assert bench.find().evidence is None


async def test_a_key_of_ones_own_making_signs_nothing_that_counts(bench: Bench, tmp_path: Path) -> None:
    record = await bench.keep(OTHER)
    body = EvidenceBody.model_validate({**bench.envelope(record.id)["body"], "release": RELEASE})
    forged = sign(tmp_path / "elsewhere", body.canonical())
    bench.plant({"body": body.model_dump(mode="json"), "key": forged.key, "signature": forged.value})
    found = bench.find()
    assert found.evidence is None
    assert f"is signed with the key {forged.fingerprint} of another installation" in found.why[0]


@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b"{}", b'{"body": {}, "key": "k", "signature": "s"}', b"\xff\xfe", b"[" * 100_000]
)
async def test_what_is_no_evidence_is_said_to_be_none(bench: Bench, data: bytes) -> None:
    name = bench.objects.put(data)
    with pytest.raises(Corrupt, match="is not evidence of this version"):
        read_evidence(bench.objects, name)


async def test_an_older_one_counts_when_the_newest_was_touched(bench: Bench) -> None:
    first, second = await bench.keep(), await bench.keep()
    file = bench.objects.path / second.id[:2] / second.id[2:]
    file.write_bytes(file.read_bytes().replace(b"extractive", b"generative"))
    found = bench.find()
    assert found.evidence.id == first.id
    assert "not the one in its name" in found.why[0]
    file.unlink()
    assert "no such object" in bench.find().why[0]


async def test_rows_that_were_touched_or_are_of_another_release_are_refused(bench: Bench) -> None:
    record = await bench.keep()
    evidence = read_evidence(bench.objects, record.id)
    others = await bench.run(OTHER)
    strange = replace(evidence, body=evidence.body.model_copy(update={"rows": others.rows_hash}))
    with pytest.raises(Corrupt, match="rows of another release"):
        evidence_rows(bench.objects, strange)
    for data in (b"{}", b"[1]", b"not json", b'[{"format": 1}]'):
        odd = replace(evidence, body=evidence.body.model_copy(update={"rows": bench.objects.put(data)}))
        with pytest.raises(Corrupt):
            evidence_rows(bench.objects, odd)
    file = bench.objects.path / evidence.body.rows[:2] / evidence.body.rows[2:]
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(Corrupt, match="not the one in its name"):
        evidence_rows(bench.objects, evidence)
    file.unlink()
    with pytest.raises(NotFound):
        evidence_rows(bench.objects, evidence)


async def test_a_run_with_a_number_that_is_none_cannot_be_signed(bench: Bench) -> None:
    run = await bench.run()
    with pytest.raises(Corrupt, match="cannot become evidence"):
        body_of(replace(run, aggregates={**run.aggregates, "metrics": {"mrr": {"value": float("nan")}}}))


async def test_the_commands_list_show_and_verify(bench: Bench) -> None:
    record = await bench.keep()
    runner = CliRunner()

    def call(*arguments: str) -> Any:
        return runner.invoke(app, arguments, obj=bench.settings)

    (listed,) = json.loads(call("list", "--json").stdout)
    assert (listed["id"], listed["suite"]) == (record.id, "tiny")
    assert f"tiny v3  run {record.run}" in call("list").stdout
    shown = call("show", record.id[:8]).stdout
    assert "this installation's own; the signature holds" in shown
    assert "mrr" in shown
    assert json.loads(call("show", record.id, "--json").stdout)["body"]["release"] == RELEASE
    whole = call("verify", record.id[:6], "--json")
    assert (whole.exit_code, json.loads(whole.stdout)["ok"]) == (0, True)
    assert json.loads(whole.stdout)["key"] == own_key_fingerprint(bench.settings.state_dir)
    file = bench.objects.path / record.id[:2] / record.id[2:]
    file.write_bytes(file.read_bytes()[:-2])
    broken = call("verify", record.id)
    assert broken.exit_code == 1
    assert "not the one in its name" in broken.stdout
