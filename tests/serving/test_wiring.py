"""The real parts behind the server, with a word-counting embedder and a model that only says that it is there."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lockgate.actor import Actor
from lockgate.errors import Conflict, NotFound, Unavailable
from lockgate.owner import acquire
from lockgate.settings import Settings
from lockgate.store.channels import Move, history, move_channel
from lockgate.store.database import open_database
from lockgate.store.feedback import get_feedback
from lockgate.types import Answer, AskRequest, Finished
from serving import wiring
from serving.channels import roll_back
from serving.wiring import Application
from tests.chains.model_server import ModelServer, free_port, run_model_server
from tests.chains.projects import make_project
from tests.ingestion.fakes import WordEmbedder, handle, quiet, write_pages
from tests.serving.fakes import wait_for

PAGES = {
    "keys.md": "# Keys\n\n## Rotation\n\nRotate a signing key with the rotate command every ninety days.\n",
    "ports.md": "# Ports\n\nThe server listens on port 8000 unless told otherwise.\n",
}


class FakeGenerator:
    def __init__(self) -> None:
        self.loads = 0
        self.hold = threading.Event()
        self.hold.set()

    def load(self) -> None:
        self.hold.wait(10)
        self.loads += 1


class FakeModel:
    def __init__(self) -> None:
        self.generator = FakeGenerator()


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    fake = FakeModel()
    # As lockgate.models.generator gives it: made at once, loaded when it is told to.
    monkeypatch.setattr("lockgate.models.generator.load_generator", lambda _settings, _name: fake.generator)
    return fake


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = make_project(tmp_path, PAGES)
    monkeypatch.setattr("ingestion.embedding.open_embedder", lambda _settings: handle(WordEmbedder()))
    return settings


@pytest.fixture
def application(project: Settings, model: FakeModel) -> Iterator[Application]:
    with acquire(project.state_dir, "test") as owner:
        application = Application(project, owner)
        yield application
        application.close()


async def ask(application: Application, question: str, model: str | None = None) -> Answer:
    events: list[Any] = [event async for event in application.asker(model).ask(AskRequest(question))]
    assert isinstance(events[-1], Finished)
    return events[-1].answer


def docs_of(settings: Settings) -> str:
    return str(settings.project_dir / "docs")


async def test_from_start_to_a_cited_answer_and_a_vote_on_it(application: Application, project: Settings) -> None:
    application.start(keep_staging=True, sync=docs_of(project))
    assert wait_for(lambda: application.readiness().ready, 30)
    answer = await ask(application, "How do I rotate a signing key?")
    assert answer.citations[0].path == "keys.md"
    application.write_feedback(answer.trace_id, "down", "No.")
    with open_database(project.database) as db:
        vote = get_feedback(db, answer.trace_id)
    assert vote is not None
    assert (vote.vote, vote.comment) == ("down", "No.")
    assert application.readiness().documents == 2
    assert application.retriever().retrieve("signing key", limit=1).passages[0].chunk.path == "keys.md"


def test_before_the_start_everything_is_unavailable_and_says_why(application: Application) -> None:
    with pytest.raises(Unavailable, match="still starting"):
        application.asker()
    with pytest.raises(Unavailable, match="still starting"):
        application.retriever()
    with pytest.raises(Unavailable, match="still starting"):
        application.sync("", quiet)
    readiness = application.readiness()
    assert not readiness.ready
    assert readiness.missing


def test_without_documents_it_says_what_to_run(application: Application) -> None:
    application.start()
    assert wait_for(lambda: application.readiness().model_loaded, 30)
    waits = ("nothing is indexed yet; run: lockgate ingestion sync PATH",)
    assert wait_for(lambda: application.readiness().missing == waits)


async def test_asking_with_nothing_indexed_names_the_command(application: Application) -> None:
    application.start()
    assert wait_for(lambda: application.readiness().model_loaded, 30)
    with pytest.raises(NotFound, match="lockgate ingestion sync"):
        await ask(application, "Anything?")


async def test_questions_are_answered_while_the_chat_model_still_loads(
    application: Application, project: Settings, model: FakeModel
) -> None:
    model.generator.hold.clear()
    application.start(keep_staging=True, sync=docs_of(project))
    assert wait_for(lambda: application.readiness().snapshot is not None, 30)
    assert wait_for(lambda: application.readiness().missing == ("loading the chat model",))
    assert (await ask(application, "How do I rotate a signing key?")).citations
    model.generator.hold.set()
    assert wait_for(lambda: application.readiness().ready)


def test_a_model_that_was_never_fetched_is_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(project=tmp_path, models_dir=tmp_path / "models", _env_file=None)
    with acquire(settings.state_dir, "test") as owner:
        application = Application(settings, owner)
        application.start()
        try:
            assert wait_for(lambda: "lockgate models pull" in " ".join(application.readiness().missing), 30)
            with pytest.raises(Unavailable, match="not on this machine"):
                application.asker()
        finally:
            application.close()


def test_a_sync_that_fails_is_told_and_does_not_end_the_server(application: Application, project: Settings) -> None:
    application.start(keep_staging=True, sync=str(project.project_dir / "nowhere"))
    assert wait_for(lambda: any("nowhere" in line for line in application.readiness().missing), 30)
    report = application.sync(docs_of(project), quiet)
    assert isinstance(report, dict)
    assert report["pages"] == 2
    assert wait_for(lambda: application.readiness().ready)


def test_a_source_can_be_named(application: Application, project: Settings) -> None:
    folder = project.project_dir / "ingestion" / "sources"
    folder.mkdir(parents=True)
    (folder / "manual.yaml").write_text("name: manual\npath: docs\n")
    application.start(keep_staging=True, sync="manual")
    assert wait_for(lambda: application.readiness().documents == 2, 30)


def test_two_syncs_at_once_conflict(application: Application, project: Settings) -> None:
    application.start(keep_staging=True)
    assert wait_for(lambda: application.readiness().model_loaded, 30)
    inside, go_on = threading.Event(), threading.Event()

    def slow(stage: str, done: int, total: int) -> None:
        inside.set()
        go_on.wait(10)

    first = threading.Thread(target=application.sync, args=(docs_of(project), slow))
    first.start()
    assert inside.wait(10)
    assert application.readiness().indexing is not None
    with pytest.raises(Unavailable, match="for the first time"):
        application.asker()
    with pytest.raises(Conflict, match="already running"):
        application.sync(docs_of(project), quiet)
    go_on.set()
    first.join()
    assert application.readiness().indexing is None


def test_closing_stops_a_sync_at_its_next_step(project: Settings, model: FakeModel) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(stage: str, done: int, total: int) -> None:
        inside.set()
        go_on.wait(10)

    with acquire(project.state_dir, "test") as owner:
        application = Application(project, owner)
        application.start(keep_staging=True, sync=docs_of(project), bars=lambda: contextlib.nullcontext(slow))
        assert inside.wait(30)
        closer = threading.Thread(target=application.close)
        closer.start()
        go_on.set()
        closer.join(20)
        assert not closer.is_alive()
    with open_database(project.database) as db, acquire(project.state_dir, "next"):
        assert db is not None


def test_closing_waits_for_a_sync_that_someone_asked_for(project: Settings, model: FakeModel) -> None:
    inside, go_on = threading.Event(), threading.Event()
    ends: list[str] = []

    def slow(stage: str, done: int, total: int) -> None:
        inside.set()
        go_on.wait(10)

    with acquire(project.state_dir, "test") as owner:
        application = Application(project, owner)
        application.start()
        assert wait_for(lambda: application.readiness().model_loaded, 30)

        def sync() -> None:
            try:
                application.sync(docs_of(project), slow)
            except Unavailable as error:
                ends.append(error.message)

        asked = threading.Thread(target=sync)
        asked.start()
        assert inside.wait(30)

        def close() -> None:
            application.close()
            ends.append("closed")

        closer = threading.Thread(target=close)
        closer.start()
        closer.join(0.3)
        assert closer.is_alive()
        with pytest.raises(Unavailable, match="closing"):
            application.sync(docs_of(project), quiet)
        go_on.set()
        closer.join(20)
        asked.join(20)
    assert ends == ["The server stops; the sync was not finished.", "closed"]
    with open_database(project.database) as db, acquire(project.state_dir, "next"):
        assert db is not None


def test_a_model_server_that_is_not_there_yet_is_waited_for(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "RETRY_SECONDS", 0.05)
    port = free_port()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://user:secret@127.0.0.1:{port}/v1")
    settings = Settings(project=project.project_dir, models_dir=project.models_dir, _env_file=None)
    waits = (f"waiting for the model server at http://127.0.0.1:{port}/v1",)
    with acquire(settings.state_dir, "test") as owner:
        application = Application(settings, owner)
        application.start(keep_staging=True, sync=docs_of(settings))
        assert wait_for(lambda: application.readiness().missing == waits, 30)
        with run_model_server(ModelServer(status=503), port=port) as loading:
            assert wait_for(lambda: "/v1/models" in loading.paths)
            assert not application.readiness().ready
        with run_model_server(ModelServer(), port=port):
            assert wait_for(lambda: application.readiness().ready, 10)
        application.close()


def test_closing_ends_the_wait_for_a_model_server(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{free_port()}/v1")
    settings = Settings(project=project.project_dir, models_dir=project.models_dir, _env_file=None)
    with acquire(settings.state_dir, "test") as owner:
        application = Application(settings, owner)
        application.start()
        assert wait_for(lambda: any("model server" in line for line in application.readiness().missing), 30)
        began = time.monotonic()
        application.close()
        assert time.monotonic() - began < 1.5


async def test_what_a_request_can_ask_for(application: Application, project: Settings) -> None:
    with pytest.raises(Unavailable, match="still starting"):
        application.models()
    application.start(keep_staging=True, sync=docs_of(project))
    assert wait_for(lambda: application.readiness().ready, 30)
    assert application.models() == ("docs", "staging", "docs@staging")
    release = application.readiness().release
    assert release
    for model in (None, "", "docs", "staging", "docs@staging", release, release[:12]):
        answer = await ask(application, "How do I rotate a signing key?", model)
        assert answer.release == release
    with pytest.raises(NotFound, match="lockgate release promote RELEASE production"):
        application.asker("production")
    with pytest.raises(NotFound, match="docs, staging, docs@staging"):
        application.asker("zzz")
    with pytest.raises(NotFound, match="no release"):
        application.asker("0" * 64)


class SlowEmbedder(WordEmbedder):
    """Holds its second batch until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def embed_batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        for number, batch in enumerate(super().embed_batches(texts)):
            if number:
                self.go_on.wait(20)
            yield batch


async def test_a_large_first_sync_is_released_to_staging_before_its_vectors_are_there(
    project: Settings, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = SlowEmbedder()
    monkeypatch.setattr("ingestion.embedding.open_embedder", lambda _settings: handle(embedder))
    monkeypatch.setattr("ingestion.sync.BM25_FIRST_SECONDS", 0.0)
    monkeypatch.setattr("ingestion.sync._PROBE_SECONDS", 0.0)
    write_pages(project.project_dir / "docs", {f"page{n}.md": f"# Page {n}\n\nText number {n}.\n" for n in range(30)})
    with acquire(project.state_dir, "test") as owner:
        application = Application(project, owner)
        application.start(keep_staging=True, sync=docs_of(project))
        assert wait_for(lambda: application.readiness().kind == "bm25", 30), application.readiness()
        assert wait_for(lambda: application.readiness().ready, 10)
        early = await ask(application, "How do I rotate a signing key?")
        assert early.citations[0].path == "keys.md"
        assert early.indexing is not None
        embedder.go_on.set()
        assert wait_for(lambda: application.readiness().kind == "hybrid", 30)
        late = await ask(application, "How do I rotate a signing key?")
        application.close()
    assert late.release != early.release
    with open_database(project.database) as db:
        moves = history(db, "staging", "docs")
    assert [move.to_release for move in moves] == [late.release, early.release]


async def test_serving_a_channel_reads_no_file_of_the_project(
    application: Application, project: Settings, model: FakeModel
) -> None:
    application.start(keep_staging=True, sync=docs_of(project))
    assert wait_for(lambda: application.readiness().ready, 30)
    before = await ask(application, "How do I rotate a signing key?")
    application.close()
    application._owner.release()
    for name in ("chains/definitions/docs.yaml", "prompts/library/answer.md", "guardrails/policies/default.yaml"):
        write_pages(project.project_dir, {name: "broken: ["})
    write_pages(project.project_dir, {"models.yaml": "broken: [", "scope.yaml": "broken: ["})
    shutil.rmtree(project.project_dir / "docs")
    with acquire(project.state_dir, "test") as owner:
        again = Application(project, owner)
        again.start()
        assert wait_for(lambda: again.readiness().ready, 30), again.readiness()
        after = await ask(again, "How do I rotate a signing key?")
        again.close()
    assert (after.text, after.release) == (before.text, before.release)


def test_a_staging_that_its_gate_refuses_is_told_and_the_old_one_goes_on(
    application: Application, project: Settings
) -> None:
    application.start(keep_staging=True, sync=docs_of(project))
    assert wait_for(lambda: application.readiness().ready, 30)
    release = application.readiness().release
    write_pages(project.project_dir, {"evals/gates/staging.yaml": "channel: staging\nrules: [{rule: evidence}]\n"})
    write_pages(project.project_dir / "docs", {"more.md": "# More\n\nMore text.\n"})
    application.sync(docs_of(project), quiet)
    readiness = application.readiness()
    assert readiness.ready
    assert readiness.release == release
    assert "evidence" in readiness.warning


async def test_a_broken_default_release_leaves_the_other_channels_answering(
    application: Application, project: Settings
) -> None:
    application.start(keep_staging=True, sync=docs_of(project))
    assert wait_for(lambda: application.readiness().ready, 30)
    staging = str(application.readiness().release)
    application.close()
    application._owner.release()
    with open_database(project.database) as db:
        move_channel(db, Move("production", "docs", "promote", "f" * 64, 0, Actor("ann")))
    with acquire(project.state_dir, "test") as owner:
        again = Application(project, owner)
        again.start()
        assert wait_for(lambda: again.readiness().model_loaded, 30), again.readiness()
        readiness = again.readiness()
        assert not readiness.ready
        assert any("manifest of release ffffffffffff is gone" in line for line in readiness.missing)
        assert (await ask(again, "How do I rotate a signing key?", "staging")).release == staging
        again.close()


def test_up_leaves_staging_where_it_was_rolled_back_to(application: Application, project: Settings) -> None:
    application.start(keep_staging=True, sync=docs_of(project))
    assert wait_for(lambda: application.readiness().ready, 30)
    first = str(application.readiness().release)
    write_pages(project.project_dir / "docs", {"more.md": "# More\n\nMore text.\n"})
    application.sync(docs_of(project), quiet)
    assert application.readiness().release != first
    with open_database(project.database) as db:
        roll_back(project, db, "staging", "docs", actor=Actor("ann"))
    write_pages(project.project_dir / "docs", {"third.md": "# Third\n\nThird text.\n"})
    application.sync(docs_of(project), quiet)
    assert wait_for(lambda: application.readiness().release == first)
    assert "ann rolled staging back" in application.readiness().warning


async def test_a_release_whose_index_is_gone_is_not_called_ready(application: Application, project: Settings) -> None:
    application.start(keep_staging=True, sync=docs_of(project))
    assert wait_for(lambda: application.readiness().ready, 30)
    application.close()
    application._owner.release()
    shutil.rmtree(project.state_dir / "index")
    with acquire(project.state_dir, "test") as owner:
        again = Application(project, owner)
        again.start()
        assert wait_for(lambda: again.readiness().model_loaded, 30), again.readiness()
        readiness = again.readiness()
        assert not readiness.ready
        assert any("The index holds 0" in line for line in readiness.missing), readiness
        again.sync(docs_of(project), quiet)
        assert wait_for(lambda: again.readiness().ready, 10), again.readiness()
        assert (await ask(again, "How do I rotate a signing key?")).citations
        again.close()
