from __future__ import annotations

import pytest

from evals.metrics.score import NotApplicable, Unscored
from guardrails.checks import grounding
from lockgate.errors import Corrupt
from tests.evals.outcomes import answered, failed, make_answer, score

PASSAGES = ("A signing key expires after ninety days. Its owner renews it in the console.",)


def test_an_answer_is_held_against_its_passages() -> None:
    good = answered("A signing key expires after ninety days [1].", passages=PASSAGES)
    bad = answered("Robert Mueller of Berlin sells 4,000 bicycles every year [1].", passages=PASSAGES)
    assert (score("grounded", good), score("supported_sentences", good)) == (1.0, 1.0)
    assert (score("grounded", bad), score("supported_sentences", bad)) == (0.0, 0.0)


@pytest.mark.parametrize("name", ["grounded", "supported_sentences"])
def test_what_is_not_known_is_unscored_and_an_abstention_claims_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert score(name, failed()) == Unscored("model gone")
    assert isinstance(score(name, answered("It is so.", passages=None)), Unscored)
    silent = answered("", answer=make_answer("Not there.", abstained=True), passages=PASSAGES)
    assert isinstance(score(name, silent), NotApplicable)

    def damaged() -> None:
        raise Corrupt("model.onnx: another hash")

    monkeypatch.setattr(grounding, "shipped_grounder", damaged)
    assert score(name, answered("It is so.", passages=PASSAGES)) == Unscored(
        "the grounding detector failed: model.onnx: another hash"
    )
