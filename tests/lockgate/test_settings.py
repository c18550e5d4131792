from __future__ import annotations

from pathlib import Path

import pytest

from lockgate.errors import UserError
from lockgate.settings import load_settings


@pytest.mark.parametrize(
    "url", ["not an address", "http://[", "ftp://127.0.0.1/", "http://127.0.0.1:99999/", "http://"]
)
def test_a_model_server_needs_a_web_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(UserError, match=r"OPENAI_BASE_URL.*such as http"):
        load_settings(project=tmp_path)


@pytest.mark.parametrize("url", ["", "http://localhost:8001/v1", "https://[::1]:8001/v1"])
def test_a_web_address_or_none_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    assert load_settings(project=tmp_path).openai_base_url == url
