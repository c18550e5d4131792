"""Optimizing a prompt: variants raced on dev cases, the winner on test cases that the race never saw, then a branch.

All model calls come out of one budget. Half of it is the race's, with what a proposer is asked; the rest asks the
prompt as it is and the winner the same test cases.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from chains.chain import is_relevant
from chains.condense import condense, follows_up
from chains.definition import ChainDefinition, load_chain
from chains.release import build_manifest
from evals.case import Case, Outcome
from evals.comparing.release_asker import ReleaseAsker
from evals.metrics.metric import NO_TOOLS, measure_all
from evals.optimizing.example_pool import build_pool, not_shown, set_aside, why_not
from evals.optimizing.proposer import Proposer, propose
from evals.optimizing.race import Raced, plan_race, race
from evals.optimizing.variants import Recipe, Variant, Workbench, instruction_of, known_rules, make_all
from evals.rules.leaks import told_cases
from evals.runs.answer_cache import AnswerCache
from evals.runs.asking import Asked, Asking, ask_and_search
from evals.runs.budget import BudgetSpent, CallBudget
from evals.runs.call_cache import StoredCalls
from evals.runs.model_calls import ModelCalls
from evals.runs.row import Row, make_row
from evals.statistics.difference import Difference
from evals.suite import Suite, load_suite
from evals.tuning.objective import Objective, read_objective
from lockgate.actor import Actor, current_actor
from lockgate.errors import UserError
from lockgate.ports import Progress
from lockgate.release import Manifest, PromptRole
from lockgate.settings import Settings
from lockgate.store.database import Database, open_database
from lockgate.types import Answer, Message
from prompts.branch import BranchCommit, check_branch, commit_prompt
from prompts.collection import find_prompt
from prompts.prompt import Prompt

if TYPE_CHECKING:
    from chains.local import LocalAsker
    from ingestion.service import EmbedderHandle

COMMAND = "lockgate prompts optimize"
LEAST_BUDGET = 16
"""Eight calls race one variant on four cases, eight ask both prompts four test cases."""

LEAST_TEST = 4
MOST_VARIANTS = 64
DEFAULT_METRICS = ("token_f1", "abstention_balanced")

Decision = Literal["written", "would be written", "kept"]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OptimizeRequest:
    """``budget`` bounds model calls, those of the proposer included."""

    prompt: str
    suite: str
    budget: int
    chain: str
    seed: int = 0
    branch: str | None = None
    proposer: Proposer | None = None
    metrics: tuple[str, ...] = ()
    dev_examples: bool = True
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The test half: what both prompts are worth over the same ``cases``."""

    cases: int
    of: int
    old: float
    new: float
    difference: Difference

    def as_json(self) -> dict[str, Any]:
        difference = self.difference.as_json()
        return {"cases": self.cases, "of": self.of, "old": self.old, "new": self.new, "difference": difference}


@dataclass(frozen=True, slots=True)
class Optimization:
    """``test`` is None when no variant was better on dev. ``variants`` are those that ran, in the race's order."""

    request: OptimizeRequest
    suite: Suite
    prompt: Prompt
    objective: Objective
    variants: tuple[Variant, ...]
    left_out: tuple[str, ...]
    raced: Raced
    dev_cases: int
    test: Report | None
    decision: Decision
    reason: str
    branch: BranchCommit | None
    calls: int
    served: int
    notes: tuple[str, ...]

    @property
    def winner(self) -> Variant | None:
        return self.variants[self.raced.winner - 1] if self.raced.winner else None

    @property
    def gained(self) -> bool:
        low = self.test.difference.low if self.test else None
        return low is not None and low > 0

    def as_json(self) -> dict[str, Any]:
        request, suite = self.request, self.suite
        return {
            "prompt": {"name": self.prompt.name, "hash": self.prompt.hash},
            "chain": request.chain,
            "suite": {"name": suite.name, "version": suite.definition.version, "hash": suite.hash},
            "seed": request.seed,
            "budget": request.budget,
            "calls": self.calls,
            "served_from_cache": self.served,
            "objective": self.objective.names,
            "variants": [each.as_json() for each in self.variants],
            "left_out": list(self.left_out),
            "rounds": [{"cases": each.cases, "values": list(each.values.items())} for each in self.raced.rounds],
            "dev_cases": self.dev_cases,
            "winner": self.winner.as_json() if self.winner else None,
            "test": self.test.as_json() if self.test else None,
            "decision": self.decision,
            "gained": self.gained,
            "reason": self.reason,
            "branch": self.branch.branch if self.branch else None,
            "commit": self.branch.commit if self.branch else None,
            "notes": list(self.notes),
        }


def optimize(settings: Settings, request: OptimizeRequest, *, progress: Progress, say: Say) -> Optimization:
    """Search, report, and write a branch. ``say`` is told what is not tried, and why.

    Answers are kept as they come, so the same command after an interruption asks only for the others. Raises UserError
    for what is wrong before the first call, Unavailable for a proposer that does not answer.
    """
    from chains.local import open_host
    from ingestion.embedding import open_embedder

    if request.budget < LEAST_BUDGET:
        raise UserError(f"--budget {request.budget}: at least {LEAST_BUDGET} model calls are needed.")
    definition = load_chain(settings.project_dir, request.chain)
    prompt = find_prompt(settings.project_dir, request.prompt)
    role = _role(definition, request.prompt)
    suite = load_suite(settings.project_dir, request.suite)
    objective = read_objective(request.metrics or DEFAULT_METRICS, suite.cases)
    branch = request.branch or f"lockgate/optimize-{request.prompt}-{uuid.uuid4().hex[:8]}"
    if not request.dry_run:
        check_branch(settings.project_dir, branch)
    actor = current_actor()
    with open_database(settings.database) as db, StoredCalls(db, "answer") as calls:
        embedder = open_embedder(settings)
        with open_host(settings, COMMAND) as host:
            asker = ReleaseAsker(settings, db, host, Actor(f"{actor.name} (prompts optimize)", actor.verified))
            work = _Work(settings, db, request, definition, prompt, role, suite, objective, embedder, asker, calls)
            found = asyncio.run(_Optimizer(work, progress, say).run())
    if found.decision != "written" or found.winner is None:
        return found
    commit = commit_prompt(
        settings.project_dir,
        prompt.name,
        found.winner.prompt.files,
        base_hash=prompt.hash,
        branch=branch,
        author=actor.name,
        message=message(found),
    )
    return replace(found, branch=commit)


def message(found: Optimization) -> str:
    """The commit's: what was changed, and the figures with their command."""
    suite, test, winner = found.suite, found.test, found.winner
    if test is None or winner is None:
        return ""
    dev = found.raced.rounds[-1]
    request = found.request
    lines = [
        f"Optimize the prompt {found.prompt.name} on {suite.name}",
        "",
        f"Change: {winner.recipe.words()}.",
        f"Command: {COMMAND} {found.prompt.name} --suite {suite.name} --budget {request.budget} --seed {request.seed}",
        f"Suite: {suite.name} version {suite.definition.version}, hash {suite.hash}.",
        f"Objective: mean of {', '.join(found.objective.names)}.",
        f"dev, chosen on it: {dev.values[0]:.3f} -> {dev.values[found.raced.winner]:.3f} over {dev.cases} cases.",
        f"test, never seen by the search: {test.old:.3f} -> {test.new:.3f} over {test.cases} of {test.of} cases.",
        f"test, difference: {test.difference.in_words()}. {claim(found)}",
    ]
    if winner.recipe.dev:
        lines.append(spent(winner))
    return "\n".join(lines)


def claim(found: Optimization) -> str:
    return "A gain." if found.gained else "No gain is claimed: the interval includes zero."


def spent(winner: Variant) -> str:
    return (
        f"The dev cases {', '.join(winner.recipe.dev)} stand in the prompt now: take them out of the suite, or its "
        "gate refuses the release as one that was given the answers."
    )


@dataclass(frozen=True, slots=True)
class _Work:
    settings: Settings
    db: Database
    request: OptimizeRequest
    definition: ChainDefinition
    prompt: Prompt
    role: PromptRole
    suite: Suite
    objective: Objective
    embedder: EmbedderHandle
    asker: ReleaseAsker
    calls: StoredCalls

    def manifest(self, prompt: Prompt) -> Manifest:
        return build_manifest(self.settings, self.db, self.embedder, self.request.chain, prompts={self.role: prompt})


class _Optimizer:
    def __init__(self, work: _Work, progress: Progress, say: Say) -> None:
        self._work, self._progress, self._say = work, progress, say
        self._budget = CallBudget(work.request.budget)
        self._calls = ModelCalls(condenses=work.definition.condense == "model")
        self._served = 0
        self._notes: list[str] = []
        self._manifests: dict[str, Manifest] = {}

    async def run(self) -> Optimization:
        work, request = self._work, self._work.request
        old = Variant(Recipe(), work.prompt)
        asker = self._open(old)
        dev, test = self._halves(asker)
        examples = self._examples()
        pool_cases, scored = set_aside(dev, request.seed) if examples or request.proposer else ([], list(dev))
        pool = build_pool(pool_cases if examples else [], asker.retriever, work.definition.passages, test)
        scored = not_shown(scored, pool)
        if len(scored) < LEAST_TEST:
            raise UserError(
                f"Only {len(scored)} dev cases are left to score by; {len(pool_cases)} are set aside as examples.",
                hint="Add dev cases about other pages, or leave the examples out: --no-dev-examples",
            )
        random.Random(request.seed).shuffle(scored)  # noqa: S311 - an order, nothing hidden
        scored = _alternating(scored)
        search = CallBudget(request.budget // 2)
        instructions = await self._proposed(pool_cases, scored, test, search)
        bench = Workbench(work.settings, work.prompt, pool, instructions, known_rules(work.settings, work.prompt))
        a_case = max(map(self._calls.of, scored))
        asked = (search.left or 0) // a_case
        most = plan_race(asked, MOST_VARIANTS, len(scored)).variants
        made = make_all(bench, request.seed, most)
        safe = [each for each in made.variants if not self._leaks(each, test)]
        plan = plan_race(asked, len(safe), len(scored))
        if not safe or not plan.variants:
            raise UserError(
                f"There is no variant of the prompt {work.prompt.name!r} to try"
                + (": the budget allows none." if safe else "."),
                hint="; ".join(made.left_out[:3]) or "Give it examples, a loop over passages, or a --proposer.",
            )
        variants = [old, *safe[: plan.variants]]
        done = 0

        async def ask(place: int, case: Case) -> Row:
            nonlocal done
            row = await self._row(variants[place], case)
            done += 1
            self._progress("race", done, plan.calls)
            return row

        weights = work.objective.weights([self._blank(case) for case in scored])
        raced = await race(plan, scored, work.objective, weights, ask)
        winner = variants[raced.winner]
        shown = frozenset(page for each in winner.recipe.dev for page in pool[each].pages)
        # What the cache had leaves the number of test cases as it is, so that a second run reports the same.
        left = request.budget - search.made - plan.calls * a_case
        report = await self._report(old, winner, self._unseen(test, shown), len(test), left) if raced.winner else None
        decision, reason = _decide(report, raced, dry_run=request.dry_run)
        return Optimization(
            request=request,
            suite=work.suite,
            prompt=work.prompt,
            objective=work.objective,
            variants=tuple(variants[1:]),
            left_out=made.left_out,
            raced=raced,
            dev_cases=len(scored),
            test=report,
            decision=decision,
            reason=reason,
            branch=None,
            calls=self._budget.made,
            served=self._served,
            notes=tuple(self._notes),
        )

    # What is asked

    def _open(self, variant: Variant) -> LocalAsker:
        key = variant.prompt.hash
        if key not in self._manifests:
            self._manifests[key] = self._work.manifest(variant.prompt)
        return self._work.asker.open(self._manifests[key])

    async def _row(self, variant: Variant, case: Case) -> Row:
        asker = self._open(variant)
        manifest = self._manifests[variant.prompt.hash]
        how = Asking(
            self._work.suite.definition.timeout_s,
            "generative",
            shown=self._work.definition.passages,
            cache=AnswerCache(self._work.calls, manifest.id),
            take_calls=self._budget.take,
            calls=self._calls,
        )
        asked = await ask_and_search(case, asker, asker, how)
        self._served += asked.cached
        scores = await measure_all(self._work.objective.metrics, asked.outcome, NO_TOOLS)
        return make_row(asked, {}, scores, release=manifest.id)

    def _unseen(self, test: Sequence[Case], shown: frozenset[str]) -> list[Case]:
        """Those about other pages than the winner's examples show: their answer may stand in the prompt."""
        left = [case for case in test if not shown & set(case.pages)]
        if len(left) < len(test):
            self._note(f"{len(test) - len(left)} test cases are left out: the winner's examples show their pages.")
        return left

    async def _report(self, old: Variant, new: Variant, test: Sequence[Case], of: int, left: int) -> Report:
        """As many test cases as ``left`` calls allow, drawn by the seed; both prompts are asked each."""
        cases = list(test)
        random.Random(self._work.request.seed).shuffle(cases)  # noqa: S311
        cases = _alternating(cases)
        count = min(len(cases), left // (2 * max(map(self._calls.of, cases), default=1)))
        before: list[Row] = []
        after: list[Row] = []
        for number, case in enumerate(cases[:count]):
            try:
                first = await self._row(old, case)
                second = await self._row(new, case)
            except BudgetSpent:
                break
            before.append(first)
            after.append(second)
            self._progress("test", number + 1, count)
        objective = self._work.objective
        weights = objective.weights(before)
        return Report(
            cases=len(before),
            of=of,
            old=objective.value(before, weights) if before else 0.0,
            new=objective.value(after, weights) if after else 0.0,
            difference=objective.difference(before, after),
        )

    # What is known before

    def _halves(self, asker: LocalAsker) -> tuple[list[Case], list[Case]]:
        """The cases of either half for which the prompt is used at all: for the others no variant differs."""
        found = []
        for split in ("dev", "test"):
            cases = self._work.suite.select(split)
            used = [case for case in cases if self._uses_prompt(asker, case)]
            if len(used) < LEAST_TEST:
                raise UserError(
                    f"Only {len(used)} of the {len(cases)} cases in split {split!r} of the suite "
                    f"{self._work.suite.name!r} reach the prompt {self._work.prompt.name!r}; at least {LEAST_TEST} are "
                    "needed.",
                    hint="Where the search finds nothing relevant, the chain abstains without asking its model.",
                )
            if len(used) < len(cases):
                self._note(f"{len(cases) - len(used)} of the {len(cases)} {split} cases never reach the prompt.")
            found.append(used)
        return found[0], found[1]

    def _uses_prompt(self, asker: LocalAsker, case: Case) -> bool:
        definition = self._work.definition
        if self._work.role == "condense":
            return bool(case.history) and follows_up(case.question)
        question = condense(case.question, [Message(turn.role, turn.content) for turn in case.history])
        found = asker.retriever.retrieve(question, limit=definition.passages)
        return is_relevant(found, definition.relevance)

    def _examples(self) -> bool:
        """Whether dev cases may become examples; says why not."""
        work = self._work
        if not work.request.dev_examples:
            return False
        if reason := why_not(work.prompt, work.suite.definition.license):
            self._note(f"No dev case becomes an example: {reason}.")
            return False
        self._note("A dev case that becomes an example must leave the suite: the gate refuses prompts with its cases.")
        return True

    async def _proposed(
        self, shown_cases: Sequence[Case], scored: Sequence[Case], test: Sequence[Case], search: CallBudget
    ) -> list[str]:
        work = self._work
        if work.request.proposer is None:
            self._note("The instruction stays as it is: edits of it need a --proposer.")
            return []
        instruction = instruction_of(work.prompt.text)
        if instruction is None:
            self._note("The prompt has no system section, so there is no instruction to edit.")
            return []
        hidden = [*work.suite.select("test"), *test, *scored]
        try:
            return await propose(
                work.request.proposer, work.prompt, instruction, shown_cases, hidden, search, self._note
            )
        finally:
            self._budget.take(search.made)

    def _leaks(self, variant: Variant, test: Sequence[Case]) -> bool:
        """Whether the variant holds a test case that the prompt as it is does not hold."""
        cases = [*self._work.suite.select("test"), *test]
        known = set(told_cases(cases, list(self._work.prompt.files.values())))
        told = set(told_cases(cases, list(variant.prompt.files.values()))) - known
        if told:
            self._note(f"Left out, it holds test cases ({', '.join(sorted(told)[:3])}): {variant.recipe.words()}.")
        return bool(told)

    def _blank(self, case: Case) -> Row:
        """A row that says which metrics apply, without an answer."""
        answer = Answer("", (), False, "generative", "", "")
        outcome = Outcome(case, (), answer)
        scores = {each.name: each.score(outcome, NO_TOOLS) for each in self._work.objective.metrics}
        return make_row(Asked(outcome, None, case.question), {}, scores)

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self._say(text)


def _role(definition: ChainDefinition, name: str) -> PromptRole:
    if definition.prompts.answer == name:
        return "answer"
    if definition.prompts.condense != name:
        used = ", ".join(sorted({definition.prompts.answer, definition.prompts.condense}))
        raise UserError(
            f"The chain {definition.name!r} does not use the prompt {name[:80]!r}, so it has no outputs.",
            hint=f"It uses: {used}. Choose another chain with --chain.",
        )
    if definition.condense == "rule":
        raise UserError(
            f"The chain {definition.name!r} completes follow-ups by a rule, so its condense prompt is not used.",
            hint="Set `condense: model` in the chain to use it.",
        )
    return "condense"


def _alternating(cases: Sequence[Case]) -> list[Case]:
    """Unanswerable cases spread evenly among the others, so that the first few hold both."""
    yes = [case for case in cases if case.answerable]
    no = [case for case in cases if not case.answerable]
    keyed = [((place + 0.5) / len(part), case) for part in (yes, no) for place, case in enumerate(part)]
    return [case for _, case in sorted(keyed, key=lambda each: each[0])]


def _decide(report: Report | None, raced: Raced, *, dry_run: bool) -> tuple[Decision, str]:
    ended = "" if raced.whole else " The budget ended the race early."
    if report is None:
        return "kept", f"No variant was better than the prompt as it is on dev. No branch was written.{ended}"
    low, high = report.difference.low, report.difference.high
    figures = (
        f"{report.old:.3f} -> {report.new:.3f} over {report.cases} cases, difference {report.difference.in_words()}"
    )
    if low is None or high is None:
        return "kept", f"The test cases are too few to tell ({figures}). No branch was written.{ended}"
    if high < 0:
        return "kept", f"The winner is worse on the test cases ({figures}). No branch was written.{ended}"
    said = "A gain on the test cases" if low > 0 else "No gain is claimed: the interval on the test cases includes zero"
    return ("would be written" if dry_run else "written"), f"{said} ({figures}).{ended}"
