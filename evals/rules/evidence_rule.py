"""The rule ``evidence``: some suite of the project has measured the whole release, whatever it found."""

from __future__ import annotations

import asyncio

from evals.verdict import Finding, GateContext
from lockgate.errors import LockgateError
from lockgate.ports import Progress


async def judge_evidence(context: GateContext, _progress: Progress) -> Finding:
    return await asyncio.to_thread(_judge, context)


def _judge(context: GateContext) -> Finding:
    records, short = context.records, context.release_id[:12]
    if records is None:
        return Finding("INCONCLUSIVE", "No evidence can be read here.")
    why: list[str] = []
    for name in records.suites():
        try:
            suite = records.suite(name)
            found = records.find(context.release_id, suite)
        except LockgateError as error:
            why.append(error.message)
            continue
        if found.evidence is not None:
            version = suite.definition.version
            return Finding(
                "PASS",
                f"Suite {name} v{version} has measured the release.",
                details={"suite": name, "suite_version": version, "evidence": found.evidence.id},
            )
        why += found.why
    reason = f"No evidence counts for release {short}" + (f": {' '.join(why)}" if why else ": none is on record.")
    return Finding("INCONCLUSIVE", reason, f"Run: lockgate evals run SUITE --release {short}")
