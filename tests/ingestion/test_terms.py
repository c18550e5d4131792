from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.terms import K1, B, Lexicon, TermCounter, passage_weights
from lockgate.errors import Corrupt

COUNTER = TermCounter()


def test_counts_stemmed_terms_and_leaves_stop_words_out() -> None:
    terms = COUNTER.count("The keys rotate; rotating a key rotates the keys.")
    assert sorted(terms.counts.tolist()) == [3.0, 3.0]
    assert terms.length == 6


def test_weights_are_those_that_qdrant_stores() -> None:
    from qdrant_edge import Bm25, Bm25Config

    text = "Keys rotate every ninety days. Keys that leak rotate at once."
    terms = COUNTER.count(text)
    stored = Bm25(Bm25Config(k=K1, b=B, avg_len=20.0, language="english")).embed_document(text)
    expected = dict(zip(stored.indices, stored.values, strict=True))
    actual = dict(zip(terms.ids.tolist(), passage_weights(terms, 20).tolist(), strict=True))
    assert actual.keys() == expected.keys()
    assert all(math.isclose(actual[i], expected[i], rel_tol=1e-5) for i in expected)


words = st.lists(st.sampled_from(["key", "rotate", "index", "vector", "prompt", "gate"]), min_size=1, max_size=8)


@given(st.lists(words, min_size=1, max_size=12), st.integers(0, 11))
def test_lexicon_after_adding_and_removing_equals_one_counted_anew(texts: list[list[str]], cut: int) -> None:
    ids = [COUNTER.count(" ".join(text)).ids for text in texts]
    kept, gone = ids[cut:], ids[:cut]
    changed = Lexicon.empty().updated(gone, []).updated(kept, gone)
    anew = Lexicon.empty().updated(kept, [])
    assert changed.chunks == anew.chunks
    assert np.array_equal(changed.ids, anew.ids)
    assert np.array_equal(changed.counts, anew.counts)


def test_no_passage_scores_over_one() -> None:
    question = COUNTER.count("rotate the key")
    passage = COUNTER.count("key rotate " * 500)
    lexicon = Lexicon.empty().updated([passage.ids, question.ids], [])
    score = float(lexicon.question_weights(question).sum()) * (K1 + 1)
    assert score == pytest.approx(1.0)


def test_rare_terms_decide_the_share_that_was_found() -> None:
    common = [COUNTER.count("key index").ids for _ in range(50)]
    lexicon = Lexicon.empty().updated([*common, COUNTER.count("quasar").ids], [])
    question = COUNTER.count("key of a quasar")
    assert lexicon.rare_share(question, [COUNTER.count("key index")]) < 0.1
    assert lexicon.rare_share(question, [COUNTER.count("a quasar")]) > 0.9
    assert lexicon.rare_share(question, []) == 0.0
    assert lexicon.rare_share(COUNTER.count("the of a"), [COUNTER.count("key")]) == 0.0


def test_lexicon_survives_storage_and_refuses_rubbish() -> None:
    lexicon = Lexicon.empty().updated([COUNTER.count("key rotate").ids], [])
    again = Lexicon.from_bytes(lexicon.to_bytes())
    assert again.chunks == 1
    assert np.array_equal(again.ids, lexicon.ids)
    with pytest.raises(Corrupt):
        Lexicon.from_bytes(b"not a lexicon")


def test_lexicon_bytes_depend_on_its_content_only() -> None:
    first = Lexicon.empty().updated([np.array([3, 9], np.uint32), np.array([9], np.uint32)], [])
    second = Lexicon.empty().updated([np.array([9], np.uint32), np.array([9, 3], np.uint32)], [])
    assert first.to_bytes() == second.to_bytes()
    again = Lexicon.from_bytes(first.to_bytes())
    assert (again.chunks, again.ids.tolist(), again.counts.tolist()) == (2, [3, 9], [1, 2])


def test_lexicon_of_the_first_version_can_be_read() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, chunks=np.int64(2), ids=np.array([3], np.uint32), counts=np.array([1], np.uint32))
    assert Lexicon.from_bytes(buffer.getvalue()).counts.tolist() == [1]


@pytest.mark.parametrize("cut", [0, 5, 20, 30, -1])
def test_lexicon_that_was_cut_short_is_corrupt(cut: int) -> None:
    data = Lexicon.empty().updated([np.array([3, 9], np.uint32)], []).to_bytes()
    with pytest.raises(Corrupt):
        Lexicon.from_bytes(data[:cut] if cut >= 0 else data + b"x")
