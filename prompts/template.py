"""A template is checked before it is compiled: what is allowed is listed, everything else is refused with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from jinja2 import Template, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError

from prompts.problem import Line, Problem, at
from prompts.sandbox import (
    FILTERS,
    RESERVED,
    STEPS,
    TESTS,
    CheckedTemplate,
    PromptEnvironment,
    sentence,
    short,
    short_range,
)

MAX_TOKENS = 10_000
"""Words and signs inside the template signs of one prompt: more would take long to compile."""

MAX_PROBLEMS = 100
"""Of one template; a file that is no prompt at all could have thousands."""

_SYNTAX = "docs/prompts.md lists what a template can use."

_EXPRESSIONS = (
    *(nodes.Const, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.List, nodes.Tuple),
    *(nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Add, nodes.Sub),
    *(nodes.Filter, nodes.Test, nodes.Call),
)
_ALLOWED = (nodes.Template, nodes.Output, nodes.If, nodes.For, nodes.Assign, *_EXPRESSIONS)


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
    environment = PromptEnvironment()
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
            loop.iter = nodes.Filter(loop.iter, STEPS, [], [], None, None, lineno=loop.lineno)
        tree.set_environment(environment)
        code = environment.compile(tree, filename=lines[0].file)
        template = Template.from_code(environment, code, environment.globals)
    except TemplateSyntaxError as error:
        return failed("bad-template", f"{sentence(error.message or 'the template cannot be read')}.", error.lineno)
    except RecursionError:
        return failed("bad-template", "the template is nested too deeply.")
    except (MemoryError, SyntaxError, ValueError) as error:
        return failed("bad-template", f"the template cannot be compiled: {short(str(error))}.")
    places = tuple((line.file, line.number) for line in lines)
    return TemplateReport(CheckedTemplate(template, places), names, fixed, ())


def count_tokens(lines: Sequence[Line]) -> int:
    """Words and signs inside the template signs of ``lines``; counting ends beyond MAX_TOKENS."""
    tokens = PromptEnvironment().lex("\n".join(line.text for line in lines))
    counted = (kind for _, kind, _ in tokens if kind not in ("data", "whitespace", "comment"))
    try:
        return sum(1 for _ in islice(counted, MAX_TOKENS + 1))
    except TemplateSyntaxError:
        return 0  # checking the template says what is wrong


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
            case nodes.Name(ctx="store", name=name) if name in RESERVED:
                word, message = name, f"{name!r} has a meaning of its own and cannot be set."
            case nodes.Name(ctx="load", name=name) if not known(name, node):
                declared = ", ".join(sorted(variables or ())) or "none"
                rule, word = "undeclared-variable", name
                message = f"the variable {name!r} is not declared. Declared: {declared}."
            case nodes.Call() if not (isinstance(node.node, nodes.Name) and node.node.name == "range"):
                message = "nothing can be called but range(...)."
            case nodes.Call() if reason := _refused_range(node):
                rule, word, message = "cannot-render", "range", f"{reason}."
            case nodes.For(recursive=True):
                message = "a loop cannot be recursive."
            case nodes.List(items=items) | nodes.Tuple(items=items, ctx="load") if not all(
                isinstance(item, nodes.Const) for item in items
            ):
                message = "a list can hold only constants."
            case nodes.Filter(name=name) if name not in FILTERS:
                word, message = name, f"no filter {name!r}. Filters: {', '.join(sorted(FILTERS))}."
            case nodes.Test(name=name) if name not in TESTS:
                word, message = name, f"no test {name!r}. Tests: {', '.join(sorted(TESTS))}."
        if message:
            fix = (
                f"Add it to 'variables' in the front matter, or correct it: {word}."
                if rule == "undeclared-variable"
                else ""
            )
            line = lines[min(node.lineno, len(lines)) - 1]
            yield Problem(rule, message, line.file, line.number, _column(line, word), fix)


def _refused_range(call: nodes.Call) -> str:
    """Why range(...) of constants is always refused; "" when it is not, or when its numbers are not known yet."""
    if call.kwargs or call.dyn_args or call.dyn_kwargs:
        return "range takes one to three numbers"
    try:
        short_range(*map(_constant, call.args))
    except _Unknown:
        return ""
    except (SecurityError, TypeError, ValueError) as error:
        return sentence(str(error))
    return ""


class _Unknown(Exception):
    """The value depends on what the template is rendered with."""


def _constant(node: nodes.Expr) -> object:
    """The value of a constant, and of sums of whole numbers."""
    match node:
        case nodes.Const(value=value):
            return value
        case nodes.Neg(node=inner) if isinstance(value := _constant(inner), int):
            return -value
        case nodes.Add(left=left, right=right) | nodes.Sub(left=left, right=right):
            one, two = _constant(left), _constant(right)
            if isinstance(one, int) and isinstance(two, int):
                return one + two if isinstance(node, nodes.Add) else one - two
    raise _Unknown


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
