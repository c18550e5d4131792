"""Variants of a prompt: which examples it shows, in which order, how many and how much of the passages, and its words.

Every variant is whole files, made from the prompt's own by small edits, and is checked before anything is asked.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.optimizing.example_pool import PoolExample
from lockgate.errors import LockgateError
from lockgate.settings import Settings
from prompts.files import EXAMPLES, MAIN, TextFiles, examples_path, main_paths
from prompts.lint import lint_files
from prompts.prompt import Prompt, prompt_from_files

COUNTS = (1, 2, 3, 5)
CHARACTERS = (400, 800)
MOST_EXAMPLES = 3
DRAWS = 2
"""Sets of examples that are drawn for each size."""

_LOOP = re.compile(r"(\{%-?\s*for\s+(\w+)\s+in\s+)passages(\s*-?%\})")
_HEADING = re.compile(r"^# (?:system|user|assistant) *$", re.MULTILINE)
_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
MAX_INSTRUCTION = 4_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a variant does. ``own`` are rows of the prompt's examples by place, None for as they are; ``dev`` are cases
    whose questions and references become examples; ``passages`` None is all, ``characters`` None is the whole text;
    ``instruction`` None is the prompt's own."""

    own: tuple[int, ...] | None = None
    dev: tuple[str, ...] = ()
    best_last: bool = False
    passages: int | None = None
    characters: int | None = None
    instruction: str | None = None

    def words(self) -> str:
        parts = []
        if self.own is not None:
            parts.append(f"examples {', '.join(str(each + 1) for each in self.own)}")
        if self.dev:
            parts.append(f"examples from dev cases {', '.join(self.dev)}")
        if self.passages is not None:
            parts.append(f"the best {self.passages} passage(s)")
        if self.best_last:
            parts.append("the best passage last")
        if self.characters is not None:
            parts.append(f"{self.characters} characters of a passage")
        if self.instruction is not None:
            parts.append("a proposed instruction")
        return "; ".join(parts) or "the prompt as it is"


@dataclass(frozen=True, slots=True)
class Variant:
    recipe: Recipe
    prompt: Prompt

    def as_json(self) -> dict[str, Any]:
        return {"what": self.recipe.words(), "hash": self.prompt.hash, "dev_cases": list(self.recipe.dev)}


@dataclass(frozen=True, slots=True)
class Made:
    """``left_out`` says of the recipes that gave no good prompt why."""

    variants: tuple[Variant, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workbench:
    """What variants of ``prompt`` are made from: dev cases that may become examples, and proposed instructions."""

    settings: Settings
    prompt: Prompt
    pool: Mapping[str, PoolExample] = field(default_factory=dict)
    instructions: Sequence[str] = ()
    known: frozenset[str] = frozenset()
    """Rules of the linter that the prompt as it is breaks already."""

    def make(self, recipe: Recipe) -> Variant:
        """Raises ValueError that says why the recipe gives no prompt that could take the place of the old one."""
        files = self._files(recipe)
        name = self.prompt.name
        main = next(path for path in main_paths(name) if path in files)
        findings = lint_files(self.settings, name, main, TextFiles(files, "the variant"))
        if errors := [each for each in findings.problems if each.level == "error"]:
            raise ValueError(f"{errors[0].message}")
        warned = [each for each in findings.problems if each.rule not in self.known]
        if warned:
            raise ValueError(f"{warned[0].rule}: {warned[0].message}")
        try:
            made = prompt_from_files(name, files, where="the variant")
        except LockgateError as error:
            raise ValueError(error.message) from None
        if made.variables != self.prompt.variables or len(made.sections) != len(self.prompt.sections):
            raise ValueError("it does not have the same variables and sections")
        return Variant(recipe, made)

    def recipes(self, seed: int, most: int) -> list[Recipe]:
        """At most ``most``, as ``seed`` draws them: proposals, other single changes, then two and three together."""
        draw = random.Random(seed)  # noqa: S311 - chooses what to try, hides nothing
        kinds = [[*kind] for kind in self._kinds(draw) if kind]
        singles = [Recipe(**each) for kind in kinds for each in kind]
        draw.shuffle(singles)
        singles.sort(key=lambda each: each.instruction is None)  # a proposal was paid for
        found = dict.fromkeys(singles)
        pairs = [
            {key: value for each in parts for key, value in each.items()}
            for size in (2, 3)
            for chosen in itertools.combinations(kinds, size)
            for parts in itertools.product(*chosen)
        ]
        draw.shuffle(pairs)
        found |= dict.fromkeys(Recipe(**each) for each in pairs)
        return list(found)[:most]

    def _kinds(self, draw: random.Random) -> Iterator[list[dict[str, Any]]]:
        yield self._example_sets(draw)
        if self._loops():
            yield [{"best_last": True}]
            yield [{"passages": each} for each in COUNTS]
        if self._loops() and len(self._texts()) == 1:
            yield [{"characters": each} for each in CHARACTERS]
        yield [{"instruction": each} for each in self.instructions]

    def _example_sets(self, draw: random.Random) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        own = self.prompt.examples
        if own is not None and own.choice.choose == "fixed":
            rows, shown = range(len(own.rows)), own.choice.count
            first = tuple(rows)[:shown]
            for size in range(1, min(shown, len(own.rows)) + 1):
                for _ in range(DRAWS):
                    chosen = tuple(draw.sample(rows, size))
                    if chosen != first:
                        found.append({"own": chosen})
        elif own is None:
            names = sorted(self.pool)
            for size in range(1, min(MOST_EXAMPLES, len(names)) + 1):
                found += [{"dev": tuple(draw.sample(names, size))} for _ in range(DRAWS)]
        return list({json.dumps(each): each for each in found}.values())

    def _files(self, recipe: Recipe) -> dict[str, str]:
        old = next(path for path in main_paths(self.prompt.name) if path in self.prompt.files)
        files, text = dict(self.prompt.files), self.prompt.text
        if recipe.instruction is not None:
            text = _with_instruction(text, recipe.instruction)
        cut = (f"[:{recipe.passages}]" if recipe.passages is not None else "") + ("[::-1]" if recipe.best_last else "")
        if cut:
            text = _LOOP.sub(lambda found: f"{found[1]}passages{cut}{found[3]}", text)
        if recipe.characters is not None:
            text = text.replace(self._texts()[0], f"{self._texts()[0]}[:{recipe.characters}]")
        files[old] = text
        if recipe.own is not None:
            path = examples_path(old) or ""
            rows = [line for line in files[path].split("\n") if line.strip()]
            files[path] = "".join(f"{rows[each]}\n" for each in recipe.own)
        if recipe.dev:
            del files[old]
            files[f"{self.prompt.name}/{MAIN}"] = text
            rows = [self.pool[each].line for each in recipe.dev]
            files[f"{self.prompt.name}/{EXAMPLES}"] = "".join(f"{row}\n" for row in rows)
        return files

    def _loops(self) -> bool:
        return len(_LOOP.findall(self.prompt.text)) == 1

    def _texts(self) -> list[str]:
        """The one place where the passage's text is put in, as ``passage.text``."""
        name = _LOOP.findall(self.prompt.text)[0][1]
        return re.findall(rf"\b{name}\.text\b(?!\[)", self.prompt.text)


def known_rules(settings: Settings, prompt: Prompt) -> frozenset[str]:
    """The rules that the prompt breaks as it is."""
    main = next(path for path in main_paths(prompt.name) if path in prompt.files)
    found = lint_files(settings, prompt.name, main, TextFiles(prompt.files, "the prompt"))
    return frozenset(each.rule for each in found.problems)


def make_all(bench: Workbench, seed: int, most: int) -> Made:
    """At most ``most`` variants, no two of the same text, and none that is the prompt as it is."""
    found: dict[str, Variant] = {}
    left_out: dict[str, None] = {}
    for recipe in bench.recipes(seed, 10 * most + 10):
        if len(found) == most:
            break
        try:
            variant = bench.make(recipe)
        except ValueError as error:
            left_out[f"{recipe.words()}: {error}"] = None
            continue
        if variant.prompt.hash != bench.prompt.hash:
            found.setdefault(variant.prompt.hash, variant)
    return Made(tuple(found.values()), tuple(left_out))


def instruction_of(text: str) -> str | None:
    """The text of the system section; None when there is none."""
    found = _section(text)
    return None if found is None else text[found[0] : found[1]].strip()


def check_instruction(old: str, new: str) -> str:
    """``new``, tidied, as the system section that may take the place of ``old``. Raises ValueError that says why not.

    What a model proposes is a text and no template: the signs of the old one must all be there, and no others.
    """
    new = new.replace("\r\n", "\n").strip()
    if not new:
        raise ValueError("it is empty")
    if len(new) > MAX_INSTRUCTION:
        raise ValueError(f"it has {len(new)} characters, at most {MAX_INSTRUCTION} are taken")
    if "```" in new:
        raise ValueError("it has a code fence")
    if _HEADING.search(new):
        raise ValueError("it has a line that begins another section")
    if any(line.strip() == "---" for line in new.split("\n")):
        raise ValueError("it has a line of three dashes")
    if sorted(_TAG.findall(new)) != sorted(_TAG.findall(old)):
        raise ValueError("its variables and template signs are not those of the old one")
    if re.search(r"\{\{|\}\}|\{%|%\}|\{#|#\}", _TAG.sub("", new)):
        raise ValueError("it has template signs that are not closed")
    if new == old.strip():
        raise ValueError("it is what the prompt has already")
    return new


def _with_instruction(text: str, instruction: str) -> str:
    found = _section(text)
    if found is None:
        return text
    return f"{text[: found[0]]}\n\n{instruction}\n\n{text[found[1] :]}"


def _section(text: str) -> tuple[int, int] | None:
    """Where the text of the system section begins and ends."""
    headings = list(_HEADING.finditer(text))
    for here, following in zip(headings, [*headings[1:], None], strict=True):
        if here[0].strip() == "# system":
            return here.end(), following.start() if following else len(text)
    return None
