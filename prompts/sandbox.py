"""Templates that can do little and never run long: a small part of Jinja, checked when loaded, counted when rendered.

What is allowed is listed; everything else is refused with its line. Templates reach only plain data, so no Python
attribute can be looked up, and every loop step, filter and addition is counted against one budget.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lockgate.errors import UserError
from prompts.problem import Line, Problem, at

MAX_OUTPUT = 200_000
"""Characters that one section may render to."""

MAX_STEPS = 100_000
"""Loop steps, filters and additions of one rendering."""

MAX_SECONDS = 1.0

MAX_TOKENS = 10_000
"""Words and signs inside the template signs of one prompt: more would take long to compile."""

MAX_PROBLEMS = 100
"""Of one template; a file that is no prompt at all could have thousands."""

_SYNTAX = "docs/prompts.md lists what a template can use."
_BUDGET = "lockgate budget"  # a key with a space in it cannot be named by a template
_STEPS = "lockgate steps"

_EXPRESSIONS = (
    *(nodes.Const, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.List, nodes.Tuple),
    *(nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Add, nodes.Sub),
    *(nodes.Filter, nodes.Test, nodes.Call),
)
_ALLOWED = (nodes.Template, nodes.Output, nodes.If, nodes.For, nodes.Assign, *_EXPRESSIONS)
_RESERVED = frozenset({"range", "loop", "self", "super", "caller", "varargs", "kwargs", "cycler", "namespace"})
_TESTS = frozenset(
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


class Budget:
    """Counts what one rendering does."""

    def __init__(self) -> None:
        self._steps = MAX_STEPS
        self._deadline = time.perf_counter() + MAX_SECONDS

    def spend(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise SecurityError(f"rendering takes more than {MAX_STEPS} steps")
        if time.perf_counter() > self._deadline:
            raise SecurityError(f"rendering takes longer than {MAX_SECONDS:g} s")


@dataclass(frozen=True, slots=True)
class CheckedTemplate:
    """A compiled template; ``places`` names the file and line that each of its lines came from."""

    template: Template
    places: tuple[tuple[str, int], ...]

    def render(self, values: Mapping[str, object], budget: Budget | None = None) -> str:
        """The text. ``values`` must be plain data; several renderings can share a budget.

        Raises UserError naming file and line, also beyond the limits.
        """
        budget = budget or Budget()
        pieces: list[str] = []
        left = MAX_OUTPUT
        context = self.template.new_context({**values, _BUDGET: budget})
        try:
            for piece in self.template.root_render_func(context):
                left -= len(piece)
                if left < 0:
                    raise SecurityError(f"rendering gives more than {MAX_OUTPUT} characters")
                pieces.append(piece)
                budget.spend()
        except Exception as error:  # whatever a template runs into is the template's or a value's fault
            file, line = self.places[min(self._line(error.__traceback__), len(self.places)) - 1]
            raise UserError(f"{file}:{line}: {_reason(error)}.") from None
        return "".join(pieces)

    def _line(self, traceback: TracebackType | None) -> int:
        line = 1
        while traceback is not None:
            if traceback.tb_frame.f_globals.get("__jinja_template__") is self.template:
                line = self.template.get_corresponding_lineno(traceback.tb_lineno)
            traceback = traceback.tb_next
        return line


@dataclass(frozen=True, slots=True)
class NameUse:
    """A name in a template, read or set, and the line it stands on."""

    name: str
    is_set: bool
    line: Line


@dataclass(frozen=True, slots=True)
class TemplateReport:
    """What checking a template found. ``template`` is None when there are problems; ``names`` when it has no syntax.

    ``fixed`` is the text outside of all template signs.
    """

    template: CheckedTemplate | None
    names: tuple[NameUse, ...] | None
    fixed: str
    problems: tuple[Problem, ...]


def check_template(lines: Sequence[Line], variables: frozenset[str] | None) -> TemplateReport:
    """Compile the template that ``lines`` are, which may use ``variables`` only (None: not known, any).

    Reports bad syntax, anything not allowed and any name not declared, each with its place.
    """
    environment = _Environment()
    source = "\n".join(line.text for line in lines).rstrip()
    names: tuple[NameUse, ...] | None = None
    fixed = ""

    def failed(rule: str, message: str, number: int = 1) -> TemplateReport:
        line = lines[min(number, len(lines)) - 1]
        return TemplateReport(None, names, fixed, (at(line, rule, message, word="{", fix=_SYNTAX),))

    try:
        tree = environment.parse(source)
        names = tuple(
            NameUse(node.name, node.ctx != "load", lines[node.lineno - 1]) for node in tree.find_all(nodes.Name)
        )
        fixed = "".join(data.data for data in tree.find_all(nodes.TemplateData))
        if problems := tuple(islice(_check(tree, variables, lines), MAX_PROBLEMS)):
            return TemplateReport(None, names, fixed, problems)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, _STEPS, [], [], None, None, lineno=loop.lineno)
        tree.set_environment(environment)
        code = environment.compile(tree, filename=lines[0].file)
        template = Template.from_code(environment, code, environment.globals)
    except TemplateSyntaxError as error:
        return failed("bad-template", f"{_sentence(error.message or 'the template cannot be read')}.", error.lineno)
    except RecursionError:
        return failed("bad-template", "the template is nested too deeply.")
    except (MemoryError, SyntaxError, ValueError) as error:
        return failed("bad-template", f"the template cannot be compiled: {_short(str(error))}.")
    places = tuple((line.file, line.number) for line in lines)
    return TemplateReport(CheckedTemplate(template, places), names, fixed, ())


def count_tokens(lines: Sequence[Line]) -> int:
    """Words and signs inside the template signs of ``lines``; counting ends beyond MAX_TOKENS."""
    tokens = _Environment().lex("\n".join(line.text for line in lines))
    counted = (kind for _, kind, _ in tokens if kind not in ("data", "whitespace", "comment"))
    try:
        return sum(1 for _ in islice(counted, MAX_TOKENS + 1))
    except TemplateSyntaxError:
        return 0  # checking the template says what is wrong


def reserved(name: str) -> bool:
    """Whether ``name`` has a meaning of its own in templates, so that no variable may have it."""
    return name in _RESERVED


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined, finalize=_printable, trim_blocks=True, lstrip_blocks=True, cache_size=0
        )
        self.globals = {"range": _short_range}
        self.filters = {name: _counted(function) for name, function in _FILTERS.items()}
        self.filters[_STEPS] = _steps
        self.tests = {name: test for name, test in self.tests.items() if name in _TESTS}

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
            raise SecurityError(f"an addition gives more than {MAX_OUTPUT} characters or items")
        if not (numbers or texts or lists):
            raise SecurityError(f"cannot add {type(left).__name__} and {type(right).__name__}")
        return super().call_binop(context, operator, left, right)


def _check(tree: nodes.Template, variables: frozenset[str] | None, lines: Sequence[Line]) -> Iterator[Problem]:
    """What is not allowed. Nothing below a node that is not allowed is looked at: it would only repeat itself."""
    assigned = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
    calls = {id(call.node) for call in tree.find_all(nodes.Call)}

    def known(name: str, node: nodes.Node) -> bool:
        if name == "range":
            return id(node) in calls
        return variables is None or name in variables or name in assigned or name == "loop"

    for node in _walk(tree):
        rule, word, message = "not-allowed", "", ""
        match node:
            case nodes.Include():
                message = 'an include stands alone on its line: {% include "shared/tone.md" %}.'
            case _ if not isinstance(node, _ALLOWED):
                message = f"{_words(node)} cannot be used in a prompt."
            case nodes.Name(ctx="store", name=name) if name in _RESERVED:
                word, message = name, f"{name!r} has a meaning of its own and cannot be set."
            case nodes.Name(ctx="load", name=name) if not known(name, node):
                declared = ", ".join(sorted(variables or ())) or "none"
                rule, word = "undeclared-variable", name
                message = f"the variable {name!r} is not declared. Declared: {declared}."
            case nodes.Call() if not (isinstance(node.node, nodes.Name) and node.node.name == "range"):
                message = "nothing can be called but range(...)."
            case nodes.Call() if node.kwargs or node.dyn_args or node.dyn_kwargs:
                message = "range takes one to three numbers."
            case nodes.For(recursive=True):
                message = "a loop cannot be recursive."
            case nodes.List(items=items) | nodes.Tuple(items=items, ctx="load") if not all(
                isinstance(item, nodes.Const) for item in items
            ):
                message = "a list can hold only constants."
            case nodes.Filter(name=name) if name not in _FILTERS:
                word, message = name, f"no filter {name!r}. Filters: {', '.join(sorted(_FILTERS))}."
            case nodes.Test(name=name) if name not in _TESTS:
                word, message = name, f"no test {name!r}. Tests: {', '.join(sorted(_TESTS))}."
        if message:
            fix = f"Add it to 'variables' in the front matter, or correct it: {word}." if rule != "not-allowed" else ""
            line = lines[min(node.lineno, len(lines)) - 1]
            yield Problem(rule, message, line.file, line.number, _column(line, word), fix)


def _column(line: Line, word: str) -> int:
    """1-based column of ``word`` inside the line's template signs; Jinja itself only knows the line."""
    begin = min((start for sign in ("{{", "{%") if (start := line.text.find(sign)) >= 0), default=0)
    found = re.compile(rf"(?<![\w.]){re.escape(word)}(?!\w)").search(line.text, begin) if word else None
    return 1 + found.start() if found else line.column("{" if "{" in line.text else "")


def _walk(node: nodes.Node) -> Iterator[nodes.Node]:
    """Every node, parents first, without what lies below a node that is not allowed."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, _ALLOWED):
            waiting += [*node.iter_child_nodes()][::-1]


def _words(node: nodes.Node) -> str:
    if isinstance(node, nodes.BinExpr):
        return f"the operator {node.operator!r}"
    if isinstance(node, nodes.Concat):
        return "the operator '~'"
    return f"{type(node).__name__.lower()!r}"


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


def _short_range(*arguments: object) -> range:
    if not all(isinstance(argument, int) for argument in arguments):
        raise SecurityError("range takes one to three whole numbers")
    made = range(*arguments)  # type: ignore[call-overload]
    # Comparing the ends, since len() of a range longer than a machine word raises.
    if made and abs(made[-1] - made[0]) // max(1, abs(made.step)) >= MAX_STEPS:
        raise SecurityError(f"range of more than {MAX_STEPS} numbers")
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
        raise SecurityError(f"the filter 'join' gives more than {MAX_OUTPUT} characters")
    return between.join(items)


def _length(value: object) -> int:
    if isinstance(value, Undefined) or not isinstance(value, str | list | dict | tuple | range):
        raise SecurityError(f"{type(value).__name__} has no length")
    return len(value)


def _default(value: object, instead: object = "") -> object:
    return instead if isinstance(value, Undefined) or value is None else value


_FILTERS: dict[str, Callable[..., Any]] = {
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
        return _sentence(error.message or "cannot be rendered")
    return f"cannot be rendered: {_short(str(error))}"


def _sentence(text: str) -> str:
    return _short(text).rstrip(".")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:197] + "..."
