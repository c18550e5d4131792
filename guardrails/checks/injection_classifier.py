"""The small classifier of windows: one hidden layer over a window's embedding and what it says of itself in words."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints

from guardrails.checks.injection_windows import CUES
from guardrails.weights import MANIFEST, WEIGHTS
from guardrails.weights import checked_files as weights_files
from lockgate.content import ContentModel
from lockgate.errors import Corrupt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

Kind = Literal["direct", "indirect"]
"""Typed by a user, or standing in a document, a passage or a tool's result."""

SHIPPED = Path(__file__).resolve().parent.parent / "models" / "injection"
CONTEXT = ("alone", "like_the_rest", "like_another")
"""How a window of a document stands to the others: whether there are none, and its cosine to their mean and to the
nearest."""

_HINT = "Install Lockgate again, or train it: lockgate finetune injection --help"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Head(ContentModel):
    """``threshold`` is the log-odds that score 0.5; ``false_alarms`` is the share of harmless dev texts at or above."""

    threshold: float
    false_alarms: float


class Manifest(ContentModel):
    """``embedder``: the digest of the model whose vectors it was trained on. It says nothing about any other's."""

    name: str
    version: str
    embedder: Sha256
    dimension: int = Field(ge=1)
    cues: tuple[str, ...]
    weights: Sha256
    heads: dict[Kind, Head]


@dataclass(frozen=True, slots=True)
class Layer:
    """``tanh(x @ into + bias) @ out + last``: log-odds."""

    into: Array
    bias: Array
    out: Array
    last: float

    def logits(self, rows: Array) -> Array:
        import numpy as np

        result: Array = np.tanh(rows @ self.into + self.bias) @ self.out + self.last
        return result


@dataclass(frozen=True, slots=True)
class Classifier:
    """A loaded classifier. Two of one ``digest`` give the same scores for the same vectors."""

    manifest: Manifest
    layers: Mapping[Kind, Layer]
    digest: str

    def scores(self, kind: Kind, rows: Array) -> list[float]:
        """Between 0 and 1 for each row of ``direct_rows`` or ``indirect_rows``; 0.5 at the shipped threshold."""
        import numpy as np

        odds = self.layers[kind].logits(rows) - self.manifest.heads[kind].threshold
        return [float(each) for each in 1.0 / (1.0 + np.exp(-np.clip(odds, -30, 30)))]


def direct_rows(vectors: Array, cues: Sequence[Sequence[float]]) -> Array:
    """A row a window: its vector and its cues."""
    import numpy as np

    return np.hstack([vectors, np.asarray(cues, dtype=np.float32)]).astype(np.float32)


def indirect_rows(vectors: Array, cues: Sequence[Sequence[float]]) -> Array:
    """A row a window of one document: its vector, the mean of the others', its cues, and CONTEXT."""
    import numpy as np

    size = len(vectors)
    others = (vectors.sum(axis=0, keepdims=True) - vectors) / max(1, size - 1)
    length = np.maximum(1e-6, np.linalg.norm(others, axis=1, keepdims=True))
    context = np.zeros((size, len(CONTEXT)), dtype=np.float32)
    if size == 1:
        context[:, 0] = 1.0
    else:
        context[:, 1] = (vectors * others / length).sum(axis=1)
        near = vectors @ vectors.T
        np.fill_diagonal(near, -1.0)
        context[:, 2] = near.max(axis=1)
    return np.hstack([vectors, others, np.asarray(cues, dtype=np.float32), context]).astype(np.float32)


def checked_files(folder: Path = SHIPPED) -> tuple[Manifest, bytes, str]:
    """Manifest, weights, and the digest of both; needs nothing heavy. Raises NotFound for a missing file, Corrupt for
    one that is not what its SHA-256 says or was made for other cues than this version has."""
    manifest, weights, digest = weights_files(folder, Manifest, "injection classifier", _HINT)
    if manifest.cues != CUES:
        raise Corrupt(f"{folder / MANIFEST}: it is made for other cues than this version has.", hint=_HINT)
    return manifest, weights, digest


def open_classifier(folder: Path = SHIPPED) -> Classifier:
    """The classifier in ``folder``. Raises as ``checked_files`` does."""
    manifest, weights, digest = checked_files(folder)
    return Classifier(manifest, _layers(folder / WEIGHTS, weights, manifest), digest)


def _layers(path: Path, data: bytes, manifest: Manifest) -> dict[Kind, Layer]:
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = {name: value.astype(np.float32) for name, value in load(data).items()}
        layers: dict[Kind, Layer] = {}
        for kind in manifest.heads:
            into, bias, out, last = (tensors[f"{kind}.{part}"] for part in ("into", "bias", "out", "last"))
            inputs = input_size(kind, manifest.dimension)
            if into.shape != (inputs, len(bias)) or out.shape != bias.shape or last.shape != (1,):
                raise ValueError(f"{kind} has the wrong shape")
            if not all(np.isfinite(each).all() for each in (into, bias, out, last)):
                raise ValueError(f"{kind} holds a value that is no number")
            layers[kind] = Layer(into, bias, out, float(last[0]))
    except (KeyError, ValueError, TypeError, struct.error, SafetensorError) as error:
        raise Corrupt(f"{path}: holds no such classifier ({error}).", hint=_HINT) from None
    return layers


def input_size(kind: Kind, dimension: int) -> int:
    """Values in a row."""
    return dimension + len(CUES) + (dimension + len(CONTEXT) if kind == "indirect" else 0)
