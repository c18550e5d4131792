"""How often the list of appeals takes an ordinary answer for one; docs/judges.md shows what came out.

``python -m bench.judge_appeals --data DATA`` reads answers of DATA/mtrag_human_eval, DATA/ray_docs_qa and
DATA/ragtruth_qa_test, which nobody wrote for a judge.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from bench.judge_labels import MTRAG, RAY
from evals.judge.appeals import find_appeal


def answers(data: Path) -> Iterator[tuple[str, list[str]]]:
    """(set, its answers)."""
    body = json.loads((data / MTRAG).read_text())
    yield "mtrag_human_eval", [each["model_response"] for each in body["evaluations"]]
    yield "its passages", [each["text"] for each in body["documents"]]
    yield "ray_docs_qa", [json.loads(line)["generated_answer"] for line in (data / RAY).read_text().splitlines()]
    files = sorted((data / "ragtruth_qa_test").glob("*.jsonl"))
    yield "ragtruth_qa_test", [json.loads(line)["response"] for file in files for line in file.read_text().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    for name, texts in answers(parser.parse_args().data):
        found = [appeal for text in texts if (appeal := find_appeal(text))]
        print(f"{name}: {len(found)} of {len(texts)}  {'; '.join(found[:5])}")


if __name__ == "__main__":
    main()
