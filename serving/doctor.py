"""``lockgate doctor``: looks at everything a server needs, changes nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lockgate.errors import LockgateError, NotFound
from lockgate.models.catalogue import MEGABYTE
from lockgate.owner import find_owner
from lockgate.settings import Settings
from serving import plan

if TYPE_CHECKING:
    from guardrails.policy import Policy

TESTED_PYTHON = (3, 11)
ENOUGH_MB = 1500
PACKAGES = (
    "lockgate", "torch", "transformers", "sentence-transformers", "langchain", "qdrant-edge-py", "qdrant-client",
    "fastapi", "uvicorn", "nicegui", "sqlalchemy", "pydantic", "openai",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """``ok`` is None for a fact that is neither good nor bad."""

    name: str
    ok: bool | None
    detail: str
    hint: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Every finding, in the order in which a start would meet them."""
    checks: tuple[tuple[str, Callable[[Settings], Finding]], ...] = (
        ("python", _python),
        ("project", _project),
        ("disk", _disk),
        ("models", _models),
        ("documents", _documents),
        ("index", _index),
        ("release", _release),
        ("checks", _checks),
        ("owner", _owner),
        ("port", _port),
    )
    findings = []
    for name, check in checks:
        try:
            findings.append(check(settings))
        except LockgateError as error:
            findings.append(Finding(name, False, error.message, error.hint))
    return findings


def versions() -> dict[str, str]:
    """Of the packages that matter for a report."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _python(_: Settings) -> Finding:
    name = f"{platform.python_implementation()} {platform.python_version()}"
    if sys.version_info[:2] == TESTED_PYTHON:
        return Finding("python", True, name)
    return Finding("python", False, f"{name} is not a tested version.", "Use Python 3.11.")


def _project(settings: Settings) -> Finding:
    state = settings.state_dir
    existing = state if state.exists() else settings.project_dir
    if not os.access(existing, os.W_OK):
        return Finding("project", False, f"{existing} cannot be written.", "Check its owner, or set LOCKGATE_STATE.")
    return Finding("project", True, f"{settings.project_dir}, state in {state}")


def _disk(settings: Settings) -> Finding:
    free = min(plan.free_bytes(settings.models_path), plan.free_bytes(settings.state_dir)) // MEGABYTE
    detail = f"{free:,} MB free"
    if free >= ENOUGH_MB:
        return Finding("disk", True, detail)
    return Finding("disk", False, detail, f"Models and a small index need about {ENOUGH_MB:,} MB.")


def _models(settings: Settings) -> Finding:
    missing = plan.missing_models(settings)
    if missing:
        names = " ".join(entry.name for entry in missing)
        return Finding("models", False, f"not on this machine: {names}", f"Run: lockgate models pull {names}")
    return Finding("models", True, ", ".join(entry.name for entry in plan.needed_models(settings)))


def _documents(settings: Settings) -> Finding:
    from ingestion.source import load_sources

    try:
        sources = load_sources(settings.project_dir)
    except NotFound:
        return Finding("documents", None, "no source files; folders are given by name: lockgate ingestion sync PATH")
    roots = [source.root(settings.project_dir) for source in sources]
    gone = [str(root) for root in roots if not root.is_dir()]
    if gone:
        return Finding("documents", False, f"no folder at {', '.join(gone)}", "Correct ingestion/sources/*.yaml.")
    return Finding("documents", True, ", ".join(map(str, roots)))


def _index(settings: Settings) -> Finding:
    # Opening a database would create and migrate it; a doctor only looks.
    if not settings.database_url and not (settings.state_dir / "lockgate.db").exists():
        return Finding("index", None, "nothing is indexed yet", "Run: lockgate ingestion sync PATH")
    from lockgate.store.database import open_database
    from lockgate.store.snapshots import current_snapshot

    with open_database(settings.database) as db:
        record = current_snapshot(db)
    if record is None:
        return Finding("index", None, "nothing is indexed yet", "Run: lockgate ingestion sync PATH")
    detail = f"snapshot {record.id[:12]} ({record.kind}), {record.documents} pages, {record.chunks} chunks"
    return Finding("index", True, detail)


def _release(settings: Settings) -> Finding:
    if not settings.database_url and not (settings.state_dir / "lockgate.db").exists():
        return Finding("release", None, "none yet", "Run: lockgate up, or: lockgate release build")
    from chains.release import verify_release
    from chains.target import Target, resolve
    from lockgate.store.database import open_database
    from lockgate.store.releases import open_releases

    with open_database(settings.database) as db:
        try:
            pointed = resolve(db, open_releases(settings, db), Target(), settings.chain)
        except NotFound as error:
            return Finding("release", None, error.message, error.hint)
        problems = verify_release(settings, db, pointed.release)
    channel = pointed.channel.channel if pointed.channel else ""
    if problems:
        detail = f"{channel} points at {pointed.release[:12]}, which cannot answer: {' '.join(problems)}"
        return Finding("release", False, detail, f"Run: lockgate release rollback {channel}")
    forced = ", set past its gate" if pointed.channel and pointed.channel.forced else ""
    return Finding("release", True, f"{channel} points at {pointed.release[:12]}{forced}")


def _checks(settings: Settings) -> Finding:
    """Of the policy that answers now, else of the one that a release built now would pin. Each is tried once."""
    import asyncio

    from guardrails.guard import Guard
    from guardrails.health import check_health
    from guardrails.tools import tools_of

    policy, channel = _policy(settings)
    guard = Guard(policy, tools_of(settings))
    asyncio.run(guard.try_out())
    found = check_health(guard, channel)
    broken = [each.in_words() for each in found if each.problem]
    if broken:
        hint = "Fetch what it needs, correct its settings, or take it out of the policy and build a release."
        return Finding("checks", False, " ".join(broken), hint)
    names = ", ".join(dict.fromkeys(each.check for each in found)) or "none"
    return Finding("checks", True, f"policy {policy.name}: {names}")


def _policy(settings: Settings) -> tuple[Policy, str]:
    """The policy, and the channel that it is for."""
    from chains.assembly import policy_of
    from chains.definition import load_chain
    from chains.target import Target, resolve
    from guardrails.policy import load_policy
    from lockgate.store.database import open_database
    from lockgate.store.releases import open_releases

    if settings.database_url or (settings.state_dir / "lockgate.db").exists():
        with open_database(settings.database) as db:
            store = open_releases(settings, db)
            try:
                pointed = resolve(db, store, Target(), settings.chain)
            except NotFound:
                pointed = None
            if pointed is not None:
                channel = pointed.channel.channel if pointed.channel else ""
                return policy_of(store.manifest(pointed.release)), channel
    return load_policy(settings.project_dir, load_chain(settings.project_dir, settings.chain).policy), ""


def _owner(settings: Settings) -> Finding:
    card = find_owner(settings.state_dir)
    return Finding("owner", None, f"held by {card.describe()}" if card else "nobody has the index open")


def _port(settings: Settings) -> Finding:
    card = find_owner(settings.state_dir)
    if card and card.url and card.url.endswith(f":{settings.port}"):
        return Finding("port", True, f"{settings.port}, used by this project's server")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        reason = f"{settings.port} cannot be used: {error.strerror}"
        return Finding("port", False, reason, "Take another one: LOCKGATE_PORT or --port.")
    return Finding("port", True, f"{settings.port} is free")


def as_json(findings: list[Finding]) -> dict[str, Any]:
    return {
        "ok": all(finding.ok is not False for finding in findings),
        "checks": [
            {"name": finding.name, "ok": finding.ok, "detail": finding.detail, "hint": finding.hint}
            for finding in findings
        ],
        "versions": versions(),
    }
