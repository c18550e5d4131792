"""``lockgate evals calibrate``: hold a judge, or scores that were kept, against labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lockgate.settings import Settings, settings_of
from lockgate.terminal import json_text, plain, progress_bars

if TYPE_CHECKING:
    from rich.table import Table

    from evals.calibration import CalibrationBody, SliceBody
    from evals.judge.labels import Labels
    from evals.judge.metrics import JudgedMetric


def calibrate(
    ctx: typer.Context,
    metric: Annotated[str, typer.Argument(help="A judged metric such as faithfulness, rubric:NAME or ragas:NAME.")],
    *,
    labels: Annotated[Path, typer.Option(help="JSONL of labelled answers; see docs/judges.md.")],
    scores: Annotated[
        Path | None, typer.Option(help="JSONL of scores that were made elsewhere, instead of asking the judge.")
    ] = None,
    name: Annotated[str, typer.Option(help="What to call whoever made --scores; default: the file's name.")] = "",
    judge: Annotated[str, typer.Option(help="The judge model; default: LOCKGATE_JUDGE_MODEL.")] = "",
    levels: Annotated[
        int | None, typer.Option(min=2, max=11, help="Levels of the labels' scale, when it has no whole steps.")
    ] = None,
    at_least: Annotated[
        float | None, typer.Option(help="Make two levels of the labels: those of at least this, and the others.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="With two levels: the score from which on the judge says yes.")
    ] = 0.5,
    bound: Annotated[
        float | None, typer.Option(min=0, max=1, help="What the lower bound of agreement has to reach.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Compare a judge with human labels: kappa and its kin with intervals, overall and for each slice.

    The result is signed and kept. A judge's scores count at the gate only while its newest calibration on labels by
    people, for exactly this model, these prompts and parameters, reaches the bound.
    """
    from evals.calibration import DEFAULT_BOUND, Calibrations, decide_vote
    from evals.judge.labels import load_labels
    from lockgate.store.database import open_database

    settings = settings_of(ctx.obj)
    rows = load_labels(labels, levels=levels)
    if scores is not None:
        body = _of_stored(metric, rows, scores, name, threshold, at_least)
    else:
        body = _of_judge(settings, metric, rows, judge, threshold, at_least)
    with open_database(settings.database) as db:
        record = Calibrations(db, settings.state_dir).write(body)
    vote = decide_vote(body, DEFAULT_BOUND if bound is None else bound)
    if as_json:
        answer = {"id": record.id, "vote": vote.granted, "reason": vote.reason}
        typer.echo(json_text({**answer, **body.model_dump(mode="json")}))
        return
    from rich.console import Console

    Console().print(build_table(body))
    for line in _lines(body):
        typer.echo(plain(line))
    typer.echo(plain(f"Vote: {'yes' if vote.granted else 'no'}, {vote.reason}."))
    typer.echo(f"Kept as calibration {record.id[:12]} of judge {body.judge_id[:12]}.", err=True)


def build_table(body: CalibrationBody) -> Table:
    """One line for all answers and one a slice."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(plain(f"{body.metric}, {body.judge['model']}")))
    for heading in ("answers", "n", "questions", "unscored"):
        table.add_column(heading, justify="left" if heading == "answers" else "right")
    shown = [each for each in _COLUMNS if each != "quadratic_kappa" or body.levels > 2]
    for each in shown:
        table.add_column(_COLUMNS[each] + (" *" if each == body.statistic else ""))
    for part, measured in {"all": body.whole, **body.slices}.items():
        counts = (str(measured.n), str(measured.clusters), str(measured.unscored))
        table.add_row(escape(plain(part)), *counts, *(_cell(measured, each) for each in shown))
    return table


_COLUMNS = {
    "agreement": "agreement",
    "kappa": "kappa",
    "quadratic_kappa": "quadratic kappa",
    "pabak": "PABAK",
    "ac1": "AC1",
}


def _cell(measured: SliceBody, statistic: str) -> str:
    each = measured.statistics.get(statistic)
    return "-" if each is None else f"{each.value:.2f} [{each.low:.2f}, {each.high:.2f}]"


def _lines(body: CalibrationBody) -> list[str]:
    lines = [
        f"* the vote rests on this one's lower bound. {body.levels} levels, labelled by {', '.join(body.labelled_by)} "
        f"({body.source})."
    ]
    if body.resistance is not None:
        lines.append(f"Talked round by {len(body.resistance.swayed)} probes, {body.resistance.tried} tried.")
    return lines


def _of_stored(
    metric: str, labels: Labels, scores: Path, name: str, threshold: float, at_least: float | None
) -> CalibrationBody:
    from evals.calibration import make_calibration, stored_identity
    from evals.judge.labels import load_scores, scored

    kept, scores_hash = load_scores(scores)
    unknown = len(kept.keys() - {row.key for row in labels.rows})
    if unknown:
        typer.echo(f"{unknown} of {len(kept)} scores are of answers that nobody labelled: left out.", err=True)
    return make_calibration(
        metric,
        stored_identity(name or scores.stem),
        labels,
        scored(labels, kept),
        threshold=threshold,
        at_least=at_least,
        scores_hash=scores_hash,
    )


def _of_judge(
    settings: Settings, metric: str, labels: Labels, model: str, threshold: float, at_least: float | None
) -> CalibrationBody:
    import asyncio

    from evals.calibration import calibrate as measure
    from evals.judge.judge import open_judge

    chosen, told_by = _judged(settings, metric)

    async def run(progress: Any) -> CalibrationBody:
        async with open_judge(settings, model=model) as judge:
            for key, content in told_by.items():
                judge.prompts.register(key, content)
            return await measure(
                chosen,
                judge,
                labels,
                threshold=threshold,
                at_least=at_least,
                progress=lambda done: progress("judging", done, len(labels.rows)),
            )

    with progress_bars() as progress:
        return asyncio.run(run(progress))


def _judged(settings: Settings, metric: str) -> tuple[JudgedMetric, dict[str, str]]:
    """(the metric, what else its judge is told by). Raises NotFound that lists the metrics."""
    from evals.judge.metrics import JUDGED_METRICS, rubric_metric
    from evals.judge.rubric import find_rubric
    from lockgate.errors import NotFound

    if metric.startswith("rubric:"):
        rubric = find_rubric(settings.project_dir, metric.removeprefix("rubric:"))
        return rubric_metric(rubric), {rubric.key: rubric.hash}
    if metric.startswith("ragas:"):
        return _of_ragas(settings, metric)
    if metric not in JUDGED_METRICS:
        raise NotFound(
            f"No judged metric is called {metric[:80]!r}.",
            hint=f"Metrics: {', '.join(JUDGED_METRICS)}, rubric:NAME, ragas:NAME.",
        )
    return JUDGED_METRICS[metric], {}


def _of_ragas(settings: Settings, metric: str) -> tuple[JudgedMetric, dict[str, str]]:
    """Raises UserError for a metric that asks no judge: what it says needs no calibration of one."""
    from evals.metrics.naming import split_name
    from evals.ragas_adapter import find_spec, open_ragas, told_by
    from lockgate.errors import UserError

    try:
        name, parameters = split_name(metric)
    except ValueError as error:
        raise UserError(f"{metric[:80]!r}: {error}.") from None
    spec = find_spec(name.removeprefix("ragas:"))
    if not spec.model:
        raise UserError(f"{metric} asks no judge, so there is nothing to calibrate.")
    embedder = None
    if spec.embeddings:
        from lockgate.models.catalogue import load_catalogue
        from lockgate.models.embedder import load_embedder

        entry = load_catalogue(settings.project_dir).get(settings.embedder, "embedder")
        embedder = load_embedder(settings, entry)
    key, content = told_by(name, parameters, metric)
    return open_ragas(name, parameters, embedder, label=metric), {key: content}
