"""/prompts: every prompt of the project and of Lockgate, and where its text on disk is used."""

from __future__ import annotations

from serving.console.elements import SHORT, box, link, note, path_to, set_attribute, tag, warning, words
from serving.console.frame import show_page, title
from serving.console.safe_markdown import marked
from serving.ports import Backend
from serving.prompt_views import PromptRow, Use, read_prompts


async def show(backend: Backend) -> None:
    await show_page(backend, "/prompts", read_prompts, _build)


def _build(rows: list[PromptRow]) -> None:
    title("Prompts")
    note("One prompt is one Markdown file; its version is the hash of its content, and git is its history.")
    with box("lg-rows", "ul"):
        for row in rows:
            _row(row)


def _row(row: PromptRow) -> None:
    with box("lg-row", "li"):
        with box("lg-line-of"):
            link(marked(row.name), path_to("prompts", row.name), "lg-anchor lg-strong")
            show_hash(row.hash)
            show_use(row.use)
        if row.description:
            words(marked(row.description), tag="p")
        if row.problem:
            warning(f"Does not load: {row.problem}")
        owner = f"owner {row.owner} · " if row.owner else ""
        note(f"{owner}{row.file}")


def show_hash(digest: str) -> None:
    if digest:
        shown = words(digest[:SHORT], "lg-code lg-note", "span")
        set_attribute(shown, "title", f"SHA-256 {digest}")


def show_use(use: Use) -> None:
    """Where the text as it is on disk answers now."""
    for one in use.channels:
        tag(f"{one.channel} of {one.chain}", "is-good")
    count = len(use.releases)
    if count:
        tag(f"in {count} release{'' if count == 1 else 's'}")
    else:
        tag("in no release")
