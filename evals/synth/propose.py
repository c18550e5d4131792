"""Propose cases for a suite from a snapshot, and append them to its proposals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evals.runs.budget import CallBudget
from evals.runs.call_cache import CountedCalls, StoredCalls
from evals.suite import Suite, load_suite
from evals.synth.corpus import Corpus, build_corpus, index_terms
from evals.synth.opening import open_writer
from evals.synth.proposal import Proposal, add_proposals, read_proposals
from evals.synth.search import ProposeRequest, Search
from evals.synth.suite_lock import suite_lock
from lockgate.ports import Progress, Retriever
from lockgate.settings import Settings
from lockgate.types import Chunk

if TYPE_CHECKING:
    from ingestion.service import IndexService, OpenSnapshot
    from lockgate.store.database import Database

COMMAND = "lockgate evals synth"


@dataclass(frozen=True, slots=True)
class Proposed:
    """``dropped`` counts drafts by why they were not proposed; ``made`` and ``served`` count model calls."""

    suite: str
    snapshot: str
    proposals: tuple[Proposal, ...]
    dropped: dict[str, int] = field(default_factory=dict)
    made: int = 0
    served: int = 0


def propose(settings: Settings, request: ProposeRequest, *, progress: Progress, say: Callable[[str], None]) -> Proposed:
    """Make proposals and append them to the suite's ``proposals.jsonl``. ``say`` is told what was left out, and why.

    Raises NotFound and UserError for what is wrong beforehand, Conflict while another process holds the index.
    """
    from ingestion.embedding import open_embedder
    from ingestion.service import IndexService
    from lockgate.owner import acquire
    from lockgate.store.database import open_database

    suite = load_suite(settings.project_dir, request.suite, may_be_empty=True)
    with (
        acquire(settings.state_dir, COMMAND),
        open_database(settings.database) as db,
        IndexService(settings, db, open_embedder(settings)) as service,
        StoredCalls(db, "synth") as stored,
    ):
        opened = service.open_snapshot(_snapshot_id(db, request.snapshot)) if request.snapshot else service.current()
        corpus = _read(db, opened, progress)
        if opened.record.kind == "hybrid":
            progress("embedder", 0, 0)
            opened.embedder.load()
        budget = CallBudget(request.budget)
        calls = CountedCalls(budget, stored, fresh=request.fresh)
        with open_writer(settings, request.model, calls, request.seed) as writer:
            retriever = _retriever(settings, service, opened)
            folder = settings.project_dir / suite.definition.corpus
            search = Search(suite, folder, corpus, retriever, writer, request, progress, say)
            found = search.run()
        with suite_lock(suite.folder):
            new = _still_new(suite, found)
            add_proposals(suite.folder, new)
    return Proposed(suite.name, corpus.snapshot, tuple(new), dict(search.dropped), budget.made, calls.served)


def _snapshot_id(db: Database, name: str) -> str:
    from lockgate.store.snapshots import find_snapshot

    found = find_snapshot(db, name)
    return found.id if found else name


def _read(db: Database, opened: OpenSnapshot, progress: Progress) -> Corpus:
    from ingestion.transfer import export_pages, export_points

    total = opened.record.chunks
    progress("read", 0, total)

    def chunks() -> Iterator[Chunk]:
        done = 0
        for batch in export_points(opened, export_pages(db, opened)):
            yield from batch.chunks
            done += len(batch.chunks)
            progress("read", done, total)

    return build_corpus(opened.record.id, chunks(), index_terms())


def _retriever(settings: Settings, service: IndexService, opened: OpenSnapshot) -> Retriever:
    """As the project's chain searches."""
    from chains.definition import load_chain
    from ingestion.retriever import SnapshotRetriever

    return SnapshotRetriever(service, load_chain(settings.project_dir, settings.chain).retrieval, lambda: opened)


def _still_new(suite: Suite, found: Sequence[Proposal]) -> list[Proposal]:
    """Without those that somebody else has added in the meantime."""
    there = {each.id for each in read_proposals(suite.folder)}
    return [each for each in found if each.id not in there]
