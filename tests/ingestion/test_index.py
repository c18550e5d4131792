"""One contract, two implementations: the folder (Edge) and a Qdrant server through its client's in-memory twin."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ingestion.index import HybridQuery, Index, IndexPoint, SparseVector, point_id
from ingestion.index_edge import EdgeIndex
from ingestion.index_server import ServerIndex, connect
from lockgate.errors import Corrupt, Unavailable
from lockgate.types import Chunk

DIMENSION = 4


@pytest.fixture(params=["edge", "server"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    if request.param == "edge":
        made: Index = EdgeIndex(tmp_path / "index", DIMENSION)
        yield made
        made.close()
        return
    from qdrant_client import QdrantClient

    with warnings.catch_warnings():
        # The in-memory client warns that payload indexes have no effect in it; on a server they do.
        warnings.simplefilter("ignore", UserWarning)
        client = QdrantClient(":memory:")
        made = ServerIndex(client, "test", DIMENSION)
        yield made
        made.close()


def chunk(name: str, text: str = "text") -> Chunk:
    return Chunk(name, "docs", f"{name}.md", name.title(), ("H",), "v1", 0, text, 3, "h", 7)


def unit(place: int) -> np.ndarray:
    vector = np.zeros(DIMENSION, dtype=np.float32)
    vector[place] = 1.0
    return vector


def point(name: str, first: int, term: int, dense: int | None) -> IndexPoint:
    sparse = SparseVector(np.array([term, 1000], np.uint32), np.array([1.0, 0.5], np.float32))
    return IndexPoint(chunk(name), first, sparse, unit(dense) if dense is not None else None)


def query(seq: int, *, term: int = 1, dense: int | None = None, weight: float = 0.5, limit: int = 10) -> HybridQuery:
    sparse = SparseVector(np.array([term], np.uint32), np.array([0.8], np.float32))
    return HybridQuery(seq, sparse, unit(dense) if dense is not None else None, weight, 50, limit)


def names(index: Index, asked: HybridQuery) -> list[str]:
    return [hit.chunk.id for hit in index.search(asked)]


def test_fuses_both_arms_by_weight(index: Index) -> None:
    index.upsert([point("words", 1, 1, 1), point("meaning", 1, 2, 0), point("neither", 1, 3, 3)])
    hits = index.search(query(1, term=1, dense=0, weight=0.9))
    assert [hit.chunk.id for hit in hits][:2] == ["meaning", "words"]
    assert hits[0].score == pytest.approx(0.9, abs=1e-4)
    assert hits[1].score == pytest.approx(0.1 * 0.8, abs=1e-4)
    assert names(index, query(1, term=1, dense=0, weight=0.1))[0] == "words"


def test_reports_the_cosine_apart_from_the_score(index: Index) -> None:
    index.upsert([point("words", 1, 1, 1), point("meaning", 1, 2, 0)])
    cosines = {hit.chunk.id: hit.cosine for hit in index.search(query(1, dense=0))}
    assert cosines["meaning"] == pytest.approx(1.0)
    assert cosines["words"] == pytest.approx(0.0)


def test_keeps_every_field_of_a_chunk(index: Index) -> None:
    index.upsert([point("words", 1, 1, None)])
    assert index.search(query(1))[0].chunk == chunk("words")


def test_searches_words_alone_while_there_are_no_vectors(index: Index) -> None:
    index.upsert([point("words", 1, 1, None), point("other", 1, 2, None)])
    hits = index.search(query(1))
    assert [hit.chunk.id for hit in hits] == ["words"]
    assert hits[0].score == pytest.approx(0.8, abs=1e-4)
    assert hits[0].cosine is None
    assert [found.id for _, found in index.missing_dense(1)] == ["words", "other"] or len(index.missing_dense(1)) == 2
    index.set_dense([point_id("words", 1)], np.stack([unit(0)]))
    assert [found.id for _, found in index.missing_dense(1)] == ["other"]


def test_a_snapshot_sees_only_its_own_points(index: Index) -> None:
    index.upsert([point("old", 1, 1, 0), point("kept", 1, 1, 0)])
    index.close_points([point_id("old", 1)], 2)
    index.upsert([point("new", 2, 1, 0)])
    assert sorted(names(index, query(1))) == ["kept", "old"]
    assert sorted(names(index, query(2))) == ["kept", "new"]
    assert (index.count(1), index.count(2)) == (2, 2)


def test_undo_leaves_no_trace_of_an_unfinished_snapshot(index: Index) -> None:
    index.upsert([point("old", 1, 1, 0)])
    index.close_points([point_id("old", 1)], 2)
    index.upsert([point("new", 2, 1, 0)])
    index.undo(2)
    assert names(index, query(1)) == ["old"]
    assert names(index, query(2)) == ["old"]


def test_close_all_empties_the_next_snapshot_only(index: Index) -> None:
    index.upsert([point("a", 1, 1, 0), point("b", 1, 1, 0)])
    index.close_all(2)
    index.upsert([point("c", 2, 1, 0)])
    assert sorted(names(index, query(1))) == ["a", "b"]
    assert names(index, query(2)) == ["c"]


def test_drop_closed_deletes_what_no_snapshot_can_see(index: Index) -> None:
    index.upsert([point("old", 1, 1, 0), point("kept", 1, 1, 0)])
    index.close_points([point_id("old", 1)], 2)
    index.drop_closed(2)
    assert names(index, query(1)) == ["kept"]


def test_drop_closed_leaves_what_came_before(index: Index) -> None:
    """Snapshots 2 and 3 were forgotten, 1 and 4 are kept."""
    index.upsert([point("first", 1, 1, 0), point("whole", 1, 1, 0)])
    index.close_points([point_id("first", 1)], 3)
    index.upsert([point("second", 2, 1, 0), point("gone", 2, 1, 0)])
    index.close_points([point_id("gone", 2)], 4)
    index.drop_closed(4, after=1)
    assert sorted(names(index, query(1))) == ["first", "whole"]
    assert sorted(names(index, query(4))) == ["second", "whole"]
    assert [found.id for found, _ in index.points([point_id("gone", 2), point_id("first", 1)])] == ["first"]


def test_gives_back_points_in_the_order_asked(index: Index) -> None:
    index.upsert([point("a", 1, 5, 0), point("b", 1, 6, None)])
    ids = [point_id("b", 1), point_id("missing", 1), point_id("a", 1)]
    (first, bare), (second, dense) = index.points(ids)
    assert (first, second) == (chunk("b"), chunk("a"))
    assert bare is None
    assert dense is not None
    assert dense.dtype == np.float32
    assert dense.tolist() == unit(0).tolist()
    assert index.points([]) == []


def test_gives_back_exactly_the_numbers_that_came_in(index: Index) -> None:
    rng = np.random.default_rng(0)
    vector = rng.standard_normal(DIMENSION).astype(np.float32)
    vector /= np.linalg.norm(vector)
    sparse = SparseVector(np.array([1], np.uint32), np.array([1.0], np.float32))
    index.upsert([IndexPoint(chunk("a"), 1, sparse, vector)])
    ((_, dense),) = index.points([point_id("a", 1)])
    assert dense is not None
    assert dense.tobytes() == vector.tobytes()


def test_gives_back_term_ids_in_the_order_asked(index: Index) -> None:
    index.upsert([point("a", 1, 5, 0), point("b", 1, 6, 0)])
    found = index.term_ids([point_id("b", 1), point_id("a", 1)])
    assert [sorted(ids.tolist()) for ids in found] == [[6, 1000], [5, 1000]]


def test_finds_chunks_by_id_within_a_snapshot(index: Index) -> None:
    index.upsert([point("a", 1, 5, 0), point("b", 2, 6, 0)])
    assert [found.id for found in index.neighbours(1, ["b", "a"])] == ["a"]


def test_equal_hits_are_ordered_by_id_however_they_were_written(index: Index) -> None:
    index.upsert([point("c", 1, 1, 0), point("a", 1, 1, 0)])
    index.upsert([point("b", 1, 1, 0), point("0", 1, 1, 0)])
    assert names(index, query(1, dense=0)) == ["0", "a", "b", "c"]


def test_a_question_of_stop_words_finds_nothing(index: Index) -> None:
    index.upsert([point("a", 1, 5, None)])
    empty = SparseVector(np.zeros(0, np.uint32), np.zeros(0, np.float32))
    assert index.search(HybridQuery(1, empty, None, 0.5, 10, 10)) == []


def test_edge_keeps_its_points_over_a_restart(tmp_path: Path) -> None:
    first = EdgeIndex(tmp_path, DIMENSION)
    first.upsert([point("a", 1, 1, 0)])
    first.flush()
    first.close()
    again = EdgeIndex(tmp_path, DIMENSION)
    assert again.count(1) == 1
    again.close()


def test_edge_says_what_to_do_about_a_folder_it_cannot_open(tmp_path: Path) -> None:
    (tmp_path / "edge_config.json").write_text("not json")
    with pytest.raises(Corrupt, match="lockgate ingestion sync"):
        EdgeIndex(tmp_path, DIMENSION)


def test_an_unreachable_server_is_named(unused_tcp_port: int) -> None:
    with pytest.raises(Unavailable, match=r"QDRANT_URL.*does not answer"):
        connect(f"http://127.0.0.1:{unused_tcp_port}", "")
