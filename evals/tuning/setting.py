"""The parameters of a chain that are tuned, the values that are tried, and how a definition takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from chains.definition import ChainDefinition
from lockgate.types import SnapshotKind

Path = tuple[str, ...]
Number = int | float


@dataclass(frozen=True, slots=True)
class Setting:
    """Weight of the vectors, passages that an answer may be made of (k), passages that may hold the rare terms, and
    what makes passages relevant."""

    dense_weight: float
    evidence: int
    passages: int
    cosine_weight: float
    threshold: float
    bm25_threshold: float

    def as_json(self) -> dict[str, Number]:
        return {".".join(PLACES[name]): value for name, value in asdict(self).items()}

    def applied(self, definition: ChainDefinition) -> ChainDefinition:
        """``definition`` with this setting."""
        retrieval = {"dense_weight": self.dense_weight, "evidence": self.evidence}
        relevance = {
            "cosine_weight": self.cosine_weight,
            "threshold": self.threshold,
            "bm25_threshold": self.bm25_threshold,
        }
        return definition.model_copy(
            update={
                "passages": self.passages,
                "retrieval": definition.retrieval.model_copy(update=retrieval),
                "relevance": definition.relevance.model_copy(update=relevance),
            }
        )

    def changes(self, before: Setting) -> dict[Path, Number]:
        """Where in the definition which values are other ones than before."""
        old, new = asdict(before), asdict(self)
        return {PLACES[name]: new[name] for name in PLACES if new[name] != old[name]}


PLACES: dict[str, Path] = {
    "dense_weight": ("retrieval", "dense_weight"),
    "evidence": ("retrieval", "evidence"),
    "passages": ("passages",),
    "cosine_weight": ("relevance", "cosine_weight"),
    "threshold": ("relevance", "threshold"),
    "bm25_threshold": ("relevance", "bm25_threshold"),
}
"""Each parameter's place in a chain definition."""

Coordinate = Callable[[Setting], Iterable[Setting]]
"""The settings that differ from one in a single respect."""

_TENTHS = tuple(round(0.1 * step, 1) for step in range(11))
_THRESHOLDS = tuple(round(0.2 + 0.03 * step, 2) for step in range(18))
_PASSAGES = (2, 3, 4, 5, 6, 8, 10, 12)
_EVIDENCE = (1, 2, 3, 5, 8, 12)


def setting_of(definition: ChainDefinition) -> Setting:
    return Setting(
        dense_weight=definition.retrieval.dense_weight,
        evidence=definition.retrieval.evidence,
        passages=definition.passages,
        cosine_weight=definition.relevance.cosine_weight,
        threshold=definition.relevance.threshold,
        bm25_threshold=definition.relevance.bm25_threshold,
    )


def coordinates(kind: SnapshotKind, *, answers: bool, abstentions: bool) -> list[Coordinate]:
    """What is tried, one respect after another.

    Without vectors there are no weights; without answers (a chain whose model writes them) nothing says how many
    passages are enough; without unanswerable cases nothing says when to abstain. The two relevance numbers of a hybrid
    snapshot are one respect: a weight without a threshold of its own would only move the mix past the old one.
    """
    found: list[Coordinate] = []
    if kind == "hybrid":
        found.append(lambda here: (replace(here, dense_weight=each) for each in _TENTHS))
    if answers:
        found.append(lambda here: (replace(here, passages=each) for each in _PASSAGES))
    if abstentions:
        found.append(lambda here: (replace(here, evidence=each) for each in _EVIDENCE))
        found.append(_relevance if kind == "hybrid" else _bm25_relevance)
    return found


def _relevance(here: Setting) -> Iterable[Setting]:
    weights: Sequence[float] = sorted({*_TENTHS, here.cosine_weight}, key=lambda each: abs(each - here.cosine_weight))
    return (replace(here, cosine_weight=weight, threshold=each) for weight in weights for each in _THRESHOLDS)


def _bm25_relevance(here: Setting) -> Iterable[Setting]:
    return (replace(here, bm25_threshold=each) for each in (0.0, 0.05, 0.1, 0.15, *_THRESHOLDS))
