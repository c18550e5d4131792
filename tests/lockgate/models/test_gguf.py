from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from lockgate.errors import Corrupt, Unavailable
from lockgate.models import gguf as conversion
from lockgate.models.catalogue import ModelEntry
from lockgate.models.decoding import CausalModel, Sampling
from lockgate.models.fetch import checked_path, ensure, read_manifest, verify
from lockgate.models.process import Outcome
from lockgate.types import Message

MakeEntry = Callable[..., ModelEntry]
WIDTH, HIDDEN, LAYERS, HEADS = 32, 64, 1, 2
TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"


def write_gguf(path: Path, tokenizer: Any) -> None:
    """A random Llama of some thousand weights with a byte-level tokenizer."""
    random = np.random.default_rng(0)
    tokens = [tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())] + ["ab"]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in tokens])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(tokens.index("<|start|>"))
    writer.add_eos_token_id(tokens.index("<|end|>"))
    writer.add_chat_template(TEMPLATE)
    shapes = {"token_embd": (len(tokens), WIDTH), "output": (len(tokens), WIDTH)}
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")}
        shapes |= {f"blk.{layer}.ffn_{part}": (HIDDEN, WIDTH) for part in ("gate", "up")}
        shapes |= {f"blk.{layer}.ffn_down": (WIDTH, HIDDEN)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(0, 0.05, shape).astype(np.float32))
    for name in ("output_norm", *(f"blk.{n}.{part}_norm" for n in range(LAYERS) for part in ("attn", "ffn"))):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def entry_for(folder: Path, make_entry: MakeEntry) -> ModelEntry:
    return make_entry(
        kind="chat",
        dimension=None,
        max_tokens=None,
        context_window=128,
        sources=[{"type": "local", "path": str(folder)}],
        files={"tiny.gguf": hashlib.sha256((folder / "tiny.gguf").read_bytes()).hexdigest()},
        gguf={"file": "tiny.gguf"},
    )


def test_becomes_a_plain_model_that_is_verified_like_any_other(
    tmp_path: Path, make_entry: MakeEntry, byte_tokenizer: Any
) -> None:
    write_gguf(tmp_path / "tiny.gguf", byte_tokenizer)
    entry, models = entry_for(tmp_path, make_entry), tmp_path / "models"
    stages: list[str] = []
    folder = ensure(entry, models, progress=lambda stage, _done, _total: stages.append(stage))

    names = sorted(path.name for path in folder.iterdir())
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja", "config.json"} <= set(names)
    assert not any(name.endswith(".gguf") for name in names)
    assert sum("turning GGUF into safetensors" in stage for stage in stages) > 3
    manifest = read_manifest(folder)
    assert manifest.origin == entry.files and set(manifest.converted_with) == {"transformers", "torch", "safetensors"}
    assert checked_path(entry, models) == folder

    model = CausalModel(folder, name="tiny", context_window=128)
    assert model._tokenizer.decode(model._prompt_tokens([Message("user", "hi é")])) == "user: hi é\n"
    assert "".join(model.generate([Message("user", "hi")], Sampling(8), cancelled=lambda: False))

    (folder / "config.json").write_text("{}")
    assert "config.json: SHA-256 is" in verify(entry, models).problems[0]


def test_file_that_is_no_gguf_is_corrupt_and_leaves_nothing(tmp_path: Path, make_entry: MakeEntry) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF and then nothing sensible" * 20)
    models = tmp_path / "models"
    with pytest.raises(Corrupt, match=r"tiny\.gguf cannot be read as a GGUF model"):
        ensure(entry_for(tmp_path, make_entry), models)
    assert [path.name for path in models.iterdir() if path.suffix != ".lock"] == []


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Outcome(1, "", "safetensors_rust.SafetensorError: No space left on device (os error 28)"), "disk is full"),
        (Outcome(-9, "", ""), r"was killed \(signal 9\)"),
    ],
)
def test_full_disk_and_a_kill_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, told: str
) -> None:
    monkeypatch.setattr(conversion, "run_watched", lambda *_, **__: outcome)
    with pytest.raises(Unavailable, match=told):
        conversion.convert(
            tmp_path / "x.gguf", tmp_path / "out", dtype="bfloat16", work=tmp_path, name="x", progress=lambda *_: None
        )
