"""Token counts by a model's own tokenizer, without loading the model (or torch)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.errors import Corrupt
from lockgate.models.catalogue import load_catalogue
from lockgate.models.fetch import local_path
from lockgate.settings import Settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILE = "tokenizer.json"


class TokenCounter:
    """Counts tokens; safe to share between threads."""

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int | None = None) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens excluded, however long it is."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def count(self, text: str) -> int:
        return self.count_tokens([text])[0]


def open_token_counter(folder: Path, *, max_tokens: int | None = None) -> TokenCounter:
    """The counter of the model in ``folder``. Raises Corrupt when its tokenizer cannot be read."""
    from tokenizers import Tokenizer

    path = folder / TOKENIZER_FILE
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises plain Exception
        raise Corrupt(f"{path}: cannot be read as a tokenizer ({error}).", hint="Run: lockgate models verify") from None
    return TokenCounter(tokenizer, max_tokens=max_tokens)


def load_token_counter(settings: Settings, name: str) -> TokenCounter:
    """The counter of the catalogue's model ``name``, in a fraction of a second. Raises NotFound or Corrupt."""
    entry = load_catalogue(settings.project_dir).get(name)
    return open_token_counter(local_path(entry, settings.models_path), max_tokens=entry.max_tokens)
