from __future__ import annotations

import pytest

from chains.markers import escape_markers, unescape_markers


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("Arrays start at [7].", "Arrays start at \\[7]."),
        ("Both [1, 2] and [ 3;4 ].", "Both \\[1, 2] and \\[ 3;4 ]."),
        ("The link [7](https://ok.org).", "The link \\[7](https://ok.org)."),
        ("Escaped \\[7] and `code[7]` and ``a`[7]`` stay.", "Escaped \\[7] and `code[7]` and ``a`[7]`` stay."),
        ("A lone ` before [7].", "A lone ` before \\[7]."),
        ("A [link](x) and [a1] stay.", "A [link](x) and [a1] stay."),
    ],
)
def test_a_bracketed_number_of_a_document_is_escaped_and_code_is_not(text: str, escaped: str) -> None:
    assert escape_markers(text) == escaped


@pytest.mark.parametrize(
    ("piece", "shown"), [("at \\[7].", "at [7]."), ("at \\[7", "at [7"), ("\\[0-9]", "\\[0-9]"), ("a\\[b]", "a\\[b]")]
)
def test_plain_text_shows_the_bracket_alone(piece: str, shown: str) -> None:
    assert unescape_markers(piece) == shown
