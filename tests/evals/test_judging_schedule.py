"""How busy a judge is kept, and what is asked of it: counts and shares, against the mock judge of the benchmark."""

from __future__ import annotations

from pathlib import Path

from bench.judging import changed, judge_ours, make_samples, mock_count, mock_judge

LATENCY = 0.2
"""Seconds: long enough that a busy machine's own delays are small beside it."""


def test_the_judge_is_kept_busy_never_asked_too_much_and_nothing_twice(tmp_path: Path) -> None:
    samples = make_samples(20)
    with mock_judge(LATENCY) as url:
        seconds = judge_ours(tmp_path, url, samples)
        first = mock_count(url, "reset")
        judge_ours(tmp_path, url, samples)
        same = mock_count(url, "reset")
        judge_ours(tmp_path, url, changed(samples))
        again = mock_count(url, "count")
    assert first["calls"] == 20 * 11  # 2 x claims, 4 x verify, 5 passages: the claims are asked for once
    assert (first["peak"], first["refused"]) == (8, 0)
    assert first["connections"] <= 8 + 1
    assert first["calls"] * LATENCY / 8 / seconds >= 0.5
    assert same["calls"] == 0
    assert again["calls"] * 15 <= first["calls"]


def test_a_judge_that_takes_three_at_once_is_found_out_and_every_row_scored(tmp_path: Path) -> None:
    samples = make_samples(8)
    with mock_judge(0.02, at_once=3) as url:
        judge_ours(tmp_path, url, samples)  # raises when a row was not scored
        counts = mock_count(url, "count")
    assert counts["calls"] == 8 * 11
    assert counts["refused"] > 0
    assert counts["refused"] <= 0.6 * counts["calls"]
