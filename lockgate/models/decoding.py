"""A causal language model in this process: prompt in, pieces of text out. Blocking, one request at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockgate.errors import Corrupt, UserError
from lockgate.models.textstream import Detokenizer, StopStrings
from lockgate.types import Message

PREFILL_TOKENS = 256
"""Prompt tokens per forward pass. A client that leaves while its prompt is read frees the slot after one such pass."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to pick tokens. Temperature 0 takes the likeliest one; ``seed`` makes any other temperature repeatable."""

    max_tokens: int
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None


class CausalModel:
    """Weights, tokenizer and chat template of one folder."""

    def __init__(self, folder: Path, *, name: str, context_window: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self.name = name
        self.context_window = context_window
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if device == "cuda" or has_fast_bfloat16() else torch.float32
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise Corrupt(f"{folder}: cannot be loaded as a chat model ({reason}).") from error
        self._model: Any = model.to(device).eval()
        self._ends = _end_tokens(self._model, self._tokenizer)

    def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, cancelled: Callable[[], bool]
    ) -> Iterator[str]:
        """Pieces of text; ends at an end token, a stop string, ``max_tokens`` or when ``cancelled()``.

        Raises UserError when the prompt leaves no room in the context window.
        """
        prompt = self._prompt_tokens(messages)
        room = self.context_window - len(prompt)
        if room < 1:
            raise UserError(
                f"The prompt has {len(prompt)} tokens, but {self.name} takes {self.context_window} with the answer.",
                hint="Shorten the question, the history or the passages.",
            )
        text = Detokenizer(lambda ids: str(self._tokenizer.decode(ids, skip_special_tokens=True)))
        stops = StopStrings(sampling.stop)
        for token in self._tokens(prompt, min(sampling.max_tokens, room), sampling, cancelled):
            if piece := stops.feed(text.feed(token)):
                yield piece
            if stops.stopped:
                return
        if not cancelled() and (rest := stops.feed(text.finish()) + stops.finish()):
            yield rest

    def warm_up(self) -> None:
        """One forward pass, so that the first request does not pay for lazy initialisation."""
        import torch

        with torch.inference_mode():
            self._model(input_ids=torch.tensor([[0, 1]], device=self._model.device))

    def _prompt_tokens(self, messages: Sequence[Message]) -> list[int]:
        turns = [{"role": message.role, "content": self._without_controls(message.content)} for message in messages]
        try:
            rendered = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template may raise whatever it likes, for roles it does not know for one
            raise UserError(f"{self.name}: its chat template refused the messages ({error}).") from error
        ids: list[int] = self._tokenizer.encode(rendered, add_special_tokens=False)
        return ids

    def _without_controls(self, text: str) -> str:
        """``text`` with control tokens broken up: a document or a user must not be able to end its own turn."""
        for control in self._tokenizer.all_special_tokens:
            text = text.replace(control, f"{control[:1]} {control[1:]}")
        return text

    def _tokens(
        self, prompt: list[int], limit: int, sampling: Sampling, cancelled: Callable[[], bool]
    ) -> Iterator[int]:
        import torch
        from transformers import DynamicCache

        device = self._model.device
        random = torch.Generator(device=device)
        if sampling.seed is None:
            random.seed()
        else:
            random.manual_seed(sampling.seed % 2**63)
        cache, pending = DynamicCache(config=self._model.config), prompt
        for _ in range(limit):
            while pending:
                if cancelled():
                    return
                part, pending = pending[:PREFILL_TOKENS], pending[PREFILL_TOKENS:]
                # Entered per step: a generator that is suspended inside it would leave it on in the caller's code.
                with torch.inference_mode():
                    ids = torch.tensor([part], device=device)
                    output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            with torch.inference_mode():
                token = _pick(output.logits[0, -1].float(), sampling.temperature, random)
            if token in self._ends:
                return
            yield token
            pending = [token]


def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware.

    Without it, measured on two AVX2 cores with SmolLM2-135M: reading 800 prompt tokens takes 9 to 20 s in bfloat16 and
    1.5 to 2.8 s in float32; decoding runs at 10 to 28 tokens/s and 18 to 20 tokens/s.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _pick(logits: Any, temperature: float, random: Any) -> int:
    import torch

    if temperature <= 0:
        return int(logits.argmax())
    # The largest logit is taken off first: a tiny temperature would otherwise overflow to inf, and inf/inf to nan.
    scaled = (logits - logits.max()) / max(temperature, 1e-4)
    return int(torch.multinomial(torch.softmax(scaled, dim=-1), 1, generator=random))


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    ends = model.generation_config.eos_token_id
    ids = [ends] if isinstance(ends, int) else list(ends or ())
    return frozenset([*ids, *([tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else [])])
