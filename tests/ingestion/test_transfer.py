"""A snapshot that went to another machine answers there as it did here, or is not there at all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient
from sqlalchemy import func, select

import ingestion.transfer
from ingestion.chunking import text_hash
from ingestion.options import RetrievalOptions
from ingestion.retriever import SnapshotRetriever
from ingestion.service import IndexService
from ingestion.transfer import BATCH, Incoming, PointBatch, export_pages, export_points, import_snapshot
from lockgate.errors import Conflict, Corrupt, UserError
from lockgate.release import PinnedSnapshot
from lockgate.settings import Settings
from lockgate.store.database import Database, open_database
from lockgate.store.snapshots import (
    PageRecord,
    current_snapshot,
    interrupted_syncs,
    last_sync,
    list_snapshots,
    load_vectors,
    pages_at,
)
from lockgate.store.tables import Base
from lockgate.types import Chunk, Passage, Retrieval
from tests.ingestion import transfer_process
from tests.ingestion.fakes import WordEmbedder, handle, open_service, quiet, settings_for, write_pages
from tests.ingestion.transfer_process import outgoing

QUESTIONS = ["How do I rotate a key?", "What does page 7 say?", "backup", "žluťoučký kůň", "the of and", "zebra"]


class Machine:
    """A project with a database and an index of its own."""

    def __init__(self, project: Path) -> None:
        project.mkdir(parents=True, exist_ok=True)
        self.project = project
        self.embedder = WordEmbedder()
        self.db: Database = open_database(settings_for(project).database)
        self.service: IndexService = open_service(project, self.db, self.embedder)

    def sync(self, pages: dict[str, str]) -> str:
        write_pages(self.project / "docs", pages)
        return self.service.sync(self.project / "docs", quiet).snapshot

    def ask(self, question: str, snapshot: str) -> Retrieval:
        opened = self.service.open_snapshot(snapshot)
        return SnapshotRetriever(self.service, RetrievalOptions(), lambda: opened).retrieve(question, limit=500)

    def restart(self) -> None:
        self.service.close()
        self.service = open_service(self.project, self.db, self.embedder)

    def close(self) -> None:
        self.service.close()
        self.db.close()


def pages_of(count: int, word: str = "first") -> dict[str, str]:
    texts = {
        f"page{number}.md": f"# Page {number}\n\nIntro.\n\n## Part\n\nPage {number} says {word}, about keys, at "
        f"length, so that it stands alone as a passage of its own in the index of this test.\n"
        for number in range(count)
    }
    twice = "The same sentence stands twice on this page about backups and is long enough to be a passage.\n\n"
    return texts | {"twice.md": f"# Twice\n\n## A\n\n{twice}## A\n\n{twice}", "čeština.md": "# Kůň\n\nŽluťoučký kůň.\n"}


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Callable[[str], Machine]]:
    made: dict[str, Machine] = {}

    def machine(name: str) -> Machine:
        if name not in made:
            made[name] = Machine(tmp_path / name)
        return made[name]

    yield machine
    for one in made.values():
        one.close()


@pytest.fixture
def here(machines: Callable[[str], Machine]) -> Machine:
    machine = machines("here")
    machine.sync(pages_of(30))
    return machine


@pytest.fixture
def there(machines: Callable[[str], Machine]) -> Machine:
    return machines("there")


def current(db: Database) -> str | None:
    record = current_snapshot(db)
    return record.id if record else None


def assert_same_answers(here: Machine, there: Machine, snapshot: str) -> None:
    """The same passages with the same measures; Edge adds float32 in an order of its own, so scores may differ in the
    last digit."""
    for question in QUESTIONS:
        expected, found = here.ask(question, snapshot), there.ask(question, snapshot)
        assert _scores(found) == pytest.approx(_scores(expected), abs=1e-6), question
        assert _rest(found) == _rest(expected), question


def _scores(found: Retrieval) -> dict[str, float]:
    return {passage.chunk.id: passage.score for passage in found.passages}


def _rest(found: Retrieval) -> tuple[Retrieval, list[Passage]]:
    passages = sorted((replace(passage, score=0.0) for passage in found.passages), key=lambda one: one.chunk.id)
    return replace(found, passages=()), passages


def test_answers_are_the_same_as_where_it_came_from(here: Machine, there: Machine) -> None:
    incoming = outgoing(here.service, here.db)
    record, new = import_snapshot(there.service, incoming, quiet)
    assert new
    assert record.id == incoming.pinned.id
    assert_same_answers(here, there, record.id)
    there.restart()
    assert_same_answers(here, there, record.id)
    assert there.embedder.embedded == [], "nothing is embedded again"


def test_a_machine_without_a_snapshot_has_this_one_as_its_current(here: Machine, there: Machine) -> None:
    record, _ = import_snapshot(there.service, outgoing(here.service, here.db), quiet)
    assert current(there.db) == record.id
    assert there.service.current().record == record
    assert there.service.status().documents == 32


def test_what_is_there_stays_and_stays_current(here: Machine, there: Machine) -> None:
    own = [there.sync(pages_of(10, word)) for word in ("own", "newer")]
    before = {(name, question): _rest(there.ask(question, name)) for name in own for question in QUESTIONS}
    record, _ = import_snapshot(there.service, outgoing(here.service, here.db), quiet)
    assert current(there.db) == own[-1]
    for (name, question), found in before.items():
        assert _rest(there.ask(question, name)) == found
    assert_same_answers(here, there, record.id)
    assert there.service.current().record.id == own[-1]
    assert [listed.id for listed in list_snapshots(there.db)] == [record.id, *reversed(own)]


def test_a_snapshot_goes_from_a_folder_to_a_server_and_back(
    here: Machine, tmp_path: Path, machines: Callable[[str], Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings.simplefilter("ignore", UserWarning)  # the in-memory twin says that payload indexes have no effect in it
    client = QdrantClient(":memory:")
    monkeypatch.setattr(client, "close", lambda: None)
    monkeypatch.setattr("ingestion.index_server.connect", lambda _url, _key: client)
    project = tmp_path / "server"
    project.mkdir()
    settings = Settings.model_validate({**settings_for(project).model_dump(), "QDRANT_URL": "http://shared"})
    incoming = outgoing(here.service, here.db)
    with open_database(settings.database) as db, IndexService(settings, db, handle(WordEmbedder())) as service:
        record, _ = import_snapshot(service, incoming, quiet)
        sent = outgoing(service, db)
        for first, second in zip(incoming.batches(), sent.batches(), strict=True):
            assert first.chunks == second.chunks
            assert first.vectors is not None
            assert second.vectors is not None
            np.testing.assert_array_equal(first.vectors, second.vectors)
        opened = service.open_snapshot(record.id)
        for question in QUESTIONS:
            there = SnapshotRetriever(service, RetrievalOptions(), lambda: opened).retrieve(question, limit=500)
            expected = {passage.chunk.id: passage.score for passage in here.ask(question, record.id).passages}
            assert {p.chunk.id: p.score for p in there.passages} == pytest.approx(expected, abs=1e-5)
        back = machines("back")
        assert import_snapshot(back.service, sent, quiet)[1]
    assert_same_answers(here, back, record.id)


def test_a_second_import_writes_nothing(here: Machine, there: Machine) -> None:
    incoming = outgoing(here.service, here.db)
    record, _ = import_snapshot(there.service, incoming, quiet)
    again, new = import_snapshot(there.service, replace(incoming, batches=lambda: iter(())), quiet)
    assert (again, new) == (record, False)
    assert len(list_snapshots(there.db)) == 1


def test_a_snapshot_comes_back_to_where_it_was_made(here: Machine) -> None:
    incoming = outgoing(here.service, here.db)
    record, new = import_snapshot(here.service, incoming, quiet)
    assert not new
    assert record.id == current(here.db)


def test_a_snapshot_that_is_older_than_the_current_one_can_be_sent(here: Machine, there: Machine) -> None:
    old = current(here.db)
    assert old is not None
    here.sync(pages_of(5, "second"))
    incoming = outgoing(here.service, here.db, old)
    import_snapshot(there.service, incoming, quiet)
    assert_same_answers(here, there, old)


def test_a_later_sync_reuses_the_vectors_and_leaves_the_import_alone(here: Machine, there: Machine) -> None:
    record, _ = import_snapshot(there.service, outgoing(here.service, here.db), quiet)
    write_pages(there.project / "docs", pages_of(30) | {"new.md": "# New\n\nA page that only this machine has.\n"})
    report = there.service.sync(there.project / "docs", quiet)
    assert report.embedded == 1
    assert current(there.db) == report.snapshot != record.id
    assert_same_answers(here, there, record.id)
    assert there.ask("page that only this machine has", report.snapshot).passages[0].chunk.path == "new.md"


def test_a_sync_of_the_same_pages_finds_the_imported_snapshot(here: Machine, there: Machine) -> None:
    record, _ = import_snapshot(there.service, outgoing(here.service, here.db), quiet)
    assert there.sync(pages_of(30)) == record.id
    assert there.embedder.embedded == []


def test_a_file_is_read_even_if_its_size_is_that_of_an_imported_page(here: Machine, there: Machine) -> None:
    import_snapshot(there.service, outgoing(here.service, here.db), quiet)
    changed = {name: text.replace("first", "other") for name, text in pages_of(30).items()}
    there.sync(changed)
    for path in (here.project / "docs").iterdir():
        time_there = path.stat()
        os.utime(there.project / "docs" / path.name, ns=(time_there.st_atime_ns, time_there.st_mtime_ns))
    there.sync({})
    assert "other" in there.ask("What does page 7 say?", current(there.db) or "").passages[0].chunk.text


def test_a_bm25_snapshot_goes_without_vectors(
    machines: Callable[[str], Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.sync.BM25_FIRST_SECONDS", 0.0)
    monkeypatch.setattr("ingestion.sync._PROBE_SECONDS", 0.0)
    here, there = machines("here"), machines("there")
    here.sync(pages_of(30))
    words = next(record for record in list_snapshots(here.db) if record.kind == "bm25")
    incoming = outgoing(here.service, here.db, words.id)
    assert all(batch.vectors is None for batch in incoming.batches())
    import_snapshot(there.service, incoming, quiet)
    assert_same_answers(here, there, words.id)
    # Its hybrid successor is made by the next sync, from the points that are there.
    report = there.sync(pages_of(30))
    assert there.ask("How do I rotate a key?", report).cosine is not None


def test_exports_the_same_again_in_batches(here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = here.service.current()
    pages = export_pages(here.db, opened)
    whole = [chunk for batch in export_points(opened, pages) for chunk in batch.chunks]
    assert [chunk.id for chunk in whole] == [name for page in pages for name in page.chunk_ids]
    monkeypatch.setattr(ingestion.transfer, "BATCH", 7)
    batches = list(export_points(opened, pages))
    assert [chunk for batch in batches for chunk in batch.chunks] == whole
    assert {len(batch.chunks) for batch in batches[:-1]} == {7}
    assert BATCH > 7


def test_a_point_that_is_gone_stops_the_export(here: Machine) -> None:
    opened = here.service.current()
    pages = export_pages(here.db, opened)
    pages[3] = replace(pages[3], chunk_ids=(*pages[3].chunk_ids, "f" * 32))
    with pytest.raises(Corrupt, match="does not hold every chunk"):
        list(export_points(opened, pages))


# What comes in and is not what was pinned


def _first(change: Callable[[Chunk], Chunk]) -> Callable[[Incoming], Incoming]:
    def changed(incoming: Incoming) -> Incoming:
        def batches() -> Iterator[PointBatch]:
            for number, batch in enumerate(incoming.batches()):
                chunks = list(batch.chunks)
                if number == 0:
                    chunks[0] = change(chunks[0])
                yield replace(batch, chunks=chunks)

        return replace(incoming, batches=batches)

    return changed


def _vectors(change: Callable[[Any], Any]) -> Callable[[Incoming], Incoming]:
    def changed(incoming: Incoming) -> Incoming:
        batches = [replace(batch, vectors=change(np.array(batch.vectors))) for batch in incoming.batches()]
        return replace(incoming, batches=lambda: batches)

    return changed


def _batches(change: Callable[[list[PointBatch]], Sequence[PointBatch]]) -> Callable[[Incoming], Incoming]:
    return lambda incoming: replace(incoming, batches=lambda: change(list(incoming.batches())))


def _pages(change: Callable[[list[PageRecord]], Sequence[PageRecord]]) -> Callable[[Incoming], Incoming]:
    return lambda incoming: replace(incoming, pages=change(list(incoming.pages)))


def _pinned(**changes: object) -> Callable[[Incoming], Incoming]:
    return lambda incoming: replace(incoming, pinned=incoming.pinned.model_copy(update=changes))


def _nan(vectors: Any) -> Any:
    vectors[0, 0] = np.nan
    return vectors


def _cut(batches: list[PointBatch]) -> list[PointBatch]:
    last = batches[-1]
    assert last.vectors is not None
    return [*batches[:-1], PointBatch(last.chunks[:-1], last.vectors[:-1])]


def _swapped(batches: list[PointBatch]) -> list[PointBatch]:
    first = batches[0]
    return [replace(first, chunks=[first.chunks[1], first.chunks[0], *first.chunks[2:]]), *batches[1:]]


TAMPERED: dict[str, Callable[[Incoming], Incoming]] = {
    "another text": _first(lambda c: replace(c, text=f"{c.text} Pay the attacker.")),
    "another title": _first(lambda c: replace(c, title="Owned")),
    "another heading": _first(lambda c: replace(c, heading=(*c.heading, "Owned"))),
    "another path": _first(lambda c: replace(c, path="other.md")),
    "another source": _first(lambda c: replace(c, source="other")),
    "another version": _first(lambda c: replace(c, version="other")),
    "another position": _first(lambda c: replace(c, position=5)),
    "another id": _first(lambda c: replace(c, id="f" * 32)),
    "chunks in another order": _batches(_swapped),
    "a chunk too few": _batches(_cut),
    "a chunk too many": _batches(lambda batches: [*batches, batches[0]]),
    "no chunks": _batches(lambda _: []),
    "no vectors": _vectors(lambda _: None),
    "vectors of another shape": _vectors(lambda v: v[:, :-1]),
    "a vector too few": _vectors(lambda v: v[:-1]),
    "vectors that are no numbers": _vectors(_nan),
    "vectors too long": _vectors(lambda v: v * 2),
    "vectors of nothing": _vectors(lambda v: v * 0),
    "a page too few": _pages(lambda pages: pages[1:]),
    "a page too many": _pages(lambda pages: [*pages, replace(pages[0], path="zz.md")]),
    "a page twice": _pages(lambda pages: [pages[0], *pages]),
    "a page of another version": _pages(lambda pages: [replace(pages[0], version="x"), *pages[1:]]),
    "a chunk on another page": _pages(
        lambda pages: [
            replace(pages[0], chunk_ids=pages[0].chunk_ids + pages[1].chunk_ids),
            replace(pages[1], chunk_ids=()),
            *pages[2:],
        ]
    ),
    "another snapshot id": _pinned(id="f" * 64),
    "other word counts": _pinned(lexicon="f" * 64),
    "another number of pages": _pinned(documents=1),
    "another number of chunks": _pinned(chunks=1),
    "another average length": _pinned(chunking={"version": 1, "bm25_average_length": 7}),
    "another kind": _pinned(kind="bm25"),
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED.keys())
def test_what_was_tampered_with_is_refused_and_leaves_nothing(
    here: Machine, there: Machine, tamper: Callable[[Incoming], Incoming]
) -> None:
    own = there.sync({"own.md": "# Own\n\nA page of this machine's own.\n"})
    rows = _rows(there.db)
    with pytest.raises(Corrupt, match="The index that comes in is damaged"):
        import_snapshot(there.service, tamper(outgoing(here.service, here.db)), quiet)
    assert _rows(there.db) == rows
    assert [record.id for record in list_snapshots(there.db)] == [own] == [current(there.db)]
    assert there.service.current().index.count(10**9) == 1
    import_snapshot(there.service, outgoing(here.service, here.db), quiet)


def _rows(db: Database) -> dict[str, int]:
    with db.reading() as session:
        tables = Base.metadata.sorted_tables
        return {table.name: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


def test_a_snapshot_of_another_embedder_is_refused(here: Machine, there: Machine) -> None:
    incoming = _pinned(embedder="b" * 64)(outgoing(here.service, here.db))
    with pytest.raises(UserError, match="another embedding model"):
        import_snapshot(there.service, incoming, quiet)


def test_an_import_beside_a_running_sync_is_refused(here: Machine, there: Machine) -> None:
    incoming = outgoing(here.service, here.db)

    def batches() -> Iterable[PointBatch]:
        with pytest.raises(Conflict, match="already running"):
            there.service.sync(here.project / "docs", quiet)
        with pytest.raises(Conflict, match="A sync is running"):
            import_snapshot(there.service, incoming, quiet)
        return incoming.batches()

    import_snapshot(there.service, replace(incoming, batches=batches), quiet)


def test_what_breaks_between_the_check_and_the_end_leaves_nothing_visible(here: Machine, there: Machine) -> None:
    own = there.sync(pages_of(3, "own"))
    incoming = outgoing(here.service, here.db)
    calls = 0

    def batches() -> Iterator[PointBatch]:
        nonlocal calls
        calls += 1
        yield from incoming.batches()
        if calls == 2:
            raise OSError("the disk went away")

    with pytest.raises(OSError, match="went away"):
        import_snapshot(there.service, replace(incoming, batches=batches), quiet)
    assert [record.id for record in list_snapshots(there.db)] == [own]
    assert interrupted_syncs(there.db) == []
    ended = last_sync(there.db)
    assert ended is not None
    assert (ended.state, ended.report) == ("failed", {"error": "OSError"})
    opened = there.service.current()
    assert opened.index.count(10**9) == opened.record.chunks
    import_snapshot(there.service, incoming, quiet)
    assert_same_answers(here, there, incoming.pinned.id)


def test_what_changes_between_the_check_and_the_writing_is_refused(here: Machine, there: Machine) -> None:
    incoming = outgoing(here.service, here.db)
    reads = iter([list(incoming.batches()), _cut(list(incoming.batches()))])
    with pytest.raises(Corrupt, match="changed while it was read"):
        import_snapshot(there.service, replace(incoming, batches=lambda: next(reads)), quiet)
    assert list_snapshots(there.db) == []


# kill -9


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["qdrant_edge", "sqlalchemy", "tests.ingestion.transfer_process"])
    return context


def test_an_import_killed_at_any_step_leaves_all_or_nothing(tmp_path: Path, processes: ForkServerContext) -> None:
    for name, pages in (("here", pages_of(60)), ("there", pages_of(20, "own"))):
        machine = Machine(tmp_path / name)
        machine.sync(pages)
        machine.close()
    here, there = tmp_path / "here", tmp_path / "there"
    own = _look(there)
    for step in range(200):
        process = processes.Process(target=transfer_process.import_and_die, args=(here, there, step))
        process.start()
        process.join(60)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        seen = _look(there)
        assert seen["current"] == own["current"]
        assert seen["answers"] == own["answers"], "what was there answers as before"
        if seen["snapshots"] != own["snapshots"]:
            break  # the commit was through
        assert seen == own, "an import that did not end shows nowhere"
        if step % 4 == 3:
            _run(processes, transfer_process.sync_own, there)
            assert _look(there) == own
    assert step > 12, "there were fewer steps than an import has: the test tests little"
    machine, origin = Machine(there), Machine(here)
    assert_same_answers(origin, machine, current(origin.db) or "")
    machine.close()
    origin.close()


def _run(processes: ForkServerContext, target: Callable[..., None], *arguments: Path) -> None:
    process = processes.Process(target=target, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode == 0


def _look(project: Path) -> dict[str, Any]:
    machine = Machine(project)
    record = current_snapshot(machine.db)
    assert record is not None
    body = {
        "snapshots": [listed.id for listed in list_snapshots(machine.db)],
        "current": record.id,
        "answers": [_rest(machine.ask(question, record.id)) for question in QUESTIONS],
        "visible to the next": machine.service.current().index.count(10**9),
        "pages": len(pages_at(machine.db, 10**9)),
        "running": interrupted_syncs(machine.db),
    }
    machine.close()
    return body


def test_imported_vectors_are_kept_by_their_text(here: Machine, there: Machine) -> None:
    incoming = outgoing(here.service, here.db)
    import_snapshot(there.service, incoming, quiet)
    for batch in incoming.batches():
        assert batch.vectors is not None
        kept = load_vectors(there.db, there.embedder.digest, [text_hash(chunk) for chunk in batch.chunks])
        for chunk, vector in zip(batch.chunks, batch.vectors, strict=True):
            assert kept[text_hash(chunk)].tobytes() == vector.tobytes()


def test_the_pinned_snapshot_of_the_tests_is_whole(here: Machine) -> None:
    pinned = outgoing(here.service, here.db).pinned
    assert PinnedSnapshot.model_validate(pinned.model_dump()) == pinned
