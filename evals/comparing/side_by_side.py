"""Two releases asked the same cases, their answers side by side, with the words marked that differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from evals.case import Case
from evals.comparing.bisect import Observed
from evals.comparing.score_changes import KINDS, Kind, ScoreChange, count_kinds, counts_in_words, kind_of, score_change
from evals.metrics.metric import NO_TOOLS, Metric, Tools
from evals.metrics.score import Unscored
from evals.suite import Suite
from lockgate.ports import Progress
from lockgate.release import Manifest
from lockgate.terminal import plain
from lockgate.types import AnswerMode
from prompts.difference import word_pieces

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from evals.comparing.release_asker import ReleaseAsker


@dataclass(frozen=True, slots=True)
class Scoring:
    """By which metrics answers are scored, and what these need to know of the release that answered."""

    metrics: tuple[Metric, ...]
    tools_of: Callable[[Manifest], Tools]


NO_SCORING = Scoring((), lambda _manifest: NO_TOOLS)


@dataclass(frozen=True, slots=True)
class Pair:
    """One case and what either release did with it; ``changes`` are the scores that are not the same."""

    case: Case
    before: Observed
    after: Observed
    changes: tuple[ScoreChange, ...] = ()

    @property
    def same(self) -> bool:
        return all(
            getattr(self.before, key) == getattr(self.after, key) for key in ("text", "abstained", "refused", "problem")
        )

    @property
    def kind(self) -> Kind | Literal["same"]:
        return "same" if self.same and not self.changes else kind_of(self.changes)

    def as_json(self) -> dict[str, Any]:
        return {
            "case": self.case.id,
            "question": self.case.question,
            "same": self.same,
            "kind": self.kind,
            "scores": [asdict(each) for each in self.changes],
            "before": self.before.as_json(),
            "after": self.after.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """``metrics`` are those that say which cases got better or worse."""

    suite: str
    before: str
    after: str
    mode: AnswerMode | None
    pairs: tuple[Pair, ...]
    metrics: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[Kind, int]:
        return count_kinds(pair.kind for pair in self.pairs if pair.kind != "same")

    @property
    def summary(self) -> str:
        """How many cases got better and worse, in one line; "" when nothing was scored by."""
        if not self.metrics:
            return ""
        return f"{counts_in_words(self.counts, len(self.pairs))}, by {', '.join(self.metrics)}."

    def as_json(self) -> dict[str, Any]:
        return {
            "suite": self.suite,
            "before": self.before,
            "after": self.after,
            "mode": self.mode,
            "changed": sum(not pair.same for pair in self.pairs),
            "metrics": list(self.metrics),
            "counts": self.counts,
            "summary": self.summary,
            "cases": [pair.as_json() for pair in self.pairs],
        }


async def compare(
    asker: ReleaseAsker,
    before: Manifest,
    after: Manifest,
    suite: Suite,
    cases: Sequence[Case],
    progress: Progress,
    *,
    mode: AnswerMode | None = None,
    scoring: Scoring = NO_SCORING,
) -> Comparison:
    """Ask each case of both. Raises what assembling either raises; what breaks later is told in its pair."""
    for manifest in (before, after):
        asker.open(manifest)
    names = [metric.name for metric in scoring.metrics]
    sides = [(manifest, scoring.tools_of(manifest)) for manifest in (before, after)]
    pairs = []
    total = 2 * len(cases)
    progress("answers", 0, total)
    for number, case in enumerate(cases):
        seen = []
        for place, (manifest, tools) in enumerate(sides, start=1):
            seen.append(await asker.observe(manifest, suite, case, metrics=names, tools=tools, mode=mode))
            progress("answers", 2 * number + place, total)
        pairs.append(Pair(case, seen[0], seen[1], _changes(scoring.metrics, seen[0], seen[1])))
    return Comparison(suite.name, before.id, after.id, mode, tuple(pairs), tuple(names))


def _changes(metrics: Sequence[Metric], before: Observed, after: Observed) -> tuple[ScoreChange, ...]:
    # A release that could not be opened has no scores at all, only its problem.
    sides = [
        {metric.name: side.scores.get(metric.name, Unscored(side.problem or "not scored")) for metric in metrics}
        for side in (before, after)
    ]
    found = (score_change(metric, sides[0][metric.name], sides[1][metric.name]) for metric in metrics)
    return tuple(change for change in found if change)


def render(found: Comparison, console: Console, titles: tuple[str, str]) -> None:
    """Only cases whose output or scores differ; the others are a count."""
    from rich.table import Table
    from rich.text import Text

    changed = [pair for pair in found.pairs if pair.kind != "same"]
    if changed:
        table = Table(show_lines=True, expand=True)
        table.add_column("case", ratio=1, overflow="fold")
        for title in titles:
            table.add_column(Text(plain(title)), ratio=2, overflow="fold")
        # Where there is no color, the words are marked by signs.
        signs = console.color_system is None
        for pair in changed:
            name = Text(plain(pair.case.id), style="bold").append(
                f"\n{plain(pair.case.question)}", style="not bold dim"
            )
            name.append(_verdict(pair) if found.metrics else "", style="not bold not dim")
            table.add_row(name, *mark_words(_shown(pair.before), _shown(pair.after), signs=signs))
        console.print(table)
    differ = sum(not pair.same for pair in found.pairs)
    same = len(found.pairs) - differ
    console.print(Text(f"{differ} of {len(found.pairs)} cases changed; {same} with the same output not shown."))
    if found.summary:
        console.print(Text(found.summary))


def _verdict(pair: Pair) -> str:
    """Better or worse, and by which scores, a line each."""
    if not pair.changes:
        return "\n(same scores)"
    lines = [f"({KINDS[kind_of(pair.changes)]})", *(_score(each) for each in pair.changes)]
    return "".join(f"\n{plain(line)}" for line in lines)


def _score(each: ScoreChange) -> str:
    old, new = ("unscored" if score is None else f"{score:.3g}" for score in (each.old, each.new))
    return f"{each.metric} {old} to {new}"


def mark_words(before: str, after: str, *, signs: bool = False) -> tuple[Text, Text]:
    """Both texts, the words that only one of them has in red and green; with ``signs`` as [-old-] and {+new+}."""
    from rich.text import Text

    left, right = Text(), Text()
    for piece in word_pieces(plain(before), plain(after)):
        if piece.op == "equal":
            left.append(piece.text)
            right.append(piece.text)
            continue
        side, style, marks = (left, "red strike", "[-%s-]") if piece.op == "delete" else (right, "green", "{+%s+}")
        side.append(marks % piece.text if signs and piece.text.strip() else piece.text, style=style)
    return left, right


def _shown(observed: Observed) -> str:
    if observed.problem:
        return f"(failed) {observed.problem}"
    return f"{'(abstains) ' if observed.abstained else '(refused) ' if observed.refused else ''}{observed.text}"
