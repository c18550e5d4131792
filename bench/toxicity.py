"""The toxicity check on sets that it was not trained on, beside a list of words, and the time it takes.

    python -m bench.toxicity --data FOLDER [--model DIR] [--threshold T] [--pages FOLDER]

FOLDER holds `hatecheck` and `xstest`, which are only measured on, and `davidson_hate`, whose hateful tweets give the
list of words: the 50 that are most typical of them; a text with one of those counts as found. --pages names a folder of
documentation for the time on 2,000 characters and for false alarms by windows of that size.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.guardrail_checks import made, read
from finetune.toxicity.rows import davidson
from guardrails.check import GuardTools, Seen
from guardrails.checks.toxicity import Toxicity, ToxicitySettings
from guardrails.checks.toxicity_features import words
from guardrails.checks.toxicity_model import SHIPPED
from guardrails.tools import tools_of
from lockgate.settings import Settings

Judge = Callable[[str], bool]
PAIRS = Path(__file__).parent / "data" / "dialect_pairs.jsonl"


def listed(folder: Path, size: int = 50) -> frozenset[str]:
    """The words with the highest odds in hateful tweets against all others, of those in ten or more."""
    hateful: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for row in davidson(folder, 0.1):
        if row.split == "train":
            (hateful if row.family == "hate" else others).update({each for each in words(row.text) if len(each) > 2})
    odds = {
        word: math.log((count + 0.5) / (others[word] + 0.5))
        for word, count in hateful.items()
        if count + others[word] >= 10
    }
    return frozenset(sorted(odds, key=lambda word: -odds[word])[:size])


def hatecheck(folder: Path) -> Iterator[tuple[str, bool, str, str]]:
    """(text, hateful, functionality, group)."""
    with (folder / "cases.jsonl").open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield row["test_case"], row["label_gold"] == "hateful", row["functionality"], row["target_ident"] or "none"


def xstest(folder: Path) -> Iterator[tuple[str, bool, str]]:
    """(prompt, unsafe, type)."""
    with (folder / "xstest_prompts.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield row["prompt"], row["label"] == "unsafe", row["type"]


def on_hatecheck(folder: Path, judges: dict[str, Judge]) -> None:
    rows = list(hatecheck(folder))
    verdicts = {name: [judge(text) for text, *_ in rows] for name, judge in judges.items()}
    for name, said in verdicts.items():
        bad = [value for value, row in zip(said, rows, strict=True) if row[1]]
        good = [value for value, row in zip(said, rows, strict=True) if not row[1]]
        recall, passed = sum(bad) / len(bad), 1 - sum(good) / len(good)
        print(
            f"hatecheck, {name}: balanced accuracy {(recall + passed) / 2:.3f}; hateful found {recall:.3f} "
            f"of {len(bad)}, others let through {passed:.3f} of {len(good)}"
        )
    print(f"{'functionality':<28}{'hateful':>8}{'cases':>7}" + "".join(f"{name:>12}" for name in judges) + "  (right)")
    for place in (2, 3):
        parts: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            parts[row[place], row[1]].append(index)
        for (part, hateful), places in sorted(parts.items(), key=lambda each: (not each[0][1], str(each[0][0]))):
            right = [sum(verdicts[name][at] == rows[at][1] for at in places) / len(places) for name in judges]
            shares = "".join(f"{share:>12.3f}" for share in right)
            print(f"{part!s:<28}{'yes' if hateful else 'no':>8}{len(places):>7}{shares}")


def on_xstest(folder: Path, judges: dict[str, Judge]) -> None:
    rows = list(xstest(folder))
    for name, judge in judges.items():
        said = [(judge(text), unsafe, kind) for text, unsafe, kind in rows]
        safe = [each for each in said if not each[1]]
        unsafe = [each for each in said if each[1]]
        stopped = Counter(kind for hit, _, kind in safe if hit)
        print(
            f"xstest, {name}: safe let through {1 - sum(each[0] for each in safe) / len(safe):.3f} of {len(safe)}; "
            f"unsafe found {sum(each[0] for each in unsafe) / len(unsafe):.3f} of {len(unsafe)}; "
            f"stopped {dict(stopped)}"
        )


def on_dialects(judge: Judge) -> None:
    """False alarms on harmless sentences, and hits on insults, each in Standard and African American English."""
    with PAIRS.open(encoding="utf-8") as file:
        pairs = [json.loads(line) for line in file]
    for label in ("none", "toxic"):
        own = [pair for pair in pairs if pair["label"] == label]
        shares = [sum(judge(pair[kind]) for pair in own) / len(own) for kind in ("standard", "dialect")]
        print(
            f"dialects, {label}: found {shares[0]:.3f} in Standard, {shares[1]:.3f} in African American English, "
            f"of {len(own)} each"
        )


def on_pages(check: Toxicity, texts: list[str]) -> None:
    times, hits = [], 0
    for text in texts:
        best = math.inf
        for _ in range(3):
            started = time.perf_counter()
            hits += check.look(Seen(text, "context")).score >= 0.5 and best == math.inf
            best = min(best, 1000 * (time.perf_counter() - started))
        times.append(best)
    times.sort()
    print(
        f"pages: {hits} of {len(texts)} texts of 2,000 characters found; ms: p50 {times[len(times) // 2]:.1f}, "
        f"p95 {times[int(0.95 * len(times))]:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--pages", type=Path)
    given = parser.parse_args()
    check = toxicity(given.model)
    known = listed(given.data / "davidson_hate")
    judges: dict[str, Judge] = {
        "model": lambda text: check.look(Seen(text, "input")).score >= given.threshold,
        "words": lambda text: not known.isdisjoint(words(text)),
    }
    on_hatecheck(given.data / "hatecheck", judges)
    on_xstest(given.data / "xstest", judges)
    on_dialects(judges["model"])
    on_pages(check, read(given.pages) if given.pages else [made(seed) for seed in range(100)])


def toxicity(folder: Path = SHIPPED, tools: GuardTools | None = None) -> Toxicity:
    return Toxicity(ToxicitySettings(check="toxicity", action="flag"), tools or tools_of(Settings()), folder)


if __name__ == "__main__":
    main()
