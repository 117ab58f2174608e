"""Which library runs the embedder."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from retrieval.embedding.embedder import Embedder, SentenceTransformerEmbedder
from retrieval.embedding.openvino_cache import converted
from retrieval.errors import UnsupportedEmbedder

log = logging.getLogger(__name__)
Runtime = Literal["openvino", "torch"]
Dtype = Literal["bfloat16", "float32"]


def make_embedder(
    model: str,
    runtime: Runtime,
    cache: Path,
    *,
    dtype: Dtype = "bfloat16",
    threads: int = 1,
    local_only: bool = False,
) -> Embedder:
    """The embedder that the settings describe. `cache` is where converted models are kept.

    If OpenVINO cannot run a model, torch runs it, and the log says why. `local_only` accepts a hub id only if it was
    downloaded before.
    """
    if runtime == "openvino":
        try:
            return _on_openvino(model, cache, dtype, threads, local_only)
        except UnsupportedEmbedder as error:
            log.warning('%s; torch runs it, which is slower. embedding_runtime = "torch" spares the attempt', error)
    return SentenceTransformerEmbedder(model, dtype=dtype, threads=threads, local_only=local_only)


def _on_openvino(model: str, cache: Path, dtype: Dtype, threads: int, local_only: bool) -> Embedder:
    if find_spec("openvino") is None:
        raise UnsupportedEmbedder("openvino is not installed")
    from retrieval.embedding.openvino_embedder import OpenVinoEmbedder

    folder = converted(model, cache, local_only=local_only)
    return OpenVinoEmbedder(model, folder, dtype=dtype, threads=threads)
