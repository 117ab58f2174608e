"""Version folders: weights that are written once and can be checked at any time later.

A version is a folder of safetensors, tokenizer and chat template, with `manifest.json`: every tensor's name, shape,
type and SHA-256, and what the weights were made from.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.errors import DamagedWeights, VersionExists

MANIFEST = "manifest.json"
TEMPLATE_FILES = ("chat_template.jinja", "tokenizer_config.json")


@dataclass(frozen=True)
class Tensor:
    """One tensor as the safetensors file holds it; `dtype` by the file's names (BF16), `sha256` of the bytes only."""

    name: str
    file: str
    shape: tuple[int, ...]
    dtype: str
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a version's weights are. `files` has the SHA-256 of the small files that change what a model says."""

    base_model: str
    dataset_hash: str
    template_fingerprint: str
    tensors: tuple[Tensor, ...]
    files: dict[str, str]


def write_manifest(folder: Path, base_model: str, dataset_hash: str) -> Manifest:
    """Describe a finished version folder and close it: every file becomes read-only.

    Raises VersionExists if the folder has a manifest already, DamagedWeights if it holds no readable weights.
    """
    if (folder / MANIFEST).exists():
        raise VersionExists(f"The version folder {folder} is closed already; write a new version into a new folder.")
    manifest = _describe(folder, base_model, dataset_hash)
    draft = folder / f".{MANIFEST}"
    draft.write_text(json.dumps(asdict(manifest), indent=1, ensure_ascii=False), encoding="utf-8")
    draft.rename(folder / MANIFEST)
    for file in folder.iterdir():
        file.chmod(0o444)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """A version's manifest. Raises DamagedWeights if it is missing or cannot be read."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        tensors = tuple(Tensor(**{**row, "shape": tuple(row["shape"])}) for row in content.pop("tensors"))
        return Manifest(tensors=tensors, **content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedWeights(f"The version folder {folder} has no readable {MANIFEST}: {error}.") from error


def verify_manifest(folder: Path) -> Manifest:
    """Read every tensor of a version and compare it with the manifest (270 MB: 0.2 s on two cores).

    Raises DamagedWeights, which names the first tensor or file that is missing, unexpected, changed, or of another
    shape.
    """
    manifest = read_manifest(folder)
    found = _describe(folder, manifest.base_model, manifest.dataset_hash)
    expected, actual = ({tensor.name: tensor for tensor in side.tensors} for side in (manifest, found))
    for name in sorted(expected.keys() | actual.keys()):
        _compare(folder, name, expected.get(name), actual.get(name))
    for file in sorted(manifest.files.keys() | found.files.keys()):
        if manifest.files.get(file) != found.files.get(file):
            raise DamagedWeights(f"The file {file} in {folder} is not the one that the manifest names.")
    return manifest


def weights_fingerprint(manifest: Manifest) -> str:
    """SHA-256 over every tensor's name, shape, type and hash: equal if and only if the weights are."""
    rows = sorted((one.name, list(one.shape), one.dtype, one.sha256) for one in manifest.tensors)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def template_fingerprint(folder: Path) -> str:
    """SHA-256 of the chat template in a model folder; of the empty text if it has none."""
    template = ""
    if (folder / TEMPLATE_FILES[0]).is_file():
        template = (folder / TEMPLATE_FILES[0]).read_text(encoding="utf-8")
    elif (folder / TEMPLATE_FILES[1]).is_file():
        template = str(json.loads((folder / TEMPLATE_FILES[1]).read_text(encoding="utf-8")).get("chat_template", ""))
    return hashlib.sha256(template.encode()).hexdigest()


def _compare(folder: Path, name: str, expected: Tensor | None, actual: Tensor | None) -> None:
    if expected == actual:
        return
    if actual is None:
        problem = "is missing"
    elif expected is None:
        problem = "is not in the manifest"
    elif (expected.shape, expected.dtype) != (actual.shape, actual.dtype):
        problem = f"is {actual.dtype} {list(actual.shape)}, the manifest says {expected.dtype} {list(expected.shape)}"
    else:
        problem = "has changed: its SHA-256 differs from the manifest's"
    raise DamagedWeights(
        f"The tensor {name} in {folder} {problem}. Restore the folder from its copy, or train the version again."
    )


def _describe(folder: Path, base_model: str, dataset_hash: str) -> Manifest:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise DamagedWeights(f"The version folder {folder} holds no *.safetensors file.")
    tensors = tuple(tensor for file in weights for tensor in _tensors(file))
    small = [file for file in sorted(folder.iterdir()) if file.suffix in {".json", ".jinja"} and file.name != MANIFEST]
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in small if file.name[0] != "."}
    return Manifest(base_model, dataset_hash, template_fingerprint(folder), tensors, files)


def _tensors(file: Path) -> list[Tensor]:
    with _mapped(file) as content:
        header, start = _header(file, content)
        rows = sorted(header.items(), key=lambda entry: entry[0])

        def describe(entry: tuple[str, dict[str, Any]]) -> Tensor:
            name, row = entry
            first, last = row["data_offsets"]
            if start + last > len(content):
                raise DamagedWeights(f"The tensor {name} in {file} is cut off: the file ends before its last byte.")
            digest = hashlib.sha256(content[start + first : start + last]).hexdigest()
            return Tensor(name, file.name, tuple(row["shape"]), row["dtype"], digest)

        with ThreadPoolExecutor() as pool:  # hashlib lets go of Python's lock for large buffers
            return list(pool.map(describe, rows))


def _header(file: Path, content: memoryview) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file and where its data starts: 8 bytes of length, JSON, then the tensors' bytes."""
    try:
        (length,) = struct.unpack("<Q", content[:8])
        if length > len(content) - 8:
            raise ValueError("it is longer than the file")
        header = dict(json.loads(bytes(content[8 : 8 + length])))
    except (struct.error, ValueError, TypeError) as error:
        raise DamagedWeights(f"{file} is not a safetensors file: its header cannot be read ({error}).") from error
    header.pop("__metadata__", None)
    return header, 8 + length


@contextmanager
def _mapped(file: Path) -> Iterator[memoryview]:
    with file.open("rb") as opened:
        try:
            mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise DamagedWeights(f"{file} is empty.") from error
        with mapped, memoryview(mapped) as view:
            yield view
