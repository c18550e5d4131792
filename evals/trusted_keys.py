"""Whose evidence counts here: this installation's own, and that of the keys which the project or the operator names.

The two places are ``evals/trusted-keys.yaml`` and LOCKGATE_TRUSTED_KEYS. Both are read anew for every judgement, so a
key that is taken out counts no more from then on. A key is named whole: a fingerprint is for people to compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, StringConstraints, field_validator

from lockgate.content import ContentModel, load_yaml
from lockgate.errors import UserError
from lockgate.signing import check_public_key, own_key

if TYPE_CHECKING:
    from lockgate.settings import Settings

FILE = "evals/trusted-keys.yaml"
VARIABLE = "LOCKGATE_TRUSTED_KEYS"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")]


class TrustedKey(ContentModel):
    """``key`` is what ``lockgate evals evidence key`` prints there; ``note`` says whose it is, for people."""

    name: Name
    key: Annotated[str, AfterValidator(check_public_key)]
    note: str = ""


class TrustedKeysFile(ContentModel):
    """The keys of ``evals/trusted-keys.yaml``."""

    keys: tuple[TrustedKey, ...] = ()

    @field_validator("keys")
    @classmethod
    def _once(cls, keys: tuple[TrustedKey, ...]) -> tuple[TrustedKey, ...]:
        for what, values in (("key", [each.key for each in keys]), ("name", [each.name for each in keys])):
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"the {what} {value} is given twice")
        return keys


@dataclass(frozen=True, slots=True)
class Trust:
    """``own`` is this installation's public key, None before anything was signed; ``names`` are the others' by key."""

    own: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def trusts(self, key: str) -> bool:
        return key == self.own or key in self.names


def load_trust(settings: Settings) -> Trust:
    """Raises UserError naming file, line and key, or the variable: a list that cannot be read trusts nobody."""
    names = dict.fromkeys(_given(settings.trusted_keys), VARIABLE)
    path = trusted_keys_path(settings.project_dir)
    if path.exists() or path.is_symlink():
        names |= {each.key: each.name for each in load_yaml(path, TrustedKeysFile).keys}
    return Trust(own_key(settings.state_dir), names)


def trusted_keys_path(project_dir: Path) -> Path:
    return project_dir / FILE


def _given(text: str) -> list[str]:
    keys = text.replace(",", " ").split()
    for key in keys:
        try:
            check_public_key(key)
        except ValueError as error:
            raise UserError(
                f"{VARIABLE}: {key[:12]!r} {error}.",
                hint="Give what `lockgate evals evidence key` prints, with commas between several.",
            ) from None
    return keys
