"""What a server has open: store, index, models, and what was built over them. Opened once, closed once."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lockgate.settings import Settings

if TYPE_CHECKING:
    from chains.assembly import SharedModels
    from ingestion.service import IndexService
    from lockgate.store.database import Database
    from lockgate.store.releases import ReleaseStore
    from serving.rollout_keeper import RolloutKeeper
    from serving.routing import ChainShelf, Router
    from serving.shadow import ShadowRunner

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """Safe to use from any thread."""

    db: Database
    service: IndexService
    models: SharedModels
    store: ReleaseStore
    shelf: ChainShelf
    router: Router
    keeper: RolloutKeeper
    shadows: ShadowRunner


def build_parts(settings: Settings, db: Database, service: IndexService) -> Parts:
    """Nothing heavy is loaded here."""
    from chains.assembly import SharedModels
    from lockgate.store.releases import open_releases
    from serving.rollout_keeper import RolloutKeeper
    from serving.routing import ChainShelf, Router
    from serving.shadow import ShadowRunner

    models = SharedModels(settings)
    store = open_releases(settings, db)
    shelf = ChainShelf(db, store, service, models)
    return Parts(
        db=db,
        service=service,
        models=models,
        store=store,
        shelf=shelf,
        router=Router(db, store, shelf, settings.chain),
        keeper=RolloutKeeper(db),
        shadows=ShadowRunner(db),
    )
