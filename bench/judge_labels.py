"""Labels and scores of two published sets as files for ``lockgate evals calibrate``; docs/judges.md has the results.

``python -m bench.judge_labels --data DATA --out OUT`` reads DATA/mtrag_human_eval and DATA/ray_docs_qa. The files stay
where OUT is: neither set may be copied into this project.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lockgate.ports import Embedder

MTRAG = "mtrag_human_eval/reference_subset_with_human_evaluations.json"
RAY = "ray_docs_qa/judged_answers_sample.jsonl"

MTRAG_SCORES: Mapping[str, tuple[str, str]] = {
    "rb_llm": ("rb_llm", "composite"),
    "rl_f": ("rl_f", "composite"),
    "rougel": ("RougeL", "system"),
}


def mtrag_labels(data: Path) -> list[dict[str, Any]]:
    """The median faithfulness of three people, the lower one of two; questions are the clusters."""
    body = json.loads((data / MTRAG).read_text())
    tasks = {task["task_id"]: task for task in body["tasks"]}
    rows = []
    for each in body["evaluations"]:
        task = tasks[each["task_id"]]
        rows.append(
            _label(
                each["task_id"],
                each["model_id"],
                statistics.median_low(_people(each)),
                (1, 4),
                ("human", "three annotators of MTRAG, median"),
                {
                    "answerable": "yes" if task["Answerability"] == ["ANSWERABLE"] else "no",
                    "collection": task["Collection"].split("-")[2],
                },
            )
        )
    return rows


def mtrag_scores(data: Path, name: str) -> list[dict[str, Any]]:
    """A score that MTRAG publishes beside the labels."""
    key, part = MTRAG_SCORES[name]
    body = json.loads((data / MTRAG).read_text())
    return [_score(e["task_id"], e["model_id"], e["annotations"][key][part]["value"]) for e in body["evaluations"]]


def mtrag_one_against_two(data: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(labels, scores): the median of two people, and the third one as if that were a judge."""
    body = json.loads((data / MTRAG).read_text())
    labels, scores = [], []
    for each in body["evaluations"]:
        first, *others = _people(each)
        name = ("human", "two annotators of MTRAG, median")
        labels.append(_label(each["task_id"], each["model_id"], statistics.median_low(others), (1, 4), name, {}))
        scores.append(_score(each["task_id"], each["model_id"], (first - 1) / 3))
    return labels, scores


def ray_labels(data: Path) -> list[dict[str, Any]]:
    """GPT-4's score of each answer, 1 to 5 in half steps: a model's labels."""
    return [
        _label(row["question"][:200], row["experiment"], row["score"], (1, 5), ("model", "GPT-4"), {})
        for row in _ray(data)
    ]


def ray_similarity(data: Path, embedder: Embedder) -> list[dict[str, Any]]:
    """Cosine of answer and reference answer, 0 where it is negative."""
    rows = _ray(data)
    references = list(dict.fromkeys(row["reference_answer"] for row in rows))
    wanted = dict(zip(references, embedder.embed(references), strict=True))
    answers = embedder.embed([row["generated_answer"] for row in rows])
    return [
        _score(
            row["question"][:200],
            row["experiment"],
            min(1.0, max(0.0, float(answer @ wanted[row["reference_answer"]]))),
        )
        for row, answer in zip(rows, answers, strict=True)
    ]


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _ray(data: Path) -> list[dict[str, Any]]:
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for line in (data / RAY).read_text().splitlines():
        row = json.loads(line)
        seen.setdefault((row["question"][:200], row["experiment"]), row)
    return list(seen.values())


def _people(evaluation: Mapping[str, Any]) -> list[int]:
    """What each annotator said, by the annotator's number."""
    return [int(each["value"]) for _, each in sorted(evaluation["annotations"]["faithfulness"].items())]


def _label(
    case: str,
    variant: str,
    label: float,
    scale: tuple[float, float],
    source: tuple[str, str],
    slices: Mapping[str, str],
) -> dict[str, Any]:
    who = {"source": source[0], "by": source[1]}
    return {"id": case, "variant": variant, "label": label, "scale": scale, **who, "slices": dict(slices)}


def _score(case: str, variant: str, score: float) -> dict[str, Any]:
    return {"id": case, "variant": variant, "score": score}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    write_jsonl(options.out / "mtrag-labels.jsonl", mtrag_labels(options.data))
    for name in MTRAG_SCORES:
        write_jsonl(options.out / f"{name}.jsonl", mtrag_scores(options.data, name))
    labels, scores = mtrag_one_against_two(options.data)
    write_jsonl(options.out / "two-people.jsonl", labels)
    write_jsonl(options.out / "one-person.jsonl", scores)
    always = [{**row, "score": 1.0} for row in scores]
    write_jsonl(options.out / "always-yes.jsonl", always)
    write_jsonl(options.out / "ray-labels.jsonl", ray_labels(options.data))
    write_jsonl(options.out / "minilm.jsonl", ray_similarity(options.data, _embedder()))
    print(f"{options.out}: {', '.join(sorted(file.name for file in options.out.glob('*.jsonl')))}")


def _embedder() -> Embedder:
    from lockgate.models.catalogue import load_catalogue
    from lockgate.models.embedder import load_embedder
    from lockgate.settings import load_settings

    settings = load_settings()
    return load_embedder(settings, load_catalogue(settings.project_dir).get(settings.embedder, "embedder"))


if __name__ == "__main__":
    main()
