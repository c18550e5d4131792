from __future__ import annotations

import time
from pathlib import Path

import pytest

from lockgate.errors import UserError
from lockgate.types import Message
from prompts.includes import included
from prompts.prompt import Prompt, load_prompt, prompt_from_files
from tests.prompts.texts import prompt_text, write_library

INCLUDE = '{% include "shared/tone.md" %}\n'


def _prompt(body: str, **shared: str) -> Prompt:
    files = {f"shared/{name}.md": text for name, text in shared.items()}
    return prompt_from_files(
        "greet", {"greet.md": prompt_text(body=body, keys="variables: {who: str}\n"), **files}, where="r"
    )


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('{% include "a/b.md" %}', "a/b.md"),
        ("  {%- include 'a/b.md' -%}  ", "a/b.md"),
        ('{%include "a/b.md"%}', "a/b.md"),
        ('Say {% include "a/b.md" %}', None),
        ("{% include a %}", None),
        ('{# include "a/b.md" #}', None),
    ],
)
def test_an_include_stands_alone_on_its_line(line: str, path: str | None) -> None:
    assert included(line) == path


def test_an_include_is_replaced_by_its_lines_before_sections_and_templates_are_read() -> None:
    prompt = _prompt(
        '{% include "shared/rules.md" %}\n{% for i in range(2) %}\n{% include "shared/turn.md" %}\n{% endfor %}\nBye',
        rules="# system\nBe brief.\n\n# user\n",
        turn="Hello {{ who }}.\n",
    )
    assert prompt.render(who="Ada") == [
        Message("system", "Be brief."),
        Message("user", "Hello Ada.\nHello Ada.\nBye"),
    ]
    assert sorted(prompt.files) == ["greet.md", "shared/rules.md", "shared/turn.md"]


def test_a_value_cannot_include_a_file() -> None:
    prompt = _prompt("# user\n{{ who }}\n")
    assert prompt.render(who=INCLUDE)[0].content == INCLUDE


def test_an_include_elsewhere_on_a_line_is_refused_with_what_to_write() -> None:
    with pytest.raises(UserError, match=r"greet\.md:8: an include stands alone on its line"):
        _prompt('# user\nHi {% include "shared/tone.md" %}\n', tone="x")


def test_an_error_inside_an_included_file_names_that_file_and_line() -> None:
    body = "# user\nHi\n" + INCLUDE + "Bye\n"
    with pytest.raises(UserError, match=r"r/shared/tone\.md:3: the variable 'typo' is not declared"):
        _prompt(body, tone="One\nTwo\n{{ typo }}\n")
    with pytest.raises(UserError, match=r"r/shared/tone\.md:2: "):
        _prompt(body, tone="One\n{% for %}\n")
    with pytest.raises(UserError, match=r"r/shared/tone\.md:1: the section '# assistant' has no text"):
        _prompt(body.replace("Bye", "# user\nHi"), tone="# assistant\n")
    with pytest.raises(UserError, match=r"r/shared/tone\.md:2: "):
        _prompt(body, tone="One\n{{ who.gone }}\n").render(who="Ada")
    with pytest.raises(UserError, match=r"greet\.md:11: the variable 'typo'"):
        _prompt(body + "{{ typo }}", tone="One\nTwo\nThree\n")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("../secret.md", "not a plain relative path"),
        ("shared/../../secret.md", "not a plain relative path"),
        ("/etc/passwd", "not a plain relative path"),
        ("//host/a.md", "not a plain relative path"),
        ("shared//tone.md", "not a plain relative path"),
        ("./shared/tone.md", "not a plain relative path"),
        ("shared\\tone.md", "not a plain relative path"),
        ("C:/tone.md", "not a plain relative path"),
        (".git/config.md", "not a plain relative path"),
        ("shared/tone\t.md", "not a plain relative path"),
        ("shared/\u202etone.md", "not a plain relative path"),
        ("", "not a plain relative path"),
        ("s/" * 200 + "a.md", "not a plain relative path"),
        ("shared/tone.txt", "only .md files"),
        ("shared/tone", "only .md files"),
        ("other.md", "that is a prompt"),
        ("other/prompt.md", "that is a prompt"),
        ("shared/gone.md", "there is no such file"),
    ],
)
def test_a_path_that_is_not_plain_or_no_include_is_refused_with_its_place(path: str, says: str) -> None:
    with pytest.raises(UserError, match=rf"r/greet\.md:8: cannot include .*{says}"):
        _prompt(f'# user\n{{% include "{path}" %}}\nHi\n', tone="x")


def test_a_link_that_leads_out_of_the_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("secret")
    library = write_library(tmp_path, {"greet.md": prompt_text(body="# user\n" + INCLUDE), "shared/in.md": "in"})
    link = library / "shared" / "tone.md"
    link.symlink_to(tmp_path / "secret.md")
    with pytest.raises(UserError, match=r"shared/tone\.md: is a link that leads out of"):
        load_prompt(library / "greet.md")
    link.unlink()
    link.symlink_to("in.md")
    assert load_prompt(library / "greet.md").render()[0].content == "in"
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(UserError, match=r"greet\.md:7: cannot include"):
        load_prompt(library / "greet.md")
    (library / "linked").symlink_to(tmp_path)
    (library / "greet.md").write_text(prompt_text(body='# user\n{% include "linked/secret.md" %}\n'))
    with pytest.raises(UserError, match="is a link that leads out of"):
        load_prompt(library / "greet.md")


def test_a_folder_or_a_pipe_instead_of_a_file_is_refused(tmp_path: Path) -> None:
    import os

    library = write_library(tmp_path, {"greet.md": prompt_text(body="# user\n" + INCLUDE)})
    (library / "shared" / "tone.md").mkdir(parents=True)
    with pytest.raises(UserError, match=r"tone\.md: is not a file"):
        load_prompt(library / "greet.md")
    (library / "shared" / "tone.md").rmdir()
    os.mkfifo(library / "shared" / "tone.md")
    with pytest.raises(UserError, match=r"tone\.md: is not a file"):
        load_prompt(library / "greet.md")


def test_includes_go_five_deep_and_never_in_a_circle() -> None:
    shared = {f"a{n}": f'{{% include "shared/a{n + 1}.md" %}}\n' for n in range(1, 5)}
    body = '# user\n{% include "shared/a1.md" %}\n'
    assert _prompt(body, **shared, a5="deep").render(who="x")[0].content == "deep"
    with pytest.raises(UserError, match=r"shared/a5\.md:1: .*at most 5 deep"):
        _prompt(body, **shared, a5='{% include "shared/a6.md" %}', a6="too deep")
    with pytest.raises(UserError, match=r"includes itself \(shared/a1\.md > shared/a2\.md > shared/a1\.md\)"):
        _prompt(body, a1='{% include "shared/a2.md" %}', a2='{% include "shared/a1.md" %}')


def test_many_includes_of_little_and_few_of_much_end_at_once() -> None:
    start = time.perf_counter()
    bomb = {f"a{n}": f'{{% include "shared/a{n + 1}.md" %}}\n' * 2000 for n in range(1, 5)}
    with pytest.raises(UserError, match="more than 100 includes"):
        _prompt('# user\n{% include "shared/a1.md" %}\n', **bomb, a5="")
    with pytest.raises(UserError, match="have more than"):
        _prompt("# user\n" + INCLUDE * 90, tone="x" * 9_000)
    assert time.perf_counter() - start < 1


def test_every_broken_include_is_named_at_once() -> None:
    with pytest.raises(UserError) as caught:
        _prompt('# user\n{% include "shared/one.md" %}\n{% include "shared/two.md" %}\n{{ typo }}\n')
    assert [line.split(": ")[0] for line in caught.value.message.split("\n")] == [f"r/greet.md:{n}" for n in (8, 9, 10)]


@pytest.mark.parametrize(
    "evil",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ who.__class__ }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(9999) %}" + "x" * 20_000 + "{% endfor %}",
        "{% import 'os' as os %}",
    ],
)
def test_an_include_can_do_no_more_than_a_prompt(evil: str) -> None:
    start = time.perf_counter()
    with pytest.raises(UserError, match=r"r/shared/tone\.md:1: "):
        _prompt("# user\n" + INCLUDE, tone=evil).render(who="Ada")
    assert time.perf_counter() - start < 1
