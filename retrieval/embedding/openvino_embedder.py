"""A sentence-transformers model run by OpenVINO, from a folder that `retrieval.embedding.openvino_cache` keeps.

Neither torch nor transformers is loaded. The vectors are the same model's: in bfloat16 their cosine to those of torch
in float32 is 0.9999 and more, so a collection does not remember which runtime made them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy
import openvino
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from retrieval.embedding.embedder import Dense
from retrieval.embedding.openvino_cache import MODEL, TOKENIZER, Conversion

MOST_TOKENS = 2048  # a batch, padding included; twice as many are no faster and take 150 MB more
MOST_TEXTS = 32
PRECISIONS = {"bfloat16": "bf16", "float32": "f32"}
PARTS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
"""The model's inputs, and the tokenizer's names for them."""

Inputs = dict[str, NDArray[numpy.int64]]
Vectors = NDArray[numpy.float32]


class OpenVinoEmbedder:
    """An `Embedder`. `threads` batches of texts are computed in parallel, one thread each.

    Questions have a separate compiled model with one more thread: a question waits for other questions, never for a
    batch. A processor without bfloat16 computes in float32, whatever `dtype` says. Raises RuntimeError if OpenVINO does
    not load the model.
    """

    def __init__(
        self, model: str, folder: Path, *, dtype: Literal["bfloat16", "float32"] = "bfloat16", threads: int = 1
    ) -> None:
        conversion = Conversion.read(folder)
        self.name, self.dimension = model, conversion.dimension
        self._prompt, self._pad_id = conversion.prompt, conversion.pad_id
        self._tokenizer, self._counter = (Tokenizer.from_file(str(folder / TOKENIZER)) for _ in range(2))
        self._tokenizer.no_padding()  # `_inputs` pads a batch, once its texts are chosen
        if conversion.max_tokens:
            self._tokenizer.enable_truncation(conversion.max_tokens)
        self._counter.no_truncation()
        self._counter.no_padding()
        core = openvino.Core()
        questions, batches = (
            core.compile_model(folder / MODEL, "CPU", options)
            for options in (_options(dtype, 1, threads + 1), _options(dtype, threads, threads))
        )
        self._names = [one.any_name for one in batches.inputs]
        self._query, self._query_turn = questions.create_infer_request(), Lock()
        self._batches, self._batches_turn = openvino.AsyncInferQueue(batches, threads), Lock()
        self._batches.set_callback(_keep)

    def embed(self, texts: Sequence[str]) -> list[Dense]:
        """One vector for each text, in order. Texts of similar length are computed together: padding costs as much as
        words.
        """
        vectors = numpy.empty((len(texts), self.dimension), dtype=numpy.float32)
        encodings = self._tokenizer.encode_batch([self._prompt + text.strip() for text in texts])
        with self._batches_turn:
            for places in batches_of_like_length([len(one.ids) for one in encodings]):
                self._batches.start_async(self._inputs([encodings[at] for at in places]), (vectors, places))
            self._batches.wait_all()
        return _unit(vectors)

    def embed_query(self, text: str) -> Dense:
        inputs = self._inputs([self._tokenizer.encode(self._prompt + text.strip())])
        with self._query_turn:
            self._query.infer(inputs)
            vector = numpy.array(self._query.get_output_tensor().data, dtype=numpy.float32)
        return _unit(vector)[0]

    def count_tokens(self, text: str) -> int:
        # the batch form leaves out the tokens' places in the text, a fifth of the time
        return len(self._counter.encode_batch_fast([text], add_special_tokens=False)[0])

    def _inputs(self, encodings: Sequence[Encoding]) -> Inputs:
        shape = len(encodings), max(len(one.ids) for one in encodings)
        inputs = {name: numpy.zeros(shape, dtype=numpy.int64) for name in self._names}
        if self._pad_id:
            inputs["input_ids"].fill(self._pad_id)
        for row, one in enumerate(encodings):
            for name, values in inputs.items():
                values[row, : len(one.ids)] = getattr(one, PARTS[name])
        return inputs


def _options(dtype: str, streams: int, threads: int) -> dict[str, Any]:
    """`threads` are shared by the streams. Pinned threads of several processes would share the first core."""
    return {
        "INFERENCE_PRECISION_HINT": PRECISIONS[dtype],
        "NUM_STREAMS": str(streams),
        "INFERENCE_NUM_THREADS": str(threads),
        "ENABLE_CPU_PINNING": "NO",
    }


def batches_of_like_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The texts' places, longest first, in batches of MOST_TOKENS at most."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda one: -lengths[one]):
        if batch and (len(batch) == MOST_TEXTS or (len(batch) + 1) * lengths[batch[0]] > MOST_TOKENS):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _keep(request: Any, taken: tuple[Vectors, list[int]]) -> None:
    """Copy a finished batch's vectors to their places."""
    vectors, places = taken
    vectors[places] = request.get_output_tensor().data


def _unit(vectors: Vectors) -> list[Dense]:
    lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
    return [tuple(row) for row in (vectors / numpy.maximum(lengths, 1e-12)).tolist()]
