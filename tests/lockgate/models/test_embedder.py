from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from lockgate.errors import Corrupt, NotFound, UserError
from lockgate.models import embedder as module
from lockgate.models.catalogue import load_catalogue
from lockgate.models.embedder import (
    SentenceTransformerEmbedder,
    embedder_digest,
    length_batches,
    load_embedder,
    one_core_pool,
)
from lockgate.settings import Settings

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"word{number}" for number in range(40))]
DIMENSION, MAX_TOKENS = 8, 16


def build_folder(parent: Path, pooling: str) -> Path:
    """A sentence-transformers folder with a random BERT of some thousand weights."""
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    plain = parent / f"plain-{pooling}"
    fast: Any = PreTrainedTokenizerFast
    fast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(plain)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=DIMENSION, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(plain)
    transformer = Transformer(str(plain))
    folder = parent / pooling
    parts = [transformer, Pooling(DIMENSION, pooling_mode=pooling), Normalize()]
    SentenceTransformer(modules=parts, device="cpu").save(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="module", params=["mean", "cls"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_folder(tmp_path_factory.mktemp("embedder"), request.param)


@pytest.fixture(scope="module")
def embedder(folder: Path) -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder(folder, name="tiny", digest="d", max_tokens=MAX_TOKENS, dimension=DIMENSION)


def texts_of(count: int) -> list[str]:
    return [" ".join(WORDS[4 + (index * 7 + word) % 40] for word in range(index % 23)) for index in range(count)]


def test_gives_the_vectors_that_encode_gives(folder: Path, embedder: SentenceTransformerEmbedder) -> None:
    texts = texts_of(100)
    theirs = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    theirs.max_seq_length = MAX_TOKENS
    np.testing.assert_allclose(embedder.embed(texts), theirs.encode(texts), atol=1e-5)


def test_mean_pooling_takes_the_direct_way_and_others_the_models_own(
    folder: Path, embedder: SentenceTransformerEmbedder
) -> None:
    assert embedder._plain == (folder.name == "mean")


def test_vectors_are_unit_float32_in_the_order_given(embedder: SentenceTransformerEmbedder) -> None:
    texts = texts_of(50)
    vectors = embedder.embed(texts)
    assert vectors.dtype == np.float32 and vectors.shape == (50, DIMENSION)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embedder.embed(texts[17:18])[0], vectors[17], atol=1e-5)


def test_nothing_gives_no_vectors(embedder: SentenceTransformerEmbedder) -> None:
    assert embedder.embed([]).shape == (0, DIMENSION)
    assert embedder.count_tokens([]) == []


def test_batches_cover_every_text_once_across_windows(
    embedder: SentenceTransformerEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW", 16)
    monkeypatch.setattr(module, "BATCH_TOKENS", 40)
    texts = texts_of(50)
    batches = list(embedder.embed_batches(texts))
    assert sorted(index for indices, _ in batches for index in indices) == list(range(50))
    assert len(batches) > 4
    whole = embedder.embed(texts)
    for indices, vectors in batches:
        np.testing.assert_allclose(vectors, whole[indices], atol=1e-5)


def test_long_text_is_cut_at_max_tokens_but_counted_whole(embedder: SentenceTransformerEmbedder) -> None:
    words = WORDS[4:44]
    inside = MAX_TOKENS - 2  # [CLS] and [SEP] take two
    np.testing.assert_allclose(embedder.embed([" ".join(words)]), embedder.embed([" ".join(words[:inside])]), atol=1e-5)
    assert embedder.count_tokens([" ".join(words), "word1", ""]) == [40, 1, 0]


def test_query_is_served_between_two_batches_of_a_long_job(
    embedder: SentenceTransformerEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_TOKENS", 16)
    done: list[float] = []
    started = threading.Event()

    def long_job() -> None:
        for _ in embedder.embed_batches(texts_of(1500)):
            done.append(time.monotonic())
            started.set()

    job = threading.Thread(target=long_job)
    job.start()
    started.wait(20)
    embedder.embed(["word1"])
    answered = time.monotonic()
    job.join(60)
    assert answered < done[-1]


def test_many_threads_get_their_own_vectors(embedder: SentenceTransformerEmbedder) -> None:
    texts = texts_of(40)
    expected = embedder.embed(texts)
    wrong: list[int] = []

    def check(start: int) -> None:
        if not np.allclose(embedder.embed(texts[start : start + 10]), expected[start : start + 10], atol=1e-5):
            wrong.append(start)

    threads = [threading.Thread(target=check, args=(start,)) for start in (0, 10, 20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert wrong == []


def cores_used() -> float:
    """Processor time of the process over that of this thread, while it multiplies matrices."""
    matrix = torch.ones(700, 700)
    torch.mm(matrix, matrix)
    time.sleep(0.5)  # threads of earlier work spin for a while before they sleep
    whole, own = time.process_time(), time.thread_time()
    for _ in range(8):
        torch.mm(matrix, matrix)
    return (time.process_time() - whole) / (time.thread_time() - own)


def test_workers_use_one_core_each_and_leave_the_rest_as_it_was() -> None:
    before, used = torch.get_num_threads(), cores_used()
    pool = one_core_pool(2, 1)
    assert pool.submit(cores_used).result() < 1.3
    assert torch.get_num_threads() == before
    assert used < 1.3 or cores_used() > 1.3  # this thread still has the cores that it had
    pool.shutdown()


def test_abandoned_job_gives_up_its_batches(
    embedder: SentenceTransformerEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_TOKENS", 16)
    batches = embedder.embed_batches(texts_of(300))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert embedder.embed(["word1"]).shape == (1, DIMENSION)


def test_dimension_other_than_the_catalogues_is_refused(folder: Path) -> None:
    with pytest.raises(Corrupt, match="gives 8 dimensions, its catalogue entry says 9"):
        SentenceTransformerEmbedder(folder, name="tiny", digest="d", max_tokens=16, dimension=9)


FILES = {"model.safetensors": "a", "config.json": "b", "tokenizer.json": "c", "README.md": "d"}


def test_digest_does_not_depend_on_where_the_folder_lies(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    assert embedder_digest(folder, FILES, 16) == embedder_digest(moved, {**FILES, "README.md": "other"}, 16)


@pytest.mark.parametrize("path", ["model.safetensors", "config.json", "tokenizer.json"])
def test_digest_changes_with_what_decides_the_vectors(folder: Path, path: str) -> None:
    assert embedder_digest(folder, FILES, 16) != embedder_digest(folder, {**FILES, path: "x"}, 16)
    assert embedder_digest(folder, FILES, 16) != embedder_digest(folder, FILES, 17)


def test_digest_changes_with_the_pooling(tmp_path: Path) -> None:
    folders = [build_folder(tmp_path, pooling) for pooling in ("mean", "cls")]
    assert len({embedder_digest(folder, FILES, 16) for folder in folders}) == 2


@given(lengths=st.lists(st.integers(1, 300), max_size=60), budget=st.integers(1, 2000))
def test_batches_hold_every_index_once_and_keep_to_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(length_batches(lengths, budget))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget


def test_model_that_cannot_embed_or_was_not_fetched_is_told(tmp_path: Path) -> None:
    settings: Any = Settings(project=tmp_path, models_dir=tmp_path)
    catalogue = load_catalogue(tmp_path)
    with pytest.raises(UserError, match="kind embedder is needed"):
        catalogue.get("smollm2-135m-instruct", kind="embedder")
    with pytest.raises(NotFound, match="lockgate models pull all-minilm-l6-v2"):
        load_embedder(settings, catalogue.get("all-minilm-l6-v2"))


@pytest.mark.models
def test_default_model_knows_what_belongs_together() -> None:
    embedder = load_embedder(Settings(), load_catalogue(Path()).get("all-minilm-l6-v2"))
    question, near, far = embedder.embed(
        ["How do I rotate a key?", "How often should access keys be rotated?", "Bake the bread for an hour."]
    )
    assert question @ near > question @ far + 0.1
    assert embedder.count_tokens(["Hello world"]) == [2]
