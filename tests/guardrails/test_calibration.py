from __future__ import annotations

from pathlib import Path

import pytest

from guardrails.calibration import calibrate, chosen, clean_files, read_clean
from guardrails.check import GuardTools
from lockgate.errors import NotFound, Unavailable, UserError


def quiet(*_: object) -> None: ...


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
def test_the_threshold_keeps_the_stated_rate_and_is_the_lowest_that_does(rate: float) -> None:
    scores = [(f"{at}.md", at / 1000) for at in range(200)]
    found = chosen("injection", "document", scores, rate)
    assert found.threshold is not None
    assert found.reached <= rate
    assert sum(score >= found.threshold - 0.002 for _, score in scores) / 200 > rate
    assert found.yaml == f"threshold: {found.threshold:g}"
    assert found.worst[0] == ("199.md", 0.199)


def test_says_so_when_no_threshold_is_high_enough() -> None:
    found = chosen("injection", "document", [("a", 1.0)] * 10, 0.1)
    assert found.threshold is None
    assert found.by_default == 1.0


def test_scores_of_zero_leave_the_lowest_threshold() -> None:
    assert chosen("injection", "document", [("a", 0.0)] * 100, 0.01).threshold == 0.001


def test_ties_at_the_border_stay_under_the_threshold() -> None:
    found = chosen("injection", "document", [("a", 0.9)] * 3 + [("b", 0.1)] * 97, 0.01)
    assert (found.threshold, found.reached) == (0.901, 0.0)


def test_reads_the_text_files_of_a_folder_and_leaves_empty_ones_out(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.md").write_text("One.")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe Two.")
    (tmp_path / "c.png").write_bytes(b"x")
    (tmp_path / "d.md").write_text(" \n")
    assert [Path(name).name for name, _ in read_clean(clean_files([tmp_path]))] == ["b.txt", "a.md"]
    with pytest.raises(NotFound):
        clean_files([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="No text files"):
        clean_files([tmp_path / "empty"])


def test_refuses_what_it_cannot_calibrate() -> None:
    texts = [("a", "Some text.")] * 20
    with pytest.raises(NotFound):
        calibrate("no-such-check", "document", texts, GuardTools(), 0.1, quiet)
    with pytest.raises(UserError, match="not output"):
        calibrate("injection", "output", texts, GuardTools(), 0.1, quiet)
    with pytest.raises(UserError, match="100 are needed"):
        calibrate("injection", "document", texts, GuardTools(), 0.01, quiet)
    with pytest.raises(Unavailable, match="a: the check injection"):
        calibrate("injection", "document", texts, GuardTools(), 0.1, quiet)  # there is no embedder
    found = calibrate("secrets", "document", texts, GuardTools(), 0.1, quiet)
    assert found.count == 20
    assert found.threshold == 0.001
