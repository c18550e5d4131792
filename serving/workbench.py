"""What the console's pages about releases and prompts read from and work on: the parts that the server has open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chains.assembly import SharedModels
    from ingestion.service import IndexService
    from lockgate.settings import Settings
    from lockgate.store.database import Database


@dataclass(frozen=True, slots=True)
class Workbench:
    """Safe to use from any thread. What takes a ``Workbench`` may block: never call it on the event loop."""

    settings: Settings
    db: Database
    service: IndexService
    models: SharedModels
