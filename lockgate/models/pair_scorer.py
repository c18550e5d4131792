"""The door to ONNX Runtime: a small encoder that reads a claim beside its evidence."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockgate.errors import Corrupt, MissingExtra, NotFound, Unavailable
from lockgate.types import Mark, PairScore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
NEEDED = (MODEL_FILE, TOKENIZER_FILE)

BATCH = 16
"""Pairs in one run: bounds memory; pairs of about one length go together."""

MAX_THREADS = 2


class OnnxPairScorer:
    """A ``PairScorer`` (lockgate.ports) over ``model.onnx`` and ``tokenizer.json``. Safe to share between threads.

    The model gives, for input_ids, attention_mask and token_type_ids, the logits of three classes (supported,
    contradicted, not found), and one logit a token, of which those of the claim count.
    """

    def __init__(self, model: bytes, tokenizer: bytes, *, digest: str, max_tokens: int) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self.digest = digest
        self._tokenizer: Any = Tokenizer.from_str(tokenizer.decode())
        # The claim is never cut; evidence that does not fit beside it is.
        self._tokenizer.enable_truncation(max_tokens, strategy="only_second")
        self._tokenizer.no_padding()
        self._room = max_tokens
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = min(MAX_THREADS, _cores())
        options.inter_op_num_threads = 1
        # Threads that spin while they wait would take the processor from everything else that serves.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._lock = threading.Lock()

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[PairScore]:
        """One score a pair (claim, evidence), in order. Raises Unavailable when the model gives no number."""
        encoded = [self._encode(claim, evidence) for claim, evidence in pairs]
        order = sorted(range(len(pairs)), key=lambda place: len(encoded[place].ids))
        scores: dict[int, PairScore] = {}
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            found = self._run([encoded[place] for place in places])
            scores.update(zip(places, found, strict=True))
        return [scores[place] for place in range(len(pairs))]

    def _encode(self, claim: str, evidence: str) -> Any:
        try:
            return self._tokenizer.encode(claim, evidence or ".")
        except Exception:  # tokenizers raises a plain Exception when the claim alone is too long
            short = self._tokenizer.encode(claim, add_special_tokens=False)
            ends = [end for _, end in short.offsets[: self._room // 2]]
            return self._tokenizer.encode(claim[: ends[-1]] if ends else ".", evidence or ".")

    def _run(self, encoded: Sequence[Any]) -> list[PairScore]:
        import numpy as np

        width = max(len(item.ids) for item in encoded)
        inputs = {
            name: np.zeros((len(encoded), width), dtype=np.int64)
            for name in ("input_ids", "attention_mask", "token_type_ids")
        }
        for row, item in enumerate(encoded):
            size = len(item.ids)
            inputs["input_ids"][row, :size] = item.ids
            inputs["attention_mask"][row, :size] = 1
            inputs["token_type_ids"][row, :size] = item.type_ids
        with self._lock:
            sentence, token = self._session.run(None, inputs)
        if sentence.shape != (len(encoded), 3) or not np.isfinite(sentence).all():
            raise Unavailable("The grounding model gave scores that are no numbers.", hint="Run: lockgate doctor")
        shares = _softmax(sentence)
        return [_pair_score(shares[row], token[row], item) for row, item in enumerate(encoded)]


def open_pair_scorer(folder: Path, files: Mapping[str, str], *, max_tokens: int) -> OnnxPairScorer:
    """The scorer whose files in ``folder`` have the SHA-256 that ``files`` gives them.

    Raises NotFound for a missing file, Corrupt for one that differs or cannot be read as what it is, MissingExtra
    without ONNX Runtime.
    """
    missing = [name for name in NEEDED if name not in files]
    if missing:
        raise Corrupt(f"{folder}: no SHA-256 is given for {', '.join(missing)}, so it is not loaded.")
    # The bytes that were hashed are the bytes that are loaded: nobody can change a file in between.
    held = {name: checked_bytes(folder / name, sha256) for name, sha256 in files.items()}
    digest = hashlib.sha256("".join(f"{name}:{files[name]}\n" for name in sorted(files)).encode()).hexdigest()
    try:
        return OnnxPairScorer(held[MODEL_FILE], held[TOKENIZER_FILE], digest=digest, max_tokens=max_tokens)
    except ImportError as error:
        raise MissingExtra(
            f"The grounding model needs {error.name}, which is not installed.", hint="Run: pip install onnxruntime"
        ) from None
    except Exception as error:  # both libraries raise exceptions of their own, some of them plain ones
        raise Corrupt(f"{folder}: cannot be loaded ({type(error).__name__}: {str(error)[:200]}).") from None


def checked_bytes(path: Path, sha256: str) -> bytes:
    """The file's bytes. Raises NotFound without it, Corrupt when their SHA-256 is another."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise NotFound(f"{path}: no such file.", hint="Install Lockgate again, or point at a whole folder.") from None
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read ({error.strerror}).") from None
    actual = hashlib.sha256(data).hexdigest()
    if actual != sha256:
        raise Corrupt(f"{path}: its SHA-256 is {actual}, not {sha256}; it is not loaded.")
    return data


def _pair_score(shares: NDArray[np.float32], token: NDArray[np.float32], item: Any) -> PairScore:
    import numpy as np

    marks = []
    for place, (start, end) in enumerate(item.offsets):
        if item.sequence_ids[place] == 0 and end > start:
            logit = float(token[place])
            if not np.isfinite(logit):
                raise Unavailable("The grounding model gave marks that are no numbers.", hint="Run: lockgate doctor")
            marks.append(Mark(start, end, float(1 / (1 + np.exp(-np.clip(logit, -30, 30))))))
    return PairScore(float(shares[0]), float(shares[1]), float(shares[2]), tuple(marks))


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float32] = shifted / shifted.sum(axis=1, keepdims=True)
    return result


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
