"""One case by its name: ``SUITE/ID``, or an id within a suite that is known otherwise."""

from __future__ import annotations

import difflib
from pathlib import Path

from evals.case import Case
from evals.suite import Suite, load_suite
from lockgate.errors import NotFound, UserError


def find_case(project_dir: Path, name: str, suite: str | None = None) -> tuple[Suite, Case]:
    """The case, with its suite. Raises NotFound that lists ids like the one asked for, and what loading a suite raises.

    ``suite`` is where to look for a name without one.
    """
    given, slash, case_id = name.rpartition("/")
    if slash:
        suite = given
    if not suite:
        raise UserError(
            f"{_short(name)}: which suite is the case from?", hint="Write SUITE/ID, such as docs-smoke/port."
        )
    loaded = load_suite(project_dir, suite)
    for case in loaded.cases:
        if case.id == case_id:
            return loaded, case
    ids = [case.id for case in loaded.cases]
    near = difflib.get_close_matches(case_id, ids, n=5, cutoff=0.5) or ids[:5]
    raise NotFound(f"The suite {suite!r} has no case {_short(case_id)}.", hint=f"Did you mean: {', '.join(near)}?")


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")
