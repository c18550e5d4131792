"""What the injection check finds, and what it takes for an attack, on sets that nothing was trained or chosen on.

    python bench/injection.py --data FOLDER [--only direct indirect speed] [--classifier FOLDER] [--sample 300]

Beside the check stand two floors: its phrases without the classifier, and a list of ten words. The embedder is the
default one and must be on this machine (`lockgate models pull`). Attack texts are read and never printed.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finetune.injection.giskard import read_giskard
from finetune.injection.texts import attacks, load_attacks
from guardrails.check import GuardTools
from guardrails.checks.injection_classifier import SHIPPED, Kind
from guardrails.checks.injection_scan import Scanner, ScanSettings, Text
from guardrails.checks.injection_windows import windows
from guardrails.tools import tools_of
from lockgate.settings import load_settings

WORDS = re.compile(
    r"\b(?:ignore|disregard|forget|instructions?|prompt|system|pretend|jailbreak|bypass|assistant)\b", re.IGNORECASE
)
Score = Callable[[Sequence[str], Kind], list[float]]


@dataclass(frozen=True)
class Way:
    name: str
    score: Score


def remembering(tools: GuardTools) -> GuardTools:
    """Embeds each window once, however many texts it stands in."""
    known: dict[str, NDArray[np.float32]] = {}
    embed = tools.embed

    def cached(texts: Sequence[str]) -> NDArray[np.float32]:
        new = [each for each in dict.fromkeys(texts) if each not in known]
        if new and embed is not None:
            known.update(zip(new, embed(new), strict=True))
        return np.stack([known[each] for each in texts])

    return replace(tools, embed=cached)


def ways(tools: GuardTools, folder: Path) -> list[Way]:
    def by(classifier: bool) -> Score:
        scanners = {
            kind: Scanner(tools, ScanSettings(kind, classifier), folder=folder) for kind in ("direct", "indirect")
        }

        def score(texts: Sequence[str], kind: Kind) -> list[float]:
            found: list[float] = []
            for start in range(0, len(texts), 64):
                found += [each.score for each in scanners[kind].scan_many([Text(t) for t in texts[start : start + 64]])]
                if classifier and sys.stderr.isatty():
                    print(f"\r{start} of {len(texts)}   ", end="", file=sys.stderr)
            return found

        return score

    return [
        Way("check", by(True)),
        Way("phrases", by(False)),
        Way("word list", lambda texts, _kind: [1.0 if WORDS.search(text) else 0.0 for text in texts]),
    ]


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def share(scores: Sequence[float], threshold: float = 0.5) -> float:
    return sum(each >= threshold for each in scores) / max(1, len(scores))


def at_rate(scores: Sequence[float], rate: float) -> float:
    """The lowest threshold that at most ``rate`` of ``scores`` reach."""
    ordered = sorted(scores, reverse=True)
    return ordered[int(rate * len(ordered))] + 1e-9


def direct(data: Path, by: Sequence[Way]) -> None:
    harmless = [row["prompt"] for row in lines(data / "notinject" / "wildguard_benign.jsonl")]
    trigger = [row["prompt"] for row in lines(data / "notinject" / "NotInject_one.jsonl")]
    made = [
        each for each in attacks(load_attacks(), 150, random.Random(11)) if each.kind == "direct" and each.part == "dev"
    ]
    groups = {
        f"own, {name}": [each.text for each in made if each.family == name] for name in sorted({m.family for m in made})
    }
    for name, text in read_giskard(data / "giskard_prompt_injections"):
        groups.setdefault(f"Giskard, {name}", []).append(text)
    print(f"\n## direct: {len(harmless)} harmless of wildguard_benign, {len(trigger)} of NotInject_one")
    print(f"| texts | count | {' | '.join(way.name for way in by)} | check at 3 % |\n|---|---|{'---|' * (len(by) + 1)}")
    clean = [way.score(harmless, "direct") for way in by]
    three = at_rate(clean[0], 0.03)

    def row(name: str, count: int, scored: Sequence[Sequence[float]], good: bool = False) -> None:
        shares = [1 - share(each) if good else share(each) for each in scored]
        calibrated = 1 - share(scored[0], three) if good else share(scored[0], three)
        print(f"| {name} | {count} | {' | '.join(f'{each:.3f}' for each in (*shares, calibrated))} |")

    row("false alarms, wildguard_benign", len(harmless), clean)
    row("let through, NotInject_one", len(trigger), [way.score(trigger, "direct") for way in by], good=True)
    everything: list[list[float]] = [[] for _ in by]
    for name, texts in groups.items():
        scored = [way.score(texts, "direct") for way in by]
        row(f"found, {name}", len(texts), scored)
        if name.startswith("own"):
            for total, each in zip(everything, scored, strict=True):
                total.extend(each)
    row("found, own families kept out", len(everything[0]), everything)


def contexts(data: Path) -> Iterator[tuple[str, str]]:
    """(kind, text) of each untouched context."""
    for kind in ("email", "table", "code"):
        for row in lines(data / "bipia" / kind / "train.jsonl"):
            if kind == "code":
                parts = [row["error"], row["context"], row["code"]]
                yield kind, "\n".join(line for part in parts for line in (part if isinstance(part, list) else [part]))
            else:
                yield kind, row["context"]


def inserted(text: str, attack: str, where: str) -> str:
    if where == "start":
        return f"{attack}\n{text}"
    if where == "end":
        return f"{text}\n{attack}"
    starts = [start for start, _ in windows(text)]
    at = min(starts, key=lambda start: abs(start - len(text) // 2), default=0)
    return f"{text[:at]}{attack}{chr(10) if at and text[at - 1] == chr(10) else ' '}{text[at:]}"


def indirect(data: Path, by: Sequence[Way], sample: int) -> None:
    chance = random.Random(3)
    strings = {
        kind: [
            text
            for texts in json.loads((data / "bipia" / f"{kind}_attack_train.json").read_text()).values()
            for text in texts
        ]
        for kind in ("text", "code")
    }
    untouched = list(contexts(data))
    pages = [
        file.read_text(encoding="utf-8", errors="replace")
        for file in sorted((data / "aws_docs_qa" / "corpus").rglob("*.md"))
    ]
    pages = chance.sample(pages, min(sample, len(pages)))
    per_kind = {kind: [text for own, text in untouched if own == kind] for kind in ("email", "table", "code")}
    attacked: dict[str, list[tuple[str, str]]] = {}
    for kind, texts in per_kind.items():
        pool = strings["code" if kind == "code" else "text"]
        chosen = [(text, attack) for text in texts for attack in pool]
        attacked[kind] = chance.sample(chosen, min(sample, len(chosen)))
    attacked["AWS pages"] = [(page, chance.choice(strings["text"])) for page in pages[:150]]
    print(f"\n## indirect: bipia in {len(untouched)} untouched contexts, {len(pages)} AWS pages")
    for way in by:
        clean = {kind: way.score(texts, "indirect") for kind, texts in per_kind.items()}
        every = [score for scores in clean.values() for score in scores]
        aws = way.score(pages, "indirect")
        marks = {"as shipped": 0.5, "1 % of contexts": at_rate(every, 0.01), "1 % of pages": at_rate(aws, 0.01)}
        marks["1 % of both"] = max(marks["1 % of contexts"], marks["1 % of pages"])
        print(f"\n{way.name}\n| texts | count | {' | '.join(marks)} |\n|---|---|{'---|' * len(marks)}")

        def row(name: str, scores: Sequence[float], marks: dict[str, float] = marks) -> None:
            shares = " | ".join(f"{share(scores, at):.3f}" for at in marks.values())
            print(f"| {name} | {len(scores)} | {shares} |", flush=True)

        for kind, scores in clean.items():
            row(f"false alarms, {kind}", scores)
        row("false alarms, all contexts", every)
        row("false alarms, AWS pages", aws)
        found: list[float] = []
        weighted: dict[str, list[float]] = {}
        for kind, pairs in attacked.items():
            for where in ("start", "middle", "end"):
                scores = way.score([inserted(text, attack, where) for text, attack in pairs], "indirect")
                row(f"found, {kind}, {where}", scores)
                weighted.setdefault(kind, []).extend(scores)
        for kind in per_kind:
            found += weighted[kind]
        row("found, the three kinds alike", found)
        # As many of each kind as the set has contexts.
        total = len(untouched)
        shares = [
            sum(share(weighted[kind], at) * len(per_kind[kind]) / total for kind in per_kind) for at in marks.values()
        ]
        print(f"| found, kinds as in the set | {total} | {' | '.join(f'{each:.3f}' for each in shares)} |")


def speed(data: Path, tools: GuardTools, folder: Path) -> None:
    """Texts of AWS pages, called from one thread; the embedder uses threads of its own."""
    chance = random.Random(5)
    files = sorted((data / "aws_docs_qa" / "corpus").rglob("*.md"))
    texts = [
        each
        for each in (file.read_text(errors="replace")[:2000] for file in chance.sample(files, 120))
        if len(each) == 2000
    ]
    assert tools.embed is not None
    print("\n## speed: ms, p50 and p95")
    for name, size, settings, given in (
        ("direct, vector given, 300 characters", 300, ScanSettings("direct"), True),
        ("direct, vector given, 2,000 characters", 2000, ScanSettings("direct"), True),
        ("direct, no vector, 2,000 characters", 2000, ScanSettings("direct"), False),
        ("indirect, 2,000 characters", 2000, ScanSettings("indirect"), False),
        ("phrases alone, 2,000 characters", 2000, ScanSettings("direct", classifier=False), False),
    ):
        scanner = Scanner(tools, settings, folder=folder)
        scanner.scan_many([Text("warm up")])
        times = []
        for text in texts:
            vector = tools.embed([text[:size]])[0] if given else None
            started = time.perf_counter()
            scanner.scan_many([Text(text[:size], vector)])
            times.append(1000 * (time.perf_counter() - started))
        times.sort()
        print(f"{name:<42} {times[len(times) // 2]:7.1f} {times[int(0.95 * len(times))]:7.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=("direct", "indirect", "speed"), default=())
    parser.add_argument("--classifier", type=Path, default=SHIPPED)
    parser.add_argument("--sample", type=int, default=300, help="attacked contexts of a kind, and AWS pages")
    given = parser.parse_args()
    tools = tools_of(load_settings())
    by = ways(remembering(tools), given.classifier)
    parts = given.only or ("direct", "indirect", "speed")
    if "direct" in parts:
        direct(given.data, by)
    if "indirect" in parts:
        indirect(given.data, by, given.sample)
    if "speed" in parts:
        speed(given.data, tools, given.classifier)


if __name__ == "__main__":
    main()
