"""Opt-in runs over real data: LOCKGATE_SHARED_DATA=/path/to/data pytest -m shared"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingestion.parsers.registry import parse_document
from ingestion.scan import FileEntry, read_entry, scan_folder

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("LOCKGATE_SHARED_DATA")
    if not folder:
        pytest.skip("set LOCKGATE_SHARED_DATA to the folder of the data sets")
    return Path(folder)


@pytest.mark.parametrize(("name", "pages"), [("aws_docs_qa/corpus", 2757), ("dify_docs", 287)])
def test_every_page_of_a_real_corpus_is_read(data: Path, name: str, pages: int) -> None:
    root = data / name
    entries = list(scan_folder(root, include=["**/*.md", "**/*.mdx"], max_bytes=20_000_000))
    assert len(entries) == pages
    for entry in entries:
        assert isinstance(entry, FileEntry)
        document = parse_document(read_entry(root, entry), source="real", path=entry.path, version="1")
        assert document.title
        assert document.blocks
