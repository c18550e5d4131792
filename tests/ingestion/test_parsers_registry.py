from __future__ import annotations

import codecs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.parsers.registry import EXTENSIONS, parse_document, parser_for
from lockgate.errors import LockgateError, UserError
from lockgate.types import Document

TEXT_EXTENSIONS = tuple(extension for extension in EXTENSIONS if extension != ".pdf")


def read(data: bytes, path: str = "a/page.md") -> Document:
    return parse_document(data, source="docs", path=path, version="v1")


def test_a_document_names_its_source_path_version_and_format() -> None:
    document = read(b"# T\n\nText.\n")
    assert (document.source, document.path, document.version) == ("docs", "a/page.md", "v1")
    assert (document.title, document.format, len(document.blocks)) == ("T", "markdown", 1)


@pytest.mark.parametrize("path", ["x.MD", "x.Markdown", "x.mdx", "x.HTML", "x.htm", "x.rst", "x.txt", "x.y.md"])
def test_extensions_are_known_in_any_case(path: str) -> None:
    assert read(b"Text.", path).blocks[0].text == "Text."


@pytest.mark.parametrize("path", ["x.docx", "README", ".md", "x.md.bak"])
def test_an_unknown_extension_is_refused_and_the_known_ones_listed(path: str) -> None:
    with pytest.raises(UserError, match=r"no parser for .*Known: \.md"):
        parser_for(path)


@pytest.mark.parametrize("extension", TEXT_EXTENSIONS)
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b" \n\t\r\n ", "holds only white space"),
        (codecs.BOM_UTF8, "holds only white space"),
        (b"%PDF-1.7\n...", "is a PDF file, its name says it is text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is a PNG image"),
        (b"PK\x03\x04" + bytes(100), "is a ZIP archive or an Office document"),
        (b"\x7fELF\x02\x01\x01" + bytes(100), "is a program"),
        (b"text\x00text", r"is binary, not text \(NUL at character 4\)"),
        (bytes(range(256)) * 4, "is binary, not text"),
        (b"\x01\x02\x03\x04" * 100, r"is binary, not text \(400 control characters\)"),
        (b"Good line.\nna\xefve\n", r"is not valid UTF-8 \(byte 13, line 2: 0xef\)\. Save the file as UTF-8\."),
        (codecs.BOM_UTF16_LE + b"a\x00\x00\xd8", r"begins as UTF-16 but is not \(byte 4\)"),
    ],
    ids=["empty", "blank", "mark", "pdf", "png", "zip", "elf", "nul", "bytes", "control", "latin-1", "utf-16"],
)
def test_what_is_no_text_is_refused_with_its_own_reason(extension: str, data: bytes, reason: str) -> None:
    with pytest.raises(UserError, match=rf"docs/page\{extension}: .*{reason}"):
        read(data, f"docs/page{extension}")


@pytest.mark.parametrize(
    "data",
    [
        codecs.BOM_UTF8 + "Schlüssel".encode(),
        codecs.BOM_UTF16_LE + "Schlüssel".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "Schlüssel".encode("utf-16-be"),
        codecs.BOM_UTF32_LE + "Schlüssel".encode("utf-32-le"),
        "Schlu\u0308ssel".encode(),
    ],
)
def test_marked_encodings_and_decomposed_letters_are_read(data: bytes) -> None:
    assert read(data).blocks[0].text == "Schlüssel"


def test_a_few_control_characters_are_dropped() -> None:
    assert read(b"\x1b[1mbold\x1b[0m and a lot of ordinary text.").blocks[0].text.startswith("[1mbold")


def test_all_line_ends_are_understood() -> None:
    assert len(read(b"a\r\n\r\nb\r\rc\n\nd").blocks) == 4


def test_a_page_of_headings_only_is_refused() -> None:
    with pytest.raises(UserError, match=r"a/page\.md: holds no text besides headings and markup"):
        read(b"# Title\n\n## Section\n")


def test_html_in_a_markdown_file_is_read() -> None:
    document = read(b"<html><body><h1>Title</h1><p>Some <b>text</b></p></body></html>")
    assert (document.title, document.blocks[0].text) == ("Title", "Some text")


def test_a_library_that_fails_is_reported_for_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes, *, name: str) -> None:
        raise KeyError("inner")

    monkeypatch.setitem(parse_document.__globals__["_PARSERS"], ".md", ("markdown", broken))
    with pytest.raises(UserError, match=r"a/page\.md: cannot be read as markdown \(KeyError: 'inner'\)"):
        read(b"Text.")


def test_wrapped_text_is_joined_and_lists_keep_their_lines() -> None:
    text = (
        "This paragraph was wrapped by an editor at some column so\nits lines belong together.\n\n"
        "Short line\nanother\n\n- one\n- two\n"
    )
    document = read(text.encode(), "notes.txt")
    assert [(block.kind, block.text) for block in document.blocks] == [
        ("text", "This paragraph was wrapped by an editor at some column so its lines belong together."),
        ("text", "Short line\nanother"),
        ("list", "- one\n- two"),
    ]


FRAGMENTS = st.sampled_from(
    [
        *(
            "\n",
            "\n\n",
            "# ",
            "- ",
            "> ",
            "1. ",
            "```",
            "|",
            "---",
            "<div>",
            "</p>",
            "<table><tr>",
            "<!--",
            "[",
            "](",
            "![",
        ),
        *(
            "*",
            "**",
            "`",
            "``",
            ".. x::",
            ":a:`",
            "=====",
            "   ",
            "\t",
            "<A {",
            "{/*",
            "import a from 'b'",
            "&amp;",
            "\\",
        ),
        *(
            "<ul><li>",
            "<pre>",
            "+---+",
            "word",
            "é",
            "\u202e",
            "\U0001f600",
            ".. include:: /etc/passwd",
            "---\na: [",
            "::",
        ),
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(extension=st.sampled_from(EXTENSIONS), data=st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(extension: str, data: bytes) -> None:
    read_or_refuse(extension, data)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(extension=st.sampled_from(TEXT_EXTENSIONS), pieces=st.lists(FRAGMENTS, max_size=40))
def test_any_markup_is_read_or_refused(extension: str, pieces: list[str]) -> None:
    read_or_refuse(extension, "".join(pieces).encode())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=st.binary(max_size=300), tail=st.binary(max_size=60))
def test_any_broken_pdf_is_refused_or_read(body: bytes, tail: bytes) -> None:
    read_or_refuse(".pdf", b"%PDF-1.4\n" + body + b"\nstartxref\n" + tail + b"\n%%EOF")


def read_or_refuse(extension: str, data: bytes) -> None:
    try:
        parsed = parser_for(f"page{extension}")(data, name=f"page{extension}")
    except LockgateError as error:
        assert f"page{extension}" in str(error)
    else:
        assert parsed.title
        assert all(block.text.strip() for block in parsed.blocks)
