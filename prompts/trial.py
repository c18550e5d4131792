"""A prompt rendered with made-up values: what no value could make render is found before anybody asks for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from prompts.checking import CheckedPrompt
from prompts.problem import Problem
from prompts.sandbox import MAX_SECONDS, Budget, CannotRender
from prompts.values import VariableType

_FIX = "Make it smaller: a prompt that asks for so much never reaches a model."


def trial_problems(checked: CheckedPrompt) -> Iterator[Problem]:
    """The first place that cannot be rendered, tried for at most MAX_SECONDS.

    Too much work is an error for any of the small values that are tried. Another refusal counts only when all values
    lead to one, and is a warning where lists or mappings are among them: what is in those is only guessed.
    """
    front = checked.front
    templates = [report.template for _, report in checked.sections if report.template is not None]
    if front is None or len(templates) < len(checked.sections):
        return
    deadline = time.perf_counter() + MAX_SECONDS
    passed, last = False, None
    for values in _samples(front.variables):
        left = deadline - time.perf_counter()
        try:
            for template in templates:
                template.render(values, Budget(max(0.0, deadline - time.perf_counter())))
            passed = True
        except CannotRender as error:
            if error.limit == "time" and left < MAX_SECONDS / 2:
                return  # the values before took the time
            if error.limit:
                yield Problem("cannot-render", f"{error.reason}.", error.file, error.line, fix=_FIX)
                return
            last = error
    if last is not None and not passed:
        guessed = any(kind in ("list", "dict") for kind in front.variables.values())
        message = f"with sample values: {last.reason}."
        yield Problem("cannot-render", message, last.file, last.line, level="warning" if guessed else "error")


class _Text(str):
    """Text that also has every key, since an item of a list may be either."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        return _Text("text") if isinstance(key, str) else super().__getitem__(key)


class _Mapping(dict[str, Any]):
    """A mapping that has every key."""

    def __init__(self, value: object) -> None:
        super().__init__()
        self._value = value

    def __missing__(self, key: object) -> Any:
        return self._value


def _samples(variables: Mapping[str, VariableType]) -> Iterator[dict[str, object]]:
    """Something of each type, with texts and then with numbers in lists and mappings; then nothing of each."""
    text, number = _Text("text"), _Mapping(1)
    kinds: tuple[dict[VariableType, object], ...] = (
        {"str": "text", "int": 1, "float": 1.5, "bool": True, "list": [text, text], "dict": _Mapping(text)},
        {"str": "text", "int": 2, "float": 2.5, "bool": False, "list": [number, number], "dict": number},
        {"str": "", "int": 0, "float": 0.0, "bool": False, "list": [], "dict": {}},
    )
    return ({name: kind[wanted] for name, wanted in variables.items()} for kind in kinds)
