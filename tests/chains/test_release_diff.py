"""A difference of releases names everything that changed, and says so where it cannot."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from chains.release_diff import EXAMPLES, MAX_LINES, ReleaseDiff, diff_releases, text_diff
from chains.release_diff_view import render
from ingestion.manifest import ManifestPage, build_manifest, read_pages
from lockgate.errors import Corrupt
from lockgate.release import Manifest
from lockgate.store.objects import ObjectStore
from tests.lockgate.samples import manifest_body, sample_manifest

CHUNKING = {"version": 1, "max_tokens": 128, "min_tokens": 30, "bm25_average_length": 41}


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


def changed(change: Callable[[dict[str, Any]], object]) -> Manifest:
    body = manifest_body()
    change(body)
    return Manifest.model_validate(body)


def with_pages(objects: ObjectStore, pages: list[ManifestPage]) -> Manifest:
    identifier, data = build_manifest("hybrid", "5" * 64, CHUNKING, pages)
    objects.put(data)
    body = manifest_body()
    body["snapshot"] |= {"id": identifier, "manifest": identifier, "documents": len(pages)}
    return Manifest.model_validate(body)


def page(path: str, version: str = "v1", source: str = "docs") -> ManifestPage:
    return ManifestPage(source, path, version, (f"{path}-{version}",))


def shown(diff: ReleaseDiff, *, colour: bool = False) -> str:
    out = io.StringIO()
    render(diff, Console(file=out, width=200, force_terminal=colour, color_system="standard" if colour else None))
    return out.getvalue()


def test_a_release_and_itself_are_the_same(objects: ObjectStore) -> None:
    diff = diff_releases(sample_manifest(), sample_manifest(), objects)
    assert diff.same
    assert (diff.prompts, diff.policy, diff.snapshot, diff.settings) == ((), (), None, ())
    assert shown(diff) == f"Both are release {sample_manifest().id[:12]}.\n"


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, str | int | float):
        yield path


@pytest.mark.parametrize("path", list(_leaves(sample_manifest().model_dump(mode="json"))), ids=".".join)
def test_whatever_gives_another_id_is_shown(objects: ObjectStore, path: tuple[str, ...]) -> None:
    body = sample_manifest().model_dump(mode="json")
    other = copy.deepcopy(body)
    part = other
    for key in path[:-1]:
        part = part[key]
    old = part[path[-1]]
    for new in [f"{old}x", "e" * 64, "bm25", "extractive", 7, 0.25]:
        part[path[-1]] = new
        try:
            manifest = Manifest.model_validate(other)
        except ValueError:
            continue
        diff = diff_releases(sample_manifest(), manifest, objects)
        assert diff.prompts or diff.policy or diff.snapshot or diff.settings
        assert diff.as_json()["same"] is False
        assert json.loads(json.dumps(diff.as_json())) == diff.as_json()
        assert len(shown(diff).splitlines()) > 2
        return


def test_prompts_are_compared_file_by_file(objects: ObjectStore) -> None:
    def change(body: dict[str, Any]) -> None:
        answer = body["prompts"]["answer"]
        answer["hash"] = "b" * 64
        answer["files"] = {"answer.md": "Answer briefly.\n", "examples.jsonl": "{}\n", "shared/new.md": "New.\n"}
        del body["prompts"]["condense"]

    diff = diff_releases(sample_manifest(), changed(change), objects)
    answer, condense = diff.prompts
    assert (answer.role, answer.before, answer.after) == ("answer", "answer@111111111111", "answer@bbbbbbbbbbbb")
    assert [(file.name, file.change) for file in answer.files] == [
        ("answer.md", "changed"),
        ("shared/new.md", "added"),
        ("shared/tone.md", "removed"),
    ]
    assert answer.files[0].lines == (
        "--- a/answer.md",
        "+++ b/answer.md",
        "@@ -1 +1 @@",
        "-Answer from the passages.",
        "+Answer briefly.",
    )
    assert (condense.before, condense.after) == ("condense@222222222222", "")
    assert [file.change for file in condense.files] == ["removed"]


def test_the_policy_is_compared_as_text(objects: ObjectStore) -> None:
    def change(body: dict[str, Any]) -> None:
        body["policy"] |= {"hash": "b" * 64, "text": "name: default\nchecks: [pii]\n"}

    diff = diff_releases(sample_manifest(), changed(change), objects)
    (policy,) = diff.policy
    assert policy.lines[-2:] == ("-checks: []", "+checks: [pii]")
    assert [setting.key for setting in diff.settings] == ["policy.hash"]


def test_settings_are_a_table_of_dotted_keys(objects: ObjectStore) -> None:
    def change(body: dict[str, Any]) -> None:
        body["chain"]["retrieval"] = {"limit": 9, "dense_weight": 0.6, "new": None}
        body["adapter"] = None
        body["model"]["files"]["files"] |= {"model.safetensors": "b" * 64, "z.json": "c" * 64}
        del body["model"]["files"]["files"]["vocab.txt"]
        body["lockgate"] = "0.2.0"

    settings = diff_releases(sample_manifest(), changed(change), objects).as_json()["settings"]
    assert settings == [
        {"key": "adapter", "after": None},
        {"key": "adapter.base", "before": "tiny"},
        {"key": "adapter.digest", "before": "7" * 64},
        {"key": "chain.retrieval.limit", "before": 8, "after": 9},
        {"key": "chain.retrieval.new", "after": None},
        {"key": "lockgate", "before": "0.1.0", "after": "0.2.0"},
        {
            "key": "model.files.files",
            "before": "2 files",
            "after": "2 files: 1 added (z.json), 1 removed (vocab.txt), 1 changed (model.safetensors)",
        },
    ]


def test_a_number_and_its_text_are_told_apart(objects: ObjectStore) -> None:
    def change(body: dict[str, Any]) -> None:
        body["chain"]["retrieval"]["limit"] = "8"

    (setting,) = diff_releases(sample_manifest(), changed(change), objects).settings
    assert (setting.before, setting.after) == ("8", '"8"')


def test_pages_are_counted_with_examples(objects: ObjectStore) -> None:
    before = [page(f"{number:03}.md") for number in range(50)] + [page("a.md", source="api")]
    after = [page(f"{number:03}.md", "v2" if number < 25 else "v1") for number in range(40)]
    after += [page("zz.md"), page("a.md", source="wiki")]
    diff = diff_releases(with_pages(objects, before), with_pages(objects, after), objects)
    snapshot = diff.snapshot
    assert snapshot is not None
    assert snapshot.added is not None
    assert snapshot.removed is not None
    assert snapshot.changed is not None
    assert (snapshot.added.count, snapshot.removed.count, snapshot.changed.count) == (2, 11, 25)
    assert snapshot.added.examples == (("docs", "zz.md"), ("wiki", "a.md"))
    assert snapshot.removed.examples[:2] == (("api", "a.md"), ("docs", "040.md"))
    assert len(snapshot.changed.examples) == EXAMPLES
    assert diff.as_json()["snapshot"]["pages"]["changed"]["examples"][0] == {"source": "docs", "path": "000.md"}
    text = shown(diff)
    assert "pages 51 -> 42" in text
    assert "25 pages changed" in text
    assert "  ~ and 15 more" in text


def test_a_page_list_that_is_gone_or_damaged_is_said_plainly(objects: ObjectStore) -> None:
    before, after = with_pages(objects, [page("a.md")]), with_pages(objects, [page("b.md")])
    file = objects.path / before.snapshot.manifest[:2] / before.snapshot.manifest[2:]
    for damage in (lambda: file.write_bytes(b"{}"), file.unlink):
        damage()
        diff = diff_releases(before, after, objects)
        assert diff.snapshot is not None
        assert diff.snapshot.added is None
        assert "cannot be told" in diff.snapshot.problem
        assert diff.as_json()["snapshot"]["pages"] == {"added": None, "removed": None, "changed": None}
        assert "a page list is not here" in " ".join(shown(diff).split())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\xff",
        b'{"pages":[',
        b'{"pages":[["docs","a.md","v",["c"]]',
        b'{"pages":[["docs","a.md","v"]]}',
        b'{"pages":[1]}',
        b'{"pages":[["docs","a.md","v",5]]}',
        b'{"pages":[' + b"[" * 100_000,
        b'{"pages":[["docs","a.md","v",["c"]] ["docs","b.md","v",["c"]]]}',
    ],
)
def test_what_is_no_page_list_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        list(read_pages(data))


def test_reads_the_pages_that_were_written_whatever_their_names() -> None:
    pages = [page('"pages":[', '"pages":['), page("č \u2028\n.md"), ManifestPage("docs", "empty.md", "v", ())]
    _, data = build_manifest("hybrid", '"pages":[', CHUNKING, pages)
    assert sorted(read_pages(data), key=lambda p: p.path) == sorted(pages, key=lambda p: p.path)
    assert list(read_pages(build_manifest("bm25", "", CHUNKING, [])[1])) == []


def test_a_hundred_thousand_pages_are_compared_in_seconds(objects: ObjectStore) -> None:
    before = [page(f"{number:06}.md") for number in range(100_000)]
    after = [*before[:50_000], *(page(f"{number:06}.md", "v2") for number in range(50_000, 100_000))]
    snapshot = diff_releases(with_pages(objects, before), with_pages(objects, after), objects).snapshot
    assert snapshot is not None
    assert snapshot.changed is not None
    assert snapshot.changed.count == 50_000


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ("a\n", "a", ("-a", "+a", "\\ No newline at end of file")),
        ("", "a\n", ("+a",)),
        ("a\u2028b\x0cc\n", "a\u2028b\x0cd\n", ("-a\u2028b\x0cc", "+a\u2028b\x0cd")),
        ("a\n", "a\n\n", (" a", "+")),
    ],
)
def test_lines_end_at_line_feeds_only(before: str, after: str, lines: tuple[str, ...]) -> None:
    assert text_diff(before, after, "x")[3:] == lines


def test_a_text_too_long_to_compare_is_told_in_numbers() -> None:
    (line,) = text_diff("x\n" * (MAX_LINES + 1), "y\n", "x")
    assert f"{MAX_LINES + 1} lines before, 1 lines after" in line


def test_a_renamed_prompt_is_compared_with_what_it_was_called(objects: ObjectStore) -> None:
    def change(body: dict[str, Any]) -> None:
        files = body["prompts"]["answer"]["files"]
        renamed = {"reply.md": files["answer.md"] + "Be brief.\n", "shared/tone.md": files["shared/tone.md"]}
        body["prompts"]["answer"] |= {"name": "reply", "hash": "b" * 64, "files": renamed}

    diff = diff_releases(sample_manifest(), changed(change), objects)
    (answer,) = diff.prompts
    assert (answer.before[:6], answer.after[:5]) == ("answer", "reply")
    assert [(file.name, file.change) for file in answer.files] == [
        ("answer.md -> reply.md", "changed"),
        ("examples.jsonl", "removed"),
    ]
    assert answer.files[0].lines == (
        "--- a/answer.md",
        "+++ b/reply.md",
        "@@ -1 +1,2 @@",
        " Answer from the passages.",
        "+Be brief.",
    )
    assert "-Answer from" not in shown(diff)


def test_text_that_would_drive_the_terminal_is_shown_without_it(objects: ObjectStore) -> None:
    evil = "\x1b[2J\x1b]0;owned\a[red]not markup[/red] \u202e\x9b"

    def change(body: dict[str, Any]) -> None:
        body["prompts"]["answer"] |= {"name": evil, "files": {f"{evil}.md": f"{evil}\n"}}
        body["policy"] |= {"name": evil, "text": evil}
        body["chain"][f"k{evil}"] = evil
        body["snapshot"]["chunking"][f"k{evil}\nforged"] = 1

    text = shown(diff_releases(sample_manifest(), changed(change), objects))
    assert not set("\x1b\a\x9b\u202e") & set(text)
    assert "[red]not markup[/red]" in text
    assert "\nforged" not in text


def test_added_and_removed_lines_have_colours(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    diff = diff_releases(sample_manifest(), sample_manifest(answer="Another.\n"), objects)
    text = shown(diff, colour=True)
    assert "\x1b[31m-Answer from the passages." in text
    assert "\x1b[32m+Another." in text


def test_the_same_two_releases_always_give_the_same_difference(objects: ObjectStore) -> None:
    first, second = sample_manifest(), sample_manifest(name="support", answer="Another.\n")
    texts = {json.dumps(diff_releases(first, second, objects).as_json()) for _ in range(3)}
    assert len(texts) == 1
    forth, back = diff_releases(first, second, objects), diff_releases(second, first, objects)
    assert [s.key for s in forth.settings] == [s.key for s in back.settings]
