"""/channels/{chain}/{channel}: every move of a channel: who, when, why, on what evidence, forced or not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lockgate.store.channels import MoveRecord
from serving.console.elements import SHORT, box, command, forced_tag, moment, note, release_link, tag, words
from serving.console.frame import show_page, title
from serving.console.releases_page import show_rollout
from serving.console.safe_markdown import marked
from serving.console.texts import show_text
from serving.ports import Backend
from serving.release_views import MOVES, ChannelHistory, read_channel

MOODS = {"PASS": "is-good", "FAIL": "is-bad", "INCONCLUSIVE": "is-warn"}


async def show(backend: Backend, chain: str, channel: str) -> None:
    await show_page(backend, "/releases", lambda bench: read_channel(bench, chain, channel), _build)


def _build(view: ChannelHistory) -> None:
    record = view.record
    title(f"{record.channel} of {record.chain}")
    with box("lg-line-of"):
        words("Points at release ", tag="span")
        release_link(record.release or "")
        if record.forced:
            forced_tag()
    if view.report.get("rollout") is not None:
        with box("lg-section", "section"):
            words("Rollout", tag="h2")
            show_rollout(view.report)
            ended = view.report.get("ended")
            if isinstance(ended, Mapping):
                note(f"Ended by {ended['action']} of {ended['actor']['name']} at {ended['at']}: {ended['reason']}")
    with box("lg-section", "section"):
        words("History", tag="h2")
        with box("lg-rows", "ol"):
            for move in view.moves:
                _move(move)
        if len(view.moves) == MOVES:
            note(f"Older moves: lockgate release history {record.channel} --chain {record.chain} --limit 10000")
    with box("lg-section", "section"):
        words("Move it", tag="h2")
        note("Channels are moved on the command line. Going back needs no gate and counts from the next request on.")
        command(f"lockgate release rollback {record.channel} --chain {record.chain}")
        command(f"lockgate release promote RELEASE {record.channel}")


def _move(move: MoveRecord) -> None:
    with box("lg-row", "li"):
        with box("lg-line-of"):
            words(move.action, "lg-strong", "span")
            _way(move)
            if move.forced or (move.rollout is not None and move.rollout.forced):
                forced_tag()
        who = f"{move.actor}{'' if move.verified else ' (unverified)'}"
        note(f"{moment(move.created_at)} by {who}")
        if move.reason:
            words(marked(move.reason), "lg-quote", "p")
        for item in move.evidence:
            _evidence(item)


def _way(move: MoveRecord) -> None:
    if move.action == "rollout" and move.rollout is not None:
        kind = f"{move.rollout.share:g} %" if move.rollout.kind == "percent" else f"shadow of {move.rollout.share:g} %"
        release_link(move.to_release)
        words(f"stays, {kind} for", tag="span")
        release_link(move.rollout.release)
        return
    if move.action != "stop" and move.from_release and move.from_release != move.to_release:
        release_link(move.from_release)
        words("→", tag="span").props('aria-label="to"')
    release_link(move.to_release)
    if move.action == "stop":
        words("alone again", tag="span")


def _evidence(item: Mapping[str, Any]) -> None:
    rules = item.get("rules")
    with box("lg-details", "details"):
        with box("", "summary"):
            verdict = str(item.get("verdict") or "")
            words(f"Evidence: {item.get('kind', 'unknown')} ", tag="span")
            if verdict:
                tag(verdict, MOODS.get(verdict, ""))
        if isinstance(rules, list) and all(isinstance(rule, Mapping) for rule in rules):
            for rule in rules:
                with box("lg-line-of"):
                    verdict = str(rule.get("verdict", ""))
                    tag(verdict, MOODS.get(verdict, ""))
                    words(marked(f"{rule.get('rule', '')}: {rule.get('reason', '')}"), "lg-grow", "span")
            gate = str(item.get("gate") or "")
            if gate:
                note(f"Judged by the gate with the hash {gate[:SHORT]}.")
        else:
            show_text(json.dumps(item, indent=2, ensure_ascii=False, default=str), "Evidence")
