"""Fine-tuning a small encoder to read a claim beside its evidence: is it held, contradicted or not there, and where."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune.grounding.rows import Row
from guardrails.grounding.evidence import Evidence, telling_words
from lockgate.ports import Progress

CLASSES = ("supported", "contradicted", "not_found")
CHECKPOINT = "checkpoint.pt"
IGNORED = -1


@dataclass(frozen=True, slots=True)
class Pair:
    """What the encoder reads, and what it should say. ``target`` is an index of CLASSES, 3 for "one of the bad two"."""

    claim: str
    evidence: str
    target: int
    spans: tuple[tuple[int, int], ...] | None


@dataclass(frozen=True, slots=True)
class Schedule:
    """How to train: a warm-up, then a constant rate; the result is the mean of the last ``averaged`` checkpoints.

    Averaging does what a falling rate does, and a run can be given more steps and go on.
    """

    steps: int = 800
    batch: int = 16
    learning_rate: float = 2e-4
    warmup: int = 60
    averaged: int = 10
    max_tokens: int = 112
    token_weight: float = 1.0
    frozen_layers: int = 2
    seed: int = 7
    threads: int = 2
    checkpoint_every: int = 25

    def rate(self, step: int) -> float:
        """The share of the learning rate at ``step``, in (0, 1]."""
        return min(1.0, (step + 1) / max(1, self.warmup))

    def averages(self, step: int) -> bool:
        """Whether the checkpoint after ``step`` steps is one of those that the result is the mean of."""
        ends = step % self.checkpoint_every == 0 or step == self.steps
        return ends and step > self.steps - self.averaged * self.checkpoint_every


def pairs_of(rows: Sequence[Row], rarity: dict[str, float], common: float, report: Progress, seed: int) -> list[Pair]:
    """Each row with one of its windows: mostly the one that gathers, sometimes the running text."""
    chance = random.Random(seed)  # noqa: S311 - training, no secret
    pairs = []
    cached: tuple[tuple[str, ...], Evidence] | None = None
    for done, row in enumerate(rows, start=1):
        if cached is None or cached[0] != row.passages:
            cached = (row.passages, Evidence(row.passages, rarity, common))
        windows = cached[1].windows(frozenset(word.stem for word in telling_words(row.claim)))
        window = windows[-1 if chance.random() < 0.3 else 0] if windows else None
        target = 3 if row.label == "unsupported" else CLASSES.index(row.label)
        pairs.append(Pair(row.claim, window.text if window else "", target, row.spans))
        report("windows", done, len(rows))
    return pairs


def build_encoder(folder: Path, *, frozen_layers: int = 0) -> Any:
    """A torch module over the BERT-like encoder in ``folder``: (sentence logits (n, 3), token logits (n, width))."""
    import torch
    from transformers import AutoModel

    class GroundingEncoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = AutoModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=False)
            width = self.encoder.config.hidden_size
            self.sentence = torch.nn.Linear(2 * width, len(CLASSES))
            self.token = torch.nn.Linear(width, 1)
            self.dropout = torch.nn.Dropout(0.1)

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> tuple[Any, Any]:
            hidden = self.encoder(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).last_hidden_state
            hidden = self.dropout(hidden)
            claim = ((token_type_ids == 0) & (attention_mask == 1)).unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * claim).sum(1) / claim.sum(1)
            return self.sentence(torch.cat((hidden[:, 0], mean), dim=1)), self.token(hidden).squeeze(-1)

    model = GroundingEncoder()
    # Half of the weights are word vectors, which small data would only bend out of shape.
    model.encoder.embeddings.requires_grad_(False)
    for layer in model.encoder.encoder.layer[:frozen_layers]:
        layer.requires_grad_(False)
    return model


def train(pairs: Sequence[Pair], base: Path, out: Path, schedule: Schedule, report: Progress) -> Any:
    """Train and return the module; goes on from ``out``/checkpoint.pt where a run was cut off."""
    import torch

    torch.set_num_threads(schedule.threads)
    torch.manual_seed(schedule.seed)
    model = build_encoder(base, frozen_layers=schedule.frozen_layers)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": 0.01},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=schedule.learning_rate,
    )
    begin, mean = _resume(out / CHECKPOINT, model, optimizer, schedule)
    model.train()
    for step, batch in enumerate(_batches(pairs, base, schedule)):
        if step < begin:
            continue
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * schedule.rate(step)
        loss = _loss(model, batch, schedule.token_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        report("training", step + 1, schedule.steps)
        if schedule.averages(step + 1):
            mean.add(step + 1, model)
        if (step + 1) % schedule.checkpoint_every == 0 or step + 1 == schedule.steps:
            _save(out / CHECKPOINT, model, optimizer, step + 1, mean)
    mean.put_into(model)
    return model.eval()


@dataclass(slots=True)
class Mean:
    """The mean of a model's weights over the steps in ``steps``."""

    steps: list[int] = field(default_factory=list)
    weights: dict[str, Any] = field(default_factory=dict)

    def add(self, step: int, model: Any) -> None:
        self.steps.append(step)
        for name, value in model.state_dict().items():
            if not value.is_floating_point():
                continue
            old = self.weights.get(name)
            self.weights[name] = value.clone() if old is None else old + (value - old) / len(self.steps)

    def put_into(self, model: Any) -> None:
        model.load_state_dict(self.weights, strict=False)


def _loss(model: Any, batch: dict[str, Any], token_weight: float) -> Any:
    import torch
    from torch.nn import functional

    sentence, token = model(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
    logs = torch.log_softmax(sentence, dim=1)
    targets = batch["targets"]
    bad = torch.logsumexp(logs[:, 1:], dim=1)
    exact = logs.gather(1, targets.clamp(max=2).unsqueeze(1)).squeeze(1)
    # A wrong kind of "bad" costs less than calling it supported.
    chosen = torch.where(targets == 3, bad, torch.where(targets == 0, exact, 0.5 * bad + 0.5 * exact))
    loss = -chosen.mean()
    marks = batch["marks"]
    if bool((marks >= 0).any()):
        kept = marks >= 0
        weight = torch.where(marks[kept] > 0, 3.0, 1.0)
        loss = loss + token_weight * functional.binary_cross_entropy_with_logits(
            token[kept], marks[kept].to(token.dtype), weight=weight
        )
    return loss


def _batches(pairs: Sequence[Pair], base: Path, schedule: Schedule) -> Iterator[dict[str, Any]]:
    """Batches of pairs of about one length, in an order that the seed fixes; no pair comes twice before all came."""
    import torch
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.enable_truncation(schedule.max_tokens, strategy="only_second")
    tokenizer.no_padding()
    encoded = [encode_pair(tokenizer, pair.claim, pair.evidence) for pair in pairs]
    chance = random.Random(schedule.seed)  # noqa: S311 - training, no secret
    given = 0
    while given < schedule.steps:
        order = list(range(len(pairs)))
        chance.shuffle(order)
        groups = []
        for start in range(0, len(order), 20 * schedule.batch):
            chunk = sorted(order[start : start + 20 * schedule.batch], key=lambda place: len(encoded[place].ids))
            some = [chunk[at : at + schedule.batch] for at in range(0, len(chunk), schedule.batch)]
            chance.shuffle(some)
            groups += some
        for group in groups[: schedule.steps - given]:
            given += 1
            width = max(len(encoded[place].ids) for place in group)
            ids = torch.zeros((len(group), width), dtype=torch.long)
            mask, kinds = torch.zeros_like(ids), torch.zeros_like(ids)
            marks = torch.full((len(group), width), IGNORED, dtype=torch.long)
            for row, place in enumerate(group):
                item, pair = encoded[place], pairs[place]
                size = len(item.ids)
                ids[row, :size] = torch.tensor(item.ids)
                mask[row, :size] = 1
                kinds[row, :size] = torch.tensor(item.type_ids)
                if pair.spans is not None:
                    marks[row, :size] = torch.tensor(_marks(item, pair.spans))
            targets = torch.tensor([pairs[place].target for place in group])
            yield {
                "input_ids": ids, "attention_mask": mask, "token_type_ids": kinds, "marks": marks, "targets": targets
            }  # fmt: skip


def encode_pair(tokenizer: Any, claim: str, evidence: str) -> Any:
    return tokenizer.encode(claim, evidence or ".")


def _marks(item: Any, spans: Sequence[tuple[int, int]]) -> list[int]:
    marks = []
    for place, (start, end) in enumerate(item.offsets):
        if item.sequence_ids[place] != 0 or end <= start:
            marks.append(IGNORED)
        else:
            marks.append(int(any(a < end and b > start for a, b in spans)))
    return marks


def _save(path: Path, model: Any, optimizer: Any, step: int, mean: Mean) -> None:
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    torch.save(state | {"mean": {"steps": mean.steps, "weights": mean.weights}}, partial)
    partial.replace(path)


def _resume(path: Path, model: Any, optimizer: Any, schedule: Schedule) -> tuple[int, Mean]:
    import torch

    if not path.exists():
        return 0, Mean()
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    mean = Mean(**state.get("mean", {}))
    # A run that is given more steps averages other ones.
    kept = all(schedule.averages(step) for step in mean.steps)
    return int(state["step"]), mean if kept else Mean()
