"""GGUF weights turned once into safetensors, which transformers, peft and vLLM all load.

``python -m lockgate.models.gguf FILE FOLDER DTYPE`` does the work: a process of its own gives its memory back, can be
stopped, and keeps torch out of the command line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lockgate.errors import Corrupt, Unavailable
from lockgate.models.process import folder_bytes, run_watched
from lockgate.models.sources import full_disk
from lockgate.ports import Progress

FULL_DISK = ("No space left on device", "os error 28", "StorageFull")
"""How Python and the safetensors writer name it."""


def convert(gguf: Path, folder: Path, *, dtype: str, work: Path, name: str, progress: Progress) -> dict[str, str]:
    """Write weights of ``dtype``, configuration, tokenizer and chat template to ``folder``, which must not exist.

    Returns the versions of the libraries that did it. Raises Corrupt when the file cannot be read as a model,
    Unavailable when the disk is full.
    """
    stage = f"{name}: turning GGUF into safetensors"
    progress(stage, 0, 0)
    outcome = run_watched(
        [sys.executable, "-m", "lockgate.models.gguf", str(gguf), str(folder), dtype],
        work=work,
        measure=lambda: folder_bytes(folder),
        report=lambda done: progress(stage, done, 0),
        environment={"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"},
    )
    if outcome.returncode == 0:
        versions: dict[str, str] = json.loads(outcome.output.strip().splitlines()[-1])
        return versions
    if any(word in outcome.errors for word in FULL_DISK):
        raise full_disk(work)
    reason = (outcome.errors.strip().splitlines() or ["no reason given"])[-1]
    if outcome.returncode < 0:
        raise Unavailable(
            f"{name}: the conversion of {gguf.name} was killed (signal {-outcome.returncode}).",
            hint="It needs about eight times the file's size of memory; free some and try again.",
        )
    raise Corrupt(
        f"{name}: {gguf.name} cannot be read as a GGUF model ({reason}).",
        hint="Its SHA-256 is the catalogue's: the installed transformers and gguf may not know this kind of model.",
    )


def dequantise(gguf: Path, folder: Path, dtype: str) -> dict[str, str]:
    """The work itself, in this process. Returns the versions of the libraries."""
    import safetensors
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True)
    )
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model.to(getattr(torch, dtype)).save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # the safetensors writer makes files that only their owner can read
    return {
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "safetensors": safetensors.__version__,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dequantise(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])) + "\n")
