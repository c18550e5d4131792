"""The shipped grounding detector: its files, the weights that join its signals, and the model that reads."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError

from guardrails.grounding.features import FEATURES
from lockgate.content import ContentModel
from lockgate.errors import Corrupt, LockgateError, NotFound, Unavailable
from lockgate.ports import PairScorer

SHIPPED = Path(__file__).resolve().parent.parent / "models" / "grounding"
MANIFEST = "detector.json"
RARITY = "rarity.json"

LEARNED = ("read_unsupported", "read_contradicted", "read_marked")
"""What the encoder adds to FEATURES: log-odds of "not supported" in the window that supports most, its likelihood of
"contradicted" there, and the largest mark on one of the claim's words."""

ANSWER = ("joined", "most_missing", "missing_share")
"""What an answer is judged by: log of the sum of its sentences' odds, the rarity that one sentence lacks at most, and
the share of all its words that no passage holds."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
OpenScorer = Callable[[Path, Mapping[str, str], int], PairScorer]


class Weights(ContentModel):
    """A logistic regression: ``bias`` and the sum of ``weights`` times (value - mean) / deviation of ``features``."""

    features: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[Annotated[float, Field(gt=0)], ...]
    weights: tuple[float, ...]
    bias: float

    def logit(self, values: Sequence[float]) -> float:
        return self.bias + sum(
            weight * (value - mean) / deviation
            for value, mean, deviation, weight in zip(values, self.mean, self.deviation, self.weights, strict=True)
        )


class Manifest(ContentModel):
    """``detector.json``: everything but the encoder, and the SHA-256 of every other file.

    A sentence whose word score is under ``settled_supported`` or over ``settled_unsupported`` (log-odds) is not read.
    """

    name: str
    version: str
    files: dict[str, Sha256]
    max_tokens: int = Field(ge=32, le=512)
    common: float = Field(gt=0)
    words: Weights
    joined: Weights
    answer: Weights
    settled_supported: float
    settled_unsupported: float
    sentence_threshold: float = Field(gt=0, lt=1)
    answer_threshold: float = Field(gt=0, lt=1)


@dataclass(frozen=True, slots=True)
class Detector:
    """A loaded detector. ``digest`` names all of it: two detectors of one digest give the same scores."""

    manifest: Manifest
    rarity: Mapping[str, float]
    scorer: PairScorer
    digest: str

    @property
    def name(self) -> str:
        return f"{self.manifest.name}@{self.digest[:12]}"


def open_detector(folder: Path = SHIPPED, open_scorer: OpenScorer | None = None) -> Detector:
    """The detector in ``folder``; its files are loaded only if they have the SHA-256 of the manifest.

    Raises NotFound for a missing file, Corrupt for one that differs or is not what it should be, MissingExtra without
    ONNX Runtime. It never falls back to less: a policy's ``on_error`` decides what a missing detector means.
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{path}: no such file, so there is no grounding detector.", hint=_REINSTALL) from None
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read ({error.strerror}).") from None
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "(the whole)"
        raise Corrupt(f"{path}: {where}: {first['msg']}.", hint=_REINSTALL) from None
    _check_weights(path, manifest)
    rarity = _rarity(folder, manifest)
    scorer = (open_scorer or _open_onnx)(folder, _scorer_files(manifest), manifest.max_tokens)
    return Detector(manifest, rarity, scorer, hashlib.sha256(data).hexdigest())


def detector_problem(folder: Path = SHIPPED) -> str:
    """Why the detector cannot be used, in words; "" when it can. For health checks: it loads everything."""
    try:
        detector = open_detector(folder)
        detector.scorer.score([("The sky is blue.", "The sky is blue.")])
    except LockgateError as error:
        return str(error)
    return ""


_REINSTALL = "Install Lockgate again, or train it: lockgate finetune grounding --help"


def _open_onnx(folder: Path, files: Mapping[str, str], max_tokens: int) -> PairScorer:
    from lockgate.models.pair_scorer import open_pair_scorer

    return open_pair_scorer(folder, files, max_tokens=max_tokens)


def _scorer_files(manifest: Manifest) -> dict[str, str]:
    return {name: sha256 for name, sha256 in manifest.files.items() if name != RARITY}


def _check_weights(path: Path, manifest: Manifest) -> None:
    """A model for other features would give numbers that mean nothing."""
    expected = {"words": FEATURES, "joined": (*FEATURES, *LEARNED), "answer": ANSWER}
    for key, features in expected.items():
        weights: Weights = getattr(manifest, key)
        sizes = {len(weights.features), len(weights.mean), len(weights.deviation), len(weights.weights)}
        if weights.features != features or len(sizes) != 1:
            raise Corrupt(f"{path}: {key}: it is made for other features than this version has.", hint=_REINSTALL)
        if not all(map(math.isfinite, (*weights.mean, *weights.deviation, *weights.weights, weights.bias))):
            raise Corrupt(f"{path}: {key}: holds a value that is no number.", hint=_REINSTALL)


def _rarity(folder: Path, manifest: Manifest) -> dict[str, float]:
    from lockgate.models.pair_scorer import checked_bytes

    if RARITY not in manifest.files:
        raise Corrupt(f"{folder / MANIFEST}: no SHA-256 is given for {RARITY}.", hint=_REINSTALL)
    data = checked_bytes(folder / RARITY, manifest.files[RARITY])
    try:
        table = json.loads(data)
        return {str(stem): float(weight) for stem, weight in table.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise Corrupt(f"{folder / RARITY}: is no table of words ({error}).", hint=_REINSTALL) from None
