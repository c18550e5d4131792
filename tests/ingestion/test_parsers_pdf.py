from __future__ import annotations

import io
import zlib
from collections.abc import Sequence

import pytest

from ingestion.parsers.page import Parsed
from ingestion.parsers.pdf import parse
from lockgate.errors import UserError
from lockgate.types import Block

FONT = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"

Placed = tuple[float, float, float, str, str]  # x, y, size, font, text


def pdf(pages: Sequence[Sequence[Placed]], *, title: str = "") -> bytes:
    """A PDF written by hand: Helvetica is /F1, Courier /F2."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    objects.append(FONT)
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>")
    kids = []
    for page in pages:
        stream = "\n".join(f"BT /{font} {size} Tf {x} {y} Td ({text}) Tj ET" for x, y, size, font, text in page)
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> "
            f"/Contents {len(objects)} 0 R >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    objects.append(f"<< /Title ({title}) >>")
    return assemble(objects, info=len(objects))


def assemble(objects: Sequence[str], *, info: int = 0) -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    trailer = f"/Info {info} 0 R " if info else ""
    out += f"trailer << /Size {len(objects) + 1} /Root 1 0 R {trailer}>>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def lines(*texts: str, top: float = 700, size: float = 10, font: str = "F1", step: float = 12) -> list[Placed]:
    return [(50, top - step * number, size, font, text) for number, text in enumerate(texts)]


def read(data: bytes) -> Parsed:
    return parse(data, name="manual.pdf")


def encrypted(data: bytes, password: str) -> bytes:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.encrypt(password, owner_password="owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_paragraphs_headings_code_and_pages_are_recovered() -> None:
    first = [
        (50, 760, 24, "F1", "The Manual"),
        (50, 720, 16, "F1", "Setup"),
        *lines("The first paragraph is broken over lines by the margin and its hyphen-", top=690),
        *lines("ation is undone, while a self-managed key stays self-", top=678),
        *lines("managed as it is written elsewhere.", top=666),
        *lines("A second paragraph follows after a gap and it runs on to the next page", top=640),
    ]
    second = [
        *lines("where it ends.", top=760),
        *lines("def f():", "return 1", top=700, font="F2"),
        *lines("1. First step", "2. Second step", top=600),
    ]
    second[2] = (62, *second[2][1:])
    parsed = read(pdf([first, second]))
    assert parsed.title == "The Manual"
    setup = ("Setup",)
    assert parsed.blocks == (
        Block(
            "text",
            "The first paragraph is broken over lines by the margin and its hyphenation is undone, while a "
            "self-managed key stays self-managed as it is written elsewhere.",
            setup,
            page=1,
        ),
        Block(
            "text",
            "A second paragraph follows after a gap and it runs on to the next page where it ends.",
            setup,
            page=1,
        ),
        Block("code", "def f():\n  return 1", setup, page=2),
        Block("list", "1. First step\n2. Second step", setup, page=2),
    )


def test_the_title_in_the_properties_wins_unless_it_is_a_file_name() -> None:
    page = [lines("Some text on the page.")]
    assert read(pdf(page, title="Key Guide")).title == "Key Guide"
    assert read(pdf(page, title="Microsoft Word - guide.docx")).title == "Manual"


def test_recurring_headers_footers_and_page_numbers_are_dropped() -> None:
    pages = [
        [*lines("ACME Guide", top=790), *lines(f"Content of page {word}.", top=700), *lines(f"Page {n} of 4", top=20)]
        for n, word in enumerate(("one", "two", "three", "four"), start=1)
    ]
    parsed = read(pdf(pages))
    assert [(block.page, block.text) for block in parsed.blocks] == [
        (1, "Content of page one."),
        (2, "Content of page two."),
        (3, "Content of page three."),
        (4, "Content of page four."),
    ]


def test_page_numbers_and_the_table_of_contents_are_dropped() -> None:
    pages = [
        [*lines("1 Setup . . . . . . . . . . . . 2", "2 Use ........ iv", top=700), *lines("i", top=20)],
        [*lines("Text of the setup.", top=700), *lines("1", top=20)],
        [*lines("Text of the use.", top=700), *lines("- 2 -", top=20)],
    ]
    assert [block.text for block in read(pdf(pages)).blocks] == ["Text of the setup.", "Text of the use."]


def test_text_is_ordered_by_its_place_on_the_page() -> None:
    page = [*lines("Written first, placed last.", top=100), *lines("Placed first.", top=700)]
    assert [block.text for block in read(pdf([page])).blocks] == ["Placed first.", "Written first, placed last."]


def test_columns_keep_the_order_they_were_written_in() -> None:
    left = lines(*(f"left {n}" for n in range(6)))
    right = [(320.0, *line[1:4], line[4].replace("left", "right")) for line in left]
    text = " ".join(block.text for block in read(pdf([[*left, *right]])).blocks).split()
    assert text.index("right") > text.index("5")


def test_an_encrypted_pdf_is_refused_with_the_reason() -> None:
    with pytest.raises(UserError, match=r"manual\.pdf: the PDF is encrypted\. Save a copy without a password\."):
        read(encrypted(pdf([lines("Secret.")]), "password"))


def test_an_empty_password_is_tried() -> None:
    assert read(encrypted(pdf([lines("Readable.")]), "")).blocks[0].text == "Readable."


def test_a_pdf_without_text_is_refused_with_the_reason() -> None:
    with pytest.raises(UserError, match=r"manual\.pdf: has no text on its 2 pages, so they are probably scanned"):
        read(pdf([[], []]))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"# Markdown\n", "is not a PDF file"),
        (b"%PDF-1.4\n", "is broken at the beginning"),
        (pdf([lines("Text.")])[:300], "is broken at the beginning"),
        (b"%PDF-1.7\n" + bytes(range(256)) * 50, "is broken at the beginning"),
        (pdf([lines("Text.")]).replace(b"/Kids [6 0 R]", b"/Kids [2 0 R]"), "is broken|has no text"),
    ],
    ids=["empty", "text", "header only", "cut off", "garbage", "page tree loop"],
)
def test_a_broken_pdf_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UserError, match=rf"manual\.pdf: .*({reason})"):
        read(data)


def test_a_pdf_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.parsers.pdf.MAX_SECONDS", -1)
    with pytest.raises(UserError, match=r"manual\.pdf: page 1 of 2 was reached after"):
        read(pdf([lines("One."), lines("Two.")]))


def test_a_pdf_with_too_many_pages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.parsers.pdf.MAX_PAGES", 1)
    with pytest.raises(UserError, match=r"manual\.pdf: has 2 pages, the limit is 1\. Split it\."):
        read(pdf([lines("One."), lines("Two.")]))


@pytest.mark.timeout(60)
def test_a_stream_that_expands_without_bound_is_refused() -> None:
    bomb = zlib.compress(b"BT /F1 9 Tf (x) Tj ET " * 2_000_000, 9).decode("latin-1")
    page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
    stream = f"<< /Length {len(bomb)} /Filter /FlateDecode >>\nstream\n{bomb}\nendstream"
    tree = "<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    with pytest.raises(UserError, match=r"manual\.pdf: the PDF is broken at page 1"):
        read(assemble(["<< /Type /Catalog /Pages 2 0 R >>", tree, page, stream, FONT]))
