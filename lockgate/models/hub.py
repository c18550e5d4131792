"""Files of a model hub repository at one revision, fetched in a process of its own.

``python -m lockgate.models.hub REPO REVISION FILE...`` prints one line of JSON: ``{"folder": ...}`` or
``{"error": "not_found" | "unavailable", "message": ...}``. A process can be watched and killed when it stalls, which
a download inside this one could not.
"""

from __future__ import annotations

import json
import sys


def fetch(repo: str, revision: str, files: list[str]) -> dict[str, str]:
    """Download ``files`` into the hub's own cache (or find them there) and name their folder.

    Honours HF_HUB_OFFLINE, HF_ENDPOINT, HF_HOME and HF_TOKEN, as huggingface_hub does.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        return {"folder": str(snapshot_download(repo, revision=revision, allow_patterns=files))}
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        return {"error": "not_found", "message": _first_line(error)}
    except Exception as error:  # the hub's client raises its own, requests', httpx's and OS errors alike
        return {"error": "unavailable", "message": _first_line(error)}


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(fetch(sys.argv[1], sys.argv[2], sys.argv[3:])) + "\n")
