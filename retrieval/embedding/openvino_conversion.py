"""Converts a sentence-transformers model for OpenVINO, in a process of its own, which alone loads torch.

    python -m retrieval.embedding.openvino_conversion MODEL FOLDER

The model's whole pipeline is traced: transformer, pooling, and whatever modules.json names besides. Whether the copy
does what the original does is not deduced from configuration files but tried, on texts of several lengths and kinds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import openvino
import torch
from sentence_transformers import SentenceTransformer

from retrieval.embedding.embedder import model_location
from retrieval.embedding.openvino_cache import MODEL, TOKENIZER, WEIGHTS, Conversion, digest
from retrieval.embedding.openvino_embedder import PARTS, OpenVinoEmbedder
from retrieval.errors import UnsupportedEmbedder

LEAST_COSINE = 0.9999
TRIED = (
    "Vitamin D",
    "  WHO RECOMMENDS 2.5 mg/kg, and Café Zürich's n\u00aa 3 does not?  ",
    "How is a punctured tyre changed?\nTake the wheel out; lift the bead.",
    "A sentence that goes on beyond what the model reads at all. " * 120,
)


class Pipeline(torch.nn.Module):
    """A sentence-transformers model as a function of tensors."""

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        features = dict(zip(self.names, tensors, strict=True))
        embedding: torch.Tensor = self.model(features)["sentence_embedding"]
        return embedding


def convert(model: str, folder: Path) -> None:
    """Write the folder of a converted model. Raises UnsupportedEmbedder if the copy's vectors differ."""
    original = SentenceTransformer(model_location(model), device="cpu", model_kwargs={"dtype": torch.float32}).eval()
    tokenizer = getattr(original.tokenizer, "backend_tokenizer", None)
    if tokenizer is None:
        raise UnsupportedEmbedder("its tokenizer has no fast form")
    features = original.preprocess(["two texts of", "different length"])
    names = [name for name in PARTS if name in features]
    traced = openvino.convert_model(Pipeline(original, names), example_input=tuple(features[name] for name in names))
    for port, name in zip(traced.inputs, names, strict=True):
        port.get_tensor().set_names({name})
    folder.mkdir(parents=True)
    openvino.save_model(traced, folder / MODEL, compress_to_fp16=False)
    (folder / TOKENIZER).write_text(tokenizer.to_str(), encoding="utf-8")
    Conversion(
        dimension=int(original.get_embedding_dimension()),
        max_tokens=original.get_max_seq_length(),
        pad_id=int(original.tokenizer.pad_token_id or 0),
        prompt=original.prompts.get(original.default_prompt_name or "", ""),
        sha256={name: digest(folder / name) for name in (MODEL, WEIGHTS, TOKENIZER)},
    ).write(folder)
    compare(original, OpenVinoEmbedder(model, folder, dtype="float32"))


def compare(original: Any, copy: OpenVinoEmbedder) -> None:
    """Raises UnsupportedEmbedder if a vector, or a text's length in tokens, differs."""
    wanted = original.encode(list(TRIED), normalize_embeddings=True, show_progress_bar=False)
    least = float((numpy.asarray(wanted) * numpy.asarray(copy.embed(TRIED))).sum(axis=1).min())
    if not least >= LEAST_COSINE:
        raise UnsupportedEmbedder(f"the converted model's vectors differ from the original's (cosine {least:.4f})")
    if any(copy.count_tokens(text) != len(original.tokenizer.tokenize(text)) for text in TRIED):
        raise UnsupportedEmbedder("its tokenizer counts otherwise than its fast form")


def main(arguments: Sequence[str]) -> int:
    """Returns 0 if the folder is complete; 1 with the reason as the last line on standard error."""
    if len(arguments) != 2:
        print("usage: python -m retrieval.embedding.openvino_conversion MODEL FOLDER", file=sys.stderr)
        return 2
    try:
        convert(arguments[0], Path(arguments[1]))
    except Exception as error:  # noqa: BLE001 - the edge of the process: the reason goes to the one who waits
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
