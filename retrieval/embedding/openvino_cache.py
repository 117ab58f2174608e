"""Converted embedders on disk: one folder for each model, made once, and made again if it is damaged.

The folder's name has the model's name and a digest of what it was made from, so changed weights or another OpenVINO
make another folder. A process that converts holds a lock; the others wait for it and load the result.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from retrieval.embedding.embedder import model_location
from retrieval.errors import UnsupportedEmbedder

MODEL, WEIGHTS, TOKENIZER, MANIFEST = "model.xml", "model.bin", "tokenizer.json", "conversion.json"
FORMAT = 1  # of the folder; a change of what is stored there raises it
CONVERSION_SECONDS = 900.0


@dataclass(frozen=True)
class Conversion:
    """What the weights do not contain. `max_tokens` None reads texts of any length; `sha256` is of each other file."""

    dimension: int
    max_tokens: int | None
    pad_id: int
    prompt: str
    sha256: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> Conversion:
        """Raises OSError, ValueError or TypeError if the folder has no valid one."""
        return cls(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))

    def write(self, folder: Path) -> None:
        (folder / MANIFEST).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")


def converted(model: str, cache: Path, *, local_only: bool = False) -> Path:
    """The folder of a converted model; the first call converts (some 15 s, in a process of its own).

    `local_only` converts a hub's model only if it was downloaded before. Raises UnsupportedEmbedder, with the reason,
    if the model cannot be converted.
    """
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(cache, model):
        folder = cache / _folder_name(model)
        if not is_sound(folder):
            made = cache / f".{folder.name}.partial"
            for leftover in (made, folder):
                shutil.rmtree(leftover, ignore_errors=True)
            _convert(model, made, local_only)
            folder = cache / _folder_name(model)  # a model from the hub is on this machine only now
            made.rename(folder)
    return folder


def is_sound(folder: Path) -> bool:
    """Whether every file of a converted model exists and is unchanged, byte for byte (60 ms for 90 MB)."""
    try:
        expected = Conversion.read(folder).sha256
        return all(digest(folder / name) == expected[name] for name in (MODEL, WEIGHTS, TOKENIZER))
    except (OSError, ValueError, TypeError, KeyError):
        return False


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _alone(cache: Path, model: str) -> Iterator[None]:
    """Held by one process at a time; the system releases it when that process ends, however it ends."""
    with (cache / f".{_plain(model)}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _convert(model: str, folder: Path, local_only: bool) -> None:
    command = [sys.executable, "-m", "retrieval.embedding.openvino_conversion", model, str(folder)]
    variables = {**os.environ, "HF_HUB_OFFLINE": "1"} if local_only else None
    try:
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=CONVERSION_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise UnsupportedEmbedder(f"converting {model} for OpenVINO took over {CONVERSION_SECONDS:.0f} s") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UnsupportedEmbedder(f"the embedder {model} cannot be converted for OpenVINO: {reason[-500:]}")


def _folder_name(model: str) -> str:
    made_from = json.dumps([FORMAT, model, metadata.version("openvino"), _files(model)])
    return f"{_plain(model)}-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}"


def _plain(model: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", model)[-60:].strip("._") or "embedder"


def _files(model: str) -> list[tuple[str, int, int]]:
    """Path, size and time of change of each of the model's files; empty for one that is still on the hub only."""
    folder = Path(model_location(model))
    if not folder.is_dir():
        config = _from_the_hub(model)
        if config is None:
            return []
        folder = config.parent
    found = [(path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [(str(path.relative_to(folder)), stat.st_size, stat.st_mtime_ns) for path, stat in found]


def _from_the_hub(model: str) -> Path | None:
    """A hub model's config.json, where it was downloaded before. What is no hub id either, loading refuses in words."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, "config.json")
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None
