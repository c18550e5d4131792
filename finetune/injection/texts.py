"""The attacks and the harmless texts that are written for this recipe: templates with their slots filled, by seed."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from guardrails.checks.injection_classifier import Kind
from lockgate.content import ContentModel, load_yaml

Part = Literal["train", "dev"]
DATA = Path(__file__).resolve().parent / "data"
ATTACKS = DATA / "attacks.yaml"
BENIGN = DATA / "benign.yaml"

_SLOT = re.compile(r"\{(\w+)\}")


class Family(ContentModel):
    """Attacks of one idea. A family whose part is dev is not trained on at all."""

    kind: Kind
    part: Part = "train"
    templates: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()


class AttackFile(ContentModel):
    slots: dict[str, tuple[str, ...]]
    families: dict[str, Family] = Field(min_length=12)


class BenignFile(ContentModel):
    slots: dict[str, tuple[str, ...]]
    prompts: tuple[str, ...]
    templates: tuple[str, ...]
    mails: tuple[str, ...]
    docs: tuple[str, ...]
    openings: tuple[str, ...]
    backgrounds: tuple[str, ...]
    tasks: tuple[str, ...]
    constraints: tuple[str, ...]
    sensitive: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attack:
    text: str
    family: str
    kind: Kind
    part: Part


def load_attacks(path: Path = ATTACKS) -> AttackFile:
    return load_yaml(path, AttackFile)


def load_benign(path: Path = BENIGN) -> BenignFile:
    return load_yaml(path, BenignFile)


def filled(template: str, slots: Mapping[str, Sequence[str]], chance: random.Random) -> str:
    """``template`` with a word of its slot in the place of each name; ``{{`` and ``}}`` stand for braces."""
    text = template.replace("{{", "\0").replace("}}", "\1")
    text = _SLOT.sub(lambda found: chance.choice(slots[found[1]]), text)
    return text.replace("\0", "{").replace("\1", "}")


def attacks(file: AttackFile, each: int, chance: random.Random) -> list[Attack]:
    """At most ``each`` different attacks of every family: its sentences first, then filled templates."""
    found: list[Attack] = []
    for name, family in file.families.items():
        texts = dict.fromkeys(filled(text, file.slots, chance) for text in family.sentences)
        for at in range(20 * each):
            if len(texts) >= each or not family.templates:
                break
            text = filled(family.templates[at % len(family.templates)], file.slots, chance)
            texts[_dressed(text, chance)] = None
        found += [Attack(text, name, family.kind, family.part) for text in list(texts)[:each]]
    return found


def _dressed(text: str, chance: random.Random) -> str:
    """Now and then as people type: lower case, capitals, a greeting before."""
    dice = chance.random()
    if dice < 0.1:
        return text.lower()
    if dice < 0.14:
        return text.upper()
    if dice < 0.2:
        return f"{chance.choice(('Hello!', 'Hi there.', 'OK,', 'Listen.', 'Quick one:'))} {text}"
    return text


def part_of(text: str, dev: float = 0.2) -> Part:
    """By the hash of a text, so that what is trained on never comes back as dev."""
    return "dev" if int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) < dev * 0xFFFFFFFF else "train"
