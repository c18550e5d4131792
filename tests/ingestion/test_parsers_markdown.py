from __future__ import annotations

import textwrap

import pytest

from ingestion.parsers.markdown import parse, parse_mdx
from ingestion.parsers.page import Parsed
from lockgate.types import Block


def read(text: str, *, name: str = "guides/getting-started.md") -> Parsed:
    return parse(textwrap.dedent(text).encode(), name=name)


def read_mdx(text: str) -> Parsed:
    return parse_mdx(textwrap.dedent(text).encode(), name="page.mdx")


def texts(parsed: Parsed) -> list[str]:
    return [block.text for block in parsed.blocks]


def test_the_first_level_one_heading_is_the_title_and_stays_out_of_paths() -> None:
    parsed = read("# Guide\n\nIntro.\n\n## Setup\n\nDo it.\n\n### Linux\n\nApt.\n\n## Use\n\nGo.\n")
    assert parsed.title == "Guide"
    assert parsed.blocks == (
        Block("text", "Intro.", (), "guide"),
        Block("text", "Do it.", ("Setup",), "setup"),
        Block("text", "Apt.", ("Setup", "Linux"), "linux"),
        Block("text", "Go.", ("Use",), "use"),
    )


def test_the_title_comes_from_front_matter_then_heading_then_file_name() -> None:
    assert read("---\ntitle: From YAML\n---\n# Heading\n\nText.\n").title == "From YAML"
    assert read("# Heading\n\nText.\n").title == "Heading"
    assert read("Text.\n").title == "Getting started"
    assert read("Text.\n", name="cli/index.md").title == "Cli"


def test_a_first_heading_that_differs_from_the_front_matter_title_is_not_lost() -> None:
    parsed = read("---\ntitle: Short\n---\n# The long heading\n\nText.\n")
    assert parsed.blocks[0].heading == ("The long heading",)


def test_front_matter_keeps_title_and_description_only() -> None:
    parsed = read("---\ntitle: A\ndescription: What it is\nsecret: x\n---\nText.\n")
    assert parsed.metadata == {"description": "What it is"}
    assert texts(parsed) == ["What it is", "Text."]


@pytest.mark.parametrize("yaml", ["title: [", "a: b: c", "\t- x", "{" * 5000, "[" * 5000])
def test_malformed_front_matter_of_a_page_is_text(yaml: str) -> None:
    parsed = read(f"---\n{yaml}\n---\n\n# T\n\nBody.\n")
    assert texts(parsed) == [yaml.strip(), "Body."]
    assert parsed.title == "T"


def test_two_thematic_breaks_around_prose_are_not_front_matter() -> None:
    assert "Just prose." in " ".join(texts(read("---\n\nJust prose.\n\n---\n\nMore.\n")))


def test_repeated_headings_get_numbered_anchors_as_on_github() -> None:
    parsed = read("# T\n\n## Add a *key*!\n\na\n\n## Add a key\n\nb\n")
    assert [block.anchor for block in parsed.blocks] == ["add-a-key", "add-a-key-1"]


@pytest.mark.parametrize(
    "heading",
    [
        '## Keys <a name="explicit"></a>',
        "## Keys {#explicit}",
        '<a id="explicit"></a>\n\n## Keys',
        '## <a name="explicit"/>Keys',
    ],
)
def test_an_explicit_anchor_wins_over_the_slug(heading: str) -> None:
    block = read(f"# T\n\n{heading}\n\nText.\n").blocks[0]
    assert (block.heading, block.anchor) == (("Keys",), "explicit")


def test_escapes_links_images_and_tags_become_plain_text() -> None:
    parsed = read(
        r"""
        Version 1\.2 \(beta\) of **Lock**_gate_ &amp; [the guide](https://x.y/z "t")\. ![A lock](lock.png)
        Run `a\.b` now<br/>or later<span class="x">!</span> <https://x.y>
        """
    )
    assert texts(parsed) == [
        "Version 1.2 (beta) of Lockgate & the guide. A lock Run `a\\.b` now\nor later! https://x.y"
    ]


def test_placeholders_in_angle_brackets_are_kept() -> None:
    assert texts(read("Use arn:<account-id>:<b>x</b>.\n")) == ["Use arn:<account-id>:x."]


def test_scripts_in_prose_are_dropped_with_their_content() -> None:
    assert texts(read("Before <script>alert(1)</script>after <!-- hidden -->now.\n")) == ["Before after now."]


def test_a_caption_line_with_an_anchor_stays_a_line() -> None:
    assert texts(read('**Note**  <a name="n"></a>\nIt matters.\n')) == ["Note\nIt matters."]


def test_strong_markers_with_stray_spaces_are_dropped_outside_code() -> None:
    assert texts(read("** [Name](x.md) ** is `2 ** 3 ** 4`.\n")) == ["Name is `2 ** 3 ** 4`."]


def test_code_is_verbatim_with_its_language() -> None:
    parsed = read("# T\n\n```python title='x.py'\ndef f():\n\n    return '<b>\\.'\n```\n\n    indented\n")
    assert parsed.blocks == (
        Block("code", "def f():\n\n    return '<b>\\.'", (), "t", language="python"),
        Block("code", "indented", (), "t"),
    )


def test_tables_are_pipe_tables_of_plain_cells() -> None:
    parsed = read("| A | **B** |\n|---|:-:|\n| [x](y) | `a\\|b` |\n| only |\n")
    assert parsed.blocks[0].kind == "table"
    assert parsed.blocks[0].text == "| A | B |\n| --- | --- |\n| x | `a\\|b` |\n| only |  |"


def test_a_whole_list_is_one_block_with_its_nesting() -> None:
    parsed = read(
        """
        + One

          more of one

          + Inner [link](x)
        + Two

          ```sh
          ls
            -l
          ```
          1. first
          1. second
        """
    )
    assert [block.kind for block in parsed.blocks] == ["list"]
    assert parsed.blocks[0].text == "\n".join(
        [
            "- One",
            "  more of one",
            "  - Inner link",
            "- Two",
            "  ```sh",
            "  ls",
            "    -l",
            "  ```",
            "  1. first",
            "  2. second",
        ]
    )


def test_an_ordered_list_keeps_its_start() -> None:
    assert read("7. a\n8. b\n").blocks[0].text == "7. a\n8. b"


def test_quotes_are_read_as_their_content() -> None:
    parsed = read("> Quoted **text**\n>\n> - item\n")
    assert [(block.kind, block.text) for block in parsed.blocks] == [("text", "Quoted text"), ("list", "- item")]


def test_html_blocks_are_read_as_html() -> None:
    parsed = read("<table><tr><th>A</th></tr><tr><td>1</td><td>2</td></tr></table>\n\n<nav>menu</nav>\n")
    assert [block.text for block in parsed.blocks] == ["| A |  |\n| --- | --- |\n| 1 | 2 |"]


def test_admonition_markers_are_dropped() -> None:
    assert texts(read(":::note Mind this\nText.\n:::\n")) == ["Mind this Text."]


def test_mdx_imports_exports_expressions_and_tags_are_dropped() -> None:
    parsed = read_mdx(
        """
        import Icon from "@site/icon";
        import {
          A,
        } from './a';

        export const meta = { title: 'x' };

        {/* a comment
        over lines */}

        # Title

        Click <Icon name="gear" on={() => "}>"} /> **Settings**{" "}now.

        <Tabs>
          <Tab title="Python">

            Indented *prose*.

            ```python
            import os
            x = <Foo />
            ```
          </Tab>
        </Tabs>

        import is a word that may begin a sentence, and `<Foo>` stays in code.
        """
    )
    assert parsed.title == "Title"
    assert [(block.kind, block.text) for block in parsed.blocks] == [
        ("text", "Click Settings now."),
        ("text", "Python"),
        ("text", "Indented prose."),
        ("code", "import os\nx = <Foo />"),
        ("text", "import is a word that may begin a sentence, and `<Foo>` stays in code."),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "> " * 10_000 + "deep",
        "- " * 10_000 + "deep",
        "\n".join("  " * depth + "- deep" for depth in range(600)),
        "[" * 10_000 + "deep" + "]" * 10_000,
        "![" * 10_000 + "deep",
        "**a _" * 10_000 + "deep",
    ],
    ids=["quotes", "lists", "indented lists", "brackets", "images", "emphasis"],
)
@pytest.mark.timeout(60)
def test_deep_nesting_neither_fails_nor_loses_text(text: str) -> None:
    assert "deep" in " ".join(texts(read(text)))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "unit", ["word ", "*a **b ", "` `` ", "<!-- x", "<a name=", "[a](<b", "&amp", "{/*", "<A {", "a|b", "~~a ", "\\["]
)
def test_a_single_line_of_five_megabytes_is_read_in_bounded_time(unit: str) -> None:
    parsed = parse_mdx(b"start " + unit.encode() * (5_000_000 // len(unit)), name="x.mdx")
    assert parsed.blocks[0].text.startswith("start")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "unit", ["*a **b _c ", "![", "[a](", "<![CDATA[", "`` ` ", "[a]: <b\n", "- a\n  - b\n", "a|b\n-|-\n"]
)
def test_many_hostile_paragraphs_are_read_in_bounded_time(unit: str) -> None:
    parse((unit * (10_000 // len(unit)) + "\n\n").encode() * 4, name="x.md")
