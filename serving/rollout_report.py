"""What a rollout has shown so far, or had shown when it ended: both arms, the bounds, and for a shadow the pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from evals.statistics.wilson import wilson
from lockgate.store.arms import ARMS, ArmFigures, ShadowPair, count_repeated, shadow_pairs
from lockgate.store.channels import ChannelRecord, MoveRecord, Rollout, history
from serving.rollout_verdict import NEEDED, compare_arms, describe_arm, describe_comparison, read_arms

if TYPE_CHECKING:
    from lockgate.store.database import Database

EXAMPLES = 10
SHOWN = 80
"""Characters of a question that an example shows."""

LOOKED_BACK = 1000
"""Moves of the channel among which its last rollout is looked for."""


@dataclass(frozen=True, slots=True)
class _Found:
    rollout: Rollout
    current: str
    end: MoveRecord | None  # None while it runs


def rollout_report(db: Database, record: ChannelRecord) -> dict[str, Any]:
    """The channel's rollout, else its last one, as JSON can hold it. ``state`` is running, ended or none."""
    body: dict[str, Any] = {"channel": record.channel, "chain": record.chain, "release": record.release}
    found = _find(db, record)
    if found is None:
        return body | {"state": "none", "rollout": None}
    rollout = found.rollout
    figures = read_arms(db, rollout, found.current, record.channel)
    releases = {"current": found.current, "candidate": rollout.release}
    return body | {
        "state": "running" if found.end is None else "ended",
        "rollout": {**asdict(rollout), "bounds": dict(rollout.bounds)},
        "ended": _describe_end(found.end),
        "arms": {arm: {"release": releases[arm], **_describe_arm(figures[arm])} for arm in ARMS},
        "comparisons": [describe_comparison(each) for each in compare_arms(figures, rollout.bounds)],
        "shadow": _describe_shadow(db, rollout) if rollout.kind == "shadow" else None,
    }


def report_lines(report: Mapping[str, Any], *, examples: bool = False) -> list[str]:
    """The report for a terminal; texts in it are as stored, so the caller neutralises them."""
    where = f"{report['channel']} of {report['chain']}"
    rollout = report["rollout"]
    if rollout is None:
        return [f"{where}: no rollout, now or before."]
    share = f"{rollout['share']:g} % of the conversations"
    kind = f"aside, on {share}" if rollout["kind"] == "shadow" else f"for {share}"
    forced = "  FORCED past its gate" if rollout["forced"] else ""
    lines = [f"{where}: {rollout['release'][:12]} {kind}, since {rollout['started_at']}{forced}"]
    lines.append(f"State: {report['state']}{_end_words(report['ended'])}")
    lines += ["", *_arm_table(report["arms"]), "", *_comparison_lines(report["comparisons"], report["arms"])]
    if report["shadow"] is not None:
        lines += ["", *_shadow_lines(report["shadow"], rollout["budget"], examples=examples)]
    return lines


def _find(db: Database, record: ChannelRecord) -> _Found | None:
    if record.rollout is not None:
        return _Found(record.rollout, record.release or "", None)
    end: MoveRecord | None = None
    for move in history(db, record.channel, record.chain, limit=LOOKED_BACK):
        if move.action == "rollout" and move.rollout is not None:
            return _Found(move.rollout, move.to_release, end)
        end = move
    return None


def _describe_end(end: MoveRecord | None) -> dict[str, Any] | None:
    if end is None:
        return None
    return {
        "action": end.action,
        "at": end.created_at.isoformat(timespec="seconds"),
        "actor": {"name": end.actor, "verified": end.verified},
        "reason": end.reason,
        "release": end.to_release,
    }


def _describe_arm(arm: ArmFigures) -> dict[str, Any]:
    return describe_arm(arm) | {
        "error_interval": _interval(arm.errors, arm.n),
        "abstention_interval": _interval(arm.abstained, arm.answered),
    }


def _interval(count: int, n: int) -> list[float] | None:
    if not n:
        return None
    found = wilson(count, n)
    return [found.low, found.high]


def _describe_shadow(db: Database, rollout: Rollout) -> dict[str, Any]:
    pairs = shadow_pairs(db, rollout.id)
    # Those that differ are what a person wants to see; the sort keeps the newest first within each kind.
    shown = sorted(pairs, key=lambda pair: pair.same_answer)[:EXAMPLES]
    return {
        "repeated": count_repeated(db, rollout.id),
        "budget": rollout.budget,
        "pairs": len(pairs),
        "same_abstention": _share([pair.same_abstention for pair in pairs]),
        "same_answer": _share([pair.same_answer for pair in pairs]),
        "examples": [_describe_pair(pair) for pair in shown],
    }


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _describe_pair(pair: ShadowPair) -> dict[str, Any]:
    question = " ".join(pair.question.split())
    return {
        "question": question if len(question) <= SHOWN else question[: SHOWN - 3] + "...",
        "current": pair.current,
        "candidate": pair.candidate,
        "same_answer": pair.same_answer,
        "current_abstained": pair.current_abstained,
        "candidate_abstained": pair.candidate_abstained,
    }


def _end_words(end: Mapping[str, Any] | None) -> str:
    if end is None:
        return ""
    who = end["actor"]["name"] + ("" if end["actor"]["verified"] else " (unverified)")
    reason = f": {' '.join(end['reason'].split())}" if end["reason"] else ""
    return f", by {end['action']} of {who} at {end['at']}{reason}"


def _arm_table(arms: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = [
        f"{'arm':<10} {'release':<13} {'n':>6}  {'errors, 95 %':<22} {'abstentions, 95 %':<22} {'p50':>8} {'p95':>8}"
    ]
    for name in ARMS:
        arm = arms[name]
        errors = _rate_words(arm["error_rate"], arm["error_interval"])
        abstentions = _rate_words(arm["abstention_rate"], arm["abstention_interval"])
        times = " ".join(f"{_time_words(arm[key]):>8}" for key in ("p50_ms", "p95_ms"))
        lines.append(f"{name:<10} {arm['release'][:12]:<13} {arm['n']:>6}  {errors:<22} {abstentions:<22} {times}")
    if arms["current"]["earlier"]:
        lines.append("The current arm is still too small; shown are its release's requests from before the rollout.")
    return lines


def _rate_words(rate: float | None, interval: Sequence[float] | None) -> str:
    if rate is None or interval is None:
        return "-"
    return f"{100 * rate:.1f} % ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def _time_words(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "-"
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _comparison_lines(comparisons: Sequence[Mapping[str, Any]], arms: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = ["It stops itself when the new release is worse by more than a bound, with confidence:"]
    for found in comparisons:
        ratio = found["metric"] == "latency_ratio"
        scale, unit = (1.0, "times") if ratio else (100.0, "points")
        name, bound = found["metric"].replace("_", " "), f"bound {scale * found['bound']:g} {unit}"
        if found["low"] is None:
            counts = ", ".join(
                f"{arm} {arms[arm]['n'] if name == 'error rate' else arms[arm]['answered']}" for arm in ARMS
            )
            lines.append(f"  {name}: not comparable yet ({counts}; each needs {NEEDED}); {bound}")
            continue
        limits = f"{scale * found['low']:.{2 if ratio else 1}f} to {scale * found['high']:.{2 if ratio else 1}f} {unit}"
        lines.append(f"  {name}: {limits}; {bound}{'  BEYOND' if found['worse'] else ''}")
    return lines


def _shadow_lines(shadow: Mapping[str, Any], budget: int, *, examples: bool) -> list[str]:
    lines = [f"Repeated: {shadow['repeated']} of {budget} requests; {shadow['pairs']} answered by both."]
    if shadow["pairs"]:
        lines.append(
            f"Alike: {100 * shadow['same_abstention']:.1f} % in whether they abstained, "
            f"{100 * shadow['same_answer']:.1f} % word for word."
        )
    if examples:
        for pair in shadow["examples"]:
            mark = "same  " if pair["same_answer"] else "differ"
            lines.append(f"  {mark}  {pair['current'][:12]}  {pair['candidate'][:12]}  {pair['question']}")
    return lines
