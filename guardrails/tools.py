"""What the checks may use of the rest of Lockgate, loaded when a check first needs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from guardrails.check import GuardTools

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lockgate.ports import Embedder
    from lockgate.settings import Settings


def tools_with(embedder: Callable[[], Embedder]) -> GuardTools:
    """The tools of a pipeline that has this embedder."""

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        return embedder().embed(texts)

    return GuardTools(embed=embed, embedder=lambda: embedder().digest)


def tools_of(settings: Settings) -> GuardTools:
    """The tools of a project, with the embedder that its settings name."""
    loaded: list[Embedder] = []

    def load() -> Embedder:
        from lockgate.models.catalogue import load_catalogue
        from lockgate.models.embedder import load_embedder

        if not loaded:
            entry = load_catalogue(settings.project_dir).get(settings.embedder, "embedder")
            loaded.append(load_embedder(settings, entry))
        return loaded[0]

    return tools_with(load)
