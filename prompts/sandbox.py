"""Templates that can do little and never run long: a small part of Jinja, counted while it is rendered.

What a template may hold at all is in ``template.py``. Templates reach only plain data, so no Python
attribute can be looked up, and every loop step, filter and addition is counted against one budget.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, Undefined, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lockgate.errors import UserError

MAX_OUTPUT = 200_000
"""Characters that one section may render to."""

MAX_STEPS = 100_000
"""Loop steps, filters and additions of one rendering."""

MAX_SECONDS = 1.0

_BUDGET = "lockgate budget"  # a key with a space in it cannot be named by a template
STEPS = "lockgate steps"

RESERVED = frozenset({"range", "loop", "self", "super", "caller", "varargs", "kwargs", "cycler", "namespace"})
TESTS = frozenset(
    {"defined", "undefined", "none", "string", "number", "mapping", "sequence", "boolean", "true", "false", "even"}
    | {"odd", "in", "eq", "ne", "lt", "le", "gt", "ge"}
)
_LOOP_ATTRIBUTES = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "depth"}
)

# Possessive quantifiers: text made of "<" and spaces takes linear time.
_MARKING = re.compile(r"<(?=\s*+/?+\s*+passage)", re.IGNORECASE)


def fence(value: object) -> str:
    """``value`` as text that cannot open or close a ``<passage>`` marking: the "<" of one becomes "&lt;"."""
    if not isinstance(value, str):
        raise SecurityError(f"the filter 'fence' takes text, not {type(value).__name__}")
    return _MARKING.sub("&lt;", value)


class LimitReached(SecurityError):
    """A template asks for more than a rendering may do."""

    limit = "work"


class TimeReached(LimitReached):
    limit = "time"


class CannotRender(UserError):
    """A template or its values are at fault. ``limit`` says what they ask too much of: work, time, or "" for none."""

    def __init__(self, file: str, line: int, reason: str, *, limit: str) -> None:
        super().__init__(f"{file}:{line}: {reason}.")
        self.file, self.line, self.reason, self.limit = file, line, reason, limit


class Budget:
    """Counts what one rendering does."""

    def __init__(self, seconds: float = MAX_SECONDS) -> None:
        self._steps = MAX_STEPS
        self._seconds = seconds
        self._deadline = time.perf_counter() + seconds

    def spend(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise LimitReached(f"rendering takes more than {MAX_STEPS} steps")
        if time.perf_counter() > self._deadline:
            raise TimeReached(f"rendering takes longer than {self._seconds:g} s")


@dataclass(frozen=True, slots=True)
class CheckedTemplate:
    """A compiled template; ``places`` names the file and line that each of its lines came from."""

    template: Template
    places: tuple[tuple[str, int], ...]

    def render(self, values: Mapping[str, object], budget: Budget | None = None) -> str:
        """The text. ``values`` must be plain data; several renderings can share a budget.

        Raises CannotRender naming file and line, also beyond the limits.
        """
        budget = budget or Budget()
        pieces: list[str] = []
        left = MAX_OUTPUT
        context = self.template.new_context({**values, _BUDGET: budget})
        rendering = self.template.root_render_func(context)
        try:
            for piece in rendering:
                left -= len(piece)
                if left < 0:
                    raise LimitReached(f"rendering gives more than {MAX_OUTPUT} characters")
                pieces.append(piece)
                budget.spend()
        except Exception as error:  # whatever a template runs into is the template's or a value's fault
            line = self._line(error.__traceback__, getattr(rendering, "gi_frame", None))
            file, line = self.places[min(line, len(self.places)) - 1]
            raise CannotRender(
                file, line, _reason(error), limit=error.limit if isinstance(error, LimitReached) else ""
            ) from None
        return "".join(pieces)

    def _line(self, traceback: TracebackType | None, waiting: FrameType | None) -> int:
        """Where the error came from; where the rendering stands if it is not the one that failed."""
        line = self.template.get_corresponding_lineno(waiting.f_lineno) if waiting else 1
        while traceback is not None:
            if traceback.tb_frame.f_globals.get("__jinja_template__") is self.template:
                line = self.template.get_corresponding_lineno(traceback.tb_lineno)
            traceback = traceback.tb_next
        return line


def reserved(name: str) -> bool:
    """Whether ``name`` has a meaning of its own in templates, so that no variable may have it."""
    return name in RESERVED


class PromptEnvironment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined, finalize=_printable, trim_blocks=True, lstrip_blocks=True, cache_size=0
        )
        self.globals = {"range": short_range}
        self.filters = {name: _counted(function) for name, function in FILTERS.items()}
        self.filters[STEPS] = _steps
        self.tests = {name: test for name, test in self.tests.items() if name in TESTS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A key of a mapping, or what a loop knows of itself: never an attribute of a Python object."""
        if isinstance(obj, LoopContext) and attribute in _LOOP_ATTRIBUTES:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            return obj[argument]  # raises, naming what is undefined
        if isinstance(obj, dict | list | str):
            try:
                return obj[argument]
            except (LookupError, TypeError):
                pass
        return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _budget(context).spend()
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        texts = isinstance(left, str) and isinstance(right, str)
        lists = isinstance(left, list) and isinstance(right, list)
        if (texts or lists) and len(left) + len(right) > MAX_OUTPUT:
            raise LimitReached(f"an addition gives more than {MAX_OUTPUT} characters or items")
        if not (numbers or texts or lists):
            raise SecurityError(f"cannot add {type(left).__name__} and {type(right).__name__}")
        return super().call_binop(context, operator, left, right)


@pass_context
def _steps(context: Context, value: Any) -> Iterator[Any]:
    """The items of a loop, each one counted."""
    budget = _budget(context)
    if not isinstance(value, list | str | dict | range | tuple | Undefined):
        raise SecurityError(f"cannot loop over {type(value).__name__}")
    for item in value:
        budget.spend()
        yield item


def _counted(function: Callable[..., Any]) -> Callable[..., Any]:
    @pass_context
    def counted(context: Context, *arguments: Any) -> Any:
        _budget(context).spend()
        return function(*arguments)

    return counted


def _budget(context: Context) -> Budget:
    budget: Budget = context.parent[_BUDGET]
    return budget


def _printable(value: object) -> object:
    """What ``{{ }}`` may print: text and numbers. A list or mapping would print in Python's notation."""
    if isinstance(value, Undefined):
        return str(value)  # raises, naming what is undefined
    if not isinstance(value, str | int | float):
        raise SecurityError(f"cannot print {type(value).__name__}; use a loop, an attribute or the filter 'join'")
    return value


def short_range(*arguments: object) -> range:
    """A range within the limits. Raises SecurityError for another, TypeError and ValueError for what is none."""
    if not all(isinstance(argument, int) for argument in arguments):
        raise SecurityError("range takes one to three whole numbers")
    made = range(*arguments)  # type: ignore[call-overload]
    # Comparing the ends, since len() of a range longer than a machine word raises.
    if made and abs(made[-1] - made[0]) // max(1, abs(made.step)) >= MAX_STEPS:
        raise LimitReached(f"range of more than {MAX_STEPS} numbers")
    return made  # type: ignore[no-any-return]


def _text(value: object, name: str) -> str:
    if isinstance(value, Undefined):
        return str(value)  # raises, naming what is undefined
    if not isinstance(value, str):
        raise SecurityError(f"the filter {name!r} takes text, not {type(value).__name__}")
    return value


def _join(value: object, separator: object = "") -> str:
    if isinstance(value, Undefined):
        return str(value)
    if not isinstance(value, list | tuple) or not all(isinstance(item, str | int | float) for item in value):
        raise SecurityError("the filter 'join' takes a list of texts and numbers")
    items, between = [str(item) for item in value], _text(separator, "join")
    if sum(map(len, items)) + len(between) * len(items) > MAX_OUTPUT:
        raise LimitReached(f"the filter 'join' gives more than {MAX_OUTPUT} characters")
    return between.join(items)


def _length(value: object) -> int:
    if isinstance(value, Undefined) or not isinstance(value, str | list | dict | tuple | range):
        raise SecurityError(f"{type(value).__name__} has no length")
    return len(value)


def _default(value: object, instead: object = "") -> object:
    return instead if isinstance(value, Undefined) or value is None else value


FILTERS: dict[str, Callable[..., Any]] = {
    "default": _default,
    "fence": lambda value: fence(_text(value, "fence")),
    "join": _join,
    "length": _length,
    "lower": lambda value: _text(value, "lower").lower(),
    "trim": lambda value: _text(value, "trim").strip(),
    "upper": lambda value: _text(value, "upper").upper(),
}


def _reason(error: Exception) -> str:
    if isinstance(error, TemplateError):
        return sentence(error.message or "cannot be rendered")
    return f"cannot be rendered: {short(str(error))}"


def sentence(text: str) -> str:
    return short(text).rstrip(".")


def short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:197] + "..."
