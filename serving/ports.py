"""What the routes and the console need from the project they serve. ``serving.wiring.Application`` provides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lockgate.ports import Asker, Progress, Retriever
from lockgate.types import SnapshotKind

if TYPE_CHECKING:
    from serving.workbench import Workbench

Vote = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Readiness:
    """What answers and what does not yet. ``missing`` says in words what a caller waits for.

    ``checks`` are those of the policy that answers, each with its ``problem``. One that does not work and whose
    ``on_error`` is to block makes the server not ready; any other one that does not work makes it ``degraded``.
    """

    ready: bool
    missing: tuple[str, ...] = ()
    snapshot: str | None = None
    kind: SnapshotKind | None = None
    documents: int = 0
    chunks: int = 0
    indexing: float | None = None  # share done of the snapshot being built, in [0, 1]; None when idle
    model: str = ""
    model_loaded: bool = False
    release: str | None = None  # where a request without a model goes now, and through which channel
    channel: str = ""
    forced: bool = False
    rollout: str = ""  # in words, "" for none
    warning: str = ""  # what a person should know although answers are given
    degraded: bool = False
    checks: tuple[Mapping[str, Any], ...] = ()


class Backend(Protocol):
    """One project, being served. Every method may be called from any thread."""

    @property
    def token(self) -> str:
        """What the internal routes ask for."""
        ...

    def models(self) -> tuple[str, ...]:
        """The names that a request may give as its model, besides ids of releases; the default one first."""
        ...

    def asker(self, model: str | None = None) -> Asker:
        """What ``model`` names: a channel, chain@channel, a chain or a release's id; None is the default chain's
        production where it is set, else its staging. The pointer is read when it is asked.

        Raises NotFound, naming the command, for what is not set; Unavailable while the server is opening.
        """
        ...

    def retriever(self, model: str | None = None) -> Retriever:
        """That of the release which ``model`` names now ("" is the default), or the current snapshot's for None.

        Raises as ``asker`` does.
        """
        ...

    def readiness(self) -> Readiness: ...

    def workbench(self) -> Workbench:
        """What the console's pages about releases and prompts work on. Raises Unavailable while the server opens."""
        ...

    def sync(self, source: str, progress: Progress) -> object:
        """Blocks until done; the report. Raises Conflict when a sync is running."""
        ...

    def write_feedback(self, trace_id: str, vote: Vote, comment: str | None) -> None:
        """Store a vote; a comment of None leaves an earlier one as it is.

        Raises NotFound when there is no such trace, UserError for a comment that is too long.
        """
        ...
