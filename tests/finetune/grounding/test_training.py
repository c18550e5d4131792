"""Training, on an encoder of two tiny layers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import BertProcessing
from transformers import BertConfig, BertModel

from finetune.grounding.training import Pair, Schedule, train

WORDS = "keys rotate daily weekly doors open never at night the old new".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


PAIRS = [
    Pair("keys rotate daily", "keys rotate daily", 0, ()),
    Pair("keys rotate weekly", "keys rotate daily", 1, ((12, 18),)),
    Pair("doors open at night", "keys rotate daily", 2, None),
    Pair("old doors", "", 3, None),
] * 4


class Watch:
    """Counts training steps; stops the run after ``most`` of them."""

    def __init__(self, most: int = 1000) -> None:
        self.steps: list[int] = []
        self.most = most

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.steps.append(done)
        if len(self.steps) == self.most:
            raise KeyboardInterrupt


def schedule(steps: int) -> Schedule:
    return Schedule(
        steps=steps, batch=4, warmup=2, averaged=2, max_tokens=24, frozen_layers=1, threads=1, checkpoint_every=2,
        learning_rate=0.01,
    )  # fmt: skip


def test_trains_what_is_not_frozen(base: Path, tmp_path: Path) -> None:
    before = BertModel.from_pretrained(base, add_pooling_layer=False).state_dict()
    after = train(PAIRS, base, tmp_path, schedule(6), Watch()).encoder.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert any(name.startswith("encoder.layer.1.") for name in changed)
    assert not any(name.startswith(("encoder.layer.0.", "embeddings.")) for name in changed)
    assert all(bool(torch.isfinite(value).all()) for value in after.values())


def test_a_run_that_was_cut_off_goes_on_from_its_checkpoint(base: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(PAIRS, base, tmp_path, schedule(8), Watch(most=5))
    watch = Watch()
    train(PAIRS, base, tmp_path, schedule(8), watch)
    assert watch.steps == [5, 6, 7, 8]


def test_the_result_is_the_mean_of_the_last_checkpoints(base: Path, tmp_path: Path) -> None:
    model = train(PAIRS, base, tmp_path, schedule(6), Watch())
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["mean"]["steps"] == [4, 6]
    assert torch.equal(model.sentence.weight, state["mean"]["weights"]["sentence.weight"])
    assert not torch.equal(model.sentence.weight, state["model"]["sentence.weight"])
