"""Settings, read once at the edge (command line or server start) and passed down."""

from __future__ import annotations

import os
import re
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lockgate.errors import UserError

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


class Settings(BaseSettings):
    """Every setting is an environment variable ``LOCKGATE_<NAME>`` or a line of ``.env`` in the project folder."""

    model_config = SettingsConfigDict(env_prefix="LOCKGATE_", env_file=".env", extra="ignore", frozen=True)

    project: Path = Field(default=Path(), description="The project folder; holds prompts/, chains/, docs/ and so on.")
    state: Path | None = Field(default=None, description="Where state lives; default: <project>/.lockgate.")
    models_dir: Path | None = Field(
        default=None, description="Where model weights live; default: ~/.cache/lockgate/models."
    )
    database_url: str = Field(default="", description="SQLAlchemy URL; default: SQLite in the state folder.")
    host: str = Field(default="127.0.0.1", description="Only loopback addresses are accepted until keys exist.")
    port: int = Field(default=8000, ge=1, le=65535)
    chain: str = Field(default="docs", description="The chain that chat and ask use by default.")
    embedder: str = Field(default="all-minilm-l6-v2", description="Embedding model, a name of the catalogue.")
    model: str = Field(default="", description="Chat model, a name of the catalogue; default: the chain definition's.")
    generation_queue: int = Field(
        default=8, ge=0, le=1000, description="Requests that may wait for the in-process model; beyond it: 503."
    )
    vllm_python: Path | None = Field(
        default=None, description="Python of the environment that holds vLLM; default: .venv-vllm, see make vllm."
    )
    max_file_mb: int = Field(default=20, ge=1, le=2000, description="Larger files are quarantined.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    # Names that other tools already use, so that they work here unchanged.
    qdrant_url: str = Field(default="", validation_alias="QDRANT_URL")
    qdrant_api_key: str = Field(default="", validation_alias="QDRANT_API_KEY")
    openai_base_url: str = Field(default="", validation_alias="OPENAI_BASE_URL")
    openai_api_key: str = Field(default="", validation_alias="OPENAI_API_KEY")

    judge_base_url: str = Field(default="", description="An OpenAI-compatible server whose model judges answers.")
    judge_api_key: SecretStr = Field(default=SecretStr(""), description="Its key.")
    judge_model: str = Field(default="", max_length=200, description="The judge, as its server calls it.")
    judge_concurrency: int = Field(default=8, ge=1, le=256, description="Judge calls under way at once.")

    trusted_keys: str = Field(
        default="", description="Public keys, with commas between, whose evidence counts beside this installation's."
    )

    @field_validator("host")
    @classmethod
    def _loopback_only(cls, value: str) -> str:
        if value not in LOOPBACK_HOSTS:
            raise ValueError(
                f"must be one of {', '.join(LOOPBACK_HOSTS)}: without API keys this version listens nowhere else"
            )
        return value

    @field_validator("openai_base_url", "judge_base_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if value:
            try:
                parts = urlsplit(value)
                named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            except ValueError:
                named = False
            if not named:
                raise ValueError("must be an address such as http://localhost:8001/v1")
        return value

    @field_validator("judge_base_url")
    @classmethod
    def _no_credentials(cls, value: str) -> str:
        # The address is written into evidence; a password in it would be too.
        if "@" in urlsplit(value).netloc:
            raise ValueError("must not hold a user or password: give the key as LOCKGATE_JUDGE_API_KEY")
        return value

    @cached_property
    def project_dir(self) -> Path:
        return self.project.expanduser().resolve()

    @cached_property
    def state_dir(self) -> Path:
        return (self.state.expanduser() if self.state else self.project_dir / ".lockgate").resolve()

    @cached_property
    def models_path(self) -> Path:
        if self.models_dir:
            return self.models_dir.expanduser().resolve()
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return Path(cache).expanduser() / "lockgate" / "models"

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.state_dir / 'lockgate.db'}"


def settings_of(context: object) -> Settings:
    """The settings that the command line's root put into its context; built here when a folder's app runs alone."""
    return context if isinstance(context, Settings) else load_settings()


def load_settings(**overrides: object) -> Settings:
    """Build the settings from the environment; ``overrides`` (command-line options) win.

    Raises UserError that names the variable and the value it was given.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    project = Path(str(given.get("project") or os.environ.get("LOCKGATE_PROJECT") or ".")).expanduser()
    if not project.is_dir():
        raise UserError(f"LOCKGATE_PROJECT: {project} is not a folder.", hint="Point it at your project's folder.")
    try:
        return Settings(_env_file=project / ".env", **given)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = []
        for item in error.errors():
            name = str(item["loc"][0]) if item["loc"] else "settings"
            variable = name if name.isupper() else f"LOCKGATE_{name.upper()}"
            lines.append(
                f"{variable}={_shown(variable, item.get('input'))}: {item['msg'].removeprefix('Value error, ')}"
            )
        raise UserError(
            "Settings are not valid: " + "; ".join(lines) + ".", hint="See docs/configuration.md."
        ) from error


def _shown(variable: str, value: object) -> str:
    """``value`` for a message: no key, and no user or password of an address."""
    if variable.endswith("_KEY"):
        return "***"
    return re.sub(r"//[^/\s]*@", "//***@", repr(value))
