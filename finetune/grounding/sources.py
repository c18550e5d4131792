"""The published sets, each read into training rows. Only sets that allow it are read: see the model card."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from finetune.grounding.corruption import corrupt
from finetune.grounding.rewriting import rewrite
from finetune.grounding.rows import Label, Row, Shares, Split, changed_spans, group_of, overlaps, split_of
from guardrails.grounding.claims import LONGEST, claims_something, plain_text, sentence_spans, split_claims
from lockgate.content import read_text
from lockgate.errors import UserError

MADE_SHARES = {"summedits": 0.35, "wice": 0.8, "begin": 0.8, "fever": 0.25}
"""The share of each real set's supported claims that corruptions are made of."""


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSONL file of any size. Raises UserError naming file and line."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}:{number}: not valid JSON: {error}.") from None
            if not isinstance(row, dict):
                raise UserError(f"{path}:{number}: a JSON object was expected.")
            yield row


def summedits(folder: Path, shares: Shares, _chance: random.Random) -> Iterator[Row]:
    """Summaries and edits of them; the edit's place tells which sentence it is about."""
    rows = list(read_lines(folder / "summedits.jsonl"))
    consistent = {(row["doc"], row["summary"]) for row in rows if row["label"] == 1}
    for row in rows:
        group = group_of(row["doc"])
        split = split_of(group, shares)
        passages = tuple(_blocks(row["doc"]))
        good_original = (row["doc"], row["original_summary"]) in consistent
        changed = changed_spans(row["original_summary"], row["summary"])
        claims = split_claims(row["summary"]).claims
        touched = [claim for claim in claims if overlaps((claim.start, claim.end), changed)]
        kind: Label = "not_found" if row["edit_types"] == ["hallucinated_fact_insertion"] else "contradicted"
        for claim in claims:
            label: Label = "supported"
            spans: tuple[tuple[int, int], ...] | None = ()
            if row["label"] == 0:
                if not good_original:
                    label, spans = ("unsupported", None) if len(claims) == 1 else ("supported", None)
                    if len(claims) > 1 and split == "train":
                        continue
                elif claim in touched:
                    label = kind if len(touched) == 1 else "unsupported"
                    spans = _moved(changed, claim.start, claim.text, row["summary"][claim.start : claim.end])
            yield Row(
                "summedits", group, split, "", claim.core, passages, label, spans if claim.core == claim.text else None,
                answer=row["id"], bad_answer=row["label"] == 0,
            )  # fmt: skip


def begin(folder: Path, shares: Shares, _chance: random.Random) -> Iterator[Row]:
    """Dialogue responses. Its own split ``test`` is kept out whole."""
    rows = [row for row in read_lines(folder / "begin.jsonl") if row["begin_label"] != "Generic"]
    kept_out = {group_of(row["knowledge"]) for row in rows if row["split"] == "test"}
    label: Label
    for number, row in enumerate(rows):
        group = group_of(row["knowledge"])
        split: Split
        if row["split"] == "test":
            split = "test"
        elif group in kept_out:
            continue
        else:
            split = split_of(group, Shares(dev=shares.dev))
        claims = split_claims(row["response"]).claims
        bad = row["begin_label"] != "Fully attributable"
        whole = plain_text(row["response"])
        if split == "train" and len(claims) > 1 and len(whole) <= LONGEST:
            label = "unsupported" if bad else "supported"
            yield Row("begin", group, split, "", whole, (row["knowledge"],), label, None if bad else ())
        for claim in claims:
            label = "unsupported" if bad else "supported"
            if bad and len(claims) > 1 and split == "train":
                continue  # it does not say which of the sentences
            yield Row(
                "begin", group, split, "", claim.core, (row["knowledge"],), label, None if bad else (),
                answer=f"begin-{number}", bad_answer=bad,
            )  # fmt: skip


def wice(folder: Path, shares: Shares, _chance: random.Random) -> Iterator[Row]:
    """Sentences of Wikipedia and the web pages that they cite."""
    groups: dict[str, str] = {}
    labels: dict[str, Label] = {"supported": "supported", "not_supported": "not_found"}
    for kind in ("claim", "oracle_chunks"):
        for part in ("dev", "test"):
            for row in read_lines(folder / f"{kind}_{part}.jsonl"):
                group = groups.setdefault(row["claim"], group_of("".join(row["evidence"][:20])))
                label = labels.get(row["label"], "unsupported")
                text = plain_text(row["claim"])
                passages = tuple(_packed(row["evidence"]))
                yield Row("wice", group, split_of(group, shares), "", text, passages, label, _good_spans(label))


def halueval(folder: Path, shares: Shares, _chance: random.Random) -> Iterator[Row]:
    """Short answers to questions, with the question before them."""
    for name in ("qa_one_turn", "qa_multi_turn"):
        for row in read_lines(folder / f"{name}.jsonl"):
            group = group_of(row["knowledge"])
            for key, label in (("right_answer", "supported"), ("hallucinated_answer", "unsupported")):
                claim = asked_claim(row["question"], plain_text(row[key]))
                split = split_of(group, shares)
                yield Row("halueval", group, split, row["question"], claim, (row["knowledge"],), label, None)  # type: ignore[arg-type]


def fever(folder: Path, shares: Shares, _chance: random.Random) -> Iterator[Row]:
    yield from _nli("fever", folder / "fever_dev_nli.jsonl", shares)


def scifact(folder: Path, shares: Shares, _chance: random.Random) -> Iterator[Row]:
    for part in ("train", "dev"):
        yield from _nli("scifact", folder / f"{part}.jsonl", shares)


def squad(folder: Path, shares: Shares, chance: random.Random) -> Iterator[Row]:
    """Sentences of paragraphs: said differently, made wrong, or held against the paragraph without them."""
    path = folder / "dev-v2.0-cs224n.json"
    for article in json.loads(read_text(path))["data"]:
        paragraphs = list(dict.fromkeys(paragraph["context"] for paragraph in article["paragraphs"]))
        group = group_of(article["title"])
        for number, paragraph in enumerate(paragraphs):
            others = [text for place, text in enumerate(paragraphs) if place != number]
            distractors = chance.sample(others, min(2, len(others)))
            yield from made_rows("squad", group, split_of(group, shares), paragraph, distractors, chance)


def llm_style(folder: Path, shares: Shares, chance: random.Random) -> Iterator[Row]:
    """Sentences of a language model's long answers, held against the rest of the answer (not there) or all of it."""
    for row in read_lines(folder / "general.jsonl"):
        text = row["chatgpt_response"]
        if len(text) < 500:
            continue
        group = group_of(text)
        yield from made_rows("llm_style", group, split_of(group, shares), text, [], chance, most=3)


def made_rows(
    source: str, group: str, split: Split, text: str, distractors: list[str], chance: random.Random, *, most: int = 5
) -> Iterator[Row]:
    """Rows made by rule from the sentences of ``text``: supported, contradicted and not found in equal parts."""
    spans = [(start, end) for start, end in sentence_spans(text) if 40 <= end - start <= 300]
    spans = [(start, end) for start, end in spans if claims_something(text[start:end], text[start:end])]
    sentences = [plain_text(text[start:end]) for start, end in spans]
    if len(sentences) < 3:
        return
    for place in chance.sample(range(len(sentences)), min(most, len(sentences))):
        start, end = spans[place]
        said = rewrite(sentences[place], chance)
        passages = _shuffled([text, *distractors], chance)
        yield Row(source, group, split, "", said, passages, "supported", ())
        without = f"{text[:start]} {text[end:]}"
        yield Row(source, group, split, "", said, _shuffled([without, *distractors], chance), "not_found", None)
        wrong = corrupt(said, [*sentences[:place], *sentences[place + 1 :]], chance)
        if wrong:
            yield Row(source, group, split, "", wrong[0], passages, "contradicted", wrong[1])


def corruptions(rows: list[Row], chance: random.Random) -> Iterator[Row]:
    """Supported claims of the real sets made wrong, or held against passages without the sentences they rest on."""
    from guardrails.grounding.evidence import Evidence, telling_words

    for row in rows:
        if row.label != "supported" or row.source not in MADE_SHARES:
            continue
        if chance.random() > MADE_SHARES[row.source]:
            continue
        wrong = corrupt(row.claim, list(row.passages), chance)
        if wrong:
            yield Row(
                f"{row.source}_made",
                row.group,
                row.split,
                row.question,
                wrong[0],
                row.passages,
                "contradicted",
                wrong[1],
            )
        if row.source in ("summedits", "wice"):
            evidence = Evidence(row.passages, {}, 1.0)
            stems = frozenset(word.stem for word in telling_words(row.claim))
            gone = {place for _, place in evidence.ranked(stems)[:4]}
            left: dict[int, list[str]] = defaultdict(list)
            for place, sentence in enumerate(evidence.sentences):
                if place not in gone:
                    left[sentence.passage].append(sentence.text)
            passages = tuple(" ".join(texts) for texts in left.values())
            if passages:
                yield Row(
                    f"{row.source}_made", row.group, row.split, row.question, row.claim, passages, "not_found", None
                )


def asked_claim(question: str, answer: str) -> str:
    """A short answer says little without its question."""
    return f"{plain_text(question)} {answer}" if len(answer.split()) < 8 else answer


def _nli(source: str, path: Path, shares: Shares) -> Iterator[Row]:
    for row in read_lines(path):
        label: Label = "supported" if row["label"] == "entailment" else "contradicted"
        premise = _brackets(row["premise"])
        group = group_of(premise)
        yield Row(
            source,
            group,
            split_of(group, shares),
            "",
            plain_text(_brackets(row["hypothesis"])),
            (premise,),
            label,
            _good_spans(label),
        )


def _good_spans(label: Label) -> tuple[tuple[int, int], ...] | None:
    return () if label == "supported" else None


def _brackets(text: str) -> str:
    for mark, plain in (("-LRB-", "("), ("-RRB-", ")"), ("-LSB-", "["), ("-RSB-", "]"), ("``", '"'), ("''", '"')):
        text = text.replace(mark, plain)
    return text


def _blocks(text: str, size: int = 900) -> Iterator[str]:
    """A long document in passages of about ``size`` characters, cut between its lines."""
    yield from _packed(text.split("\n"), size)


def _packed(lines: list[str], size: int = 900) -> Iterator[str]:
    block: list[str] = []
    for line in lines:
        if block and sum(map(len, block)) + len(line) > size:
            yield "\n".join(block)
            block = []
        block.append(line)
    if block:
        yield "\n".join(block)


def _shuffled(passages: list[str], chance: random.Random) -> tuple[str, ...]:
    return tuple(chance.sample(passages, len(passages)))


def _moved(spans: tuple[tuple[int, int], ...], start: int, text: str, raw: str) -> tuple[tuple[int, int], ...] | None:
    """Spans of the answer as spans of the claim; None where markup was taken out of it."""
    if text != raw:
        return None
    return tuple(
        (max(0, a - start), min(len(text), b - start)) for a, b in spans if a < start + len(text) and b > start
    )


READERS: dict[str, Callable[[Path, Shares, random.Random], Iterator[Row]]] = {
    "summedits": summedits,
    "begin": begin,
    "wice": wice,
    "halueval": halueval,
    "fever_nli": fever,
    "scifact_nli": scifact,
    "squad2": squad,
    "halueval_general": llm_style,
}
"""Readers by the name that a recipe gives a source."""
