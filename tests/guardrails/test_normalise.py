from __future__ import annotations

from collections.abc import Callable

import pytest

from guardrails.normalise import Normalised, normalised, without_markup
from tests.guardrails.growth import assert_grows_with_the_text


def test_ascii_stays_as_it_is() -> None:
    assert normalised("plain `text`") == Normalised("plain `text`")


@pytest.mark.parametrize(
    ("dressed", "text"),
    [
        ("pass\u200bword\u00ad\u2060", "password"),
        ("\u202epass\u202c", "pass"),
        ("p\u0336a\u0336ss", "pass"),
        ("ﬁle Ａ１ 𝐀𝐁 ①", "file A1 AB 1"),
        ("АКІАIOSF", "AKIAIOSF"),
        ("ѕk_lіve in a Latin text", "sk_live in a Latin text"),
        ("ꓮꓗIA and Ꭺ ᴀʙ here", "AKIA and A ab here"),
        ("٤١١ ४", "411 4"),
        ("a‐b—c “d” e⁄f", 'a-b-c "d" e/f'),
        ("hid\U000e0069den", "hidden"),
        ("x\ud800y", "xy"),
        ("", ""),
    ],
)
def test_a_dressed_text_reads_as_what_it_looks_like(dressed: str, text: str) -> None:
    assert normalised(dressed).text == text


@pytest.mark.parametrize("text", ["Привет, это сор из избы", "ΑΒΓ και το νερό", "日本語のテキスト", "é à ü ñ"])
def test_other_languages_stay_what_they_are(text: str) -> None:
    assert normalised(text).text == text


def test_accents_go_when_they_are_not_wanted() -> None:
    assert normalised("Śk_lìve é", accents=False).text == "Sk_live e"
    assert normalised("e\u0301").text == "é"


def test_a_character_that_becomes_many_stays() -> None:
    assert normalised("ﷺ").text == "ﷺ"


@pytest.mark.parametrize("text", ["a\u200bＢ\u0336ﬁ c", "\u00adx", "é\ud800\u0301y**z**", "Ａ [b](http://c) `d`"])
def test_every_character_knows_where_it_came_from(text: str) -> None:
    for found in (normalised(text), without_markup(normalised(text))):
        for at, character in enumerate(found.text):
            start, end = found.spans_back(at, at + 1)
            assert 0 <= start < end <= len(text)
            assert character in normalised(text[start:end]).text
        assert found.spans_back(0, len(found.text))[1] <= len(text)


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("a **AK**IA *b* ~~c~~ `d`", "a AKIA b c d"),
        ("[AK](http://x/y)IA ![pic](z)", "AKIA pic"),
        ("<b>AK</b><!-- x -->IA", "AKIA"),
        (r"AK\_IA C:\dir", r"AK_IA C:\dir"),
        ("x[0] = a < b, array[i]", "x[0] = a < b, array[i]"),
    ],
)
def test_markup_goes_as_a_renderer_takes_it_away(marked: str, plain: str) -> None:
    assert without_markup(normalised(marked)).text == plain


HOSTILE: list[Callable[[int], str]] = [
    lambda n: "é" * n,
    lambda n: "e" + "\u0301" * n,
    lambda n: "а" * n,
    lambda n: "ﷺ" * n,
    lambda n: "[" * n,
    lambda n: "<a" * (n // 2),
    lambda n: "](" * (n // 2),
    lambda n: "<!--" * (n // 4),
    lambda n: "\u200b" * n,
    lambda n: "\\*" * (n // 2),
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_time_grows_with_the_text_and_no_faster(hostile: Callable[[int], str]) -> None:
    assert_grows_with_the_text(lambda text: without_markup(normalised(text, accents=False)), hostile)
