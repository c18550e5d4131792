from __future__ import annotations

import textwrap

import pytest

from ingestion.parsers.page import Parsed
from ingestion.parsers.rst import parse
from lockgate.types import Block


def read(text: str) -> Parsed:
    return parse(textwrap.dedent(text).encode(), name="page.rst")


def test_sections_lists_code_and_tables_become_blocks() -> None:
    parsed = read(
        """
        =====
        Title
        =====

        Intro with ``code`` and *emphasis*,
        `a link <https://x.y>`_.

        Section One
        ===========

        - one

          - inner

            .. code-block:: sh

               ls -l
        - two

        3. third
        4. fourth

        term
            its meaning

        Sub section
        -----------

        .. code-block:: python

            def f():
                return 1

        .. list-table:: Limits
           :header-rows: 1

           * - A
             - B
           * - 1
             - ``x|y``
        """
    )
    one, sub = ("Section One",), ("Section One", "Sub section")
    assert parsed.title == "Title"
    assert parsed.blocks == (
        Block("text", "Intro with `code` and emphasis, a link.", (), "title"),
        Block("list", "- one\n  - inner\n    ```sh\n    ls -l\n    ```\n- two", one, "section-one"),
        Block("list", "3. third\n4. fourth", one, "section-one"),
        Block("list", "- term: its meaning", one, "section-one"),
        Block("code", "def f():\n    return 1", sub, "sub-section", language="python"),
        Block("text", "Limits", sub, "sub-section"),
        Block("table", "| A | B |\n| --- | --- |\n| 1 | `x\\|y` |", sub, "sub-section"),
    )


def test_roles_and_directives_of_sphinx_are_read_as_their_text() -> None:
    parsed = read(
        """
        See :ref:`the guide <guide>` and :class:`~a.b.C`.

        .. toctree::

           other

        .. versionadded:: 1.2
           It is *new*.

        .. py:function:: open(path)

           Opens it.

        .. code-block:: python
           :linenos:
           :caption: x.py

           x = 1

        .. note::
           :unknown: option

           A note.
        """
    )
    assert [block.text for block in parsed.blocks] == [
        "See the guide and `C`.",
        "New in version 1.2",
        "It is new.",
        "`open(path)`",
        "Opens it.",
        "x = 1",
        "A note.",
    ]


def test_a_malformed_table_is_kept_as_text() -> None:
    assert "cell" in " ".join(block.text for block in read("Before.\n\n+---+---+\n| cell |\n+---+---+\n").blocks)


@pytest.mark.parametrize(
    "directive",
    [
        ".. include:: /etc/passwd",
        ".. literalinclude:: /etc/passwd",
        ".. raw:: html\n\n   <script>root:x</script>",
        ".. raw:: html\n   :file: /etc/passwd",
        ".. csv-table:: T\n   :file: /etc/passwd",
        ".. csv-table:: T\n   :url: file:///etc/passwd",
        ".. foo::\n\n   .. include:: /etc/passwd",
        ".. role:: raw-html(raw)\n   :format: html\n\n:raw-html:`<b>root:x</b>`",
    ],
)
def test_no_file_is_included_and_nothing_raw_gets_in(directive: str) -> None:
    text = "\n".join(block.text for block in read(f"Before.\n\n{directive}\n\nAfter.\n").blocks)
    assert "root:x:0:0" not in text
    assert "<script>" not in text
    assert text.startswith("Before.")
    assert text.endswith("After.")


def test_a_role_defined_by_one_page_does_not_reach_the_next() -> None:
    read(".. role:: mine(emphasis)\n\n:mine:`x`\n")
    read(".. default-role:: literal\n\n`x`\n")
    assert [block.text for block in read(":mine:`y` and `z`\n").blocks] == ["y and z"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "\n\n".join(" " * depth + "deep" for depth in range(1200)),
        "- " * 10_000 + "deep",
        "deep " * 1_000_000,
        "deep *a **b `c " * 4_000,
        ".. foo:: a\n\n   .. bar:: b\n\n" * 3_000 + "deep",
        "deep\n=\n" * 5_000,
        "|deep| `a <b " * 4_000,
    ],
    ids=["quotes", "lists", "long line", "inline", "directives", "titles", "references"],
)
def test_hostile_pages_are_read_in_bounded_time(text: str) -> None:
    assert any("deep" in block.text for block in parse(text.encode(), name="x.rst").blocks)
