"""Moving channels: promote through the channel's gate, roll back without one. Every move says who, why and on what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lockgate.actor import Actor
from lockgate.errors import Conflict, Corrupt, NotFound, UserError
from lockgate.store.channels import (
    Action,
    ChannelRecord,
    Move,
    Rollout,
    check_name,
    get_channel,
    history,
    move_channel,
)

if TYPE_CHECKING:
    from evals.gate import Gate
    from evals.verdict import GateReport
    from lockgate.ports import Asker, Progress
    from lockgate.release import Manifest
    from lockgate.settings import Settings
    from lockgate.store.database import Database

MAX_REASON = 2000
HISTORY = 1000

AskerOf = Callable[[str], "Asker"]
"""Release id to something that answers from it."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """What a promotion did; ``moved`` is False for a channel that pointed there already."""

    record: ChannelRecord
    report: GateReport
    moved: bool


def promote(
    settings: Settings,
    db: Database,
    release: str,
    channel: str,
    *,
    actor: Actor,
    asker_of: AskerOf,
    reason: str = "",
    force: bool = False,
    rollout: Rollout | None = None,
    progress: Progress | None = None,
    say: Callable[[GateReport], None] | None = None,
) -> Promotion:
    """Point ``channel`` of the release's chain at ``release`` (its whole id) if the channel's gate lets it; with
    ``rollout``, put it beside the current release instead.

    The gate's verdict is about the channel as it was when this began: if it moves meanwhile, nothing is written and
    Conflict is raised. Raises GateFailed and Inconclusive unless ``force``, which needs a reason and is kept in the
    history; NotFound for a channel without a gate, whatever ``force`` says. ``say`` hears the gate's report, whatever
    the verdict.
    """
    from evals.gate import load_gate
    from lockgate.store.releases import open_releases

    reason = check_reason(reason, needed=force)
    check_name(channel)
    manifest = open_releases(settings, db).manifest(release)
    gate = load_gate(settings.project_dir, channel)
    before = get_channel(db, channel, manifest.name)
    _check_rollout(before, release, rollout)
    report = _judge(settings, db, manifest, gate, asker_of, progress)
    if say:
        say(report)
    if not force:
        report.require_pass()
    forced = report.verdict != "PASS"
    if rollout is None and before.release == release and before.rollout is None and before.forced == forced:
        now = get_channel(db, channel, manifest.name)
        if now.version != before.version:
            raise Conflict(
                f"The channel {channel} of chain {manifest.name} has moved to {(now.release or '')[:12]} meanwhile.",
                hint=f"Look at it (lockgate release history {channel}) and decide again.",
            )
        return Promotion(before, report, moved=False)
    record = move_channel(
        db,
        Move(
            channel=channel,
            chain=manifest.name,
            action="rollout" if rollout else "promote",
            release=before.release if rollout and before.release else release,
            expected_version=before.version,
            actor=actor,
            reason=reason,
            # Whether the release that users mostly get is there by force stays true while another is tried beside it.
            forced=before.forced if rollout else forced,
            evidence=[{"kind": "gate", **report.as_json()}],
            rollout=replace(rollout, forced=forced) if rollout else None,
        ),
    )
    return Promotion(record, report, moved=True)


def roll_back(
    settings: Settings,
    db: Database,
    channel: str,
    chain: str,
    *,
    actor: Actor,
    to: str | None = None,
    reason: str = "",
) -> ChannelRecord:
    """Point ``channel`` at the release that it pointed at before, or at ``to`` (a whole id) if it ever did.

    Rolling back twice goes back two promotions, not forth again. No gate: going back must not wait. But everything that
    an answer needs has to be here, else NotFound is raised and the pointer stays. During a rollout ``to`` has to be
    named, since ending the rollout may be what is meant. Raises Conflict when the channel moves meanwhile.
    """
    from chains.release import answering_problems
    from lockgate.store.releases import open_releases

    reason = check_reason(reason)
    before = get_channel(db, check_name(channel), chain)
    if before.release is None:
        raise NotFound(
            f"The channel {channel!r} of chain {chain!r} was never set, so there is nothing to go back to.",
            hint="See: lockgate release list",
        )
    if before.rollout is not None and to is None:
        raise UserError(
            f"A rollout of release {before.rollout.release[:12]} is under way in {channel}.",
            hint=f"To end it: lockgate release rollout {channel} --stop. To go back all the same: --to RELEASE.",
        )
    target, forced = _earlier(db, before, to)
    try:
        problems = answering_problems(settings, db, open_releases(settings, db).manifest(target))
    except (NotFound, Corrupt) as error:
        problems = [str(error)]
    if problems:
        raise NotFound(
            f"Release {target[:12]} cannot answer here, so {channel} stays at {before.release[:12]}. "
            + " ".join(problems),
            hint="Go back to another one: lockgate release rollback CHANNEL --to RELEASE",
        )
    return move_channel(
        db,
        Move(
            channel=channel,
            chain=chain,
            action="rollback",
            release=target,
            expected_version=before.version,
            actor=actor,
            reason=reason,
            forced=forced,
        ),
    )


def stop_rollout(db: Database, channel: str, chain: str, *, actor: Actor, reason: str) -> ChannelRecord:
    """End a rollout; the current release answers everybody again. Raises NotFound when there is none."""
    before = get_channel(db, check_name(channel), chain)
    if before.rollout is None or before.release is None:
        raise NotFound(f"There is no rollout in the channel {channel!r} of chain {chain!r}.")
    return move_channel(
        db,
        Move(
            channel=channel,
            chain=chain,
            action="stop",
            release=before.release,
            expected_version=before.version,
            actor=actor,
            reason=check_reason(reason),
            forced=before.forced,
        ),
    )


def check_reason(reason: str, *, needed: bool = False) -> str:
    """Raises UserError for one that is missing or cannot be shown."""
    text = reason.strip()
    if needed and not text:
        raise UserError("--force needs --reason: the history says why a gate was passed over.")
    if len(text) > MAX_REASON or any(not char.isprintable() and char not in "\n\t" for char in text):
        raise UserError(f"The reason must be printable text of at most {MAX_REASON} characters.")
    return text


def _earlier(db: Database, before: ChannelRecord, to: str | None) -> tuple[str, bool]:
    """(release, whether it was forced when the channel last pointed at it).

    Promotions pile up, and going back to a release takes off everything above it, so that what was undone is not gone
    back to.
    """
    pile: list[tuple[str, bool]] = []
    ever: dict[str, bool] = {}
    for move in reversed(history(db, before.channel, before.chain, limit=HISTORY)):
        if move.action == "rollback":
            while pile and pile[-1][0] != move.to_release:
                pile.pop()
        if move.action in _POINTING:
            if not pile or pile[-1][0] != move.to_release:
                pile.append((move.to_release, move.forced))
            ever[move.to_release] = move.forced
    hint = f"See: lockgate release history {before.channel}"
    if to is not None:
        if to == before.release and before.rollout is None:
            raise UserError(f"The channel {before.channel!r} points at release {to[:12]} already.", hint=hint)
        if to not in ever:
            raise NotFound(
                f"The channel {before.channel!r} never pointed at release {to[:12]}: that takes a promotion.", hint=hint
            )
        return to, ever[to]
    if len(pile) < 2:
        raise NotFound(
            f"The channel {before.channel!r} never pointed at another release before {(before.release or '')[:12]}.",
            hint=f"{hint}. To go to a release that was rolled back: --to RELEASE",
        )
    return pile[-2]


_POINTING: tuple[Action, ...] = ("promote", "rollback")


def _check_rollout(before: ChannelRecord, release: str, rollout: Rollout | None) -> None:
    if rollout is None:
        return
    if before.release is None:
        raise UserError(
            f"The channel {before.channel!r} points at nothing yet, so there is nothing to roll out beside.",
            hint="Promote without --percent and --shadow.",
        )
    if before.release == release:
        raise UserError(f"The channel {before.channel!r} points at release {release[:12]} already.")


def _judge(
    settings: Settings,
    db: Database,
    manifest: Manifest,
    gate: Gate,
    asker_of: AskerOf,
    progress: Progress | None,
) -> GateReport:
    from evals.gate import judge
    from evals.gate_context import gate_context

    return asyncio.run(judge(gate, gate_context(settings, db, manifest, gate.channel, asker_of), progress))
