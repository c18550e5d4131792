from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from evals.questions import MAX_QUESTIONS, MAX_TITLE, page_questions, smoke_questions
from lockgate.errors import UserError
from lockgate.release import Manifest
from lockgate.store.database import Database, open_database
from lockgate.store.snapshots import PageRecord, SnapshotRecord, commit_snapshot
from tests.evals.conftest import WriteSuite
from tests.lockgate.samples import manifest_body


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with open_database(f"sqlite:///{tmp_path / 'state.db'}") as database:
        yield database


def page(path: str, title: str = "", *, chunks: Sequence[str] = ("c",)) -> PageRecord:
    return PageRecord("docs", path, "v", title, "md", 1, 1, tuple(chunks), 1)


def snapshot(db: Database, *pages: PageRecord) -> None:
    record = SnapshotRecord(1, "3" * 64, "bm25", None, "m", "l", "e", {}, len(pages), len(pages))
    commit_snapshot(db, record, closed=(), added=pages, sync_id=None, report={})


def manifest(**chain: Any) -> Manifest:
    body = manifest_body()
    body["chain"] |= chain
    return Manifest.model_validate(body)


def test_asks_the_suites_cases_first_then_about_pages(db: Database, write_suite: WriteSuite) -> None:
    project = write_suite()
    snapshot(db, page("api.md", "The API"), page("faq.md", "FAQ"))
    # "And the host?" is a follow-up and means nothing alone; the others are unanswerable.
    assert smoke_questions(project, manifest(suite="tiny"), db) == ["Which port?", "What is The API?", "What is FAQ?"]


def test_a_manifest_without_a_suite_takes_the_one_of_the_projects_chain(db: Database, write_suite: WriteSuite) -> None:
    project = write_suite()
    (project / "chains" / "definitions").mkdir(parents=True)
    (project / "chains" / "definitions" / "docs.yaml").write_text("name: docs\nsuite: tiny\n")
    assert smoke_questions(project, manifest(), db) == ["Which port?"]


@pytest.mark.parametrize("suite", ["missing", "../tiny", "", 7, None])
def test_a_suite_that_does_not_load_is_done_without(db: Database, write_suite: WriteSuite, suite: object) -> None:
    project = write_suite()
    snapshot(db, page("api.md", "The API"))
    assert smoke_questions(project, manifest(suite=suite), db) == ["What is The API?"]


def test_a_broken_suite_is_an_error_because_a_gate_must_not_become_easier(
    db: Database, write_suite: WriteSuite
) -> None:
    project = write_suite(cases="{not json\n")
    snapshot(db, page("api.md", "The API"))
    with pytest.raises(UserError, match=r"cases\.jsonl:1"):
        smoke_questions(project, manifest(suite="tiny"), db)


def test_without_a_project_and_a_snapshot_there_is_nothing_to_ask(db: Database) -> None:
    assert smoke_questions(None, manifest(suite="tiny"), db) == []


def test_at_most_ten_questions_and_no_two_alike(db: Database, write_suite: WriteSuite) -> None:
    snapshot(db, *(page(f"p{n:03}.md", f"Page {n % 40}") for n in range(300)))
    questions = smoke_questions(write_suite(), manifest(suite="tiny"), db)
    assert len(questions) == len(set(questions)) == MAX_QUESTIONS


def test_pages_are_spread_over_the_snapshot() -> None:
    pages = [page(f"{n:04}.md", f"Title {n}") for n in range(1000)]
    numbers = [int(question.rstrip("?").split()[3]) for question in page_questions(pages, 10)]
    assert len(numbers) == 10
    assert min(numbers) < 300
    assert max(numbers) >= 700
    assert len({number // 250 for number in numbers[:5]}) >= 3


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10, 77, 231, 462])
def test_every_count_of_questions_is_made(count: int) -> None:
    pages = [page(f"{n:04}.md", f"Title {n}") for n in range(2000)]
    assert len(page_questions(pages, count)) == count


def test_pages_without_passages_are_not_asked_about() -> None:
    assert page_questions([page("a.md", "Empty", chunks=()), page("b.md", "Full")], 10) == ["What is Full?"]


@pytest.mark.parametrize(
    ("path", "title", "question"),
    [
        ("guides/rotate-keys.md", "", "What is guides rotate keys?"),
        ("a/b/c/deep_page.html", " \n ", "What is c deep page?"),
        ("faq.md", "How do I start?", "How do I start?"),
        ("faq.md", "どう始めますか？", "どう始めますか？"),
        ("x.md", "休暇の申請", "What is 休暇の申請?"),
        ("x.md", "ที่อยู่", "What is ที่อยู่?"),
        ("x.md", "हिन्दी", "What is हिन्दी?"),
        ("x.md", "Über  uns\n(2024)", "What is Über uns (2024)?"),
        ("scan.pdf", "\x00\x01\x02\ufffd\ufffd", "What is scan?"),
        ("scan.pdf", "\ud800\udfff", "What is scan?"),
        ("report.pdf", "%%%%%%%%%% a1", "What is report?"),
        ("evil.md", "\x1b[31mRed\x1b[0m \u202eevil", "What is [31mRed [0m evil?"),
        ("Отпуск.md", "", "What is Отпуск?"),
    ],
)
def test_a_question_is_made_of_whatever_names_a_page(path: str, title: str, question: str) -> None:
    assert page_questions([page(path, title)], 10) == [question]


@pytest.mark.parametrize(("path", "title"), [("-.md", ""), ("x.md", "?"), ("%%%.txt", "\x00"), ("…/….md", "—")])
def test_a_page_without_any_usable_name_is_left_out(path: str, title: str) -> None:
    assert page_questions([page(path, title)], 10) == []


@pytest.mark.parametrize("title", ["word " * 5000, "w" * 50_000, "休暇" * 30_000])
def test_an_endless_title_is_cut(title: str) -> None:
    (question,) = page_questions([page("a.md", title)], 10)
    assert len(question) <= MAX_TITLE + len("What is ?")


def test_every_other_question_has_the_words_of_the_path() -> None:
    pages = [page("install/setup.md", "Overview"), page("backup/setup.md", "Overview")]
    assert page_questions(pages, 10) == ["What is Overview?", "What is Overview backup setup?"]
