"""Which metrics there are, and a metric by the name that a suite gives it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from evals.metrics.metric import Metric, MetricFamily
from evals.metrics.naming import split_name
from evals.metrics.repeats import pass_metric, split_pass

MODULES = (
    "evals.metrics.retrieval",
    "evals.metrics.answers",
    "evals.metrics.citations",
    "evals.metrics.grounding",
    "evals.metrics.abstention",
    "evals.metrics.output_format",
    "evals.metrics.performance",
    "evals.metrics.safety",
    "evals.metrics.probes",
    "evals.metrics.agents",
    "evals.metrics.judged",
)
"""Modules whose ``@metric`` functions a suite may name, in the order in which they are listed."""

PREFIXES: Mapping[str, str] = MappingProxyType({"rubric": "evals.metrics.judged", "ragas": "evals.metrics.ragas"})
"""Whole collections, by the word before the colon (``rubric:tone``): the module that has a function
``family(name) -> MetricFamily``, which raises ValueError for a name that it does not know."""

STANDARD = (
    "recall@1",
    "recall@3",
    "recall@5",
    "recall@10",
    "precision@1",
    "precision@5",
    "mrr",
    "ndcg@5",
    "ndcg@10",
)
"""What to offer of the metrics that need a parameter."""

Spec = str | Mapping[str, object]


@lru_cache(maxsize=1)
def families() -> Mapping[str, MetricFamily]:
    """Every metric by its family's name. Raises ValueError when two modules use one name."""
    found: dict[str, MetricFamily] = {}
    for module in MODULES:
        for family in vars(importlib.import_module(module)).values():
            if not isinstance(family, MetricFamily) or found.get(family.name) is family:
                continue
            if family.name in found:
                raise ValueError(f"{module}: there is a metric {family.name!r} already")
            found[family.name] = family
    return MappingProxyType(found)


def resolve_metric(spec: Spec) -> Metric:
    """The metric of ``recall@5``, ``rouge_l[beta=2.0]``, ``pass^3:goal_reached`` or ``{metric: recall, k: 5}``.

    Raises ValueError for an unknown metric or parameter, a parameter that is missing and one out of its range.
    """
    if isinstance(spec, str):
        return _named(spec)
    if not isinstance(spec, Mapping) or not isinstance(spec.get("metric"), str):
        raise ValueError("a metric is a name, or a mapping with the key 'metric' and the metric's parameters")
    if passes := split_pass(str(spec["metric"])):
        return pass_metric(resolve_metric({**spec, "metric": passes[1]}), passes[0])
    family, parameters = split_name(str(spec["metric"]))
    given = {str(key): value for key, value in spec.items() if key != "metric"}
    if twice := sorted(given.keys() & parameters.keys()):
        raise ValueError(f"{twice[0]} is given twice")
    return _family(family).with_parameters({**parameters, **given})


@lru_cache(maxsize=1024)
def _named(name: str) -> Metric:
    if passes := split_pass(name):
        return pass_metric(_named(passes[1]), passes[0])
    family, parameters = split_name(name)
    return _family(family).with_parameters(parameters)


@lru_cache(maxsize=1)
def standard_metrics() -> Mapping[str, Metric]:
    """A metric of every family, by name: those that need no parameter, and the usual choices of the others."""
    names = [name for name, family in families().items() if _stands_alone(family)]
    metrics = [resolve_metric(name) for name in (*STANDARD, *names)]
    return MappingProxyType({each.name: each for each in metrics})


def _stands_alone(family: MetricFamily) -> bool:
    return family.parameters is None or not any(each.is_required() for each in family.parameters.model_fields.values())


def _family(name: str) -> MetricFamily:
    prefix, colon, rest = name.partition(":")
    if colon and prefix in PREFIXES:
        family: MetricFamily = importlib.import_module(PREFIXES[prefix]).family(rest)
        return family
    if name not in families():
        known = [*standard_metrics(), *(f"{each}:NAME" for each in PREFIXES)]
        raise ValueError(f"unknown metric; known metrics: {', '.join(known)}")
    return families()[name]
