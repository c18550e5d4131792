"""Questions that a release should be able to answer: cases of its chain's suite, then the titles of its own pages."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from evals.suite import load_suite
from lockgate.errors import NotFound
from lockgate.store.database import Database
from lockgate.store.snapshots import PageRecord, find_snapshot, pages_at

if TYPE_CHECKING:
    from lockgate.release import Manifest

MAX_QUESTIONS = 10
FROM_SUITE = 3
MAX_TITLE = 120


def smoke_questions(project_dir: Path | None, manifest: Manifest, db: Database) -> list[str]:
    """At most ten questions, no two alike; fewer, or none, when there is neither a suite nor a page with a name.

    The suite may be about other documents than the snapshot's, so there are always questions from the snapshot too.
    """
    questions = list(_suite_questions(project_dir, manifest)) if project_dir is not None else []
    snapshot = find_snapshot(db, manifest.snapshot.id)
    pages = pages_at(db, snapshot.seq) if snapshot is not None else []
    questions += page_questions(pages, MAX_QUESTIONS)
    return list(dict.fromkeys(questions))[:MAX_QUESTIONS]


def page_questions(pages: Sequence[PageRecord], count: int) -> list[str]:
    """A question about each of ``count`` pages, spread evenly over ``pages``; pages without passages are left out."""
    questions: dict[str, None] = {}
    full = [page for page in pages if page.chunk_ids]
    # Twice as many pages as questions: some have no usable name, or the same one.
    for place, page in enumerate(_spread(full, 2 * count)):
        if len(questions) == count:
            break
        # In turn with and without the words of the path: what helps with one corpus misleads in another.
        if question := _page_question(page, with_path=bool(place % 2)):
            questions[question] = None
    return list(questions)


def _suite_questions(project_dir: Path, manifest: Manifest) -> list[str]:
    """The first answerable cases that stand alone; none when the suite is not there. A broken one raises UserError: a
    gate must not become easier by it."""
    try:
        suite = load_suite(project_dir, _suite_name(project_dir, manifest))
    except NotFound:
        return []
    return [case.question for case in suite.cases if case.answerable and not case.history][:FROM_SUITE]


def _suite_name(project_dir: Path, manifest: Manifest) -> str:
    """The suite that the manifest names, else the one of the project's chain of that name."""
    from chains.definition import load_chain

    named = manifest.chain.get("suite")
    return named if isinstance(named, str) else load_chain(project_dir, manifest.name).suite


def _spread(pages: Sequence[PageRecord], count: int) -> list[PageRecord]:
    """``count`` pages at even distances, in an order that jumps, so that the first few are spread as well."""
    if len(pages) <= count:
        return list(pages)
    chosen = [pages[place * len(pages) // count] for place in range(count)]
    step = next(step for step in (7, 3, 11, 1) if math.gcd(step, count) == 1)  # then every place comes up once
    return [chosen[place * step % count] for place in range(count)]


def _page_question(page: PageRecord, *, with_path: bool) -> str:
    title, words = _clean(page.title), _path_words(page.path)
    if not title:
        return f"What is {words}?" if words else ""
    if title.endswith(("?", "？", "؟")):
        return title
    new = [word for word in words.split() if word.lower() not in title.lower()] if with_path else []
    return f"What is {' '.join([title, *new])}?"


def _path_words(path: str) -> str:
    """Folder and file name as words: ``guides/rotate-keys.md`` is ``guides rotate keys``."""
    name = PurePosixPath(path)
    parts = [*name.parent.parts, name.stem][-2:]
    return _clean(" ".join(re.sub(r"[-_.~+%]+", " ", part) for part in parts))


def _clean(text: str) -> str:
    """``text`` on one line without invisible characters, cut at a word; "" when it holds hardly any words."""
    text = unicodedata.normalize("NFC", text)
    shown = "".join(char if char.isprintable() and char != "\N{REPLACEMENT CHARACTER}" else " " for char in text)
    shown = " ".join(shown.split())
    if len(shown) > MAX_TITLE:
        # A text without spaces, as in Chinese or Japanese, is cut where it is.
        shown = shown[:MAX_TITLE].rsplit(" ", 1)[0]
    letters = sum(unicodedata.category(char)[0] in "LMN" for char in shown)
    return shown if letters >= 2 and 2 * letters >= len(shown.replace(" ", "")) else ""
