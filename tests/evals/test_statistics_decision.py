from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.statistics.decision import Decision, decide_together, floor, non_inferior, overall
from evals.statistics.pairs import MetricShape, Pair, Value
from evals.verdict import Verdict

F1 = MetricShape("token_f1", (0.0, 1.0), "higher")
RIGHT = MetricShape("exact_match", (0.0, 1.0), "higher", binary=True)
SECONDS = MetricShape("latency_seconds", (0.0, 3600.0), "lower")
RUBRIC = MetricShape("rubric", (1.0, 5.0), "lower")

ORDER: dict[Verdict, int] = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}


def pairs_of(new: Sequence[float | None], old: Sequence[float | None], *, same: bool = False) -> list[Pair]:
    return [Pair(f"c{n}", "", {}, *scores, same=same) for n, scores in enumerate(zip(new, old, strict=True))]


def test_equal_scores_pass_and_say_by_how_much() -> None:
    found = non_inferior(pairs_of([0.8] * 40, [0.8] * 40), F1, 0.15)
    assert found.verdict == "PASS"
    assert found.low is not None and -0.15 < found.low < 0
    assert "the margin is 0.15" in found.reason


def test_a_clear_drop_fails() -> None:
    found = non_inferior(pairs_of([0.3, 0.5] * 20, [0.8] * 40), F1, 0.15)
    assert found.verdict == "FAIL"
    assert found.p_fail < 0.001
    assert "worse" in found.reason


def test_too_few_cases_are_inconclusive_and_say_how_many_more() -> None:
    found = non_inferior(pairs_of([0.7, 0.9] * 6, [0.8] * 12), F1, 0.1)
    assert found.verdict == "INCONCLUSIVE"
    assert found.more is not None
    assert found.hint == f"About {found.more} more cases would decide it."

    def verdict(n: int) -> Verdict:
        return non_inferior(pairs_of([0.7, 0.9] * (n // 2), [0.8] * (n // 2 * 2)), F1, 0.1).verdict

    assert verdict(12 + found.more + 4) == "PASS"
    assert verdict(12 + found.more - 4) == "INCONCLUSIVE"


def test_a_drop_within_the_margin_passes_although_it_is_beyond_doubt() -> None:
    assert non_inferior(pairs_of([0.78] * 400, [0.8] * 400), F1, 0.05).verdict == "PASS"


def test_identical_outputs_always_pass_however_small_the_margin() -> None:
    found = non_inferior(pairs_of([0.8] * 5, [0.8] * 5, same=True), F1, 0.001)
    assert (found.verdict, found.identical) == ("PASS", True)
    assert non_inferior(pairs_of([0.8] * 5, [0.8] * 5), F1, 0.001).verdict == "INCONCLUSIVE"


def test_identical_outputs_with_one_score_lost_are_not_identical() -> None:
    found = non_inferior(pairs_of([0.8] * 9 + [None], [0.8] * 10, same=True), F1, 0.01)
    assert found.verdict != "PASS"
    assert not found.identical


def test_same_outputs_that_took_longer_are_judged_by_the_time() -> None:
    found = non_inferior(pairs_of([9.0, 8.0] * 20, [2.0] * 40, same=True), SECONDS, 0.5)
    assert found.verdict == "FAIL"


def test_durations_are_not_measured_against_an_hour() -> None:
    assert non_inferior(pairs_of([2.0, 2.2] * 20, [2.1] * 40), SECONDS, 0.5).verdict == "PASS"


@pytest.mark.parametrize("lost", [None, math.nan, math.inf, -3.0])
def test_what_is_no_score_counts_as_the_worst(lost: float | None) -> None:
    found = non_inferior(pairs_of([lost] * 4 + [0.8] * 36, [0.8] * 40), F1, 0.1)
    assert found.verdict == "INCONCLUSIVE"
    assert (found.n, found.missing, found.if_scored) == (36, 4, "PASS")
    assert "Score the 4 case(s)" in found.hint


def test_nothing_scored_never_passes() -> None:
    assert non_inferior([], F1, 0.15).verdict == "INCONCLUSIVE"
    assert non_inferior(pairs_of([None] * 40, [0.8] * 40), F1, 0.15).verdict == "FAIL"
    assert floor([], F1, 0.0).verdict == "INCONCLUSIVE"
    assert floor([Value(str(n), "", None) for n in range(40)], F1, 0.1).verdict == "FAIL"


def test_one_page_alone_is_inconclusive() -> None:
    found = non_inferior([Pair(f"c{n}", "page", {}, 0.1, 0.9) for n in range(40)], F1, 0.15)
    assert found.verdict == "INCONCLUSIVE"
    assert "too few" in found.reason


def test_a_floor_is_cleared_by_the_lower_limit_only() -> None:
    def right(count: int) -> Decision:
        return floor([Value(str(n), "", float(n < count)) for n in range(40)], RIGHT, 0.8)

    assert right(38).verdict == "PASS"
    assert right(34).verdict == "INCONCLUSIVE"
    assert right(20).verdict == "FAIL"
    assert right(38).low is not None and right(38).value == 0.95


def test_a_ceiling_bounds_a_metric_where_lower_is_better() -> None:
    values = [Value(str(n), "", 2.0 + n % 2) for n in range(40)]
    assert floor(values, SECONDS, 4.0).verdict == "PASS"
    assert floor(values, SECONDS, 2.0).verdict == "FAIL"
    assert "ceiling" in floor(values, SECONDS, 4.0).reason


def test_a_fail_must_stand_among_all_rules() -> None:
    weak = non_inferior(pairs_of([0.0] * 7 + [0.8] * 33, [0.8] * 40), F1, 0.02)
    assert weak.verdict == "FAIL"
    good = non_inferior(pairs_of([0.8] * 40, [0.8] * 40), F1, 0.15)
    together = decide_together({"weak": weak, **{f"good{n}": good for n in range(30)}})
    assert together["weak"].verdict == "INCONCLUSIVE"
    assert "Holm" in together["weak"].reason
    assert overall(together) == "INCONCLUSIVE"
    assert overall(decide_together({"weak": weak})) == "FAIL"
    assert overall({"good": good}) == "PASS"
    assert overall({}) == "INCONCLUSIVE"


@pytest.mark.parametrize("margin", [-0.1, math.nan, math.inf])
def test_refuses_a_margin_that_is_none(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        non_inferior([], F1, margin)


def test_refuses_an_alpha_or_a_floor_that_is_none() -> None:
    with pytest.raises(ValueError, match="alpha"):
        non_inferior([], F1, 0.1, alpha=0.5)
    with pytest.raises(ValueError, match="floor"):
        floor([], F1, 1.5)


def test_the_same_rows_give_the_same_decision() -> None:
    pairs = pairs_of([0.1 * (n % 7) for n in range(60)], [0.1 * (n % 5) for n in range(60)])
    assert non_inferior(pairs, F1, 0.1) == non_inferior(pairs, F1, 0.1)


UNIT = st.one_of(st.sampled_from([0.0, 0.5, 0.8, 1.0]), st.floats(0, 1))
SHAPES = st.sampled_from([F1, RIGHT, RUBRIC, SECONDS])
LOST = st.sampled_from([None, math.nan, math.inf, -math.inf, 1e9])


@st.composite
def rows(draw: st.DrawFn) -> tuple[MetricShape, list[Pair], list[Pair]]:
    """A shape, pairs, and the same pairs with some scores turned into something that is none."""
    shape = draw(SHAPES)
    low, width = shape.scale[0], min(shape.width, 8.0)
    scores = st.one_of(UNIT, st.just(None)) if not shape.binary else st.sampled_from([0.0, 1.0, None])
    pages = st.sampled_from(["", "", "a", "b", "c"])
    full, less = [], []
    for number in range(draw(st.integers(1, 14))):
        new, old = (None if score is None else low + width * score for score in (draw(scores), draw(scores)))
        pair = Pair(f"c{number}", draw(pages), {}, new, old, same=draw(st.booleans()))
        full.append(pair)
        if draw(st.booleans()):
            pair = replace(pair, new=draw(LOST))
        if draw(st.integers(0, 5)) == 0:
            pair = replace(pair, old=draw(LOST))
        less.append(pair)
    return shape, full, less


def drop(shape: MetricShape, pairs: Sequence[Pair], share: float) -> Decision:
    return non_inferior(pairs, shape, share * min(shape.width, 8.0))


def bound(shape: MetricShape, pairs: Sequence[Pair], share: float) -> Decision:
    values = [Value(pair.case, pair.cluster, pair.new) for pair in pairs]
    return floor(values, shape, shape.scale[0] + share * min(shape.width, 8.0))


@settings(max_examples=150, deadline=None)
@given(rows(), st.floats(0, 1))
def test_losing_scores_never_improves_a_comparison(
    drawn: tuple[MetricShape, list[Pair], list[Pair]], margin: float
) -> None:
    shape, full, less = drawn
    assert ORDER[drop(shape, less, margin).verdict] <= ORDER[drop(shape, full, margin).verdict]


@settings(max_examples=150, deadline=None)
@given(rows(), st.floats(0, 1))
def test_losing_scores_never_improves_a_floor(drawn: tuple[MetricShape, list[Pair], list[Pair]], share: float) -> None:
    shape, full, less = drawn
    assert ORDER[bound(shape, less, share).verdict] <= ORDER[bound(shape, full, share).verdict]


@settings(max_examples=80, deadline=None)
@given(rows(), rows(), st.floats(0, 1), st.floats(0, 1))
def test_losing_scores_never_improves_a_gate(
    first: tuple[MetricShape, list[Pair], list[Pair]],
    second: tuple[MetricShape, list[Pair], list[Pair]],
    margin: float,
    share: float,
) -> None:
    def gate(which: int) -> dict[str, Decision]:
        one = first[0], first[1] if which == 1 else first[2]
        other = second[0], second[1] if which == 1 else second[2]
        return decide_together({"drop": drop(*one, margin), "floor": bound(*one, share), "other": drop(*other, margin)})

    full, less = gate(1), gate(2)
    for name in full:
        assert ORDER[less[name].verdict] <= ORDER[full[name].verdict]
    assert ORDER[overall(less)] <= ORDER[overall(full)]
