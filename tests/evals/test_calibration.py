"""Calibration: statistics against hand-made figures, and every way in which a judge must not get a vote."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from typer.testing import CliRunner

from evals.calibrate_commands import calibrate as calibrate_command
from evals.calibration import (
    DEFAULT_BOUND,
    MIN_LABELS,
    CalibrationBody,
    Calibrations,
    calibrate,
    decide_vote,
    has_vote,
    make_calibration,
    stored_identity,
)
from evals.judge.agreement import (
    Rating,
    cohen_kappa,
    gwet_ac1,
    measure_agreement,
    observed_agreement,
    pabak,
    quadratic_kappa,
)
from evals.judge.appeals import find_appeal
from evals.judge.book import PromptBook
from evals.judge.identity import JudgeIdentity, identity_from
from evals.judge.labels import LabelRow, Labels, load_labels, load_scores, score_level, scored
from evals.judge.metrics import JUDGED_METRICS
from evals.judge.probes import PROBES, measure_resistance
from evals.metrics.score import Score, Unscored
from lockgate.errors import Corrupt, LockgateError, UserError
from lockgate.settings import Settings
from lockgate.store.calibrations import list_calibrations
from lockgate.store.database import Database, open_database
from tests.evals.judge_server import purpose_of, run_judge, said_in
from tests.evals.judges import FakeJudge, honest

FAITHFULNESS = JUDGED_METRICS["faithfulness"]


def table(*rows: Sequence[int]) -> Any:
    return np.array(rows, dtype=float)[None]


def test_cohen_s_own_example_and_a_table_by_hand() -> None:
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: observed .7, expected .5.
    two = table((20, 5), (10, 15))
    assert observed_agreement(two)[0] == pytest.approx(0.7)
    assert cohen_kappa(two)[0] == pytest.approx(0.4)
    assert pabak(two)[0] == pytest.approx(0.4)
    # AC1: the mean share of yes is .55, chance 2 * .55 * .45 = .495.
    assert gwet_ac1(two)[0] == pytest.approx((0.7 - 0.495) / 0.505)
    assert quadratic_kappa(two)[0] == pytest.approx(0.4)


def test_the_prevalence_paradox() -> None:
    skewed = table((118, 5), (2, 0))
    assert observed_agreement(skewed)[0] == pytest.approx(0.944)
    assert cohen_kappa(skewed)[0] == pytest.approx(-0.0234, abs=1e-3)
    assert gwet_ac1(skewed)[0] > 0.9
    assert pabak(skewed)[0] == pytest.approx(0.888)


def test_a_near_miss_costs_quadratic_kappa_less_than_a_far_one() -> None:
    near = table((10, 5, 0, 0), (0, 10, 0, 0), (0, 0, 10, 0), (0, 0, 0, 10))
    far = table((10, 0, 0, 5), (0, 10, 0, 0), (0, 0, 10, 0), (0, 0, 0, 10))
    assert quadratic_kappa(near)[0] > quadratic_kappa(far)[0]
    assert cohen_kappa(near)[0] == pytest.approx(cohen_kappa(far)[0], abs=0.02)


@pytest.mark.parametrize("statistic", [cohen_kappa, quadratic_kappa, pabak, gwet_ac1])
def test_perfect_agreement_is_one_and_one_level_on_both_sides_shows_nothing(statistic: Any) -> None:
    assert statistic(table((7, 0), (0, 9)))[0] == pytest.approx(1.0)
    if statistic in (cohen_kappa, quadratic_kappa):
        assert statistic(table((9, 0), (0, 0)))[0] == 0.0


def test_a_cluster_of_like_answers_widens_the_interval() -> None:
    chance = random.Random(1)
    ratings, alone = [], []
    for cluster in range(40):
        label, judged = chance.randint(0, 1), chance.randint(0, 1)
        judged = label if chance.random() < 0.7 else judged
        for member in range(5):
            ratings.append(Rating(label, judged, str(cluster)))
            alone.append(Rating(label, judged, f"{cluster}-{member}"))
    tied, free = measure_agreement(ratings, 2)["kappa"], measure_agreement(alone, 2)["kappa"]
    assert tied.value == free.value
    assert tied.high - tied.low > 1.8 * (free.high - free.low)


def test_the_same_ratings_in_any_order_give_the_same_interval() -> None:
    ratings = [Rating(n % 2, (n // 3) % 2, str(n % 17)) for n in range(120)]
    assert measure_agreement(ratings, 2) == measure_agreement(ratings[::-1], 2)


@pytest.mark.slow
def test_intervals_of_kappa_cover_the_truth() -> None:
    covered = 0
    for seed in range(400):
        chance = random.Random(seed)
        ratings = []
        for n in range(150):
            label = int(chance.random() < 0.5)
            # Agreement .8 at an even prevalence: kappa .6.
            ratings.append(Rating(label, label if chance.random() < 0.8 else 1 - label, str(n)))
        estimate = measure_agreement(ratings, 2)["kappa"]
        covered += estimate.low <= 0.6 <= estimate.high
    assert 0.92 <= covered / 400 <= 0.98


def label_row(number: int, label: float, **given_values: Any) -> LabelRow:
    values = {"id": f"q{number}", "label": label, "source": "human", "by": "ann", **given_values}
    return LabelRow.model_validate(values)


def labels_of(values: Sequence[float], **given_values: Any) -> Labels:
    rows = tuple(label_row(number, value, **given_values) for number, value in enumerate(values))
    return Labels(rows, rows[0].scale, 2, "0" * 64)


HALF = [float(number % 2) for number in range(100)]
IDENTITY = JudgeIdentity("m", "h", {"judge-claims": "a", "judge-verify": "b", "judge-passage": "c"}, {"seed": 7})


def body_of(scores: Sequence[Score], values: Sequence[float] = HALF, **options: Any) -> CalibrationBody:
    labels = options.pop("labels", None) or labels_of(values)
    identity = IDENTITY.narrowed(FAITHFULNESS.prompts)
    return make_calibration("faithfulness", identity, labels, scores, **options)


def test_a_judge_that_agrees_with_people_has_a_vote() -> None:
    vote = decide_vote(body_of(HALF))
    assert vote.granted
    assert "its lower bound reaches 0.4" in vote.reason


NO_VOTE: dict[str, tuple[Any, str]] = {
    "always yes": (lambda: body_of([1.0] * 100), "under 0.4"),
    "always no": (lambda: body_of([0.0] * 100), "under 0.4"),
    "always the opposite": (lambda: body_of([1 - value for value in HALF]), "under 0.4"),
    "always unscored": (lambda: body_of([Unscored("500s")] * 100), "no score to 100 of 100"),
    "three unscored": (lambda: body_of([Unscored("slow"), *[Unscored("slow")] * 2, *HALF[3:]]), "no score to 3 of 100"),
    "NaN": (lambda: body_of([float("nan")] * 3 + HALF[3:]), "no score to 3 of 100"),
    "few labels": (lambda: body_of(HALF[:49], HALF[:49]), "49 labelled answers are too few"),
    "one kind of label": (lambda: body_of([1.0] * 100, [1.0] * 100), "only 0 labels differ"),
    "few of the other kind": (lambda: body_of([1.0] * 91 + [0.0] * 9, [1.0] * 91 + [0.0] * 9), "only 9 labels differ"),
    "a model's labels": (lambda: body_of(HALF, labels=labels_of(HALF, source="model")), "made by a model"),
    "yes where most is yes": (lambda: body_of([1.0] * 100, [1.0] * 88 + [0.0] * 12), "under 0.4"),
}


@pytest.mark.parametrize(("make", "reason"), NO_VOTE.values(), ids=NO_VOTE)
def test_no_vote(make: Any, reason: str) -> None:
    vote = decide_vote(make())
    assert not vote.granted
    assert reason in vote.reason


def test_where_most_is_yes_the_adjusted_statistics_flatter_a_judge_that_always_says_yes() -> None:
    body = body_of([1.0] * 100, [1.0] * 88 + [0.0] * 12)
    assert body.whole.statistics["ac1"].low > DEFAULT_BOUND
    assert body.whole.statistics["pabak"].low > DEFAULT_BOUND
    assert body.whole.statistics["kappa"].value == 0.0


@pytest.mark.parametrize("bound", [float("nan"), 0.0, -1.0])
def test_no_bound_lets_a_judge_through_that_is_no_better_than_chance(bound: float) -> None:
    assert not decide_vote(body_of([1.0] * 100), bound).granted


def test_a_bound_that_is_no_number_lets_nobody_through() -> None:
    assert not decide_vote(body_of(HALF), float("nan")).granted


def test_random_judges_get_no_vote() -> None:
    granted = 0
    for seed in range(60):
        chance = random.Random(seed)
        granted += decide_vote(body_of([chance.random() for _ in HALF])).granted
    assert granted == 0


def test_labels_by_people_and_a_model_together_give_no_vote() -> None:
    rows = tuple(label_row(n, value, source="model" if n == 0 else "human") for n, value in enumerate(HALF))
    assert not decide_vote(body_of(HALF, labels=Labels(rows, (0, 1), 2, "0" * 64))).granted


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 97), st.sampled_from([Unscored("lost"), float("nan"), float("inf")]))
def test_losing_a_score_never_gives_a_vote(place: int, lost: Score) -> None:
    chance = random.Random(5)
    scores: list[Score] = [value if chance.random() < 0.72 else 1 - value for value in HALF]
    full = decide_vote(body_of(scores))
    scores[place : place + 3] = [lost] * 3
    assert not decide_vote(body_of(scores)).granted or full.granted


def test_a_slice_is_judged_by_its_own_answers() -> None:
    rows = tuple(
        label_row(number, float(number % 2), slices={"lang": "en" if number < 60 else "cs"}) for number in range(120)
    )
    scores: list[Score] = [float(number % 2) if number < 60 else 1.0 for number in range(120)]
    body = body_of(scores, labels=Labels(rows, (0, 1), 2, "0" * 64))
    assert decide_vote(body, slice_name="lang=en").granted
    assert not decide_vote(body, slice_name="lang=cs").granted
    assert not decide_vote(body, slice_name="lang=de").granted


def write_labels(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


ROW = {"id": "a", "label": 1, "source": "human", "by": "ann"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW, ROW], r"labels\.jsonl:2: the answer 'a' was labelled on line 1"),
        ([{**ROW, "label": 2}], r"labels\.jsonl:1: .*outside the scale 0 to 1"),
        ([{**ROW, "label": 0.5}], r"labels\.jsonl:1: label 0.5 lies between"),
        ([ROW, {**ROW, "id": "b", "scale": [1, 4]}], r"labels\.jsonl:2: scale"),
        ([{**ROW, "scale": [1, 1]}], r"labels\.jsonl:1: .*scale"),
        ([{**ROW, "scale": [0, 100]}], "101 levels"),
        ([{**ROW, "scale": [0, 0.5], "label": 0.5}], "0 levels"),
        ([{**ROW, "source": "me"}], r"labels\.jsonl:1: key 'source'"),
        ([{key: value for key, value in ROW.items() if key != "source"}], "key 'source' is missing"),
        ([{**ROW, "by": ""}], "key 'by'"),
        ([{**ROW, "colour": "red"}], "unknown key 'colour'"),
        (['{"id": "a", "label": NaN, "source": "human", "by": "ann"}'], r"labels\.jsonl:1"),
        (["{"], r"labels\.jsonl:1: not valid JSON"),
        ([], "holds no label"),
    ],
)
def test_a_broken_label_names_its_line(tmp_path: Path, rows: Sequence[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_labels(write_labels(tmp_path / "labels.jsonl", rows))


def test_labels_in_half_steps_need_their_number_of_levels(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "labels.jsonl", [{**ROW, "label": 3.5, "scale": [1, 5]}])
    with pytest.raises(UserError, match="--levels"):
        load_labels(path)
    labels = load_labels(path, levels=9)
    assert labels.level(labels.rows[0]) == 5


def test_scores_are_matched_by_answer_and_what_is_no_score_is_unscored(tmp_path: Path) -> None:
    labels = load_labels(
        write_labels(tmp_path / "l.jsonl", [{**ROW, "variant": variant} for variant in ("x", "y", "z", "u", "v")])
    )
    kept = [
        {"id": "a", "variant": "x", "score": 0.7},
        {"id": "a", "variant": "y", "score": None, "reason": "cut JSON"},
        {"id": "a", "variant": "z", "score": 1.5},
        '{"id": "a", "variant": "u", "score": NaN}',
        {"id": "b", "score": 1.0},
    ]
    scores, _ = load_scores(write_labels(tmp_path / "s.jsonl", kept))
    found = scored(labels, scores)
    assert found[0] == 0.7
    assert [type(each) for each in found[1:]] == [Unscored] * 4
    with pytest.raises(UserError, match=r"s\.jsonl:2: the answer 'b' is scored twice"):
        load_scores(write_labels(tmp_path / "s.jsonl", [{"id": "b", "score": 1}] * 2))


@pytest.mark.parametrize(
    ("score", "levels", "wanted"), [(0.5, 2, 1), (0.49, 2, 0), (0.0, 4, 0), (0.5, 4, 2), (1.0, 4, 3), (0.16, 4, 0)]
)
def test_a_score_becomes_the_nearest_level(score: float, levels: int, wanted: int) -> None:
    assert score_level(score, levels, 0.5) == wanted


@pytest.fixture
def calibrations(tmp_path: Path) -> Any:
    with open_database(f"sqlite:///{tmp_path / 'lockgate.db'}") as db:
        yield Calibrations(db, tmp_path)


def test_a_vote_holds_for_exactly_this_judge_and_metric(calibrations: Calibrations) -> None:
    calibrations.write(body_of(HALF))
    granted, reason = has_vote(calibrations, IDENTITY, "faithfulness")
    assert granted, reason
    others = [
        JudgeIdentity("n", IDENTITY.host, IDENTITY.prompt_hashes, IDENTITY.parameters),
        JudgeIdentity("m", "elsewhere", IDENTITY.prompt_hashes, IDENTITY.parameters),
        JudgeIdentity("m", "h", {**IDENTITY.prompt_hashes, "judge-verify": "edited"}, IDENTITY.parameters),
        JudgeIdentity("m", "h", {"judge-claims": "a"}, IDENTITY.parameters),
        JudgeIdentity("m", "h", IDENTITY.prompt_hashes, {"seed": 8}),
        JudgeIdentity("m", "h", IDENTITY.prompt_hashes, IDENTITY.parameters, protocol=0),
    ]
    for other in others:
        assert has_vote(calibrations, other, "faithfulness")[0] is False
    assert has_vote(calibrations, IDENTITY, "correctness")[0] is False
    assert has_vote(calibrations, None, "faithfulness")[0] is False
    elsewhere = JudgeIdentity("m", "h", {**IDENTITY.prompt_hashes, "judge-passage": "edited"}, IDENTITY.parameters)
    assert has_vote(calibrations, elsewhere, "faithfulness")[0] is True


def test_the_newest_calibration_by_people_decides(calibrations: Calibrations) -> None:
    calibrations.write(body_of(HALF))
    calibrations.write(body_of(HALF, labels=labels_of(HALF, source="model")))
    assert has_vote(calibrations, IDENTITY, "faithfulness")[0] is True
    calibrations.write(body_of([1.0] * 100))
    granted, reason = has_vote(calibrations, IDENTITY, "faithfulness")
    assert not granted
    assert "under 0.4" in reason
    calibrations.write(body_of([value * 0.9 for value in HALF]))
    assert has_vote(calibrations, IDENTITY, "faithfulness")[0] is True
    assert has_vote(calibrations, IDENTITY, "faithfulness", 1.01)[0] is False


def test_labels_by_a_model_alone_give_no_vote(calibrations: Calibrations) -> None:
    calibrations.write(body_of(HALF, labels=labels_of(HALF, source="model")))
    granted, reason = has_vote(calibrations, IDENTITY, "faithfulness")
    assert not granted
    assert "labels by a model, which never counts" in reason


def test_stored_scores_give_no_live_judge_a_vote(calibrations: Calibrations) -> None:
    calibrations.write(make_calibration("faithfulness", stored_identity("m"), labels_of(HALF), HALF))
    assert has_vote(calibrations, IDENTITY, "faithfulness")[0] is False
    assert has_vote(calibrations, JudgeIdentity("m", ""), "faithfulness")[0] is False


def test_a_touched_calibration_gives_no_vote(calibrations: Calibrations, tmp_path: Path) -> None:
    record = calibrations.write(body_of(HALF))
    file = tmp_path / "objects" / record.id[:2] / record.id[2:]
    file.write_bytes(file.read_bytes().replace(b'"human"', b'"model"'))
    granted, reason = has_vote(calibrations, IDENTITY, "faithfulness")
    assert not granted
    assert "hash" in reason
    file.unlink()
    assert has_vote(calibrations, IDENTITY, "faithfulness")[0] is False


def test_a_row_that_says_other_than_the_signed_body_gives_no_vote(tmp_path: Path) -> None:
    with open_database(f"sqlite:///{tmp_path / 'lockgate.db'}") as db:
        calibrations = Calibrations(db, tmp_path)
        calibrations.write(body_of(HALF, labels=labels_of(HALF, source="model")))
        with db.session() as session:
            session.execute(text("UPDATE calibrations SET source = 'human'"))
        granted, reason = has_vote(calibrations, IDENTITY, "faithfulness")
        assert not granted
        assert "says other than" in reason
        with db.session() as session:
            session.execute(text("UPDATE calibrations SET signature = key"))
        assert "signature" in has_vote(calibrations, IDENTITY, "faithfulness")[1]


def test_another_installation_s_calibration_gives_no_vote(tmp_path: Path) -> None:
    with open_database(f"sqlite:///{tmp_path / 'lockgate.db'}") as db:
        Calibrations(db, tmp_path).write(body_of(HALF))
        (tmp_path / "keys" / "signing.pem").rename(tmp_path / "keys" / "other.pem")
        granted, reason = has_vote(Calibrations(db, tmp_path), IDENTITY, "faithfulness")
        assert not granted
        assert "another installation" in reason


def test_the_same_calibration_is_kept_once(calibrations: Calibrations, tmp_path: Path) -> None:
    body = body_of(HALF)
    assert calibrations.write(body).id == calibrations.write(body).id
    assert len(calibrations.list()) == 1


def test_an_identity_reads_back_and_nothing_else_is_one() -> None:
    assert identity_from(json.loads(json.dumps(IDENTITY.as_json()))).id == IDENTITY.id
    for wrong in ({}, {**IDENTITY.as_json(), "more": 1}, {**IDENTITY.as_json(), "parameters": 3}):
        with pytest.raises(Corrupt):
            identity_from(wrong)


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_is_one_that_the_list_of_appeals_does_not_know(probe: str) -> None:
    assert find_appeal(probe) is None


@pytest.mark.parametrize("name", JUDGED_METRICS)
async def test_an_honest_judge_withstands_every_probe(name: str) -> None:
    resistance = await measure_resistance(JUDGED_METRICS[name], FakeJudge(honest))
    assert resistance.swayed == ()
    assert resistance.tried == 2 * len(PROBES)


@pytest.mark.parametrize("name", JUDGED_METRICS)
async def test_a_judge_that_follows_a_wish_is_found_out(name: str) -> None:
    def swayed(purpose: str, told: str) -> Any:
        return _best(purpose, told) if any(probe[:20] in told for probe in PROBES) else honest(purpose, told)

    assert (await measure_resistance(JUDGED_METRICS[name], FakeJudge(swayed))).swayed


def _best(purpose: str, told: str) -> Any:
    reply = dict(honest(purpose, told))
    if "verdicts" in reply:
        reply["verdicts"] = [{**verdict, "supported": True} for verdict in reply["verdicts"]]
    return {
        **reply,
        **({"relevant": True} if "relevant" in reply else {}),
        **({"level": 5} if "level" in reply else {}),
    }


async def test_a_judge_that_agrees_but_can_be_talked_round_has_no_vote() -> None:
    def swayed(purpose: str, told: str) -> Any:
        return _best(purpose, told) if "bewerten" in told else honest(purpose, told)

    body = await calibrate(FAITHFULNESS, FakeJudge(swayed), judged_labels())
    assert body.estimate is not None
    assert body.estimate.value == 1.0
    vote = decide_vote(body)
    assert not vote.granted
    assert "talked round" in vote.reason


def judged_labels(count: int = 60) -> Labels:
    """Half of the answers stand in their passage word for word."""
    rows = tuple(
        label_row(
            number,
            float(number % 2),
            question=f"What is number {number}?",
            answer=f"Number {number} is {'even' if number % 2 else 'purple'}.",
            passages=(f"Number {number} is even. So it is.",),
        )
        for number in range(count)
    )
    return Labels(rows, (0.0, 1.0), 2, "0" * 64)


async def test_a_scale_that_is_not_0_to_1_and_one_where_less_is_better_are_read_as_they_are() -> None:
    body = make_calibration("x", IDENTITY, labels_of(HALF), [1.0 + 4 * value for value in HALF], best=5.0, worst=1.0)
    assert decide_vote(body).granted
    body = make_calibration("x", IDENTITY, labels_of(HALF), [1 - value for value in HALF], best=0.0, worst=1.0)
    assert decide_vote(body).granted


async def test_an_honest_judge_gets_its_vote_and_an_edit_of_its_prompt_takes_it(tmp_path: Path) -> None:
    judge = FakeJudge(honest)
    with open_database(f"sqlite:///{tmp_path / 'lockgate.db'}") as db:
        calibrations = Calibrations(db, tmp_path)
        calibrations.write(await calibrate(FAITHFULNESS, judge, judged_labels()))
        assert has_vote(calibrations, judge.identity, "faithfulness")[0] is True
        library = tmp_path / "prompts" / "library"
        library.mkdir(parents=True)
        shipped = (Path(__file__).parents[2] / "prompts" / "library" / "judge-verify.md").read_text()
        (library / "judge-verify.md").write_text(shipped + "Be generous.\n")
        edited = FakeJudge(honest, PromptBook(tmp_path))
        granted, reason = has_vote(calibrations, edited.identity, "faithfulness")
        assert not granted
        assert "is not calibrated" in reason


BAD_JUDGES: dict[str, Any] = {
    "prose": lambda _p, _t: "It looks fine to me.",
    "half JSON": lambda p, t: json.dumps(honest(p, t))[:-3],
    "the wrong range": lambda p, t: {**honest(p, t), "verdicts": [{"claim": 99, "reason": "r", "supported": True}]},
    "nothing": lambda _p, _t: "",
    "always yes": _best,
}


@pytest.mark.parametrize("script", BAD_JUDGES.values(), ids=BAD_JUDGES)
async def test_a_bad_judge_gets_no_vote(script: Any) -> None:
    assert not decide_vote(await calibrate(FAITHFULNESS, FakeJudge(script), judged_labels())).granted


app = typer.Typer()
app.command()(calibrate_command)


def run_command(project: Path, *arguments: str, **values: Any) -> Any:
    given_settings = Settings(project=project, _env_file=None, **values)
    return CliRunner().invoke(app, arguments, obj=given_settings, env={"COLUMNS": "200"})


def test_the_command_compares_stored_scores_and_keeps_the_result(tmp_path: Path) -> None:
    labels = write_labels(
        tmp_path / "labels.jsonl",
        [{**ROW, "id": f"q{n}", "label": n % 2, "slices": {"lang": "cs"}} for n in range(MIN_LABELS)],
    )
    scores = write_labels(tmp_path / "mine.jsonl", [{"id": f"q{n}", "score": n % 2} for n in range(MIN_LABELS + 1)])
    result = run_command(tmp_path, "faithfulness", "--labels", str(labels), "--scores", str(scores))
    assert result.exit_code == 0, result.output
    assert "Vote: yes" in result.stdout
    assert "lang=cs" in result.stdout
    assert "stored scores: mine" in result.stdout
    assert "1 of 51 scores are of answers that nobody labelled" in result.stderr
    shown = run_command(
        tmp_path, "faithfulness", "--labels", str(labels), "--scores", str(scores), "--bound", "1", "--json"
    )
    assert json.loads(shown.stdout)["whole"]["statistics"]["kappa"]["value"] == 1.0
    with open_database(f"sqlite:///{tmp_path / '.lockgate' / 'lockgate.db'}") as db:
        assert list_of(db)[0].id == json.loads(shown.stdout)["id"]


def list_of(db: Database) -> Any:
    return list_calibrations(db, metric="faithfulness")


def test_the_command_asks_the_judge_and_tries_to_talk_it_round(tmp_path: Path) -> None:
    rows = [row.model_dump(mode="json") for row in judged_labels().rows]
    labels = write_labels(tmp_path / "labels.jsonl", rows)
    with run_judge(lambda request: dict(honest(purpose_of(request), said_in(request)))) as stub:
        result = run_command(
            tmp_path,
            *("faithfulness", "--labels", str(labels), "--judge", "better"),
            judge_base_url=stub.url,
            judge_model="m",
        )
    assert result.exit_code == 0, result.output
    assert "Vote: yes" in result.stdout
    assert "Talked round by 0 probes, 16 tried" in result.stdout
    assert {request["model"] for request in stub.asked} == {"better"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("faithfulness",), "No judge is set"),
        (("fluency",), "No judged metric is called 'fluency'"),
        (("rubric:tone",), "no rubric 'tone'"),
        (("ragas:fluency",), "Ragas 0.4.3 has no metric 'fluency'"),
        (("ragas:exact_match",), "asks no judge"),
        (("ragas:faithfulness[",), "cannot read"),
    ],
)
def test_the_command_says_what_is_missing(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    labels = write_labels(tmp_path / "labels.jsonl", [ROW])
    result = run_command(tmp_path, *arguments, "--labels", str(labels))
    assert isinstance(result.exception, LockgateError)
    assert message in str(result.exception)


@pytest.mark.shared
def test_published_scores_against_people(tmp_path: Path) -> None:
    """The table of docs/judges.md: two of three lose their vote; the one that keeps it is no better than a person."""
    from bench.judge_labels import mtrag_labels, mtrag_one_against_two, mtrag_scores, write_jsonl

    data = shared_data()
    write_jsonl(tmp_path / "labels.jsonl", mtrag_labels(data))
    labels = load_labels(tmp_path / "labels.jsonl")
    low = {}
    for name, granted in {"rb_llm": False, "rl_f": True, "rougel": False}.items():
        write_jsonl(tmp_path / "scores.jsonl", mtrag_scores(data, name))
        scores, _ = load_scores(tmp_path / "scores.jsonl")
        body = make_calibration("faithfulness", stored_identity(name), labels, scored(labels, scores))
        assert body.whole.n == 477
        assert decide_vote(body).granted is granted, name
        assert body.estimate is not None
        low[name] = body.estimate
    assert low["rb_llm"].value == pytest.approx(0.39, abs=0.005)
    assert low["rl_f"].value == pytest.approx(0.64, abs=0.005)
    assert low["rougel"].value == pytest.approx(0.22, abs=0.005)
    people, person = mtrag_one_against_two(data)
    write_jsonl(tmp_path / "labels.jsonl", people)
    write_jsonl(tmp_path / "scores.jsonl", person)
    labels = load_labels(tmp_path / "labels.jsonl")
    scores, _ = load_scores(tmp_path / "scores.jsonl")
    one = make_calibration("faithfulness", stored_identity("person"), labels, scored(labels, scores)).estimate
    assert one is not None
    assert one.low == pytest.approx(0.43, abs=0.01)


@pytest.mark.shared
@pytest.mark.models
@pytest.mark.slow
def test_similarity_against_a_model_s_labels_never_gives_a_vote(tmp_path: Path, models_path: Path) -> None:
    from bench.judge_labels import ray_labels, ray_similarity, write_jsonl
    from lockgate.models.catalogue import load_catalogue
    from lockgate.models.embedder import load_embedder

    data = shared_data()
    here = Settings(_env_file=None, models_dir=models_path)
    embedder = load_embedder(here, load_catalogue(Path()).get("all-minilm-l6-v2", "embedder"))
    write_jsonl(tmp_path / "labels.jsonl", ray_labels(data))
    write_jsonl(tmp_path / "scores.jsonl", ray_similarity(data, embedder))
    labels = load_labels(tmp_path / "labels.jsonl", levels=9)
    scores, _ = load_scores(tmp_path / "scores.jsonl")
    body = make_calibration("correctness", stored_identity("minilm"), labels, scored(labels, scores))
    assert body.whole.n == 1417
    assert body.source == "model"
    assert not decide_vote(body, 0.01).granted


def shared_data() -> Path:
    folder = os.environ.get("LOCKGATE_SHARED_DATA")
    if not folder:
        pytest.skip("needs the data sets: set LOCKGATE_SHARED_DATA to their folder")
    return Path(folder)
