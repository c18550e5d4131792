"""From the trained module to the files that ship: an ONNX graph with 8-bit weights, the tokenizer, the manifest."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

from lockgate.errors import MissingExtra
from lockgate.models.pair_scorer import MODEL_FILE, TOKENIZER_FILE


def export(model: Any, base: Path, out: Path) -> None:
    """Write ``model.onnx`` (int8) and ``tokenizer.json`` into ``out``. Raises MissingExtra without the export tools."""
    import torch

    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingExtra(
            f"Exporting needs {error.name}, which is not installed.",
            hint="Run: pip install -e '.[finetune]'",
        ) from None
    out.mkdir(parents=True, exist_ok=True)
    plain, prepared = out / "plain.onnx", out / "prepared.onnx"
    example = {
        name: torch.ones((2, 16), dtype=torch.long) for name in ("input_ids", "attention_mask", "token_type_ids")
    }
    example["token_type_ids"][:, :8] = 0
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("width", max=512)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        torch.onnx.export(
            model.eval(),
            tuple(example.values()),
            str(plain),
            input_names=list(example),
            output_names=["sentence", "token"],
            dynamic_shapes=tuple(axes for _ in example),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        # 7 bits: on processors without VNNI the products of full 8-bit weights overflow.
        quantize_dynamic(
            str(prepared), str(out / MODEL_FILE), weight_type=QuantType.QInt8, per_channel=True, reduce_range=True
        )
    for path in (plain, prepared):
        path.unlink()
    shutil.copyfile(base / "tokenizer.json", out / TOKENIZER_FILE)
