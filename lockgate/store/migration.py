"""Alembic's door: imported only when a schema has to change, because importing it costs a tenth of a second."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

_SCRIPTS = Path(__file__).parent / "migrations"


def known_revisions() -> list[str]:
    """Every revision that this code has a script for, newest first."""
    return [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()]


def run_migrations(connection: Connection) -> None:
    """Bring the schema to head inside the transaction of ``connection``; the caller commits."""
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def alembic_config() -> Config:
    """A configuration without an .ini file; it names only where the scripts are."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
