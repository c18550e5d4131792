"""Rows to train on and texts to choose the thresholds by, from attacks, harmless texts and documents."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from finetune.injection.documents import Document, Sources, documents, with_attack
from finetune.injection.texts import Attack, BenignFile, Part, attacks, filled, load_attacks, load_benign, part_of
from guardrails.checks.injection_windows import windows

SHARES = (("indirect", 0.45), ("request", 0.25), ("question", 0.1), ("direct", 0.2))
"""Of the attacks in documents: those written for documents, requests and questions that have nothing to do with the
document, and those that a user would type."""


IN_CODE = "code_planting"
"""The family that most attacks in code are of."""
SCENARIOS = 2400
"""Harmless requests for role play and stories that are trained on; a quarter as many are dev, of other parts."""


MOST_WINDOWS = 12
"""Windows of one harmless prompt that are trained on."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a user may type."""

    text: str
    bad: bool
    part: Part
    family: str


@dataclass(frozen=True, slots=True)
class Windowed:
    """A document as its windows; ``bad`` says of each whether it is the attack, None where it is only partly."""

    text: str
    kind: str
    part: Part
    family: str
    windows: tuple[str, ...]
    bad: tuple[bool | None, ...]

    @property
    def attacked(self) -> bool:
        return any(each is True for each in self.bad)


@dataclass(frozen=True, slots=True)
class Rows:
    prompts: tuple[Prompt, ...]
    documents: tuple[Windowed, ...]
    attacks: tuple[Attack, ...] = field(default=())


def build_rows(sources: Sources, each: int, counts: dict[Part, int], seed: int) -> Rows:
    """Everything, by seed: the same rows for the same files."""
    chance = random.Random(seed)  # noqa: S311 - rows to train on, no secret
    benign, made = load_benign(), attacks(load_attacks(), each, chance)
    prompts = [*_bad_prompts(made, sources, chance), *_good_prompts(benign, sources, chance)]
    found: list[Windowed] = []
    for part, count in counts.items():
        clean = documents(sources, benign, part, count, chance)
        attacked = [_attacked(each, made, sources, chance) for each in clean if len(each.text) > 60]
        found += [windowed(each.text, each.kind, part) for each in [*clean, *_long(clean, chance)]]
        found += [each for each in attacked if each.attacked]
    return Rows(tuple(prompts), tuple(found), tuple(made))


def windowed(text: str, kind: str, part: Part, family: str = "", start: int = 0, end: int = 0) -> Windowed:
    """``text`` in windows; the attack stands at ``text[start:end]``."""
    spans = windows(text)
    bad = tuple(_share(span, start, end) for span in spans)
    return Windowed(text, kind, part, family, tuple(text[first:last] for first, last in spans), bad)


def _share(span: tuple[int, int], start: int, end: int) -> bool | None:
    inside = max(0, min(span[1], end) - max(span[0], start)) / (span[1] - span[0])
    return True if inside > 0.6 else False if inside < 0.05 else None


def _attacked(document: Document, made: Sequence[Attack], sources: Sources, chance: random.Random) -> Windowed:
    kind = chance.choices([name for name, _ in SHARES], [share for _, share in SHARES])[0]
    family = kind
    if kind == "question" and document.kind == "wiki":
        kind = "request"
    if kind in ("request", "question"):
        pool = sources.requests if kind == "request" else sources.questions
        text = _of_part(pool, document.part, chance).split("\n")[0][:300]
    else:
        fitting = [each for each in made if each.kind == kind and each.part == document.part]
        if document.kind == "code" and chance.random() < 0.7:
            fitting = [each for each in fitting if each.family == IN_CODE] or fitting
        chosen = chance.choice(fitting)
        text, family = chosen.text, chosen.family
    whole, start, end = with_attack(document.text, text, chance)
    return windowed(whole, document.kind, document.part, family, start, end)


def _of_part(pool: Sequence[tuple[str, Part]], part: Part, chance: random.Random) -> str:
    while True:
        text, own = chance.choice(pool)
        if own == part and text:
            return text


def _long(clean: Sequence[Document], chance: random.Random) -> list[Document]:
    """Pages of several documents of a kind: a long page has more chances to be taken for an attack."""
    found = []
    for kind in sorted({each.kind for each in clean}):
        own = [each for each in clean if each.kind == kind]
        for _ in range(len(own) // 12):
            chosen = chance.sample(own, min(len(own), chance.randint(3, 8)))
            found.append(Document("\n\n".join(each.text for each in chosen), kind, chosen[0].part))
    return found


def _bad_prompts(made: Sequence[Attack], sources: Sources, chance: random.Random) -> list[Prompt]:
    """Each attack alone, and some of them after or before something harmless."""
    found = []
    for each in made:
        if each.kind != "direct":
            continue
        found.append(Prompt(each.text, True, each.part, each.family))
        if chance.random() < 0.4:
            other = _of_part(chance.choice((sources.requests, sources.questions)), each.part, chance)[:300]
            pair = [other, each.text] if chance.random() < 0.7 else [each.text, other]
            found.append(Prompt(chance.choice((" ", "\n", "\n\n")).join(pair), True, each.part, each.family))
    return found


def window_prompts(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The windows of the harmless prompts that have several, each once: a prompt is judged by its worst window."""
    found: dict[str, Prompt] = {}
    for each in prompts:
        spans = windows(each.text)[:MOST_WINDOWS]
        if not each.bad and len(spans) > 1:
            for start, end in spans:
                text = each.text[start:end]
                found.setdefault(text, Prompt(text, False, each.part, each.family))
    return list(found.values())


def _good_prompts(benign: BenignFile, sources: Sources, chance: random.Random) -> list[Prompt]:
    own: list[Prompt] = [Prompt(text, False, part_of(text), "trigger words") for text in benign.prompts]
    for template in benign.templates:
        texts = dict.fromkeys(filled(template, benign.slots, chance) for _ in range(40))
        own += [Prompt(text, False, part_of(template), "trigger words") for text in texts]
    own += [Prompt(text, False, part_of(text), "sensitive") for text in benign.sensitive]
    parts: tuple[tuple[Part, int], ...] = (("train", SCENARIOS), ("dev", SCENARIOS // 4))
    for part, many in parts:
        made = dict.fromkeys(_scenario(benign, part, chance) for _ in range(many))
        own += [Prompt(text, False, part, "role play") for text in made]
    requests = [Prompt(text, False, part, "request") for text, part in sources.requests]
    asked = [Prompt(text, False, part, "question") for text, part in chance.sample(sources.questions, 1500)]
    facts = [Prompt(text, False, part_of(text), "statement") for text in chance.sample(sources.facts, 600)]
    both: list[Prompt] = []
    for part, many in (("train", 300), ("dev", 80)):
        own_part = [each for each in (*own, *requests) if each.part == part]
        pairs = [f"{chance.choice(own_part).text} {chance.choice(own_part).text}" for _ in range(many)]
        both += [Prompt(pair, False, own_part[0].part, "two at once") for pair in pairs]
    return [*own, *requests, *asked, *facts, *both]


def _scenario(benign: BenignFile, part: Part, chance: random.Random) -> str:
    """An opening, perhaps the background, a task and what to mind, of the parts that belong to ``part``."""

    def some(texts: Sequence[str], least: int, most: int) -> list[str]:
        own = [each for each in texts if part_of(each) == part]
        return chance.sample(own, min(len(own), chance.randint(least, most)))

    lines = [
        *some(benign.openings, 0 if chance.random() < 0.2 else 1, 1),
        *some(benign.backgrounds, 0, 3),
        *some(benign.tasks, 1, 2),
        *some(benign.constraints, 0, 3),
    ]
    if chance.random() < 0.2:
        chance.shuffle(lines)
    return chance.choice((" ", " ", "\n")).join(filled(each, benign.slots, chance) for each in lines)
