from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from guardrails.check import Found, GuardTools, Seen, Stage
from guardrails.checks.toxicity import MAX_EMBEDDED, Toxicity, ToxicitySettings
from guardrails.checks.toxicity_features import MAX_WINDOW, hashed, windows, words
from guardrails.checks.toxicity_model import SHIPPED, open_model
from guardrails.weights import MANIFEST, WEIGHTS
from lockgate.errors import Corrupt, NotFound, Unavailable, UserError
from lockgate.models.catalogue import load_catalogue
from lockgate.models.embedder import load_embedder
from lockgate.settings import Settings
from tests.guardrails.growth import assert_grows_with_the_text

HATE = "Foreigners are vermin and should all be wiped out."
HARMLESS = "Choose a region, enter a name for the bucket, and then choose Create."


class Counting:
    """An embedder that says the same of every text, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls.append(list(texts))
        return np.full((len(texts), 384), 384**-0.5, dtype=np.float32)


def built(embed: Any = None, digest: str | None = None, folder: Path = SHIPPED, **keys: Any) -> Toxicity:
    settings = ToxicitySettings.model_validate({"check": "toxicity", "action": "flag"} | keys)
    own = digest or open_model().manifest.embedder
    return Toxicity(settings, GuardTools(embed=embed or Counting(), embedder=lambda: own), folder)


def look(text: str, stage: Stage = "input", **keys: Any) -> Found:
    return built(**keys).look(Seen(text, stage))


def test_it_is_small_and_its_card_names_its_weights() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 2_000_000
    assert open_model().manifest.weights in (SHIPPED / "README.md").read_text(encoding="utf-8")


def test_windows_are_the_text_in_order_and_none_is_too_long() -> None:
    text = "One. Two! Three?\n\n" + "word " * 200 + "x" * 1000 + "\nEnd."
    found = windows(text)
    assert all(end - start <= MAX_WINDOW for start, end in found)
    assert "".join("".join(text[start:end].split()) for start, end in found) == "".join(text.split())


def test_letters_that_are_dressed_up_read_like_the_plain_ones() -> None:
    assert words("H4TE soooooo v3rmin") == ["hate", "soo", "vermin"]
    assert hashed([]) == []
    assert hashed(words("a b")) == hashed(words("a b"))


def test_only_suspicious_windows_are_embedded() -> None:
    embed = Counting()
    found = built(embed).look(Seen(f"{HARMLESS} " * 20, "document"))
    assert found.score == 0
    assert embed.calls == []
    built(embed).look(Seen(f"{HARMLESS} " * 5 + HATE, "document"))
    assert any("vermin" in text for text in embed.calls[0])
    built(embed).look(Seen(f"{HATE}\n\n" * 200, "document"))
    assert len(embed.calls[1]) <= MAX_EMBEDDED


def test_the_vector_of_a_question_is_used_when_the_pipeline_has_it() -> None:
    embed = Counting()
    vector = np.full(384, 384**-0.5, dtype=np.float32)
    built(embed).look(Seen(HATE, "input", vector=vector))
    assert embed.calls == []


@pytest.mark.parametrize(
    "dressed",
    [
        "Foreigners are **ver**min and should all be wiped out.",
        HATE.replace("e", "е").replace("o", "о"),
        "\u200b".join(HATE),
        base64.b64encode(HATE.encode()).decode(),
    ],
)
def test_what_is_hidden_is_read(dressed: str) -> None:
    embed = Counting()
    built(embed).look(Seen(dressed, "input"))
    assert any("vermin" in text.lower() for call in embed.calls for text in call)


@pytest.mark.parametrize("text", ["", " \n", "12345 %%%", "\u200b", "\ud800", "!!!", "字" * 50])
def test_a_text_without_words_is_nothing(text: str) -> None:
    assert look(text).score < 0.5


def test_a_score_from_the_way_into_the_index_is_taken() -> None:
    embed = Counting()
    assert built(embed).look(Seen(HATE, "context", known={"toxicity": 0.25})).score == 0.25
    assert embed.calls == []


def test_another_embedder_is_refused() -> None:
    with pytest.raises(UserError, match="was trained on the vectors"):
        look(HATE, digest="0" * 64)


def test_without_an_embedder_it_fails() -> None:
    check = Toxicity(ToxicitySettings(check="toxicity", action="flag"), GuardTools())
    with pytest.raises(Unavailable, match="needs an embedder"):
        check.look(Seen(HATE, "input"))


def _no_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def _cut_weights(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1])


def _no_json(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")


def _other_features(folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"features": 1', '"features": 99'))


@pytest.mark.parametrize(
    ("spoil", "error"),
    [(_no_weights, NotFound), (_cut_weights, Corrupt), (_no_json, Corrupt), (_other_features, Corrupt)],
)
def test_a_spoilt_model_is_an_error(tmp_path: Path, spoil: Callable[[Path], None], error: type[Exception]) -> None:
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED, folder)
    spoil(folder)
    with pytest.raises(error, match=r"toxicity|SHA-256|JSON|features"):
        look(HATE, folder=folder)


@pytest.mark.parametrize("part", ["hate ", "you ", "!?", "kill all of them ", "\n"])
def test_a_long_text_takes_time_in_proportion(part: str) -> None:
    check = built()
    assert_grows_with_the_text(
        lambda text: check.look(Seen(text, "document")), lambda size: part * (size // len(part)), times=1
    )


@pytest.mark.parametrize("part", ["a. ", '." ', "x", "i'm ", "$@!"])
def test_reading_words_takes_time_in_proportion(part: str) -> None:
    """Without the look for other encodings, whose time is that of ``guardrails.decoding``."""
    model = open_model()
    assert_grows_with_the_text(
        lambda text: model.read([text[start:end] for start, end in windows(text)]),
        lambda size: part * (size // len(part)),
        times=1,
    )


@pytest.mark.models
def test_hate_and_threats_are_found_with_the_real_vectors_and_plain_questions_are_not() -> None:
    settings = Settings()
    embedder = load_embedder(settings, load_catalogue(settings.project_dir).get(settings.embedder, "embedder"))
    check = Toxicity(
        ToxicitySettings(check="toxicity", action="flag"),
        GuardTools(embed=embedder.embed, embedder=lambda: embedder.digest),
    )
    try:
        for text in (HATE, "I know where you live and tonight I will shoot you.", f"{HARMLESS} {HATE} {HARMLESS}"):
            found = check.look(Seen(text, "input"))
            assert found.score >= 0.5, text
            assert found.spans
        for text in (HARMLESS, "How do I kill a process?", "Which holidays do Muslims in my team take off?"):
            assert check.look(Seen(text, "input")).score < 0.5, text
    finally:
        embedder.close()
