"""Source files: where documents come from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from lockgate.content import ContentModel, load_yaml
from lockgate.errors import NotFound, UserError

FORMATS = ("md", "markdown", "mdx", "html", "htm", "rst", "txt", "pdf")


class FolderSource(ContentModel):
    """A folder of documents. ``path`` is relative to the project folder unless absolute."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    kind: Literal["folder"] = "folder"
    path: str = Field(min_length=1)
    include: list[str] = Field(default=[f"**/*.{suffix}" for suffix in FORMATS], min_length=1)
    exclude: list[str] = Field(default=[])

    def root(self, project_dir: Path) -> Path:
        return (project_dir / Path(self.path).expanduser()).absolute()


def load_sources(project_dir: Path) -> list[FolderSource]:
    """The project's sources by name. Raises NotFound when there is none, UserError when two share a name."""
    folder = project_dir / "ingestion" / "sources"
    sources: dict[str, tuple[Path, FolderSource]] = {}
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        source = load_yaml(path, FolderSource)
        if source.name in sources:
            raise UserError(f"{path}: the name {source.name!r} is already used by {sources[source.name][0]}.")
        sources[source.name] = (path, source)
    if not sources:
        raise NotFound(
            f"{folder}: no source file (*.yaml) here.",
            hint="Give a folder instead: lockgate ingestion sync PATH, or add a source file.",
        )
    return [source for _, source in sources.values()]


def folder_source(path: Path) -> FolderSource:
    """A source for a folder that was named on the command line. Raises NotFound or UserError."""
    path = path.expanduser().absolute()
    if not path.exists():
        raise NotFound(f"{path}: no such folder.", hint="Give the folder that holds your documents.")
    if not path.is_dir():
        raise UserError(f"{path}: is not a folder.", hint="Give the folder that holds your documents.")
    return FolderSource(name="docs", path=str(path))
