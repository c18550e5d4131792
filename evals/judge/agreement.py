"""How far a judge agrees with labels: agreement beyond chance, prevalence-adjusted too, with clustered intervals.

All statistics are made from tables of counts, labels down and judge across, so that a bootstrap over clusters is a sum
of tables. Where chance alone would agree on everything (one level only on both sides), kappa says nothing; it counts as
0 here, since nothing was shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 5000
SEED = 20_260_101


@dataclass(frozen=True, slots=True)
class Rating:
    """One answer that both rated: the levels from 0, and what ties it to others (answers to one question)."""

    label: int
    judged: int
    cluster: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """``low`` and ``high`` bound 95 % by the percentile bootstrap over clusters."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


def observed_agreement(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of answers on which both give the same level; ``tables`` has shape (..., levels, levels)."""
    import numpy as np

    same: NDArray[np.float64] = np.einsum("...ii->...", tables) / tables.sum(axis=(-2, -1))
    return same


def cohen_kappa(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Agreement beyond chance. Source: Cohen, "A coefficient of agreement for nominal scales", 1960."""
    shares = _shares(tables)
    expected = (shares.sum(axis=-1) * shares.sum(axis=-2)).sum(axis=-1)
    return _beyond(observed_agreement(tables), expected)


def quadratic_kappa(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kappa where a miss by two levels weighs four times one by one level.

    Source: Cohen, "Weighted kappa", Psychological Bulletin 70(4), 1968, with quadratic weights.
    """
    import numpy as np

    levels = tables.shape[-1]
    steps = np.arange(levels)
    weights = 1 - (steps[:, None] - steps[None, :]) ** 2 / max(1, levels - 1) ** 2
    shares = _shares(tables)
    chance = shares.sum(axis=-1)[..., :, None] * shares.sum(axis=-2)[..., None, :]
    return _beyond((weights * shares).sum(axis=(-2, -1)), (weights * chance).sum(axis=(-2, -1)))


def pabak(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Prevalence- and bias-adjusted kappa: as if every level were as common as the others.

    Source: Byrt, Bishop and Carlin, "Bias, prevalence and kappa", Journal of Clinical Epidemiology 46(5), 1993; for
    more than two levels it is the S of Bennett, Alpert and Goldstein, 1954.
    """
    import numpy as np

    return _beyond(observed_agreement(tables), np.full(tables.shape[:-2], 1 / tables.shape[-1]))


def gwet_ac1(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Agreement beyond a chance that shrinks where one level is common.

    Source: Gwet, "Computing inter-rater reliability and its variance in the presence of high agreement", British
    Journal of Mathematical and Statistical Psychology 61(1), 2008.
    """
    shares = _shares(tables)
    common = (shares.sum(axis=-1) + shares.sum(axis=-2)) / 2
    expected = (common * (1 - common)).sum(axis=-1) / max(1, tables.shape[-1] - 1)
    return _beyond(observed_agreement(tables), expected)


STATISTICS: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = MappingProxyType(
    {
        "agreement": observed_agreement,
        "kappa": cohen_kappa,
        "quadratic_kappa": quadratic_kappa,
        "pabak": pabak,
        "ac1": gwet_ac1,
    }
)


def measure_agreement(ratings: Sequence[Rating], levels: int) -> dict[str, Estimate]:
    """Every statistic of ``ratings`` with its interval. Raises ValueError without ratings."""
    import numpy as np

    if not ratings:
        raise ValueError("agreement needs at least one answer that both rated")
    tables = _cluster_tables(ratings, levels)
    whole = tables.sum(axis=0, keepdims=True)
    random = np.random.default_rng(SEED)
    # How often each cluster is drawn when as many are drawn as there are, with replacement.
    counts = random.multinomial(len(tables), np.full(len(tables), 1 / len(tables)), size=RESAMPLES)
    drawn = (counts @ tables.reshape(len(tables), -1)).reshape(RESAMPLES, levels, levels).astype(np.float64)
    made = {}
    for name, statistic in STATISTICS.items():
        low, high = np.percentile(statistic(drawn), [2.5, 97.5])
        made[name] = Estimate(float(statistic(whole)[0]), float(low), float(high))
    return made


def _cluster_tables(ratings: Sequence[Rating], levels: int) -> NDArray[np.float64]:
    """(clusters, levels, levels); clusters in the order of their names, so that the same ratings give the same draw."""
    import numpy as np

    places = {name: place for place, name in enumerate(sorted({rating.cluster for rating in ratings}))}
    tables = np.zeros((len(places), levels, levels))
    for rating in ratings:
        tables[places[rating.cluster], rating.label, rating.judged] += 1
    return tables


def _shares(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = tables / tables.sum(axis=(-2, -1), keepdims=True)
    return shares


def _beyond(observed: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    room = 1 - expected
    known = room > 1e-12
    return np.where(known, (observed - expected) / np.where(known, room, 1.0), 0.0)
