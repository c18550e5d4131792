"""Which prompt of a release is meant by a name that it does not pin: the renamed one, or the one in its role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lockgate.errors import NotFound
from lockgate.release import Manifest, PinnedPrompt
from lockgate.settings import Settings
from prompts.checking import prompt_name
from prompts.collection import own_library
from prompts.commits import open_history
from prompts.pins import read_pins


@dataclass(frozen=True, slots=True)
class RoleOf:
    """``is_guessed`` says that only the role connects it with the name that was asked for."""

    role: str
    pinned: PinnedPrompt
    is_guessed: bool = False


def pinned_as(settings: Settings, manifest: Manifest, name: str) -> list[RoleOf]:
    """What the release pins as ``name``: under that name, under one that git knows of it, or in a role that it had.

    Raises NotFound, which lists what is pinned.
    """
    prompts: Mapping[str, PinnedPrompt] = {str(role): pinned for role, pinned in manifest.prompts.items()}
    for one in (name, *_other_names(settings, name)):
        if found := [RoleOf(role, pinned) for role, pinned in prompts.items() if pinned.name == one]:
            return found
    pins = read_pins(settings).pins
    roles = {role for pin in pins if pin.name == name and pin.chain == manifest.name for role in pin.roles}
    if found := [RoleOf(role, prompts[role], True) for role in prompts if role in (roles or {name})]:
        return found
    has = ", ".join(
        pinned.name if pinned.name == role else f"{pinned.name} (as {role})" for role, pinned in sorted(prompts.items())
    )
    raise NotFound(f"Release {manifest.id[:12]} has no prompt {name[:80]!r}.", hint=f"It pins: {has}.")


def _other_names(settings: Settings, name: str) -> Iterator[str]:
    """Names that git knows the prompt by, the newest first."""
    git = open_history(own_library(settings.project_dir))
    if git is None:
        return
    renamed = git.renamed(name)
    for _, main in git.lineage(renamed.name if renamed else name)[0]:
        if (other := prompt_name(main)) != name:
            yield other
