"""``lockgate evals compare`` and ``lockgate evals plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lockgate.settings import Settings, settings_of
from lockgate.terminal import json_text, plain

if TYPE_CHECKING:
    from evals.comparing.plan import GateBound
    from evals.runs.row import Row
    from evals.suite import Suite
    from lockgate.store.database import Database

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def compare_command(
    ctx: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help="A run, release or channel: the one compared with.")],
    b: Annotated[str, typer.Argument(metavar="B", help="A run, release or channel: the one in question.")],
    *,
    suite: Annotated[str | None, typer.Option(help="Compare the runs of this suite; default: the newest pair.")] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=NUMBER", help="B may be this much worse; a number alone is for each metric from 0 to 1."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two stored runs case by case: differences with intervals, per slice, and which cases changed.

    With --margin, exits with 1 when B fails and with 3 when that cannot be told.
    """
    from evals.comparing.compare_runs import compare_pair, find_pair
    from evals.comparing.compare_table import render
    from lockgate.store.database import open_database

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        pair = find_pair(settings, db, a, b, suite)
    comparison = compare_pair(settings, pair, read_margins(margin or [], [each.name for each in pair.metrics]))
    for note in pair.notes:
        typer.echo(plain(note), err=True)
    if as_json:
        typer.echo(json_text(comparison.as_json()))
    else:
        from rich.console import Console

        render(comparison, Console())
    if comparison.verdict in ("FAIL", "INCONCLUSIVE"):
        raise typer.Exit(1 if comparison.verdict == "FAIL" else 3)


def plan_command(
    ctx: typer.Context,
    suite_name: Annotated[str, typer.Argument(metavar="SUITE", help="Name of a folder in evals/suites/.")],
    *,
    channel: Annotated[str, typer.Option(help="The channel whose gate is planned.")] = "production",
    run: Annotated[
        str | None, typer.Option(help="A run of the suite to take spreads from; default: the newest one.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="A run of a release that is about as good: measures how two releases differ.")
    ] = None,
    sd: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC=NUMBER", help="Standard deviation of a metric's differences, if you know it."),
    ] = None,
    correlation: Annotated[
        float | None,
        typer.Option(min=0, max=0.99, help="Between the metrics; default: the bound that holds for any."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say which n a channel's gate needs with a suite, which drop it detects, and which margins the suite supports."""
    from evals.comparing.plan import plan_gate
    from evals.comparing.plan_table import render
    from evals.suite import load_suite
    from lockgate.store.database import open_database

    settings = settings_of(ctx.obj)
    suite = load_suite(settings.project_dir, suite_name)
    bounds = _bounds(settings, channel, suite)
    sds = _assignments(sd or [], "--sd", [each.metric for each in bounds])
    with open_database(settings.database) as db:
        rows = _pilot(settings, db, suite, run, newest=True)
        other = _pilot(settings, db, suite, against, newest=False)
    plan = plan_gate(bounds, len(suite.cases), rows, other, sds=sds, correlation=correlation)
    if as_json:
        typer.echo(json_text({"suite": suite.name, "channel": channel, **plan.as_json()}))
        return
    from rich.console import Console

    render(plan, Console())


def read_margins(texts: list[str], names: list[str]) -> dict[str, float]:
    """Margins by metric. Raises UserError for what is neither NUMBER nor METRIC=NUMBER."""
    from evals.metrics.catalogue import resolve_metric

    everywhere = [text for text in texts if "=" not in text]
    unit = [name for name in names if resolve_metric(name).scale == (0.0, 1.0)]
    margins = {name: _number(text, "--margin") for text in everywhere for name in unit}
    return margins | _assignments([text for text in texts if "=" in text], "--margin", names)


def _assignments(texts: list[str], option: str, names: list[str]) -> dict[str, float]:
    from lockgate.errors import UserError

    found = {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        if not equals or name not in names:
            raise UserError(f"{option} {text[:80]!r}: METRIC=NUMBER is needed.", hint=f"Metrics: {', '.join(names)}.")
        found[name] = _number(number, option)
    return found


def _number(text: str, option: str) -> float:
    import math

    from lockgate.errors import UserError

    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise UserError(f"{option} {text[:80]!r}: a number from 0 on is needed.")
    return value


def _bounds(settings: Settings, channel: str, suite: Suite) -> list[GateBound]:
    from evals.comparing.plan import bounds_of
    from evals.gate import load_gate
    from evals.rules.definitions import SuiteRule
    from lockgate.errors import UserError

    gate = load_gate(settings.project_dir, channel)
    rules = [each for each in gate.rules if isinstance(each, SuiteRule) and each.suite in (None, suite.name)]
    if not rules:
        raise UserError(f"{gate.path}: has no rule about the suite {suite.name!r}.", hint="Add a rule `rule: suite`.")
    return [bound for rule in rules for bound in bounds_of(rule)]


def _pilot(settings: Settings, db: Database, suite: Suite, run_id: str | None, *, newest: bool) -> tuple[Row, ...]:
    """The rows of the named run, or of the newest one of this version of the suite; none when there is none."""
    from evals.runs.run_store import record_rows
    from lockgate.errors import UserError
    from lockgate.store.eval_runs import get_eval_run, list_eval_runs

    if run_id is not None:
        record = get_eval_run(db, run_id)
        if record.suite != suite.name:
            raise UserError(f"The run {run_id} is of the suite {record.suite!r}, not {suite.name!r}.")
        return record_rows(settings, record)
    found = [each for each in list_eval_runs(db) if each.suite_hash == suite.hash and not each.metadata.get("limit")]
    return record_rows(settings, found[0]) if newest and found else ()
