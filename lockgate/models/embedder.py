"""Text to unit vectors with any sentence-transformers model, faster than its own ``encode`` on a CPU."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockgate.errors import Corrupt
from lockgate.models.catalogue import ModelFiles
from lockgate.models.fetch import checked_path, read_manifest
from lockgate.models.tokens import TOKENIZER_FILE, TokenCounter, open_token_counter
from lockgate.settings import Settings

if TYPE_CHECKING:
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

BATCH_TOKENS = 2048
"""Padded tokens per forward pass: of 1024 to 8192, 1024 and 2048 took the least processor time on an AVX2 core."""

MAX_WORKERS = 8
"""Batches computed at a time, at most; more cores than that share the work inside a batch."""

WINDOW = 4096
"""Texts tokenised and sorted at a time: bounds memory and the wait for the first batch; padding hardly changes."""

WEIGHT_SUFFIXES = (".safetensors", ".bin")


class SentenceTransformerEmbedder:
    """An ``Embedder`` (lockgate.ports) over a sentence-transformers folder. Safe to share between threads."""

    def __init__(self, folder: Path, *, name: str, digest: str, max_tokens: int, dimension: int) -> None:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self.name = name
        self.digest = digest
        self.dimension = dimension
        self.max_tokens = max_tokens
        self._counter: TokenCounter = open_token_counter(folder, max_tokens=max_tokens)
        self._model: Any = SentenceTransformer(str(folder), local_files_only=True).eval()
        self._model.max_seq_length = max_tokens
        self._tokenizer: Any = self._model.tokenizer
        self._plain = _is_plain_mean_pooling(self._model)
        self._workers = 1 if self._model.device.type != "cpu" else min(MAX_WORKERS, _cores())
        self._pool = one_core_pool(self._workers, max(1, _cores() // self._workers))
        actual = self._model.get_embedding_dimension()
        if actual != dimension:
            raise Corrupt(
                f"The model {name} gives {actual} dimensions, its catalogue entry says {dimension}.",
                hint="Correct `dimension` in models.yaml.",
            )

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by the model's own tokenizer, special tokens excluded, not truncated."""
        return self._counter.count_tokens(texts)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, float32, shape (len(texts), dimension), in the order given."""
        import numpy as np

        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for indices, batch in self.embed_batches(texts):
            vectors[indices] = batch
        return vectors

    def embed_batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """(indices into ``texts``, their vectors) as batches are done, the longest texts of a window first.

        Few batches are handed to the workers ahead of time: a query that arrives meanwhile waits for those only.
        """
        pending: deque[tuple[list[int], Future[NDArray[np.float32]]]] = deque()
        try:
            for indices, rows in self._batches(texts):
                pending.append((indices, self._pool.submit(self._forward, rows)))
                if len(pending) > self._workers:
                    done, vectors = pending.popleft()
                    yield done, vectors.result()
            while pending:
                done, vectors = pending.popleft()
                yield done, vectors.result()
        finally:
            for _, vectors in pending:
                vectors.cancel()

    def close(self) -> None:
        """End the worker threads."""
        self._pool.shutdown(cancel_futures=True)

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[list[int]]]]:
        for start in range(0, len(texts), WINDOW):
            ids = self._tokenise(texts[start : start + WINDOW])
            for batch in length_batches([len(row) for row in ids], BATCH_TOKENS):
                yield [start + index for index in batch], [ids[index] for index in batch]

    def _tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self._tokenizer(
            list(texts), truncation=True, max_length=self.max_tokens, padding=False, return_attention_mask=False
        )
        rows: list[list[int]] = encoded["input_ids"]
        return rows

    def _forward(self, rows: list[list[int]]) -> NDArray[np.float32]:
        import torch

        features = self._tokenizer.pad({"input_ids": rows}, return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            pooled = self._mean(features) if self._plain else self._model.forward(features)["sentence_embedding"]
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(pooled.float(), dim=1).cpu().numpy()
        return vectors

    def _mean(self, features: Any) -> Any:
        hidden = self._model[0].auto_model(**features).last_hidden_state
        mask = features["attention_mask"].unsqueeze(-1)
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)


def length_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices grouped so that a batch padded to its longest text holds at most ``budget`` tokens; longest first."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def one_core_pool(workers: int, threads: int) -> ThreadPoolExecutor:
    """Worker threads in which torch uses ``threads`` threads per operation; elsewhere it keeps the number it has.

    One batch per core does the same work in 0.6 of the processor time that two cores on one batch took: the cores
    need not meet after every small operation, and where other programs run too, that waiting dominates.
    """
    import torch

    before = torch.get_num_threads()

    def prepare() -> None:
        # Asking first makes torch initialise this thread; it would else do so at the first operation, with the number
        # that is put back below.
        torch.get_num_threads()
        torch.set_num_threads(threads)

    pool = ThreadPoolExecutor(workers, "embed", initializer=prepare)
    # The number counts for the thread that sets it, but torch also remembers the last one set as everybody's: all
    # workers start now, held together by the barrier, and then that memory is put right again.
    together = threading.Barrier(workers)
    wait([pool.submit(together.wait) for _ in range(workers)])
    torch.set_num_threads(before)
    return pool


def _cores() -> int:
    import torch

    return max(1, torch.get_num_threads())


def load_embedder(settings: Settings, entry: ModelFiles) -> SentenceTransformerEmbedder:
    """The embedder ``entry``, its files checked first. Takes seconds: it imports torch.

    Raises NotFound naming the command that fetches it, Corrupt when a file's SHA-256 is not the catalogue's.
    """
    folder = checked_path(entry, settings.models_path)
    assert entry.dimension is not None and entry.max_tokens is not None  # noqa: S101 - ModelEntry guarantees it
    return SentenceTransformerEmbedder(
        folder,
        name=entry.name,
        digest=embedder_digest(folder, read_manifest(folder).files, entry.max_tokens),
        max_tokens=entry.max_tokens,
        dimension=entry.dimension,
    )


def embedder_digest(folder: Path, files: dict[str, str], max_tokens: int) -> str:
    """SHA-256 of all that decides the vectors: weights, architecture, tokenizer, pooling, length, normalisation.

    ``files`` maps paths inside ``folder`` to SHA-256; where the folder lies does not matter.
    """
    decisive = {
        path: sha256
        for path, sha256 in files.items()
        if path.endswith(WEIGHT_SUFFIXES) or path in ("config.json", TOKENIZER_FILE)
    }
    content = {"files": decisive, "pooling": _pooling(folder), "max_tokens": max_tokens, "normalise": True}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _pooling(folder: Path) -> dict[str, Any]:
    """The configuration of every module after the transformer, as the model's own files give it."""
    try:
        modules = json.loads((folder / "modules.json").read_bytes())
    except FileNotFoundError:
        return {"default": "mean"}  # what sentence-transformers does with a plain transformers folder
    found = {}
    for module in modules[1:]:
        path = folder / module["path"] / "config.json"
        found[module["type"].rsplit(".", 1)[-1]] = json.loads(path.read_bytes()) if path.is_file() else {}
    return found


def _is_plain_mean_pooling(model: Any) -> bool:
    """Whether the modules are transformer, mean pooling and perhaps normalisation, over right-padded tokens.

    Then calling the transformer directly gives the same vectors without sentence-transformers' per-batch overhead.
    """
    kinds = [type(module).__name__ for module in model]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return False
    pools_mean = model[1].get_config_dict().get("pooling_mode") in ("mean", ["mean"], ("mean",))
    return pools_mean and model.tokenizer.padding_side == "right" and not getattr(model, "truncate_dim", None)
