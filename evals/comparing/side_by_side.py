"""Two releases asked the same cases, their answers side by side, with the words marked that differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evals.case import Case
from evals.comparing.bisect import Observed
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
class Pair:
    """One case and what either release did with it."""

    case: Case
    before: Observed
    after: Observed

    @property
    def same(self) -> bool:
        return all(
            getattr(self.before, key) == getattr(self.after, key) for key in ("text", "abstained", "refused", "problem")
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "case": self.case.id,
            "question": self.case.question,
            "same": self.same,
            "before": self.before.as_json(),
            "after": self.after.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    suite: str
    before: str
    after: str
    mode: AnswerMode | None
    pairs: tuple[Pair, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "suite": self.suite,
            "before": self.before,
            "after": self.after,
            "mode": self.mode,
            "changed": sum(not pair.same for pair in self.pairs),
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
) -> Comparison:
    """Ask each case of both. Raises what assembling either raises; what breaks later is told in its pair."""
    for manifest in (before, after):
        asker.open(manifest)
    pairs = []
    total = 2 * len(cases)
    progress("answers", 0, total)
    for number, case in enumerate(cases):
        first = await asker.observe(before, suite, case, mode=mode)
        progress("answers", 2 * number + 1, total)
        second = await asker.observe(after, suite, case, mode=mode)
        progress("answers", 2 * number + 2, total)
        pairs.append(Pair(case, first, second))
    return Comparison(suite.name, before.id, after.id, mode, tuple(pairs))


def render(found: Comparison, console: Console, titles: tuple[str, str]) -> None:
    """Only cases whose output differs; the others are a count."""
    from rich.table import Table
    from rich.text import Text

    changed = [pair for pair in found.pairs if not pair.same]
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
            table.add_row(name, *mark_words(_shown(pair.before), _shown(pair.after), signs=signs))
        console.print(table)
    same = len(found.pairs) - len(changed)
    console.print(Text(f"{len(changed)} of {len(found.pairs)} cases changed; {same} with the same output not shown."))


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
