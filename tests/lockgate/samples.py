"""A small release manifest to test with."""

from __future__ import annotations

from typing import Any

from lockgate.release import Manifest

PROVENANCE = {"body": {"builder": "ada"}, "key": "k", "signature": "s"}


def manifest_body(*, name: str = "docs", answer: str = "Answer from the passages.\n") -> dict[str, Any]:
    """Every part of a manifest filled in, with text that is not ASCII and numbers of both kinds."""
    return {
        "schema_version": 1,
        "lockgate": "0.1.0",
        "chain": {"name": name, "description": "Odpovídá z dokumentů.", "retrieval": {"dense_weight": 0.6, "limit": 8}},
        "prompts": {
            "answer": {
                "name": "answer",
                "hash": "1" * 64,
                "files": {"answer.md": answer, "shared/tone.md": "Buď stručný \N{ROCKET}.\n", "examples.jsonl": "{}\n"},
            },
            "condense": {"name": "condense", "hash": "2" * 64, "files": {"condense.md": "Rewrite the question.\n"}},
        },
        "snapshot": {
            "id": "3" * 64,
            "kind": "hybrid",
            "manifest": "3" * 64,
            "lexicon": "4" * 64,
            "embedder": "5" * 64,
            "chunking": {"version": 1, "max_tokens": 128, "min_tokens": 30, "bm25_average_length": 41},
            "documents": 2,
            "chunks": 5,
        },
        "embedder": {"name": "words", "digest": "5" * 64, "files": _files("words", "embedder")},
        "model": {
            "name": "tiny",
            "provider": "local",
            "revision": "r1",
            "digest": "6" * 64,
            "files": _files("tiny", "chat"),
            "limits": {"max_tokens": 256, "context_window": 2048},
        },
        "adapter": {"digest": "7" * 64, "base": "tiny"},
        "policy": {
            "name": "default",
            "hash": "8" * 64,
            "text": "name: default\nchecks: []\n",
            "weights": {"grounding": "7" * 64},
        },
        "route": {"mode": "generative"},
        "cache": {"kind": "none"},
    }


def sample_manifest(*, name: str = "docs", answer: str = "Answer from the passages.\n") -> Manifest:
    return Manifest.model_validate(manifest_body(name=name, answer=answer))


def _files(name: str, kind: str) -> dict[str, Any]:
    body: dict[str, Any] = {"name": name, "kind": kind, "files": {"model.safetensors": "9" * 64, "vocab.txt": "a" * 64}}
    return body | ({"dimension": 16, "max_tokens": 256} if kind == "embedder" else {"context_window": 2048})
