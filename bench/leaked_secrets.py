"""How many secrets the check ``secrets`` finds in which dress, what it finds in pages that hold none, and how many
bytes of a secret an answer shows when the stream is cut at every token.

    python bench/leaked_secrets.py [--clean FOLDER] [--each 20]

The secrets are made by seed, of the formats in tests/guardrails/planted_secrets.py. A secret is found when all but
five characters of it, at most, are covered. A byte is shown when six or more characters in a row of the secret can be
read in what was shown, normalised and decoded. ``--clean`` names a folder of text files that hold no secrets: the share
of its pieces of 2,000 characters in which something is found is the false-alarm rate.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from pathlib import Path

from guardrails.check import GuardTools, Seen
from guardrails.checks.secrets import Secrets, SecretsSettings
from tests.guardrails.planted_secrets import DRESSES, SECRETS, planted
from tests.guardrails.test_blocked_bytes import COUNT, TOKEN, cases, leaks, shown_when_cut

PIECE = 2_000


def recall(check: Secrets, each: int) -> None:
    found, total = Counter[str](), 0
    for kind in sorted(SECRETS):
        for dress in sorted(DRESSES):
            for seed in range(each):
                dressed = DRESSES[dress](planted(kind, seed), seed)
                text = f"Here it is: {dressed} and that is all."
                start, end = text.index(dressed), text.index(dressed) + len(dressed)
                covered = {at for span in check.look(Seen(text, "output")).spans for at in range(span.start, span.end)}
                missed = [at for at in range(start, end) if text[at].isalnum() and at not in covered]
                total += 1
                found[dress] += len(missed) < 6
    print(f"found {sum(found.values())} of {total}, {len(SECRETS)} kinds in {len(DRESSES)} dresses")
    for dress in sorted(DRESSES):
        if found[dress] < len(SECRETS) * each:
            print(f"  {dress}: {found[dress]} of {len(SECRETS) * each}")


def clean(check: Secrets, folder: Path) -> None:
    pieces = hits = 0
    labels = Counter[str]()
    for file in sorted(each for each in folder.rglob("*") if each.suffix in (".md", ".mdx", ".txt", ".rst")):
        text = file.read_text(encoding="utf-8", errors="replace")
        for at in range(0, len(text), PIECE):
            found = check.look(Seen(text[at : at + PIECE], "output"))
            pieces += 1
            hits += found.score > 0
            labels.update(span.label for span in found.spans)
    print(f"something found in {hits} of {pieces} pieces of {PIECE} characters ({hits / max(1, pieces):.4f}): {labels}")


async def blocked_bytes() -> None:
    streams = shown = 0
    started = time.perf_counter()
    for number, _, secret, dressed in cases():
        for offset in range(0, len(dressed) + 1, TOKEN):
            text = await shown_when_cut(dressed, offset, "block" if number % 2 else "redact")
            streams += 1
            shown += leaks(text, secret)
    seconds = time.perf_counter() - started
    print(f"{shown} of {streams} streams showed some of a secret: {COUNT} secrets, cut at every token; {seconds:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path)
    parser.add_argument("--each", type=int, default=20, help="secrets of each kind in each dress")
    given = parser.parse_args()
    check = Secrets(SecretsSettings(check="secrets", action="redact"), GuardTools())
    recall(check, given.each)
    asyncio.run(blocked_bytes())
    if given.clean is not None:
        clean(check, given.clean)


if __name__ == "__main__":
    main()
