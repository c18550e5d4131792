"""A release as a file: the same bytes each time, the same answers elsewhere, and nothing in but what was written."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import random
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from chains.archive import ImportReport, export_release, import_release
from chains.archive_commands import app
from chains.archive_file import FORMAT, LISTING, MAX_LISTING
from chains.assembly import SharedModels, assemble_chain
from chains.provenance import make_provenance
from chains.release import verify_release
from ingestion.service import EmbedderHandle, IndexService
from lockgate.errors import Conflict, Corrupt, LockgateError, NotFound, UserError
from lockgate.owner import acquire
from lockgate.release import canonical_json
from lockgate.settings import Settings
from lockgate.signing import own_key_fingerprint, sign
from lockgate.store.database import Database, open_database
from lockgate.store.releases import open_releases
from lockgate.store.snapshots import current_snapshot, list_snapshots
from tests.chains.fakes import ask
from tests.chains.projects import ANN, PAGES, Project, make_project, open_project
from tests.ingestion.fakes import WordEmbedder, handle, quiet

QUESTION = "How do I rotate a signing key?"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that no test changes."""
    with open_project(tmp_path_factory.mktemp("here")) as opened:
        yield opened


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Project]:
    """A project of this test's own."""
    with open_project(tmp_path / "own") as opened:
        yield opened


@dataclass(frozen=True)
class Site:
    """An installation that has no documents of its own."""

    settings: Settings
    db: Database

    def take(self, path: Path, *, index: bool = True, keys: tuple[str, ...] = ()) -> ImportReport:
        return import_release(
            self.settings,
            self.db,
            path,
            open_index=(lambda _: self.open()) if index else None,
            require_keys=keys,
            progress=quiet,
        )

    def open(self) -> IndexService:
        return IndexService(self.settings, self.db, handle(WordEmbedder()))

    @property
    def state(self) -> tuple[int, int]:
        return len(open_releases(self.settings, self.db).list()), len(list_snapshots(self.db))


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Site]:
    settings = make_project(tmp_path / "there", {"own.md": "# Own\n\nA page that was never indexed.\n"})
    with open_database(settings.database) as db:
        yield Site(settings, db)


def export(project: Project, path: Path, *, index: bool = True, release: str = "") -> str:
    name = release or project.build()
    service = project.service if index else None
    export_release(project.settings, project.db, name, path, index=service, progress=quiet)
    return name


@pytest.fixture(scope="module")
def file(here: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "release.tar"
    export(here, path)
    return path


@pytest.fixture(scope="module")
def bare(here: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release without its index."""
    path = tmp_path_factory.mktemp("bare") / "bare.tar"
    export(here, path, index=False)
    return path


# There and back


def test_a_release_with_its_index_answers_elsewhere_as_here(here: Project, there: Site, file: Path) -> None:
    report = there.take(file)
    release = here.build()
    assert (report.release, report.chain, report.new, report.index) == (release, "docs", True, "imported")
    assert (report.pages, report.chunks) == (2, 2)
    assert report.builder == report.exporter == own_key_fingerprint(here.settings.state_dir)
    assert not report.own_builder
    assert verify_release(there.settings, there.db, release, deep=True) == []
    answers = []
    with there.open() as service:
        for settings, db, index in ((here.settings, here.db, here.service), (there.settings, there.db, service)):
            manifest = open_releases(settings, db).manifest(release)
            answers.append(ask(assemble_chain(manifest, db, index, SharedModels(settings)), QUESTION)[1].answer)
    assert "ninety days" in answers[1].text
    assert (answers[0].text, answers[0].citations) == (answers[1].text, answers[1].citations)
    assert answers[1].release == release


def test_a_release_without_its_index_says_what_is_missing(here: Project, there: Site, bare: Path) -> None:
    report = there.take(bare)
    assert (report.index, report.pages, report.new) == ("none", 0, True)
    (problem,) = [
        text for text in verify_release(there.settings, there.db, report.release) if "not in this index" in text
    ]
    assert report.snapshot[:12] in problem
    assert there.state == (1, 0)


def test_the_index_can_be_left_out(there: Site, file: Path) -> None:
    assert there.take(file, index=False).index == "left out"
    assert there.state == (1, 0)
    assert there.take(file).index == "imported"
    assert there.state == (1, 1)


def test_importing_again_changes_nothing(there: Site, file: Path) -> None:
    first, second = there.take(file), there.take(file)
    assert (first.new, second.new) == (True, False)
    assert second.index == "here already"
    assert there.state == (1, 1)


def test_importing_where_it_was_built_changes_nothing(here: Project, file: Path) -> None:
    report = import_release(
        here.settings, here.db, file, open_index=lambda _: contextlib.nullcontext(here.service), progress=quiet
    )
    assert (report.new, report.index, report.own_builder, report.own_exporter) == (False, "here already", True, True)


def test_who_built_a_release_is_kept_on_its_way_through_another_site(
    here: Project, there: Site, file: Path, tmp_path: Path
) -> None:
    release = there.take(file).release
    with there.open() as service:
        export_release(there.settings, there.db, release, tmp_path / "on.tar", index=service, progress=quiet)
    third = make_project(tmp_path / "third", PAGES)
    with open_database(third.database) as db:
        report = Site(third, db).take(tmp_path / "on.tar")
        assert report.builder == own_key_fingerprint(here.settings.state_dir)
        assert report.exporter == own_key_fingerprint(there.settings.state_dir) != report.builder
        provenance = open_releases(third, db).find(release).provenance
    assert provenance == open_releases(here.settings, here.db).find(release).provenance
    assert provenance["body"]["builder"] == ANN.name


def test_the_same_release_gives_the_same_bytes(own: Project, tmp_path: Path) -> None:
    release = export(own, tmp_path / "first.tar")
    for path in (own.folder / "docs").iterdir():
        os.utime(path, (1, 1))
    own.sync({"new.md": "# New\n\nA page of a later snapshot.\n"})
    export(own, tmp_path / "again.tar", release=release)
    assert (tmp_path / "again.tar").read_bytes() == (tmp_path / "first.tar").read_bytes()


def test_any_tar_can_read_it(file: Path) -> None:
    with tarfile.open(file, "r:") as tar:
        members = tar.getmembers()
        assert [member.name for member in members][:3] == [LISTING, "manifest.json", "provenance.json"]
        assert [member.name for member in members][5:] == [
            "index/pages.jsonl",
            "index/chunks-00000.jsonl",
            "index/vectors-00000.npy",
        ]
        for member in members:
            assert member.isreg()
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
        vectors = np.load(BytesIO(tar.extractfile("index/vectors-00000.npy").read()), allow_pickle=False)  # type: ignore[union-attr]
    assert (vectors.dtype, vectors.shape) == (np.dtype("<f4"), (2, 16))


def test_a_big_index_goes_in_batches(
    own: Project, there: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.transfer.BATCH", 3)
    own.sync({f"page{n}.md": f"# Page {n}\n\nPage number {n} says something of its own.\n" for n in range(10)})
    release = export(own, tmp_path / "big.tar")
    members, _ = parts_of(tmp_path / "big.tar")
    assert sum(name.startswith("index/vectors-") for name in members) == 4
    assert there.take(tmp_path / "big.tar").chunks == 12
    assert verify_release(there.settings, there.db, release) == []


# Writing


def test_an_export_that_fails_leaves_what_was_there(here: Project, tmp_path: Path) -> None:
    path = tmp_path / "release.tar"
    path.write_text("what was there")
    release = here.build()
    before = sorted(tmp_path.iterdir())

    def fail(stage: str, _done: int, _total: int) -> None:
        if stage == "write MB":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_release(here.settings, here.db, release, path, index=here.service, progress=fail)
    assert path.read_text() == "what was there"
    assert sorted(tmp_path.iterdir()) == before


def test_a_path_where_no_file_can_be_is_refused(here: Project, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "missing" / "x.tar", Path("/dev/null"), tmp_path / "pipe"):
        with pytest.raises(UserError, match="no file can be written there"):
            export(here, path)
    assert Path("/dev/null").is_char_device()


def test_a_release_that_is_not_whole_is_not_exported(own: Project, tmp_path: Path) -> None:
    release = own.build()
    store = open_releases(own.settings, own.db)
    lexicon = store.manifest(release).snapshot.lexicon
    file = store.objects.path / lexicon[:2] / lexicon[2:]
    data = file.read_bytes()
    for damage in (lambda: file.write_bytes(b"x"), file.unlink):
        damage()
        with pytest.raises(Corrupt, match="is not whole here"):
            export(own, tmp_path / "x.tar", release=release)
    file.write_bytes(data)
    assert not (tmp_path / "x.tar").exists()
    with pytest.raises(NotFound):
        export(own, tmp_path / "x.tar", release="0" * 64)


# Damage


def test_a_changed_byte_anywhere_is_refused(there: Site, bare: Path, tmp_path: Path) -> None:
    data = bare.read_bytes()
    rng = random.Random(11)
    # Every byte of headers and list, and a part of the rest.
    places = [*range(0, 3000), *rng.sample(range(3000, len(data)), 1500), len(data) - 1]
    touched = tmp_path / "touched.tar"
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << rng.randrange(8)
        touched.write_bytes(changed)
        with pytest.raises((Corrupt, UserError)):
            there.take(touched)
    assert there.state == (0, 0)
    assert not (there.settings.state_dir / "objects").exists(), "nothing was kept"


def test_a_changed_byte_of_the_index_is_refused(there: Site, file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    rng = random.Random(12)
    touched = tmp_path / "touched.tar"
    for place in rng.sample(range(len(data)), 400):
        changed = bytearray(data)
        changed[place] ^= 1 << rng.randrange(8)
        touched.write_bytes(changed)
        with pytest.raises((Corrupt, UserError)):
            there.take(touched)
    assert there.state == (0, 0)


def test_an_archive_that_was_cut_or_grew_is_refused(there: Site, file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    other = tmp_path / "other.tar"
    for length in [0, 1, 511, 512, 1535, 1536, *range(2000, len(data), 997), len(data) - 512, len(data) - 1]:
        other.write_bytes(data[:length])
        with pytest.raises((Corrupt, UserError), match=r"cut short|is not a release archive"):
            there.take(other)
    for more in (b"x", b"\0" * 512, b"\0" * 10240, data):
        other.write_bytes(data + more)
        with pytest.raises(Corrupt, match="has more in it than it lists"):
            there.take(other)
    assert there.state == (0, 0)


def test_the_changed_member_is_named(there: Site, bare: Path, tmp_path: Path) -> None:
    data = bare.read_bytes()
    other = tmp_path / "other.tar"
    for name, inside in (("manifest.json", b"policy"), ("provenance.json", b"builder")):
        place = data.index(inside, data.index(name.encode() + b"\0"))
        other.write_bytes(data[:place] + b"X" + data[place + 1 :])
        with pytest.raises(Corrupt, match=f"the member '{name}' is not the one that was listed"):
            there.take(other)


# What is no archive


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not a release archive"),
        (b"x" * 5000, "is not a release archive"),
        (b"\0" * 5000, "is not a release archive"),
        (gzip.compress(os.urandom(5000)), "gunzip"),
        (b"PK\x03\x04" + b"\0" * 5000, "is not a release archive"),
    ],
)
def test_another_file_is_not_taken_for_one(there: Site, tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UserError, match=says):
        there.take(tmp_path / "x")


def test_what_is_no_file_is_refused_at_once(there: Site, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, error in (
        (tmp_path / "missing", NotFound),
        (tmp_path, UserError),
        (tmp_path / "pipe", UserError),
        (Path("/dev/zero"), UserError),
        (Path("nul\0"), LockgateError),
    ):
        with pytest.raises(error):
            there.take(path)


def test_a_newer_format_says_so(there: Site, bare: Path, tmp_path: Path) -> None:
    members, body = parts_of(bare)
    forge(tmp_path / "x.tar", members, body | {"format": FORMAT + 1, "surprise": True}, tmp_path)
    with pytest.raises(UserError, match=f"has the format {FORMAT + 1}; this Lockgate reads up to {FORMAT}"):
        there.take(tmp_path / "x.tar")


# What somebody else made: signed, but not as Lockgate writes it


def parts_of(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The members by name, without the list, and the list's body."""
    with tarfile.open(path) as tar:
        files = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    return files, json.loads(files.pop(LISTING))["body"]


def tar_of(name: str, data: bytes, **fields: Any) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = fields.pop("size", len(data))
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + b"\0" * (-len(data) % 512)


def forge(
    path: Path,
    members: dict[str, bytes],
    body: dict[str, Any],
    state: Path,
    *,
    raw: Callable[[str, bytes], bytes] = tar_of,
    relist: bool = True,
) -> None:
    """An archive by somebody with a key of their own, whose list fits its members unless ``relist`` is off."""
    if relist:
        body = body | {
            "members": [
                {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for name, data in members.items()
            ]
        }
    signature = sign(state / "mallory", canonical_json(body))
    listing = canonical_json({"body": body, "key": signature.key, "signature": signature.value})
    parts = [tar_of(LISTING, listing), *(raw(name, data) for name, data in members.items()), b"\0" * 1024]
    path.write_bytes(b"".join(parts))


@pytest.fixture
def mallory(bare: Path, there: Site, tmp_path: Path) -> Callable[..., None]:
    """Tries to import what was forged from a good archive; it must be refused, and leave nothing."""
    members, body = parts_of(bare)

    def attempt(says: str, *, change: Callable[[dict[str, bytes]], object] = lambda _: None, **options: Any) -> None:
        changed = dict(members)
        change(changed)
        forge(tmp_path / "forged.tar", changed, body | options.pop("listing", {}), tmp_path, **options)
        with pytest.raises((Corrupt, UserError), match=says):
            there.take(tmp_path / "forged.tar")
        assert there.state == (0, 0)
        assert not (tmp_path / "escaped").exists()

    return attempt


def test_what_mallory_changes_nothing_in_is_taken(bare: Path, there: Site, tmp_path: Path) -> None:
    """So that the refusals below are for what they name."""
    forge(tmp_path / "forged.tar", *parts_of(bare), tmp_path)
    report = there.take(tmp_path / "forged.tar")
    assert report.exporter == own_key_fingerprint(tmp_path / "mallory") != report.builder


@pytest.mark.parametrize(
    "name",
    [
        "../escaped",
        "objects/../../escaped",
        "/tmp/escaped",
        "objects\\escaped",
        "objects/..",
        "./manifest.json",
        "manifest.json/",
        "extra.txt",
        "objects/" + "A" * 64,
        "index/chunks-0.jsonl",
        "index/chunks-٠٠٠٠٠.jsonl",
        "manifest.json\n",
        "C:escaped",
        "",
    ],
)
def test_a_member_of_any_other_name_is_refused(mallory: Callable[..., None], name: str) -> None:
    mallory("lists what cannot be in it", change=lambda members: members.update({name: b"x"}))


def test_a_member_that_is_not_wanted_is_refused(mallory: Callable[..., None]) -> None:
    mallory("exactly the members", change=lambda members: members.update({"objects/" + "a" * 64: b"x"}))
    mallory("exactly the members", change=lambda members: members.update({"index/pages.jsonl": b""}))
    mallory("lacks the member 'manifest.json'", change=lambda members: members.pop("manifest.json"))
    mallory("exactly the members", change=lambda members: members.pop("provenance.json"))
    mallory(
        "exactly the members", change=lambda members: members.update({"manifest.json": members.pop("manifest.json")})
    )


def test_a_member_listed_twice_is_refused(mallory: Callable[..., None], bare: Path) -> None:
    _, body = parts_of(bare)
    twice = {"members": [*body["members"], body["members"][0]]}
    mallory("lists a member twice", listing=twice, relist=False)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "a symbolic link 'manifest.json'"),
        ({"type": tarfile.LNKTYPE, "linkname": "../escaped"}, "a hard link"),
        ({"type": tarfile.CHRTYPE}, "a device"),
        ({"type": tarfile.FIFOTYPE}, "'manifest.json' should be"),
        ({"type": tarfile.DIRTYPE}, "a folder"),
        ({"type": tarfile.GNUTYPE_SPARSE}, "'manifest.json' should be"),
        ({"type": tarfile.GNUTYPE_LONGNAME}, "'manifest.json' should be"),
        ({"type": tarfile.XHDTYPE}, "'manifest.json' should be"),
        ({"name": "../escaped"}, r"the member '../escaped' where the member 'manifest.json' should be"),
        ({"name": "/etc/passwd"}, "'/etc/passwd' where"),
        ({"name": "\x1b[2Jx"}, "where the member 'manifest.json' should be"),
        ({"size": 8**11 - 1}, "'manifest.json' where the member"),
        ({"size": 0}, "'manifest.json' where the member"),
        ({"mode": 0o4755}, "'manifest.json' where the member"),
        ({"mtime": 1}, "'manifest.json' where the member"),
        ({"uid": 1}, "'manifest.json' where the member"),
    ],
)
def test_a_member_that_is_no_plain_file_is_refused(
    mallory: Callable[..., None], fields: dict[str, Any], says: str
) -> None:
    def raw(name: str, data: bytes) -> bytes:
        changed = fields if name == "manifest.json" else {}
        return tar_of(**{"name": name, "data": data, **changed})

    mallory(says, raw=raw)


def test_a_size_that_is_not_there_is_refused_before_it_is_read(mallory: Callable[..., None], bare: Path) -> None:
    _, body = parts_of(bare)
    for size, says in ((10**12, "lists what cannot be in it"), (10**9, "is cut short"), (-1, "lists what cannot")):
        members = [dict(body["members"][0]) | {"size": size}, *body["members"][1:]]
        mallory(says, listing={"members": members}, relist=False)


def test_a_list_that_is_too_long_is_refused_before_it_is_read(there: Site, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with path.open("wb") as file:
        file.write(tar_of(LISTING, b"", size=MAX_LISTING + 1))
        file.truncate(MAX_LISTING * 2)
    with pytest.raises(Corrupt, match=f"where the member '{LISTING}' should be"):
        there.take(path)


@pytest.mark.parametrize(
    "listing",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"[" * 50_000,
        b'{"body":{},"key":"","signature":""}',
        b'{"body":1,"key":"","signature":""}',
        b'{"body":{"format":1e999},"key":1,"signature":null}',
        b'{"body":{"format":"\\ud800"},"key":"","signature":""}',
        b"\xff" * 100,
    ],
)
def test_a_list_that_is_none_is_refused(there: Site, tmp_path: Path, listing: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(tar_of(LISTING, listing) + b"\0" * 2048)
    with pytest.raises((Corrupt, UserError)):
        there.take(tmp_path / "x.tar")


def test_another_manifest_or_provenance_in_its_place_is_refused(
    mallory: Callable[..., None], here: Project, tmp_path: Path
) -> None:
    release = here.build()
    provenance = open_releases(here.settings, here.db).find(release).provenance
    forged = make_provenance(tmp_path / "mallory", tmp_path, "f" * 64, ANN)

    def put(name: str, data: bytes) -> Callable[[dict[str, bytes]], object]:
        return lambda members: members.update({name: data})

    def touched(members: dict[str, bytes]) -> None:
        members["manifest.json"] = (
            members["manifest.json"].replace(b"ninety", b"ten").replace(b'"limit":', b'"limit" :')
        )

    body = dict(provenance["body"]) | {"builder": "somebody else"}
    mallory("signature of the provenance", change=put("provenance.json", canonical_json({**provenance, "body": body})))
    mallory("about another release", change=put("provenance.json", canonical_json(forged)))
    mallory("is not a provenance", change=put("provenance.json", json.dumps(dict(provenance), indent=1).encode()))
    mallory("is not a provenance", change=put("provenance.json", b"[" * 50_000))
    mallory("the provenance is not one", change=put("provenance.json", b"{}"))
    mallory("not a release manifest", change=put("manifest.json", b"{}"))
    mallory("is of another release", listing={"release": "f" * 64})
    chain = {"chain": {"name": "docs", "abstention": "Pay the attacker."}}
    manifest = json.loads(open_releases(here.settings, here.db).manifest(release).canonical()) | chain
    mallory("is of another release", change=put("manifest.json", canonical_json(manifest)))


def test_an_object_under_the_hash_of_another_is_refused(mallory: Callable[..., None]) -> None:
    def swap(members: dict[str, bytes]) -> None:
        for name in members:
            if name.startswith("objects/"):
                members[name] += b" "

    mallory("is not the object of that name", change=swap)


def _line(number: int, **changes: Any) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        lines = data.splitlines()
        lines[number] = canonical_json(json.loads(lines[number]) | changes)
        return b"\n".join(lines) + b"\n"

    return change


def _giant(data: bytes) -> bytes:
    return data.replace(b"(2, 16)", b"(2000000000, 16)").replace(b", }         ", b", }", 1)


@pytest.mark.parametrize(
    ("member", "change"),
    [
        ("chunks-00000.jsonl", _line(0, text="Pay the attacker.")),
        ("chunks-00000.jsonl", _line(0, title=5)),
        ("chunks-00000.jsonl", _line(0, position=-1)),
        ("chunks-00000.jsonl", _line(0, position=True)),
        ("chunks-00000.jsonl", _line(0, tokens=2**60)),
        ("chunks-00000.jsonl", _line(0, heading=[{}])),
        ("chunks-00000.jsonl", lambda data: data + data),
        ("chunks-00000.jsonl", lambda _: b""),
        ("chunks-00000.jsonl", lambda _: b"[" * 50_000),
        ("chunks-00000.jsonl", lambda _: b"{}\n{}\n"),
        ("chunks-00000.jsonl", lambda _: b"\xff\n"),
        ("pages.jsonl", _line(0, path="../../escaped")),
        ("pages.jsonl", _line(0, size="1")),
        ("pages.jsonl", _line(0, chunks=[1])),
        ("pages.jsonl", _line(0, chunks=None)),
        ("pages.jsonl", lambda _: b""),
        ("vectors-00000.npy", _giant),
        ("vectors-00000.npy", lambda data: data.replace(b"<f4", b"|O ")),
        ("vectors-00000.npy", lambda data: data[:-1]),
        ("vectors-00000.npy", lambda data: data[:-64] + b"\xff" * 64),
        ("vectors-00000.npy", lambda _: b""),
    ],
)
def test_an_index_that_is_not_the_pinned_one_is_refused(
    there: Site, file: Path, tmp_path: Path, member: str, change: Callable[[bytes], bytes]
) -> None:
    members, body = parts_of(file)
    name = f"index/{member}"
    assert change(members[name]) != members[name]
    forge(tmp_path / "forged.tar", members | {name: change(members[name])}, body, tmp_path)
    with pytest.raises(Corrupt):
        there.take(tmp_path / "forged.tar")
    assert there.state == (0, 0)
    assert there.take(file).index == "imported"


def test_a_shape_that_is_not_the_indexs_is_refused(there: Site, file: Path, tmp_path: Path) -> None:
    members, body = parts_of(file)
    for changes in ({"pages": 7}, {"chunks": 7}, {"batches": 99_999_999}, {"batches": 0}, {"dimension": 0}):
        forge(tmp_path / "forged.tar", members, body | {"index": body["index"] | changes}, tmp_path)
        with pytest.raises(Corrupt):
            there.take(tmp_path / "forged.tar")
    assert there.state == (0, 0)


# Keys


def test_a_key_can_be_required(here: Project, there: Site, file: Path, tmp_path: Path) -> None:
    key = own_key_fingerprint(here.settings.state_dir)
    assert key is not None
    with pytest.raises(UserError, match=f"was built by the holder of key {key}, which is not one that you require"):
        there.take(file, keys=("0" * 16,))
    assert there.state == (0, 0)
    forge(tmp_path / "forged.tar", *parts_of(file), tmp_path)
    other = own_key_fingerprint(tmp_path / "mallory")
    assert other is not None
    with pytest.raises(UserError, match=f"was written by the holder of key {other}"):
        there.take(tmp_path / "forged.tar", keys=(key,))
    assert there.state == (0, 0)
    assert there.take(tmp_path / "forged.tar", keys=(key, other)).exporter == other
    assert there.take(file, keys=(f" {key.upper()}\n",)).builder == key


# Commands


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    def words(*_: object) -> EmbedderHandle:
        return handle(WordEmbedder())

    monkeypatch.setattr("ingestion.embedding.open_pinned_embedder", words)

    def run(settings: Settings, *arguments: str) -> Any:
        return CliRunner().invoke(app, list(arguments), obj=settings, catch_exceptions=True)

    return run


def test_commands_carry_a_release_from_here_to_there(tmp_path: Path, there: Site, cli: Callable[..., Any]) -> None:
    with open_project(tmp_path / "here") as here:
        release, settings = here.build(), here.settings
    path = str(tmp_path / "r.tar")
    done = cli(settings, "export", release[:8], path, "--index", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["release"], report["index"], report["chunks"]) == (release, True, 2)
    assert report["bytes"] == (tmp_path / "r.tar").stat().st_size
    assert report["sha256"] == hashlib.sha256((tmp_path / "r.tar").read_bytes()).hexdigest()
    assert "MB." in cli(settings, "export", release, path, "--index").stdout
    done = cli(there.settings, "import", path, "--require-key", report["fingerprint"])
    assert done.stdout == f"{release}\n"
    assert "is here now" in done.stderr
    assert f"Built by the holder of key {report['fingerprint']}." in done.stderr
    assert "2 pages, 2 chunks" in done.stderr
    again = json.loads(cli(there.settings, "import", path, "--json").stdout)
    assert (again["new"], again["index"]) == (False, "here already")
    assert current_snapshot(there.db) is not None
    assert isinstance(cli(there.settings, "import", path, "--require-key", "0" * 16).exception, UserError)


def test_whoever_holds_the_index_is_named(tmp_path: Path, there: Site, cli: Callable[..., Any]) -> None:
    with open_project(tmp_path / "here") as here:
        release, settings = here.build(), here.settings
    path = str(tmp_path / "r.tar")
    assert cli(settings, "export", release, path, "--index").exit_code == 0
    url = "http://127.0.0.1:8000"
    with acquire(settings.state_dir, "lockgate serve", url):
        refused = cli(settings, "export", release, path, "--index").exception
        assert isinstance(refused, Conflict)
        assert f"`lockgate serve` at {url}" in str(refused)
        assert cli(settings, "export", release, str(tmp_path / "bare.tar")).exit_code == 0
    with acquire(there.settings.state_dir, "lockgate serve", url):
        refused = cli(there.settings, "import", path).exception
        assert isinstance(refused, Conflict)
        assert f"`lockgate serve` at {url}" in str(refused)
        assert there.state == (0, 0)
        assert cli(there.settings, "import", path, "--no-index").exit_code == 0
    assert there.state == (1, 0)
