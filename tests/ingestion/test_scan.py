from __future__ import annotations

import os
import socket
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest

from ingestion.scan import FileEntry, Rejected, read_entry, scan_folder
from lockgate.errors import NotFound, UserError


def make(root: Path, *paths: str) -> None:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)


def scan(
    root: Path, *, include: Sequence[str] = ("**",), exclude: Sequence[str] = (), max_bytes: int = 1_000_000
) -> list[FileEntry | Rejected]:
    return list(scan_folder(root, include=include, exclude=exclude, max_bytes=max_bytes))


def paths(root: Path, *, include: Sequence[str] = ("**",), exclude: Sequence[str] = ()) -> list[str]:
    return [item.path for item in scan(root, include=include, exclude=exclude) if isinstance(item, FileEntry)]


def only_rejected(root: Path) -> Rejected:
    (found,) = [item for item in scan(root) if isinstance(item, Rejected)]
    return found


def test_files_come_folder_by_folder_in_the_order_of_code_points(tmp_path: Path) -> None:
    make(tmp_path, "b.md", "a/z.md", "a/B.md", "a/é.md", "Z.md", "a.md", "ä.md")
    assert paths(tmp_path) == ["Z.md", "a/B.md", "a/z.md", "a/é.md", "a.md", "b.md", "ä.md"]


def test_an_entry_has_size_time_and_a_composed_name(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "é.md")
    make(tmp_path, decomposed)
    os.utime(tmp_path / decomposed, ns=(1, 1_700_000_000_123_456_789))
    (entry,) = scan(tmp_path)
    assert entry == FileEntry("é.md", len(decomposed.encode()), 1_700_000_000_123_456_789, decomposed)
    assert isinstance(entry, FileEntry)
    assert read_entry(tmp_path, entry) == decomposed.encode()


def test_hidden_and_tool_folders_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "a.md", ".hidden.md", ".git/x.md", ".lockgate/x.md", ".venv/x.md", "node_modules/x.md", "b/.c/x.md")
    assert paths(tmp_path) == ["a.md"]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["**/*.md"], [], ["a.md", "x/b.md", "x/y/c.md"]),
        (["*.md"], [], ["a.md"]),
        (["x/**"], [], ["x/b.md", "x/d.txt", "x/y/c.md"]),
        (["x/"], [], ["x/b.md", "x/d.txt", "x/y/c.md"]),
        (["x/*"], [], ["x/b.md", "x/d.txt"]),
        (["x/**/c.md", "**/**/a.md"], [], ["a.md", "x/y/c.md"]),
        (["**/x/**/*.md"], [], ["x/b.md", "x/y/c.md"]),
        (["?.md", "./x/?.t?t"], [], ["a.md", "x/d.txt"]),
        (["**"], ["x/**"], ["a.md", "x[1].md"]),
        (["**"], ["x"], ["a.md", "x[1].md"]),
        (["**"], ["**/y/", "*.md"], ["x/b.md", "x/d.txt"]),
        (["x[1].md"], [], ["x[1].md"]),
    ],
)
def test_patterns_match_the_whole_relative_path(
    tmp_path: Path, include: list[str], exclude: list[str], expected: list[str]
) -> None:
    make(tmp_path, "a.md", "x/b.md", "x/d.txt", "x/y/c.md", *(["x[1].md"] if "x[1].md" in expected else []))
    assert paths(tmp_path, include=include, exclude=exclude) == expected


@pytest.mark.parametrize("glob", ["", "/etc/*", "../**", "a/../../b"])
def test_a_pattern_that_leaves_the_folder_is_refused(tmp_path: Path, glob: str) -> None:
    make(tmp_path, "a.md")
    with pytest.raises(UserError, match="relative to the folder and cannot leave it"):
        scan(tmp_path, include=[glob])


def test_an_excluded_folder_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.md", "x/b.md")
    entered = deny_scandir(monkeypatch, "nothing")
    assert paths(tmp_path, exclude=["x/"]) == ["a.md"]
    assert str(tmp_path / "x") not in entered


def test_a_link_out_of_the_folder_is_rejected(tmp_path: Path) -> None:
    make(tmp_path, "root/a.md", "secret/s.md")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "secret")
    rejected = only_rejected(tmp_path / "root")
    assert rejected == Rejected(
        "link", "link: is a link that leads outside the folder; it is not followed.", "link_outside"
    )


def test_links_that_loop_are_rejected_and_nothing_hangs(tmp_path: Path) -> None:
    make(tmp_path, "a/b/c.md")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "self").symlink_to("self")
    (tmp_path / "ping").symlink_to("pong")
    (tmp_path / "pong").symlink_to("ping")
    found = {item.path: item.code for item in scan(tmp_path) if isinstance(item, Rejected)}
    assert found == {"a/b/up": "loop", "a/self": "loop", "ping": "loop", "pong": "loop"}
    assert paths(tmp_path) == ["a/b/c.md"]


def test_a_link_within_the_folder_is_left_to_the_place_it_leads_to(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "x/b.md")
    (tmp_path / "copy.md").symlink_to("x/b.md")
    assert paths(tmp_path) == ["a.md", "x/b.md"]
    assert only_rejected(tmp_path).reason == "copy.md: is a link to x/b.md, which is read in its own place."


def test_a_link_to_nothing_is_rejected(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    (tmp_path / "gone.md").symlink_to("nowhere")
    assert only_rejected(tmp_path).code == "link_broken"


def test_a_root_that_is_itself_a_link_is_followed(tmp_path: Path) -> None:
    make(tmp_path, "docs/a.md")
    (tmp_path / "link").symlink_to(tmp_path / "docs")
    assert paths(tmp_path / "link") == ["a.md"]


def test_pipes_and_sockets_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.md")
    os.mkfifo(tmp_path / "pipe.md")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("sock.md")
        found = [item for item in scan(tmp_path) if isinstance(item, Rejected)]
    assert [(item.path, item.reason) for item in found] == [
        ("pipe.md", "pipe.md: is a named pipe, not a file."),
        ("sock.md", "sock.md: is a socket, not a file."),
    ]


def test_a_file_over_the_limit_is_rejected_naming_size_limit_and_setting(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    with (tmp_path / "big.md").open("wb") as file:
        file.truncate(50_000_000)
    found = [item for item in scan(tmp_path, max_bytes=20_000_000) if isinstance(item, Rejected)]
    assert [(item.code, item.reason) for item in found] == [
        (
            "too_large",
            "big.md: has 50.0 MB, the limit is 20 MB; split it, or raise LOCKGATE_MAX_FILE_MB.",
        )
    ]


def test_a_name_that_is_not_utf8_is_rejected(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    with open(os.fsencode(tmp_path) + b"/bad\xff.md", "w"):
        pass
    rejected = only_rejected(tmp_path)
    assert (rejected.code, rejected.path) == ("name", "bad\\udcff.md")


def deny_scandir(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Make os.scandir fail for folders called ``name``, as it does for other users than root; gives what was opened."""
    real = os.scandir
    opened: list[str] = []

    def scandir(path: Path) -> object:
        opened.append(str(path))
        if Path(path).name == name:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return opened


def test_an_unreadable_folder_is_rejected_and_the_rest_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.md", "private/b.md", "z.md")
    deny_scandir(monkeypatch, "private")
    found = scan(tmp_path, include=["**/*.md"])
    assert [item.path for item in found] == ["a.md", "private", "z.md"]
    assert found[1] == Rejected("private", "private: the folder cannot be read (permission denied).", "unreadable")


def test_an_unreadable_file_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.md", "b.md")
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path).name != "b.md")
    assert only_rejected(tmp_path).reason == "b.md: cannot be read (permission denied)."


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"docs: no such folder\. Name the folder that holds your documents\."):
        scan(tmp_path / "docs")


def test_a_root_that_is_a_file_is_named(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    with pytest.raises(UserError, match=r"a\.md: is a file, a folder was expected"):
        scan(tmp_path / "a.md")


def test_an_unreadable_root_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "docs/a.md")
    deny_scandir(monkeypatch, "docs")
    with pytest.raises(UserError, match=r"docs: cannot be read \(permission denied\)\. Check its owner and mode\."):
        scan(tmp_path / "docs")


def test_an_empty_root_is_named(tmp_path: Path) -> None:
    make(tmp_path, ".hidden")
    with pytest.raises(UserError, match=r"the folder holds no files\. Put documents into it"):
        scan(tmp_path)


def test_patterns_that_match_nothing_are_named(tmp_path: Path) -> None:
    make(tmp_path, "a.docx")
    with pytest.raises(UserError, match=r"none of its 1 files is wanted \(include \*\*/\*\.md; exclude nothing\)"):
        scan(tmp_path, include=["**/*.md"])


def entry_of(root: Path, path: str) -> FileEntry:
    (entry,) = [item for item in scan(root) if isinstance(item, FileEntry) and item.path == path]
    return entry


def test_a_file_swapped_for_a_link_after_the_scan_is_not_read(tmp_path: Path) -> None:
    make(tmp_path, "root/a.md", "secret.md")
    entry = entry_of(tmp_path / "root", "a.md")
    (tmp_path / "root" / "a.md").unlink()
    (tmp_path / "root" / "a.md").symlink_to(tmp_path / "secret.md")
    with pytest.raises(UserError, match=r"a\.md: has become a link since the folder was scanned"):
        read_entry(tmp_path / "root", entry)


def test_a_folder_swapped_for_a_link_after_the_scan_is_not_read(tmp_path: Path) -> None:
    make(tmp_path, "root/x/a.md", "secret/a.md")
    entry = entry_of(tmp_path / "root", "x/a.md")
    (tmp_path / "root" / "x").rename(tmp_path / "moved")
    (tmp_path / "root" / "x").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match=r"x/a\.md: has become a link"):
        read_entry(tmp_path / "root", entry)


def test_a_folder_swapped_between_check_and_open_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "root/x/a.md", "secret/a.md")
    root = tmp_path / "root"
    entry = entry_of(root, "x/a.md")
    real = os.open

    def open_after_swap(path: Path, flags: int) -> int:
        (root / "x").rename(tmp_path / "moved")
        (root / "x").symlink_to(tmp_path / "secret")
        return real(path, flags)

    monkeypatch.setattr(os, "open", open_after_swap)
    with pytest.raises(UserError, match=r"x/a\.md: leads outside"):
        read_entry(root, entry)


def test_a_file_that_vanished_or_changed_its_kind_is_named(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "b.md")
    a, b = entry_of(tmp_path, "a.md"), entry_of(tmp_path, "b.md")
    (tmp_path / "a.md").unlink()
    with pytest.raises(NotFound, match=r"a\.md: is gone since the folder was scanned\. Run sync again\."):
        read_entry(tmp_path, a)
    (tmp_path / "b.md").unlink()
    os.mkfifo(tmp_path / "b.md")
    with pytest.raises(UserError, match=r"b\.md: is no longer a regular file"):
        read_entry(tmp_path, b)


def test_a_file_that_grew_past_the_limit_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    entry = entry_of(tmp_path, "a.md")
    (tmp_path / "a.md").write_bytes(b"x" * 3_000_000)
    with pytest.raises(UserError, match=r"a\.md: has .* MB, the limit is 2 MB"):
        read_entry(tmp_path, entry, max_bytes=2_000_000)
