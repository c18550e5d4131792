"""The search for questions that hold: page by page, near misses after them, each checked and looked up."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random

from evals.runs.asking import page_ranking
from evals.runs.budget import BudgetSpent
from evals.suite import Suite, is_page
from evals.synth.checks import (
    SHOWN_RIVALS,
    Known,
    about_passage,
    badly_formed,
    in_passage,
    known_questions,
    personal,
    rivals_of,
    specific,
)
from evals.synth.corpus import Corpus, Page
from evals.synth.drafts import Draft
from evals.synth.near_misses import missing_facts, only_mentioned, other_objects
from evals.synth.opening import ModelChoice
from evals.synth.proposal import Checks, Maker, Proposal, proposal_id, read_proposals
from evals.synth.writers import AT_ONCE, RULES, RuleWriter, Writer
from lockgate.errors import UserError
from lockgate.ports import Progress, Retriever
from lockgate.types import Retrieval

LOOKED_AT = 50
"""Passages that retrieval is asked for."""

TURNS = 4
"""How often the same pages are gone through for another question."""

MOST_OF_A_KIND = 0.4
"""Share of the questions that one kind may have while there are others: most tables say much and little of use."""

POOL = 300
"""Pages whose things near misses are made of."""


@dataclass(frozen=True, slots=True)
class ProposeRequest:
    """``unanswerable`` is a share of ``count``. ``budget`` bounds model calls; ``fresh`` serves none from the cache."""

    suite: str
    snapshot: str | None = None
    count: int = 20
    unanswerable: float = 0.25
    pages: str | None = None
    seed: int = 0
    model: ModelChoice = field(default_factory=ModelChoice)
    budget: int | None = None
    fresh: bool = False


class Search:
    """One search for proposals."""

    def __init__(
        self,
        suite: Suite,
        folder: Path,
        corpus: Corpus,
        retriever: Retriever,
        writer: Writer,
        request: ProposeRequest,
        progress: Progress,
        say: Callable[[str], None],
    ) -> None:
        self._corpus, self._retriever, self._writer = corpus, retriever, writer
        self._request, self._progress, self._say = request, progress, say
        self._random = Random(request.seed)  # noqa: S311 - picks pages, hides nothing
        self._pages = self._chosen(suite, folder)
        self._known = self._asked_already(suite)
        self._tried: set[str] = set()
        self._found: list[Proposal] = []
        self._near = round(request.count * request.unanswerable)
        self.dropped: Counter[str] = Counter()

    def run(self) -> list[Proposal]:
        """The proposals; fewer than asked for when the pages give no more, or the budget is spent."""
        try:
            self._answerable(self._request.count - self._near)
            self._unanswerable(self._near)
        except BudgetSpent as error:
            self._say(f"{error.message} {len(self._found)} proposals were made before that.")
        for reason in getattr(self._writer, "failed", [])[:1]:
            self._say(f"The model failed {len(self._writer.failed)} times: {reason}.")  # type: ignore[attr-defined]
        if len(self._found) < self._request.count:
            self._say(f"{len(self._found)} of {self._request.count}: these pages give no more questions that hold.")
        return self._found

    def _chosen(self, suite: Suite, folder: Path) -> list[Page]:
        """Pages in a random order that the seed fixes; only those that a case of the suite can name."""
        matching = [
            page
            for path, page in sorted(self._corpus.pages.items())
            if self._request.pages is None or fnmatchcase(path, self._request.pages)
        ]
        if not matching:
            raise UserError(f"--pages {self._request.pages!r}: no page of the snapshot matches.")
        pages = [page for page in matching if is_page(folder, page.path)]
        if not pages:
            raise UserError(
                f"None of the snapshot's pages, such as {matching[0].path}, is in {folder}.",
                hint=f"Set 'corpus' in {suite.folder / 'suite.yaml'} to the folder that was indexed.",
            )
        if len(pages) < len(matching):
            self._say(f"{len(matching) - len(pages)} pages are not in {folder}, and so not asked about.")
        return self._random.sample(pages, len(pages))

    def _asked_already(self, suite: Suite) -> Known:
        """The suite's questions, and every proposal's: one that was rejected is not proposed again."""
        cases = [(f"case {case.id}", case.question) for case in suite.cases]
        proposals = [(f"proposal {each.id}", each.question) for each in read_proposals(suite.folder)]
        return known_questions(self._corpus.terms_of, cases + proposals)

    def _answerable(self, count: int) -> None:
        kinds: Counter[str] = Counter()
        limit = max(2, round(count * MOST_OF_A_KIND))
        self._progress("questions", 0, count)
        # The last turn takes what the others left because there was too much of it.
        for turn in range(TURNS + 1):
            place = 0
            while place < len(self._pages) and (missing := count - kinds.total()) > 0:
                batch = self._pages[place : place + min(AT_ONCE, missing)]
                place += len(batch)
                for path, of_page in self._writer.drafts(batch, turn).items():
                    allowed = [
                        each for each in of_page if each.kind == "model" or turn == TURNS or kinds[each.kind] < limit
                    ]
                    kind = self._take_one(path, allowed)
                    kinds.update([kind] if kind else [])
                    self._progress("questions", kinds.total(), count)

    def _take_one(self, path: str, drafts: Sequence[Draft]) -> str:
        """Propose the first of a page's drafts that holds; its kind, "" when none does."""
        for draft in drafts:
            if f"{path}\n{draft.question}" in self._tried:
                continue
            self._tried.add(f"{path}\n{draft.question}")
            if self._propose(draft):
                return draft.kind
        return ""

    def _unanswerable(self, count: int) -> None:
        if not count:
            return
        self._progress("near misses", 0, count)
        start = len(self._found)
        for draft in self._near_misses():
            if len(self._found) - start >= count:
                return
            self._propose(draft)
            self._progress("near misses", len(self._found) - start, count)

    def _near_misses(self) -> Iterator[Draft]:
        some = self._pages[:POOL]
        for batch in _batches(some, AT_ONCE):
            made = self._writer.near_misses(batch)
            if made is None:
                break
            yield from made
        rules = RuleWriter()
        drafts = [draft for each in rules.drafts(some, 0).values() for draft in each]
        ways = (
            missing_facts(self._corpus, drafts, self._random),
            other_objects(self._corpus, drafts, self._random),
        )
        # In turn, so that none of the two fills the suite with questions of one form. The third way is the last resort:
        # what only looks like a name is often none.
        for row in itertools.zip_longest(*ways):
            yield from (draft for draft in row if draft is not None)
        yield from only_mentioned(self._corpus, some, self._random)

    def _propose(self, raw: Draft) -> bool:
        draft, reason = self._checked(raw)
        if draft is None:
            self.dropped[reason] += 1
            return False
        found = self._retriever.retrieve(draft.question, limit=LOOKED_AT)
        if not draft.answerable and found.rare_share >= 1.0:
            self.dropped["a passage holds all of an unanswerable question's words"] += 1
            return False
        self._known.add("this run", draft.question)
        self._found.append(self._proposal(draft, found))
        return True

    def _checked(self, raw: Draft) -> tuple[Draft | None, str]:
        """(the draft, perhaps with more words, "") or (None, why not)."""
        if problem := badly_formed(raw):
            return None, problem
        if raw.answerable and not in_passage(raw.reference, raw.passage):
            return None, "the reference is not in the passage"
        if raw.answerable and raw.reference.casefold() in raw.question.casefold():
            return None, "the question holds its answer"
        if raw.answerable and not about_passage(self._corpus, raw):
            return None, "the question is of something else than its passage"
        draft = specific(self._corpus, raw) if raw.answerable else raw
        if draft is None:
            return None, "many pages could be meant"
        if not draft.answerable and self._held(draft):
            return None, "a passage holds all of an unanswerable question's words"
        if what := personal(f"{draft.question}\n{draft.reference}"):
            return None, f"it holds {what}"
        if self._known.find(draft.question):
            return None, "it is asked already"
        return draft, ""

    def _held(self, draft: Draft) -> bool:
        terms = self._corpus.terms_of(draft.question)
        return not terms or bool(self._corpus.passages_with(terms))

    def _proposal(self, draft: Draft, found: Retrieval) -> Proposal:
        ranking = page_ranking(found)
        place = ranking.index(draft.path) + 1 if draft.path in ranking else None
        return Proposal(
            id=proposal_id(draft.question, draft.path),
            kind=draft.kind,
            question=draft.question,
            reference=draft.reference,
            answerable=draft.answerable,
            page=draft.path,
            page_version=draft.chunks[0].version,
            chunks=tuple(chunk.id for chunk in draft.chunks),
            passage=draft.passage,
            snapshot=self._corpus.snapshot,
            maker=self._writer.maker if draft.kind.startswith("model") else _rules(self._request.seed),
            checks=Checks(
                found_at=place if draft.answerable else None,
                looked_at=len(ranking),
                rivals=tuple(rivals_of(self._corpus, draft)[:SHOWN_RIVALS]) if draft.answerable else (),
                closest=ranking[0] if ranking else "",
                cosine=None if found.cosine is None else round(found.cosine, 4),
                rare_share=round(found.rare_share, 4),
            ),
            made_at=datetime.now(UTC).replace(microsecond=0),
        )


def _rules(seed: int) -> Maker:
    """A model's writer leaves near misses to the rules where it makes none itself."""
    return Maker(kind="rules", name=RULES, seed=seed)


def _batches(pages: Sequence[Page], size: int) -> Iterator[Sequence[Page]]:
    for start in range(0, len(pages), size):
        yield pages[start : start + size]
