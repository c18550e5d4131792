"""Texts with labels: tweets of the Davidson set, sentences of an encyclopaedia, and texts written for this project."""

from __future__ import annotations

import csv
import hashlib
import html
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from guardrails.checks.toxicity_features import windows
from lockgate.content import ContentModel, read_jsonl
from lockgate.errors import NotFound, UserError

DATA = Path(__file__).parent / "data"
WRITTEN = DATA / "written.jsonl"
GROUPS = DATA / "groups.jsonl"
DAVIDSON = "labeled_data.csv"
SQUAD = "dev-v2.0-cs224n.json"

Split = Literal["train", "dev"]
Kind = Literal["hate", "threat", "abuse", "none"]


class Written(ContentModel):
    """One text of ``written.jsonl``. A family is in one split, but for the large ones, whose texts are told apart."""

    family: str
    label: Kind
    split: Split
    text: Annotated[str, Field(min_length=1, max_length=500)]


class Group(ContentModel):
    """A group as it fills the slots {group} (many), {person} (one) and {adjective}."""

    group: str
    person: str
    adjective: str
    split: Split


@dataclass(frozen=True, slots=True)
class Row:
    """``labels`` are the likelihoods of hate, threat and abuse; NaN where the source does not say."""

    text: str
    labels: tuple[float, float, float]
    split: Split
    source: str
    family: str = ""


UNKNOWN = float("nan")
_LABELS: dict[Kind, tuple[float, float, float]] = {
    "hate": (1.0, 0.0, 1.0),
    "threat": (UNKNOWN, 1.0, 1.0),
    "abuse": (0.0, 0.0, 1.0),
    "none": (0.0, 0.0, 0.0),
}
_SLOT = re.compile(r"\{(group|person|adjective)\}")
_TWEET = re.compile(r"^[!\"'\s]*(?:RT\b)?[\s:]*|\bRT\b|@\w{1,30}:?|https?://\S+|#")


def written(groups_each: int, chance: random.Random) -> list[Row]:
    """Every written text; one with slots for ``groups_each`` groups of its split. Some are put in lower case."""
    groups = [group for _, group in read_jsonl(GROUPS, Group)]
    rows: list[Row] = []
    for _, each in read_jsonl(WRITTEN, Written):
        own = [group for group in groups if group.split == each.split]
        chosen = chance.sample(own, min(groups_each, len(own))) if _SLOT.search(each.text) else own[:1]
        for group in chosen:
            text = filled(each.text, group)
            text = text.lower() if chance.random() < 0.25 else text
            text = text.rstrip(".!") if chance.random() < 0.25 else text
            labels = _LABELS[each.label]
            if each.label == "threat" and _SLOT.search(each.text):
                labels = (1.0, 1.0, 1.0)
            rows.append(Row(text, labels, each.split, "written", f"{each.label}/{each.family}"))
    return rows


def filled(text: str, group: Group) -> str:
    """``text`` with the group in its slots, a capital at the beginning, and the right article."""
    done = re.sub(
        r"\b([Aa]) \{adjective\}", lambda a: a[1] + "n" * (group.adjective[0] in "aeiouAEI") + " {adjective}", text
    )
    done = _SLOT.sub(lambda slot: str(getattr(group, slot[1])), done)
    return done[:1].upper() + done[1:] if text[:1] in "{" else done


def davidson(folder: Path, dev: float) -> Iterator[Row]:
    """The tweets, without names and links; labels are shares of votes. ``dev`` is the share kept for thresholds."""
    path = folder / DAVIDSON
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), 2):
                yield _tweet(row, dev, f"{path}:{line}")
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file.", hint="The Davidson set has it: github.com/t-davidson.") from None


def _tweet(row: dict[str, str], dev: float, where: str) -> Row:
    try:
        votes, hate, offensive = int(row["count"]), int(row["hate_speech"]), int(row["offensive_language"])
        text = clean(row["tweet"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where}: is no row of the Davidson set ({error!r}).") from None
    family = ("hate", "offensive", "neither")[int(row["class"])]
    labels = (hate / votes, UNKNOWN, (hate + offensive) / votes)
    return Row(text or "-", labels, "dev" if _place(text.lower()) < dev else "train", "davidson", family)


def clean(tweet: str) -> str:
    """A tweet without what Twitter adds: names, links, "RT", hash signs, entities."""
    return " ".join(_TWEET.sub(" ", html.unescape(html.unescape(tweet))).split()).strip('" :')


def encyclopaedia(folder: Path, dev: float, count: int, chance: random.Random) -> list[Row]:
    """``count`` windows of SQuAD's passages, which speak of wars, faiths and peoples without hate."""
    path = folder / SQUAD
    try:
        articles = json.loads(path.read_bytes())["data"]
        contexts = [
            (paragraph["context"], article["title"]) for article in articles for paragraph in article["paragraphs"]
        ]
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file.", hint="SQuAD 2.0 has it.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is not SQuAD as published ({error!r}).") from None
    found = []
    for text, title in contexts:
        split: Split = "dev" if _place(title) < dev else "train"
        for start, end in windows(text):
            found.append(Row(text[start:end], _LABELS["none"], split, "squad2", "encyclopaedia"))
    return chance.sample(found, min(count, len(found)))


def _place(text: str) -> float:
    """Where ``text`` is between 0 and 1, by its hash."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF


def counted(rows: Sequence[Row], of: Callable[[Row], str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        found[of(row)] = found.get(of(row), 0) + 1
    return dict(sorted(found.items()))


def hashes_of(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of files that are trained on, by folder and name."""
    return {f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
