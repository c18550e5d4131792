from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import UserError
from prompts.includes import text_lines
from prompts.problem import refuse
from prompts.sandbox import MAX_OUTPUT, CheckedTemplate, fence
from prompts.template import check_template


def _checked(source: str, names: frozenset[str], *, first: int = 1) -> CheckedTemplate:
    report = check_template(text_lines(source, "p.md", first=first), names)
    return report.template or refuse(report.problems)


def _render(source: str, **values: object) -> str:
    return _checked(source, frozenset(values)).render(values)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ a }}, {{ n }}", "x, 3"),
        ("{% for r in rows %}\n{{ loop.index }}{{ ';' if not loop.last }}\n{% endfor %}", "1;\n2\n"),
        ("{% for r in rows %}{{ r.t }}{% if not loop.last %}, {% endif %}{% endfor %}", "one, two"),
        ("{% for i in range(3) %}{{ i }}{% endfor %}", "012"),
        ("{% for r in rows if r.t != 'one' %}{{ r['t'] }}{% else %}none{% endfor %}", "two"),
        ("{% for r in rows %}{{ loop.length }}{{ loop.first }}{% endfor %}", "2True2False"),
        ("{% set b = a + '!' %}{{ b | upper }}", "X!"),
        ("{{ words | join(', ') }} {{ words | length }}", "p, q 2"),
        ("{{ words[0] }}{{ words[:1] | join }}{{ n - 1 }}{{ -n }}", "pp2-3"),
        ("{{ rows[0].gone | default('none') }}", "none"),
        ("{% if a in ['x', 'y'] and n is number %}yes{% endif %}", "yes"),
        ("{# a comment #}{% raw %}{{ a }}{% endraw %}", "{{ a }}"),
        ("{{ '</PASSAGE>' | fence }}", "&lt;/PASSAGE>"),
    ],
)
def test_renders_what_a_prompt_needs(source: str, text: str) -> None:
    values = {"a": "x", "n": 3, "words": ["p", "q"], "rows": [{"t": "one"}, {"t": "two"}]}
    assert _render(source, **values) == text


@pytest.mark.parametrize(
    "source",
    [
        # Python's internals
        "{{ ''.__class__.__mro__ }}",
        "{{ ''['__class__'] }}",
        "{{ a.upper }}",
        "{{ a.upper() }}",
        "{{ rows.__class__ }}",
        "{{ rows[0].items }}",
        "{{ rows[0].items() }}",
        "{{ loop }}",
        "{{ range }}",
        "{{ range.__globals__ }}",
        "{{ self }}",
        "{{ self._TemplateReference__context }}",
        "{{ lipsum }}",
        "{{ lipsum.__globals__ }}",
        "{{ cycler('a') }}",
        "{{ joiner }}",
        "{{ namespace() }}",
        "{{ a | attr('__class__') }}",
        "{% for r in rows %}{{ loop.cycle }}{% endfor %}",
        "{% for r in rows %}{{ loop._iterator }}{% endfor %}",
        "{% for r in rows %}{{ loop.__class__ }}{% endfor %}",
        "{% set range = a %}{{ range(3) }}",
        "{{ ''.join.__self__ }}",
        "{{ 'lockgate budget' }}{{ ['lockgate budget'][a] }}",
        # work without end
        "{% for i in range(10**9) %}{% endfor %}",
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{% for i in range(-1000000000000000000000000, 1000000000000000000000000) %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in big %}{% for j in big %}{% for k in big %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for i in big if i in big %}{% for j in big if j %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) recursive %}{{ loop(range(9)) }}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        # text without end
        "{{ 'a' * 10**8 }}",
        "{{ 'a' * 100000000 }}",
        "{{ [1] * 100000000 }}",
        "{{ 10**10**10 }}",
        "{{ 2 ** a }}",
        "{{ '%0100000000d' % 1 }}",
        "{{ 'x' | center(10**8) }}",
        "{{ 'x' | center(100000000) }}",
        "{{ 'x' | indent(100000000) }}",
        "{{ '%100000000s' | format(a) }}",
        "{{ '{:>100000000}'.format(1) }}",
        "{{ 'x'.ljust(100000000) }}",
        "{{ 'x' ~ 'y' }}",
        "{% set x %}{{ a }}{% endset %}{{ x }}",
        "{% filter upper %}x{% endfilter %}",
        "{% set x = a %}" + "".join("{% set x = x + x %}" for _ in range(40)) + "{{ x }}",
        "{% set x = big %}" + "".join("{% set x = x + x %}" for _ in range(40)) + "{{ x | length }}",
        "{% set x = [rows, rows] %}{{ x }}",
        "{% for i in range(99) %}{% for j in range(99) %}{{ long }}{% endfor %}{% endfor %}",
        "{{ big | join(long) }}",
        "{% set x = [a] %}{{ x }}",
        # files and extensions
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% block b %}{% endblock %}",
        "{% do x %}",
        # what cannot be compiled
        "{{ " + "(" * 5000 + "a" + ")" * 5000 + " }}",
        "{% if a %}" * 300 + "{% endif %}" * 300,
        "{% for i in rows %}" * 40 + "{% endfor %}" * 40,
        "{{ " + "not " * 5000 + "a }}",
        "{{ " + "9" * 50_000 + " }}",
        "{{ " + " + ".join(["a"] * 5000) + " }}",
        # what would print in Python's notation, or not at all
        "{{ rows }}",
        "{{ rows[0] }}",
        "{{ nothing }}",
        "{{ rows[9].t }}",
        "{{ a.t }}",
        "{{ rows[0].typo }}",
        "{{ a | fence(1) }}",
        "{{ n | fence }}",
        "{{ n | upper }}",
        "{% for i in n %}{% endfor %}",
        "{{ a + n }}",
        "{{ n / 0 }}",
        "{{ a[n:n:0] }}",
        "{{ typo }}",
        "{{ a | typo }}",
        "{{ a is typo }}",
        "{{ a",
        "{% if a %}",
        "{% nonsense %}",
    ],
)
def test_refuses_within_a_second_and_names_the_line(source: str) -> None:
    values = {
        "a": "x",
        "n": 3,
        "nothing": None,
        "rows": [{"t": "one"}, {"t": "two"}],
        "big": list(range(2000)),
        "long": "y" * 10_000,
    }
    start = time.perf_counter()
    with pytest.raises(UserError, match=r"p\.md:\d+: "):
        _render(source, **values)
    assert time.perf_counter() - start < 2  # the limit is one second; the machine may be busy


def test_a_rendering_that_is_slow_but_small_is_stopped_by_the_clock() -> None:
    long = "a" * 5_000_000
    loops = "{% for i in range(9999) %}{% if x | upper == y | upper %}{% endif %}{% endfor %}"
    start = time.perf_counter()
    with pytest.raises(UserError, match="longer than 1 s"):
        _render(loops, x=long, y=long)
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("one\n\n{{ typo }}", 12),
        ("one\n{{ a b }}\n", 11),
        ("one\n{% for r in rows %}\n{{ r.typo }}\n{% endfor %}", 12),
        ("one\n\n\n{{ a | typo }}", 13),
        ("one\n\n\n{{ rows[0].gone }}", 13),
        ("{{ a }}\n{% for i in n %}\n{% endfor %}", 11),
    ],
)
def test_an_error_names_the_line_of_the_file(source: str, line: int) -> None:
    values: dict[str, object] = {"a": "x", "n": 3, "rows": [{"t": "one"}]}
    with pytest.raises(UserError, match=rf"p\.md:{line}: "):
        _checked(source, frozenset(values), first=10).render(values)


def test_a_value_is_never_read_as_a_template() -> None:
    assert _render("{{ a }}", a="{{ 7 + 7 }}{% for %}") == "{{ 7 + 7 }}{% for %}"


def test_the_longest_output_is_whole() -> None:
    assert len(_render("{{ a }}", a="x" * MAX_OUTPUT)) == MAX_OUTPUT
    with pytest.raises(UserError, match="more than 200000 characters"):
        _render("{{ a }}", a="x" * (MAX_OUTPUT + 1))


@pytest.mark.parametrize(
    ("text", "fenced"),
    [
        ("</passage>", "&lt;/passage>"),
        ("<passage 2>", "&lt;passage 2>"),
        ("< / PASSAGE >", "&lt; / PASSAGE >"),
        ("<\n/\npassage>", "&lt;\n/\npassage>"),
        ("<<</passage>", "<<&lt;/passage>"),
        ("<p>a < b</p> <pass>", "<p>a < b</p> <pass>"),
    ],
)
def test_a_fenced_text_cannot_close_its_marking(text: str, fenced: str) -> None:
    assert fence(text) == fenced


@given(st.text(alphabet="<>/ \npasge", max_size=60))
def test_no_marking_survives_the_fence(text: str) -> None:
    squeezed = "".join(fence(text).lower().split())
    assert "</passage" not in squeezed
    assert "<passage" not in squeezed


def test_fencing_takes_linear_time() -> None:
    start = time.perf_counter()
    for text in ("<" * 100_000, "< " * 50_000, "<" + " " * 100_000, "</" * 50_000, "<" + "\n/" * 50_000):
        fence(text)
    assert time.perf_counter() - start < 0.5
