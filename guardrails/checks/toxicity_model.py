"""The toxicity model: hashed words, a sentence embedding and counts of telling words, joined by small networks."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints

from guardrails.checks.toxicity_features import BUCKETS, COUNTS, VERSION, counted, hashed, words
from guardrails.weights import MANIFEST, WEIGHTS
from guardrails.weights import checked_files as weights_files
from lockgate.content import ContentModel
from lockgate.errors import Corrupt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

Kind = Literal["hate", "threat", "abuse"]
KINDS: tuple[Kind, ...] = ("hate", "threat", "abuse")

SHIPPED = Path(__file__).resolve().parent.parent / "models" / "toxicity"
SCALE = 8.0
"""What vectors of unit length are multiplied by, so that their values are of the size of the others."""
CLIP = 8.0

_HINT = "Install Lockgate again, or train it: lockgate finetune toxicity --help"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Manifest(ContentModel):
    """``embedder``: the digest of the model whose vectors it was trained on; it says nothing about any other's.

    ``thresholds`` are the log-odds that score 0.5. A window whose words score under ``unread`` is not embedded, one
    from ``read`` on always is, and of those between the most suspicious ones of a text.
    """

    name: str
    version: str
    features: int
    embedder: Sha256
    dimension: int = Field(ge=1)
    weights: Sha256
    thresholds: dict[Kind, float]
    unread: float
    read: float


@dataclass(frozen=True, slots=True)
class Read:
    """What words say of some windows: ``values`` are the numbers that the networks take beside the vectors (shape
    (windows, len(KINDS) + COUNTS)), ``suspicion`` is how much a window is worth an embedding."""

    values: Array
    suspicion: Array


@dataclass(frozen=True, slots=True)
class Tensors:
    """``words``: a row a bucket, a column a kind. ``into`` and ``out`` have a network in each layer."""

    words: Array  # (BUCKETS, KINDS)
    words_bias: Array  # (KINDS)
    suspicion: Array  # (KINDS + COUNTS)
    suspicion_bias: Array  # (1)
    into: Array  # (networks, dimension + KINDS + COUNTS, hidden)
    into_bias: Array  # (networks, hidden)
    out: Array  # (networks, hidden, KINDS)
    out_bias: Array  # (networks, KINDS)


@dataclass(frozen=True, slots=True)
class ToxicityModel:
    """A loaded model. Two of one ``digest`` give the same scores for the same texts and vectors."""

    manifest: Manifest
    tensors: Tensors
    digest: str

    def read(self, texts: Sequence[str]) -> Read:
        """What the words of each text say."""
        import numpy as np

        rows = np.zeros((len(texts), len(KINDS) + COUNTS), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            said = words(text)
            if places := hashed(said):
                row[: len(KINDS)] = self.tensors.words[places].sum(axis=0) / np.sqrt(len(places))
            row[len(KINDS) :] = counted(text, said)
        rows[:, : len(KINDS)] += self.tensors.words_bias
        np.clip(rows[:, : len(KINDS)], -CLIP, CLIP, out=rows[:, : len(KINDS)])
        return Read(rows, rows @ self.tensors.suspicion + self.tensors.suspicion_bias[0])

    def logits(self, vectors: Array, values: Array) -> Array:
        """Log-odds of each kind, a row a window, the mean of the networks."""
        import numpy as np

        rows = np.hstack([vectors * SCALE, values]).astype(np.float32)
        net = self.tensors
        hidden = np.maximum(0.0, rows @ net.into + net.into_bias[:, None, :])
        result: Array = (hidden @ net.out + net.out_bias[:, None, :]).mean(axis=0)
        return result

    def scores(self, vectors: Array, values: Array, kinds: Sequence[Kind]) -> list[list[float]]:
        """For each window the score of each of ``kinds`` in [0, 1]; 0.5 at the shipped threshold."""
        import numpy as np

        columns = [KINDS.index(kind) for kind in kinds]
        shift = np.array([self.manifest.thresholds[kind] for kind in kinds])
        odds = self.logits(vectors, values)[:, columns] - shift
        rows = 1.0 / (1.0 + np.exp(-np.clip(odds, -30, 30)))
        return [[float(each) for each in row] for row in rows]


def open_model(folder: Path = SHIPPED) -> ToxicityModel:
    """The model in ``folder``. Raises as ``checked_files`` does."""
    manifest, weights, digest = checked_files(folder)
    return ToxicityModel(manifest, _tensors(folder / WEIGHTS, weights, manifest), digest)


def checked_files(folder: Path = SHIPPED) -> tuple[Manifest, bytes, str]:
    """Manifest, weights, and the digest of both; needs nothing heavy. Raises NotFound for a missing file, Corrupt for
    one that is not what its SHA-256 says or was made for other features than this version has."""
    manifest, weights, digest = weights_files(folder, Manifest, "toxicity model", _HINT)
    if manifest.features != VERSION or set(manifest.thresholds) != set(KINDS):
        raise Corrupt(f"{folder / MANIFEST}: it is made for other features than this version has.", hint=_HINT)
    return manifest, weights, digest


def _tensors(path: Path, data: bytes, manifest: Manifest) -> Tensors:
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = Tensors(**{name: value.astype(np.float32) for name, value in load(data).items()})
        networks, _, hidden = tensors.into.shape
        shapes = {
            "words": (BUCKETS, len(KINDS)),
            "words_bias": (len(KINDS),),
            "suspicion": (len(KINDS) + COUNTS,),
            "suspicion_bias": (1,),
            "into": (networks, manifest.dimension + len(KINDS) + COUNTS, hidden),
            "into_bias": (networks, hidden),
            "out": (networks, hidden, len(KINDS)),
            "out_bias": (networks, len(KINDS)),
        }
        for name, shape in shapes.items():
            value = getattr(tensors, name)
            if value.shape != shape or not np.isfinite(value).all():
                raise ValueError(f"{name} has the wrong shape, or a value that is no number")
    except (KeyError, ValueError, TypeError, struct.error, SafetensorError) as error:
        raise Corrupt(f"{path}: holds no such model ({error}).", hint=_HINT) from None
    return tensors
