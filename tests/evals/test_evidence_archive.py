"""Evidence as a file: what was measured elsewhere counts here while its key is trusted, and nothing else gets in."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chains.archive_file import write_archive
from evals.evidence import LOOKED_AT, MOST_REASONS, EvidenceBody, does_not_count, find_evidence, objects_of
from evals.evidence_archive import EVIDENCE_ARCHIVE, LISTING, Taken, export_evidence, import_evidence
from evals.evidence_commands import app
from evals.rules.evidence_rule import judge_evidence
from evals.rules.records import StoredRecords
from evals.suite import Suite
from evals.trusted_keys import FILE
from evals.verdict import GateContext
from lockgate.errors import Corrupt, LockgateError, NotFound, UserError
from lockgate.release import canonical_json
from lockgate.settings import Settings
from lockgate.signing import sign
from lockgate.store.database import Database, open_database
from lockgate.store.eval_runs import get_eval_run, list_eval_runs
from lockgate.store.evidence import list_evidence
from tests.evals.evidenced import OTHER, RELEASE, Bench
from tests.ingestion.fakes import quiet
from tests.lockgate.samples import sample_manifest


@dataclass
class Site:
    """The installation that judges: the same project as the one that measured, with a state of its own."""

    suite: Suite
    settings: Settings
    db: Database

    def take(self, path: Path) -> list[Taken]:
        return import_evidence(self.settings, self.db, path, quiet)

    def find(self, release: str = RELEASE) -> Any:
        return find_evidence(self.settings, self.db, release, "tiny", self.suite.hash)

    def trust(self, *keys: str) -> None:
        lines = [f"  - {{name: site{number}, key: {key}}}\n" for number, key in enumerate(keys)]
        (self.settings.project_dir / FILE).write_text("keys:\n" + "".join(lines) if lines else "keys: []\n")

    @property
    def state(self) -> tuple[int, int, int]:
        objects = self.settings.state_dir / "objects"
        kept = sum(path.is_file() for path in objects.rglob("*")) if objects.exists() else 0
        return len(list_evidence(self.db)), len(list_eval_runs(self.db)), kept


@pytest.fixture
def ci(suite: Suite, tmp_path: Path) -> Iterator[Bench]:
    """The installation that measures."""
    settings = Settings(project=suite.folder.parents[2], state=tmp_path / "ci", _env_file=None)
    with open_database(settings.database) as db:
        yield Bench(suite, db, settings)


@pytest.fixture
def bench_of(suite: Suite, tmp_path: Path) -> Iterator[Callable[[str], Bench]]:
    """Installations that measure, by the folder of their state."""
    with contextlib.ExitStack() as stack:

        def make(name: str) -> Bench:
            settings = Settings(project=suite.folder.parents[2], state=tmp_path / name, _env_file=None)
            return Bench(suite, stack.enter_context(open_database(settings.database)), settings)

        yield make


@pytest.fixture
def site(suite: Suite, tmp_path: Path) -> Iterator[Site]:
    settings = Settings(project=suite.folder.parents[2], state=tmp_path / "site", _env_file=None)
    with open_database(settings.database) as db:
        yield Site(suite, settings, db)


def key_of(settings: Settings) -> str:
    return sign(settings.state_dir, b"").key


async def export(bench: Bench, path: Path, *releases: str) -> list[str]:
    ids = [(await bench.keep(release)).id for release in releases or (RELEASE,)]
    export_evidence(bench.settings, ids, path, quiet)
    return ids


async def test_evidence_of_a_trusted_key_counts_here_with_its_rows_and_its_run(
    ci: Bench, site: Site, tmp_path: Path
) -> None:
    (name,) = await export(ci, tmp_path / "e.tar")
    site.trust(key_of(ci.settings))
    (taken,) = site.take(tmp_path / "e.tar")
    assert (taken.evidence, taken.release, taken.suite, taken.trusted, taken.new) == (name, RELEASE, "tiny", True, True)
    found = site.find()
    assert found.evidence.id == name
    assert (found.evidence.own, found.evidence.trusted_as) == (False, "site0")
    records = StoredRecords(site.settings, site.db)
    assert [row.case for row in records.rows(found.evidence)] == ["port", "follow", "moon", "price"]
    here, there = get_eval_run(site.db, taken.run), get_eval_run(ci.db, taken.run)
    for part in ("metrics", "by_slice", "cases", "failed", "complete"):
        assert here.aggregates[part] == there.aggregates[part]
    assert (here.rows_hash, here.suite_hash, here.mode) == (there.rows_hash, there.suite_hash, there.mode)
    assert {key: here.metadata[key] for key in ("split", "limit", "repeats", "tier", "judge")} == {
        key: there.metadata[key] for key in ("split", "limit", "repeats", "tier", "judge")
    }


async def test_evidence_of_a_key_that_is_not_trusted_is_kept_and_never_counts(
    ci: Bench, site: Site, tmp_path: Path
) -> None:
    await export(ci, tmp_path / "e.tar")
    (taken,) = site.take(tmp_path / "e.tar")
    assert not taken.trusted
    found = site.find()
    assert found.evidence is None
    assert f"is signed with the key {taken.key} of another installation, which {FILE} does not name" in found.why[0]
    # A run of a stranger would be what `plan` and `report` look at.
    assert site.state[:2] == (1, 0)


async def test_the_gate_says_which_key_and_forgets_a_key_at_once(ci: Bench, site: Site, tmp_path: Path) -> None:
    manifest = sample_manifest()
    await export(ci, tmp_path / "e.tar", manifest.id)

    async def nothing(_question: str) -> Any:
        raise AssertionError

    async def judge() -> Any:
        records = StoredRecords(site.settings, site.db)
        context = GateContext(manifest.id, manifest, list, nothing, list, records=records)
        return await judge_evidence(context, quiet)

    site.trust(key_of(ci.settings))
    key = site.take(tmp_path / "e.tar")[0].key
    assert (await judge()).verdict == "PASS"
    site.trust(key_of(site.settings))
    finding = await judge()
    assert finding.verdict == "INCONCLUSIVE"
    assert f"the key {key} of another installation" in finding.reason
    site.trust(key_of(ci.settings))
    assert (await judge()).verdict == "PASS"
    (site.settings.project_dir / FILE).unlink()
    assert (await judge()).verdict == "INCONCLUSIVE"
    (site.settings.project_dir / FILE).write_text("keys: [broken]\n")
    finding = await judge()
    assert finding.verdict == "INCONCLUSIVE"
    assert FILE in finding.reason


async def test_a_key_of_the_environment_counts_for_the_process_that_has_it(
    ci: Bench, site: Site, tmp_path: Path
) -> None:
    await export(ci, tmp_path / "e.tar")
    site.take(tmp_path / "e.tar")
    told = site.settings.model_copy(update={"trusted_keys": key_of(ci.settings)})
    assert find_evidence(told, site.db, RELEASE, "tiny", site.suite.hash).evidence is not None
    assert site.find().evidence is None


async def test_a_run_is_listed_once_its_key_is_trusted_and_the_file_imported_again(
    ci: Bench, site: Site, tmp_path: Path
) -> None:
    await export(ci, tmp_path / "e.tar", RELEASE, OTHER)
    first = site.take(tmp_path / "e.tar")
    site.trust(key_of(ci.settings))
    second = site.take(tmp_path / "e.tar")
    assert [each.new for each in first + second] == [True, True, False, False]
    assert site.state == (2, 2, 4)


async def test_what_was_measured_last_counts_not_what_was_imported_last(
    ci: Bench, site: Site, suite: Suite, tmp_path: Path
) -> None:
    await export(ci, tmp_path / "old.tar")
    own = await Bench(suite, site.db, site.settings).keep()
    site.trust(key_of(ci.settings))
    site.take(tmp_path / "old.tar")
    assert list_evidence(site.db)[0].id != own.id
    assert site.find().evidence.id == own.id


async def test_evidence_of_a_part_or_of_another_suite_does_not_count_whoever_signed(
    ci: Bench, site: Site, tmp_path: Path
) -> None:
    part = await ci.keep(split="dev")
    export_evidence(ci.settings, [part.id], tmp_path / "e.tar", quiet)
    site.trust(key_of(ci.settings))
    site.take(tmp_path / "e.tar")
    assert "a part of the suite only" in site.find().why[0]
    evidence = StoredRecords(site.settings, site.db).find
    assert evidence(RELEASE, site.suite).evidence is None


async def test_the_same_evidence_gives_the_same_bytes(ci: Bench, tmp_path: Path) -> None:
    ids = await export(ci, tmp_path / "a.tar", RELEASE, OTHER)
    export_evidence(ci.settings, [*ids, ids[0]], tmp_path / "b.tar", quiet)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar", "r:") as tar:
        assert next(member.name for member in tar.getmembers()) == LISTING


async def test_what_is_not_whole_is_not_exported(ci: Bench, tmp_path: Path) -> None:
    record = await ci.keep()
    rows = json.loads(ci.objects.get(record.id))["body"]["rows"]
    (ci.objects.path / rows[:2] / rows[2:]).unlink()
    with pytest.raises(NotFound):
        export_evidence(ci.settings, [record.id], tmp_path / "e.tar", quiet)
    assert not (tmp_path / "e.tar").exists()
    with pytest.raises(UserError, match="no file can be written there"):
        export_evidence(ci.settings, [record.id], tmp_path / "nowhere" / "e.tar", quiet)


# What somebody else may have done to a file

Change = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-600], "is cut short"),
        (lambda data: data + b"\0" * 512, "has more in it than it lists"),
        (lambda data: data[:-1] + b"x", "has something after its last member"),
        (lambda data: data.replace(b'"value":1.0', b'"value":0.9', 1), "was changed"),
        (lambda data: data.replace(b"8000", b"9000", 1), "was changed"),
        (lambda data: data.replace(LISTING.encode(), b"../evil.json".ljust(len(LISTING)), 1), "should be"),
        (lambda data: b"\x1f\x8b" + data[2:], "is compressed"),
        (lambda _: b"", "is not an evidence archive as `lockgate evals evidence export` writes it"),
        (lambda _: b"x" * 5000, "is not an evidence archive"),
        (lambda _: b"\0" * 5000, "is not an evidence archive"),
    ],
)
async def test_a_byte_that_differs_is_refused_and_nothing_is_kept(
    ci: Bench, site: Site, tmp_path: Path, change: Change, message: str
) -> None:
    path = tmp_path / "e.tar"
    await export(ci, path)
    site.trust(key_of(ci.settings))
    data = path.read_bytes()
    assert change(data) != data
    path.write_bytes(change(data))
    with pytest.raises(LockgateError) as caught:
        site.take(path)
    assert message in caught.value.message
    assert site.state == (0, 0, 0)


def write(state: Path, path: Path, evidence: Sequence[str], members: Sequence[tuple[str, bytes]]) -> None:
    """An archive that is signed and well-formed, whatever is in it."""
    with write_archive(path, EVIDENCE_ARCHIVE) as writer:
        for name, data in members:
            writer.add(name, data)
        writer.finish({"evidence": tuple(evidence)}, state, quiet)


async def test_a_well_formed_archive_of_something_else_is_refused(ci: Bench, site: Site, tmp_path: Path) -> None:
    """Whoever can sign can write such a file: what is in it is checked as if nobody had signed."""
    record = await ci.keep()
    data = ci.objects.get(record.id)
    envelope = json.loads(data)
    rows = ci.objects.get(envelope["body"]["rows"])
    site.trust(key_of(ci.settings), sign(tmp_path / "mallory", b"").key)

    def named(content: bytes) -> tuple[str, bytes]:
        return f"objects/{hashlib.sha256(content).hexdigest()}", content

    def resigned(**changed: Any) -> bytes:
        body = EvidenceBody.model_validate({**envelope["body"], **changed})
        signature = sign(tmp_path / "mallory", body.canonical())
        return canonical_json(
            {"body": body.model_dump(mode="json"), "key": signature.key, "signature": signature.value}
        )

    good = [named(data), named(rows)]
    touched = canonical_json({**envelope, "body": {**envelope["body"], "release": OTHER}})
    stranger = resigned(release=OTHER)
    spaced = json.dumps(envelope).encode()
    tables: list[tuple[str, list[str], list[tuple[str, bytes]], str]] = [
        ("no rows", [record.id], good[:1], "exactly the evidence"),
        ("another order", [record.id], good[::-1], "exactly the evidence"),
        ("something more", [record.id], [*good, named(b"more")], "exactly the evidence"),
        ("not there", [OTHER], good, "lacks the member"),
        ("twice", [record.id, record.id], good, "lists a piece of evidence twice"),
        ("under a name of another", [OTHER], [(f"objects/{OTHER}", data), good[1]], "is not the object of that name"),
        ("rows of another", [record.id], [good[0], (good[1][0], b"[]")], "is not the object of that name"),
        ("rows of another release", [named(stranger)[0][8:]], [named(stranger), good[1]], "of another release"),
        ("touched", [named(touched)[0][8:]], [named(touched), good[1]], "the signature does not hold"),
        ("not canonical", [named(spaced)[0][8:]], [named(spaced), good[1]], "not in canonical form"),
        ("no evidence", [named(b"{}")[0][8:]], [named(b"{}"), good[1]], "is not evidence of this version"),
        ("deep", [named(b"[" * 9000)[0][8:]], [named(b"[" * 9000), good[1]], "is not evidence of this version"),
    ]  # fmt: skip
    for what, evidence, members, message in tables:
        path = tmp_path / "odd.tar"
        write(tmp_path / "mallory", path, evidence, members)
        with pytest.raises(Corrupt) as caught:
            site.take(path)
        assert message in caught.value.message, what
        assert site.state == (0, 0, 0), what


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b"x"
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data) if kind == tarfile.REGTYPE else 0
    return info, data


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../../evil")],
        [entry("/etc/evil")],
        [entry(LISTING, tarfile.SYMTYPE, "/etc/passwd")],
        [entry(LISTING, tarfile.LNKTYPE, "/etc/passwd")],
        [entry(LISTING, tarfile.DIRTYPE)],
        [entry(LISTING, tarfile.FIFOTYPE)],
        [entry(LISTING, data=b"{}"), entry("../../evil")],
        [entry(LISTING, data=b'{"body":{"format":2},"key":"","signature":""}')],
        [entry(LISTING, data=b'{"body":null,"key":"","signature":""}')],
        [entry(LISTING, data=b"[" * 5000)],
        [entry("lockgate-release.json", data=b"{}")],
    ],
)
def test_tars_of_other_makings_are_refused(site: Site, tmp_path: Path, entries: list[tuple[Any, bytes]]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    (tmp_path / "e.tar").write_bytes(buffer.getvalue())
    with pytest.raises((Corrupt, UserError)):
        site.take(tmp_path / "e.tar")
    assert site.state == (0, 0, 0)


def test_what_is_no_file_is_said_to_be_none(site: Site, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        site.take(tmp_path / "nothing.tar")
    os.mkfifo(tmp_path / "pipe.tar")
    for path in (tmp_path, tmp_path / "pipe.tar"):
        with pytest.raises(LockgateError):
            site.take(path)


# The commands


def call(settings: Settings, *arguments: str) -> Any:
    return CliRunner().invoke(app, arguments, obj=settings)


async def test_the_commands_take_evidence_from_one_installation_to_another(
    ci: Bench, site: Site, tmp_path: Path
) -> None:
    record = await ci.keep()
    path = str(tmp_path / "e.tar")
    written = call(ci.settings, "export", record.id[:8], "--out", path)
    assert written.exit_code == 0
    assert "1 piece of evidence" in written.stdout
    key = call(ci.settings, "key")
    assert key.stdout.strip() == key_of(ci.settings)
    assert json.loads(call(ci.settings, "key", "--json").stdout)["key"] == key.stdout.strip()
    taken = call(site.settings, "import", path)
    assert taken.stdout.strip() == record.id
    assert "not trusted here" in taken.stderr
    assert f"add it to {FILE}" in taken.stderr
    assert "not trusted here; the signature holds" in call(site.settings, "show", record.id[:8]).stdout
    told = call(site.settings, "verify", record.id[:8])
    assert (told.exit_code, "not trusted here" in told.stdout) == (0, True)
    # What the command prints is what the file takes.
    (site.settings.project_dir / FILE).write_text(key.stderr.partition("there:\n")[2])
    again = json.loads(call(site.settings, "import", path, "--json").stdout)
    assert [(each["trusted"], each["new"]) for each in again] == [(True, False)]
    assert "trusted as a name for this installation" in call(site.settings, "show", record.id[:8]).stdout
    assert json.loads(call(site.settings, "show", record.id[:8], "--json").stdout)["trusted_as"]
    assert json.loads(call(site.settings, "verify", record.id[:8], "--json").stdout)["trusted"] is True


async def test_the_export_names_what_it_cannot_find(ci: Bench, tmp_path: Path) -> None:
    result = call(ci.settings, "export", "abcdef12", "--out", str(tmp_path / "e.tar"))
    assert isinstance(result.exception, NotFound)
    assert call(ci.settings, "export", "--out", "x").exit_code == 2


async def test_nobody_s_evidence_does_not_count(ci: Bench) -> None:
    """Read without saying whom to trust."""
    from evals.evidence import read_evidence

    record = await ci.keep()
    evidence = read_evidence(objects_of(ci.settings), record.id)
    assert not evidence.trusted
    assert "is signed with the key" in does_not_count(evidence, RELEASE, "tiny", ci.suite.hash)


@pytest.mark.parametrize(
    ("body", "row"),
    [
        ({"aggregates": {"mrr": 3}}, {}),
        ({"aggregates": {"mrr": {"value": "x", "low": 0, "high": 1, "n": 1, "unscored": 0}}}, {}),
        ({"aggregates": {"mrr": {"value": True, "low": 0, "high": 1, "n": 1, "unscored": 0}}}, {}),
        ({"aggregates": {"mrr": {"value": 10**400, "low": 0, "high": 1, "n": 1, "unscored": 0}}}, {}),
        ({"aggregates": {"mrr": {"value": 0.5, "low": 0, "high": 1, "unscored": 0}}}, {}),
        ({"judge": {"host": "h"}}, {}),
        ({}, {"release": []}),
        ({}, {"question": 5}),
        ({}, {"answer_error": {}}),
    ],
)
async def test_well_signed_nonsense_is_refused_and_nothing_is_kept(
    bench_of: Callable[[str], Bench], site: Site, tmp_path: Path, body: dict[str, Any], row: dict[str, Any]
) -> None:
    """Anybody can sign a file; what is in it is shown to whoever takes it in."""
    stranger = bench_of("stranger")
    envelope = stranger.envelope((await stranger.keep()).id)
    rows = json.loads(stranger.objects.get(envelope["body"]["rows"]))
    made = canonical_json([{**rows[0], **row}, *rows[1:]])
    said = {**envelope["body"], "rows": hashlib.sha256(made).hexdigest(), **body}
    signature = sign(stranger.settings.state_dir, canonical_json(said))
    data = canonical_json({"body": said, "key": signature.key, "signature": signature.value})
    name = hashlib.sha256(data).hexdigest()
    with write_archive(tmp_path / "e.tar", EVIDENCE_ARCHIVE) as writer:
        writer.add(f"objects/{name}", data)
        writer.add(f"objects/{said['rows']}", made)
        writer.finish({"evidence": (name,)}, stranger.settings.state_dir, quiet)
    before = site.state
    with pytest.raises(Corrupt):
        site.take(tmp_path / "e.tar")
    assert site.state == before


async def test_evidence_of_strangers_does_not_hide_what_was_measured_here(
    bench_of: Callable[[str], Bench], site: Site, tmp_path: Path
) -> None:
    """Else whoever hands over a file decides which of the own measurements the gate still sees."""
    here = bench_of("site")
    mine = await here.keep()
    stranger = bench_of("stranger")
    first = await stranger.keep()
    names = [first.id]
    for number in range(LOOKED_AT):
        envelope = stranger.envelope(first.id)
        body = {**envelope["body"], "run": f"other-{number}"}
        signature = sign(stranger.settings.state_dir, canonical_json(body))
        names.append(stranger.plant({"body": body, "key": signature.key, "signature": signature.value}))
    export_evidence(stranger.settings, names, tmp_path / "e.tar", quiet)
    assert len(site.take(tmp_path / "e.tar")) == LOOKED_AT + 1
    found = site.find()
    assert found.evidence.id == mine.id
    assert 0 < len(found.why) <= MOST_REASONS
