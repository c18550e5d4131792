"""Bytes to text, for the formats that are text: what is not text is refused with the reason."""

from __future__ import annotations

import codecs
import re
import unicodedata

from lockgate.errors import UserError

_BINARY_SIGNATURES = (
    (b"%PDF-", "a PDF file"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
)
# The UTF-32 mark begins with the UTF-16 one, so it is tried first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_SAVE_AS_UTF8 = "Save the file as UTF-8."


def signature(data: bytes) -> str:
    """What the first bytes say the file is, in words; "" when they are not those of a known binary format."""
    return next((what for prefix, what in _BINARY_SIGNATURES if data.startswith(prefix)), "")


def decode(data: bytes, *, name: str, declared: str = "") -> str:
    """``data`` as text: UTF-8, or UTF-16 and UTF-32 with a byte order mark; line ends become ``\\n``, text NFC.

    ``declared`` is the encoding that the file itself names, used when it is not UTF-8. Raises UserError for a
    binary, an empty or a blank file, and, with the byte, for text in another encoding: a guessed encoding would put
    wrong letters into answers without anybody noticing.
    """
    if not data:
        raise UserError(f"{name}: the file is empty.")
    if what := signature(data):
        raise UserError(f"{name}: is {what}, its name says it is text.", hint="Give it its right extension.")
    text = _decode_bytes(data, name=name, declared=declared)
    if "\x00" in text:
        raise UserError(f"{name}: is binary, not text (NUL at character {text.index(chr(0))}).")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    text = _without_control_characters(text, name=name)
    if not text.strip():
        raise UserError(f"{name}: the file holds only white space.")
    return text


def decode_html(data: bytes, *, name: str) -> str:
    """As ``decode``, and in the encoding that a ``meta`` element near the top declares."""
    found = _META_CHARSET.search(data, 0, 4096)
    return decode(data, name=name, declared=found.group(1).decode("ascii") if found else "")


def _decode_bytes(data: bytes, *, name: str, declared: str) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return data[len(mark) :].decode(encoding)
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{name}: begins as {encoding[:6].upper()} but is not (byte {error.start + len(mark)}).",
                    hint=_SAVE_AS_UTF8,
                ) from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if declared and (text := _decode_declared(data, declared)) is not None:
            return text
        line = data.count(b"\n", 0, error.start) + 1
        if data.find(b"\x00", 0, 4096) >= 0:
            raise UserError(f"{name}: is binary, not text (byte {error.start}).") from None
        raise UserError(
            f"{name}: is not valid UTF-8 (byte {error.start}, line {line}: 0x{data[error.start]:02x}).",
            hint=_SAVE_AS_UTF8,
        ) from None


def _decode_declared(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding) if codecs.lookup(encoding)._is_text_encoding else None
    except (LookupError, UnicodeError):
        return None


def _without_control_characters(text: str, *, name: str) -> str:
    """A few (a stray escape sequence) are dropped; many mean that the file is not text."""
    cleaned = _CONTROL.sub("", text)
    dropped = len(text) - len(cleaned)
    if dropped > 20 and dropped > len(text) // 100:
        raise UserError(f"{name}: is binary, not text ({dropped} control characters).")
    return cleaned
