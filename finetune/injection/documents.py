"""Harmless documents of many kinds, and the same with an attack in them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune.grounding.sources import read_lines
from finetune.injection.texts import BenignFile, Part, filled, part_of
from guardrails.checks.injection_windows import windows
from lockgate.content import read_text

_CODE = (
    "def {a}({b}, {c}=None):\n    result = []\n    for item in {b}:\n        if item != {c}:\n"
    "            result.append(item)\n    return result",
    "import csv\nwith open('{a}.csv') as {b}:\n    for row in csv.reader({b}):\n        print(row[{n}])",
    'Traceback (most recent call last):\n  File "{a}.py", line {n}, in <module>\n    {b}({c})\n'
    "TypeError: {b}() missing 1 required positional argument: '{c}'",
    "const {a} = await fetch(`/api/{b}/${{{c}}}`);\nif (!{a}.ok) {{\n  throw new Error('{b} failed');\n}}",
    "SELECT {a}, COUNT(*) AS {b}\nFROM {c}\nGROUP BY {a}\nORDER BY {b} DESC\nLIMIT {n};",
    'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {a}\ndata:\n  {b}: "{n}"\n  {c}: enabled',
    "class {a}:\n    def __init__(self, {b}):\n        self.{b} = {b}\n\n"
    "    def {c}(self):\n        return self.{b} + {n}",
    "# read the {a} and keep what is new\n{b} = pd.read_csv('{a}.csv')\n{b}['{c}'] = {b}['{c}'].fillna({n})\n"
    "print({b}.head())",
    "$ {a} --{b} {n}\nerror: unknown option '--{b}'\nTry '{a} --help' for more information.",
    "for (int {a} = 0; {a} < {n}; {a}++) {{\n    {b}[{a}] = {c}({a});\n}}",
    '{{\n  "{a}": {n},\n  "{b}": ["{c}", "{a}"],\n  "{c}": true\n}}',
    "x = {n}\nwhile x > 0:\n    x -= 1\n    if {a}(x):\n        {b}.add(x)\nprint(len({b}), '{c}')",
    "fn {a}({b}: &str) -> Result<u32, Error> {{\n    let {c} = {b}.parse::<u32>()?;\n    Ok({c} * {n})\n}}",
    '<form action="/{a}" method="post">\n  <input name="{b}" value="{n}">\n  <button>{c}</button>\n</form>',
    "I get a ValueError when I call {a} on my data. It worked with {n} rows. What is wrong with the code below?",
    "How can I sort {b} by {c} without changing {a}?",
    "You should use {a} here instead, because {b} is evaluated only once.",
    "The solution is to pass {c} as a list and check its length first.",
)
_NAMES = re.findall(
    r"\w+",
    """rows items users total count index data value frame price order client token width height buffer parse load
    update compute merge split handle score label entry node tree path result current names""",
)
_HEADINGS = ("Overview", "Before you begin", "To create one", "Steps", "Troubleshooting", "Limits", "See also", "FAQ")


@dataclass(frozen=True, slots=True)
class Document:
    text: str
    kind: str
    part: Part


@dataclass(frozen=True, slots=True)
class Sources:
    """What the published sets give: paragraphs with their title's part, and requests that people made."""

    paragraphs: tuple[Document, ...]
    answers: tuple[str, ...]
    questions: tuple[tuple[str, Part], ...]
    requests: tuple[tuple[str, Part], ...]
    facts: tuple[str, ...]


def read_sources(data: Path) -> Sources:
    """Raises NotFound or UserError naming the file that is not there or wrong."""
    paragraphs: list[Document] = []
    answers: list[str] = []
    questions: list[tuple[str, Part]] = []
    for article in json.loads(read_text(data / "squad2" / "dev-v2.0-cs224n.json"))["data"]:
        part = part_of(article["title"])
        for paragraph in article["paragraphs"]:
            paragraphs.append(Document(paragraph["context"], "wiki", part))
            questions += [(each["question"].strip(), part) for each in paragraph["qas"]]
            answers += [answer["text"] for each in paragraph["qas"] for answer in each["answers"][:1]]
    for doc, kind in {row["doc"]: row["domain"] for row in read_lines(data / "summedits" / "summedits.jsonl")}.items():
        for at in range(0, min(len(doc), 6000), 1500):
            paragraphs.append(Document(doc[at : at + 1500], kind, part_of(doc)))
    requests: list[tuple[str, Part]] = []
    for row in read_lines(data / "halueval" / "general.jsonl"):
        query = row["user_query"].replace("<Noinput>.", "").replace("<Noinput>", "").strip()
        part = part_of(query)
        requests.append((query, part))
        if len(row["chatgpt_response"]) > 250:
            paragraphs.append(Document(row["chatgpt_response"][:2500], "answer", part))
    facts = [
        row["premise"].replace("-LRB-", "(").replace("-RRB-", ")")
        for row in read_lines(data / "fever_nli" / "fever_dev_nli.jsonl")
    ]
    facts += [row["premise"] for row in read_lines(data / "scifact_nli" / "train.jsonl")]
    answers = [each for each in dict.fromkeys(answers) if len(each) < 30 and "|" not in each]
    unique = tuple(dict.fromkeys(each for each in facts if len(each) < 400))
    return Sources(
        tuple(dict.fromkeys(paragraphs)),
        tuple(answers),
        tuple(dict.fromkeys(questions)),
        tuple(dict.fromkeys(requests)),
        unique,
    )


def documents(sources: Sources, benign: BenignFile, part: Part, count: int, chance: random.Random) -> list[Document]:
    """``count`` documents: published paragraphs, and mails, pages, tables and code that are made up."""
    of_part = [each for each in sources.paragraphs if each.part == part]
    chance.shuffle(of_part)
    makers: tuple[Callable[[], str], ...] = (
        lambda: _mail(benign, part, sources, chance),
        lambda: _mail(benign, part, sources, chance),
        lambda: _page(benign, part, of_part, chance),
        lambda: _page(benign, part, of_part, chance),
        lambda: _table(sources, chance),
        lambda: _table(sources, chance),
        lambda: _code(chance),
        lambda: _code(chance),
    )
    kinds = ("mail", "mail", "page", "page", "table", "table", "code", "code")
    found = [Document(makers[at % 8](), kinds[at % 8], part) for at in range(3 * count // 5)]
    return found + of_part[: count - len(found)]


def with_attack(text: str, attack: str, chance: random.Random) -> tuple[str, int, int]:
    """``text`` with ``attack`` at its start, its end or between two of its sentences, and where it stands then."""
    spans = windows(text)
    where = chance.randrange(3)
    if where == 0 or not spans:
        return f"{attack}\n{text}", 0, len(attack)
    if where == 1:
        gap = chance.choice(("\n", " ", "\n\n"))
        return f"{text}{gap}{attack}", len(text) + len(gap), len(text) + len(gap) + len(attack)
    at = chance.choice(spans)[0]
    gap = "\n" if at and text[at - 1] == "\n" else " "
    return f"{text[:at]}{attack}{gap}{text[at:]}", at, at + len(attack)


def _some(texts: Sequence[str], part: Part) -> list[str]:
    """A fifth of the templates is in dev only, and the rest in train only."""
    return [each for each in texts if part_of(each) == part]


def _picked(texts: Sequence[str], least: int, most: int, chance: random.Random) -> list[str]:
    return chance.sample(texts, min(len(texts), chance.randint(least, most)))


def _mail(benign: BenignFile, part: Part, sources: Sources, chance: random.Random) -> str:
    lines = [filled(each, benign.slots, chance) for each in _picked(_some(benign.mails, part), 3, 8, chance)]
    if chance.random() < 0.5:
        lines.insert(chance.randrange(len(lines)), chance.choice(sources.facts))
    return chance.choice(("\n", " ", "\n\n")).join(lines)


def _page(benign: BenignFile, part: Part, paragraphs: Sequence[Document], chance: random.Random) -> str:
    blocks: list[str] = []
    for heading in chance.sample(_HEADINGS, chance.randint(1, 5)):
        blocks.append(f"## {heading}")
        if chance.random() < 0.6:
            blocks.append(chance.choice(paragraphs).text[:600])
        if chance.random() < 0.2:
            blocks.append(f"```\n{_code(chance)}\n```")
        steps = [filled(each, benign.slots, chance) for each in _picked(_some(benign.docs, part), 2, 6, chance)]
        blocks.append("\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1)))
    return "\n\n".join(blocks)


def _table(sources: Sources, chance: random.Random) -> str:
    width = chance.randint(2, 6)
    cells: list[Callable[[], str]] = [
        chance.choice(
            (
                lambda: chance.choice(sources.answers),
                lambda: str(chance.randint(1, 3000)),
                lambda: f"{chance.uniform(0, 100):.1f}%",
                lambda: f"{chance.randint(1900, 2024)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
            )
        )
        for _ in range(width)
    ]
    rows = [[make() for make in cells] for _ in range(chance.randint(4, 20))]
    head = [chance.choice(_NAMES).title() for _ in range(width)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * width, *rows))


def _code(chance: random.Random) -> str:
    names = {
        "a": chance.choice(_NAMES),
        "b": chance.choice(_NAMES),
        "c": chance.choice(_NAMES),
        "n": str(chance.randint(1, 99)),
    }
    return "\n\n".join(
        filled(each, {name: (value,) for name, value in names.items()}, chance)
        for each in chance.sample(_CODE, chance.randint(1, 4))
    )
