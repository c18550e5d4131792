from __future__ import annotations

import os
import shutil
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

import ingestion.sync
from ingestion.chunking import Chunking
from ingestion.index import point_id
from ingestion.options import RetrievalOptions
from ingestion.retriever import SnapshotRetriever
from ingestion.service import IndexService
from ingestion.source import folder_source
from lockgate.errors import Conflict, Corrupt, NotFound, Unavailable, UserError
from lockgate.settings import Settings
from lockgate.store.database import Database, open_database
from lockgate.store.snapshots import current_snapshot, find_snapshot, last_sync, list_snapshots, pages_at, set_pinned
from tests.ingestion.fakes import WordEmbedder, handle, open_service, quiet, settings_for, write_pages

PAGES = {
    "keys.md": "# Keys\n\nRotate a key every ninety days. Use the rotate command.\n",
    "index.md": "# Index\n\nThe index holds passages and vectors.\n",
    "deep/prompts.md": "# Prompts\n\nA prompt is a Markdown file with front matter.\n",
}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    write_pages(folder, PAGES)
    return folder


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with open_database(settings_for(tmp_path).database) as database:
        yield database


@pytest.fixture
def embedder() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture
def service(tmp_path: Path, db: Database, embedder: WordEmbedder) -> Iterator[IndexService]:
    with open_service(tmp_path, db, embedder) as opened:
        yield opened


def found(service: IndexService, question: str, limit: int = 10) -> list[str]:
    retriever = SnapshotRetriever(service, RetrievalOptions(), service.current)
    return [passage.chunk.path for passage in retriever.retrieve(question, limit=limit).passages]


def age(folder: Path) -> None:
    """Make every file older than the clock's grain, as files are in life."""
    for path in folder.rglob("*.md"):
        os.utime(path, ns=(path.stat().st_mtime_ns - 10**10,) * 2)


def test_first_sync_makes_a_hybrid_snapshot_that_answers(service: IndexService, docs: Path) -> None:
    report = service.sync(docs, quiet)
    assert (report.pages, report.added, report.kind) == (3, 3, "hybrid")
    assert service.status().documents == 3
    assert found(service, "how do I rotate a key?")[0] == "keys.md"


def test_asking_before_anything_is_indexed_says_what_to_run(service: IndexService) -> None:
    with pytest.raises(NotFound, match="lockgate ingestion sync"):
        found(service, "anything")


def test_nothing_changed_embeds_nothing_and_keeps_the_snapshot(
    service: IndexService, docs: Path, embedder: WordEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(docs)
    first = service.sync(docs, quiet)
    embedder.embedded.clear()
    monkeypatch.setattr("ingestion.prepare.read_entry", lambda *_: pytest.fail("an unchanged file was opened"))
    second = service.sync(docs, quiet)
    assert second.snapshot == first.snapshot
    assert second.unchanged == 3
    assert embedder.embedded == []


def test_a_touched_file_is_read_but_not_embedded(service: IndexService, docs: Path, embedder: WordEmbedder) -> None:
    first = service.sync(docs, quiet)
    embedder.embedded.clear()
    age(docs)
    assert service.sync(docs, quiet).snapshot == first.snapshot
    assert embedder.embedded == []


def test_an_edit_embeds_only_what_changed(service: IndexService, docs: Path, embedder: WordEmbedder) -> None:
    service.sync(docs, quiet)
    embedder.embedded.clear()
    write_pages(
        docs, {"keys.md": PAGES["keys.md"] + "\n## Revoke\n\nRevoking is final, and cannot be undone by anyone.\n"}
    )
    report = service.sync(docs, quiet)
    assert (report.changed, report.unchanged) == (1, 2)
    assert all("Revok" in text for text in embedder.embedded)
    assert found(service, "is revoking final?")[0] == "keys.md"


def test_removed_pages_are_gone_and_the_snapshot_before_still_has_them(service: IndexService, docs: Path) -> None:
    first = service.sync(docs, quiet)
    (docs / "keys.md").unlink()
    report = service.sync(docs, quiet)
    assert report.removed == 1
    assert "keys.md" not in found(service, "rotate a key")
    before = service.open_snapshot(first.snapshot[:12])
    retriever = SnapshotRetriever(service, RetrievalOptions(), lambda: before)
    assert retriever.retrieve("rotate a key", limit=5).passages[0].chunk.path == "keys.md"


def test_going_back_to_an_earlier_state_moves_the_pointer_only(
    service: IndexService, docs: Path, embedder: WordEmbedder, db: Database
) -> None:
    first = service.sync(docs, quiet)
    write_pages(docs, {"more.md": "# More\n\nMore words about the gate.\n"})
    second = service.sync(docs, quiet)
    (docs / "more.md").unlink()
    embedder.embedded.clear()
    third = service.sync(docs, quiet)
    assert third.snapshot == first.snapshot != second.snapshot
    assert embedder.embedded == []
    assert "more.md" not in found(service, "gate")
    write_pages(docs, {"more.md": "# More\n\nOther words about the gate.\n"})
    fourth = service.sync(docs, quiet)
    assert fourth.pages == 4
    assert found(service, "other words gate")[0] == "more.md"
    assert_whole(service, db)


def test_a_moved_page_reuses_its_vectors(service: IndexService, docs: Path, embedder: WordEmbedder) -> None:
    service.sync(docs, quiet)
    embedder.embedded.clear()
    (docs / "keys.md").rename(docs / "secrets.md")
    report = service.sync(docs, quiet)
    assert (report.added, report.removed, report.embedded) == (1, 1, 0)
    assert embedder.embedded == []
    assert found(service, "rotate a key")[0] == "secrets.md"


def test_two_pages_with_the_same_content_are_both_kept_and_counted(service: IndexService, docs: Path) -> None:
    write_pages(docs, {"copy.md": PAGES["keys.md"]})
    report = service.sync(docs, quiet)
    assert report.duplicates == 1
    assert {"copy.md", "keys.md"} <= set(found(service, "rotate a key"))


def test_the_id_does_not_depend_on_order_or_place(
    tmp_path: Path, docs: Path, service: IndexService, embedder: WordEmbedder
) -> None:
    here = service.sync(docs, quiet).snapshot
    other = tmp_path / "elsewhere"
    write_pages(other / "docs", dict(reversed(PAGES.items())))
    with open_database(settings_for(other).database) as db, open_service(other, db, embedder) as second:
        assert second.sync(other / "docs", quiet).snapshot == here


def test_only_five_snapshots_are_kept(service: IndexService, docs: Path, db: Database) -> None:
    ids = []
    for number in range(8):
        write_pages(docs, {"n.md": f"# N\n\nThis is version number {number} of the page.\n"})
        ids.append(service.sync(docs, quiet).snapshot)
    assert [record.id for record in list_snapshots(db)] == ids[:-6:-1]
    with pytest.raises(NotFound, match="lockgate ingestion snapshots"):
        service.open_snapshot(ids[0])
    assert_whole(service, db)


def test_a_failed_sync_leaves_the_snapshot_before(
    service: IndexService, docs: Path, db: Database, monkeypatch: pytest.MonkeyPatch, embedder: WordEmbedder
) -> None:
    first = service.sync(docs, quiet)
    write_pages(docs, {"keys.md": "# Keys\n\nEverything is different now.\n"})

    def fail(texts: object) -> object:
        raise RuntimeError("the embedder broke")

    monkeypatch.setattr(embedder, "embed_batches", fail)
    with pytest.raises(RuntimeError):
        service.sync(docs, quiet)
    monkeypatch.undo()
    assert service.status().snapshot == first.snapshot
    sync = last_sync(db)
    assert sync is not None
    assert sync.state == "failed"
    assert found(service, "rotate a key")[0] == "keys.md"
    assert service.sync(docs, quiet).changed == 1
    assert_whole(service, db)


def test_a_long_first_sync_answers_from_words_until_the_vectors_are_there(
    service: IndexService, docs: Path, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion.sync, "BM25_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(ingestion.sync, "_PROBE_SECONDS", 0.0)
    write_pages(docs, {f"p{i}.md": f"# Page {i}\n\nPage number {i} talks about item{i}.\n" for i in range(30)})
    seen: list[tuple[str | None, float | None]] = []

    def watch(stage: str, done: int, total: int) -> None:
        if stage == "embed" and service.status().kind:
            seen.append((service.status().kind, service.status().indexing))
            assert found(service, "rotate a key")[0] == "keys.md"

    report = service.sync(docs, watch)
    assert report.kind == "hybrid"
    assert seen[-1][0] == "bm25"
    assert seen[-1][1] == 1.0
    assert service.status().kind == "hybrid"
    assert service.status().indexing is None
    assert [record.kind for record in list_snapshots(db)] == ["hybrid", "bm25"]
    assert_whole(service, db)


def test_a_sync_killed_after_its_bm25_snapshot_finishes_the_vectors_next_time(
    service: IndexService, docs: Path, db: Database, monkeypatch: pytest.MonkeyPatch, embedder: WordEmbedder
) -> None:
    monkeypatch.setattr(ingestion.sync, "BM25_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(ingestion.sync, "_PROBE_SECONDS", 0.0)
    write_pages(docs, {f"p{i}.md": f"# Page {i}\n\nPage number {i} talks about item{i}.\n" for i in range(30)})

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "embed" and service.status().kind == "bm25":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        service.sync(docs, stop)
    assert service.status().kind == "bm25"
    done = len(embedder.embedded)
    report = service.sync(docs, quiet)
    assert report.kind == "hybrid"
    assert report.unchanged == 33
    assert len(embedder.embedded) <= 33 + done
    assert_whole(service, db)


def test_another_chunking_builds_the_next_snapshot_beside_the_live_one(
    tmp_path: Path, docs: Path, db: Database, embedder: WordEmbedder
) -> None:
    with open_service(tmp_path, db, embedder) as service:
        first = service.sync(docs, quiet)
    other = Chunking(max_tokens=32, min_tokens=4)
    with IndexService(settings_for(tmp_path), db, handle(embedder), chunking=other) as service:
        assert service.status().snapshot == first.snapshot
        second = service.sync(docs, quiet)
        assert second.snapshot != first.snapshot
        assert_whole(service, db)


def test_another_embedder_uses_an_index_of_its_own(
    tmp_path: Path, docs: Path, db: Database, embedder: WordEmbedder
) -> None:
    with open_service(tmp_path, db, embedder) as service:
        first = service.sync(docs, quiet)
    other = WordEmbedder()
    other.digest = "b" * 64
    with open_service(tmp_path, db, other) as service:
        with pytest.raises(NotFound, match="another embedding model"):
            service.open_snapshot(first.snapshot)
        assert service.sync(docs, quiet).snapshot != first.snapshot
        assert_whole(service, db)
    with open_service(tmp_path, db, embedder) as service:
        assert service.sync(docs, quiet).snapshot == first.snapshot
        assert found(service, "rotate a key")[0] == "keys.md"


@pytest.mark.parametrize("damage", ["deleted", "truncated", "lexicon"])
def test_a_lost_index_is_written_again_from_the_kept_vectors(
    tmp_path: Path, docs: Path, db: Database, embedder: WordEmbedder, damage: str
) -> None:
    with open_service(tmp_path, db, embedder) as service:
        for number in range(7):  # more than are kept, so that rows of forgotten snapshots are there too
            write_pages(docs, {"n.md": f"# N\n\nThis is version number {number} of the page.\n"})
            service.sync(docs, quiet)
        record = service.current().record
    embedder.embedded.clear()
    folder = next((tmp_path / ".lockgate" / "index").iterdir())
    if damage == "deleted":
        shutil.rmtree(folder)
    elif damage == "truncated":
        (folder / "edge_config.json").write_text("{")
    else:
        next((tmp_path / ".lockgate" / "objects").rglob(f"*{record.lexicon[2:]}")).unlink()
    with open_service(tmp_path, db, embedder) as service:
        with pytest.raises(Corrupt, match="lockgate ingestion sync"):
            service.current()
        assert len(list_snapshots(db)) == 5, "a read must not throw state away"
        assert service.sync(docs, quiet).pages == 4
        assert embedder.embedded == []
        assert found(service, "rotate a key")[0] == "keys.md"
        assert_whole(service, db)
        write_pages(docs, {"n.md": "# N\n\nAnd one more version of that page.\n"})
        service.sync(docs, quiet)
        assert_whole(service, db)


def test_a_lost_database_leaves_no_old_points_in_the_new_snapshot(
    tmp_path: Path, docs: Path, embedder: WordEmbedder
) -> None:
    with open_database(settings_for(tmp_path).database) as db, open_service(tmp_path, db, embedder) as service:
        service.sync(docs, quiet)
    for path in (tmp_path / ".lockgate").glob("lockgate.db*"):
        path.unlink()
    (docs / "keys.md").unlink()
    with open_database(settings_for(tmp_path).database) as db, open_service(tmp_path, db, embedder) as service:
        assert service.sync(docs, quiet).pages == 2
        assert "keys.md" not in found(service, "rotate a key")
        assert_whole(service, db)


def test_an_undo_that_failed_is_made_up_for_by_the_next_sync_of_the_same_process(
    service: IndexService, docs: Path, db: Database, monkeypatch: pytest.MonkeyPatch, embedder: WordEmbedder
) -> None:
    service.sync(docs, quiet)
    write_pages(docs, {"keys.md": "# Keys\n\nEverything is different now, and so is this.\n"})
    index = service.current().index

    def fail(*_: object) -> None:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(embedder, "embed_batches", fail)
    monkeypatch.setattr(index, "set_dense", fail)
    with pytest.raises(Unavailable):
        service.sync(docs, quiet)
    monkeypatch.undo()
    write_pages(docs, {"keys.md": PAGES["keys.md"]})
    service.sync(docs, quiet)
    assert_whole(service, db)
    assert found(service, "rotate a key")[0] == "keys.md"


def test_a_sync_killed_under_one_embedder_is_cleared_under_it_whatever_ran_between(
    tmp_path: Path, docs: Path, db: Database, embedder: WordEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = WordEmbedder()
    other.digest = "b" * 64
    with open_service(tmp_path, db, embedder) as service:
        service.sync(docs, quiet)
        write_pages(docs, {"keys.md": "# Keys\n\nA version that nobody may ever see anywhere.\n"})
        monkeypatch.setattr(embedder, "embed_batches", lambda _texts: iter(_raise(KeyboardInterrupt())))
        with pytest.raises(KeyboardInterrupt):
            service.sync(docs, quiet)
        monkeypatch.undo()
    write_pages(docs, {"keys.md": PAGES["keys.md"]})
    with open_service(tmp_path, db, other) as service:
        service.sync(docs, quiet)
        assert_whole(service, db)
    with open_service(tmp_path, db, embedder) as service:
        service.sync(docs, quiet)
        assert_whole(service, db)


def _raise(error: BaseException) -> Iterator[object]:
    raise error
    yield


def test_two_projects_on_one_server_do_not_share_points(
    tmp_path: Path, docs: Path, embedder: WordEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings.simplefilter("ignore", UserWarning)  # the in-memory twin says that payload indexes have no effect in it
    client = QdrantClient(":memory:")
    monkeypatch.setattr(client, "close", lambda: None)
    monkeypatch.setattr("ingestion.index_server.connect", lambda _url, _key: client)
    answers = []
    for name, page in (("one", "Rotate keys on Monday."), ("two", "Rotate keys on Friday.")):
        project = tmp_path / name
        write_pages(project / "docs", {"keys.md": f"# Keys\n\n{page}\n"})
        settings = Settings.model_validate({**settings_for(project).model_dump(), "QDRANT_URL": "http://shared"})
        with open_database(settings.database) as db, IndexService(settings, db, handle(embedder)) as service:
            service.sync(project / "docs", quiet)
            hits = (
                SnapshotRetriever(service, RetrievalOptions(), service.current)
                .retrieve("rotate keys", limit=9)
                .passages
            )
            answers.append([hit.chunk.text for hit in hits])
    assert answers == [["Rotate keys on Monday."], ["Rotate keys on Friday."]]


def test_a_pinned_snapshot_outlives_five_newer_ones(service: IndexService, docs: Path, db: Database) -> None:
    first = service.sync(docs, quiet).snapshot
    assert set_pinned(db, first[:8], True) is not None
    for number in range(7):
        write_pages(docs, {"keys.md": f"# Keys\n\nThis is version number {number} of the page.\n"})
        service.sync(docs, quiet)
    assert len(list_snapshots(db)) == 6
    retriever = SnapshotRetriever(service, RetrievalOptions(), lambda: service.open_snapshot(first))
    assert "ninety" in retriever.retrieve("rotate a key", limit=5).passages[0].chunk.text
    set_pinned(db, first, False)
    write_pages(docs, {"keys.md": "# Keys\n\nThe last version of the page.\n"})
    service.sync(docs, quiet)
    assert first not in [record.id for record in list_snapshots(db)]


def test_a_change_within_the_same_tick_of_the_clock_is_noticed(service: IndexService, docs: Path) -> None:
    service.sync(docs, quiet)
    page = docs / "keys.md"
    before = page.stat()
    page.write_text(PAGES["keys.md"].replace("ninety", "eighty"))
    os.utime(page, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert page.stat().st_size == before.st_size
    assert service.sync(docs, quiet).changed == 1


def test_another_corpus_measures_the_average_length_anew(
    tmp_path: Path, service: IndexService, docs: Path, db: Database, embedder: WordEmbedder
) -> None:
    service.sync(docs, quiet)
    long = {f"p{i}.md": f"# Page {i}\n\n" + f"Many different words about topic{i} follow here. " * 6 for i in range(5)}
    write_pages(tmp_path / "other", long)
    here = service.sync(tmp_path / "other", quiet)
    fresh = tmp_path / "fresh"
    write_pages(fresh / "other", long)
    with open_database(settings_for(fresh).database) as db2, open_service(fresh, db2, embedder) as second:
        assert second.sync(fresh / "other", quiet).snapshot == here.snapshot
    assert_whole(service, db)


def test_closing_stops_a_running_sync_and_waits_for_it(
    tmp_path: Path, db: Database, embedder: WordEmbedder, docs: Path
) -> None:
    service = open_service(tmp_path, db, embedder)
    closer: list[threading.Thread] = []

    def close_meanwhile(stage: str, done: int, total: int) -> None:
        if not closer:
            closer.append(threading.Thread(target=service.close))
            closer[0].start()
            time.sleep(0.05)

    with pytest.raises(Unavailable, match="stops"):
        service.sync(docs, close_meanwhile)
    closer[0].join(30)
    with open_service(tmp_path, db, embedder) as again:
        assert again.sync(docs, quiet).pages == 3
        assert_whole(again, db)


def test_two_syncs_at_once_are_refused(service: IndexService, docs: Path) -> None:
    def again(stage: str, done: int, total: int) -> None:
        with pytest.raises(Conflict, match="already running"):
            service.sync(docs, quiet)

    service.sync(docs, again)


@pytest.mark.parametrize("make", ["missing", "empty", "file", "only_rejected"])
def test_a_folder_that_cannot_be_indexed_is_named_and_changes_nothing(
    service: IndexService, docs: Path, tmp_path: Path, make: str
) -> None:
    before = service.sync(docs, quiet).snapshot
    bad = tmp_path / "bad"
    if make == "empty":
        bad.mkdir()
    elif make == "file":
        bad.write_text("x")
    elif make == "only_rejected":
        bad.mkdir()
        (bad / "binary.md").write_bytes(b"\x00\xff\x00" * 100)
    with pytest.raises((UserError, NotFound), match="bad"):
        service.sync(bad, quiet)
    assert service.status().snapshot == before


def test_bad_files_are_set_aside_and_the_rest_goes_on(service: IndexService, docs: Path) -> None:
    (docs / "binary.md").write_bytes(b"\x00\xff\x00" * 100)
    (docs / "empty.md").write_text("")
    (docs / "broken.pdf").write_bytes(b"%PDF-1.7 nothing more")
    report = service.sync(docs, quiet)
    assert report.pages == 3
    assert {path for _, path, _ in report.rejected} == {"binary.md", "empty.md", "broken.pdf"}
    assert all(reason and not reason.startswith(path) for _, path, reason in report.rejected)


def test_a_source_of_the_project_is_synced_by_default(service: IndexService, tmp_path: Path, docs: Path) -> None:
    write_pages(tmp_path / "ingestion" / "sources", {"docs.yaml": "name: docs\nkind: folder\npath: docs\n"})
    assert service.sync(None, quiet).pages == 3


def test_an_unknown_key_in_a_source_file_is_named(service: IndexService, tmp_path: Path) -> None:
    write_pages(tmp_path / "ingestion" / "sources", {"docs.yaml": "name: docs\npath: docs\nglob: x\n"})
    with pytest.raises(UserError, match=r"docs\.yaml:3: unknown key 'glob'"):
        service.sync(None, quiet)


def test_a_folder_source_is_absolute(tmp_path: Path) -> None:
    assert Path(folder_source(tmp_path).path).is_absolute()


def assert_whole(service: IndexService, db: Database) -> None:
    """Every chunk of the current snapshot's pages is there exactly once, with its vector."""
    record = current_snapshot(db)
    assert record is not None
    opened = service.current()
    pages = pages_at(db, record.seq)
    wanted = [chunk_id for page in pages for chunk_id in page.chunk_ids]
    assert len(wanted) == len(set(wanted)) == record.chunks == opened.index.count(record.seq) == opened.lexicon.chunks
    assert len(opened.index.neighbours(record.seq, wanted)) == len(wanted)
    assert len(opened.index.term_ids([point_id(c, page.first) for page in pages for c in page.chunk_ids])) == len(
        wanted
    )
    if record.kind == "hybrid":
        assert opened.index.missing_dense(record.seq) == []
    assert find_snapshot(db, record.id) == record
