"""Version folders and their manifests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from training.errors import DamagedWeights, UnknownBaseModel, VersionExists
from training.weights.base import materialize
from training.weights.registry import read_manifest, template_fingerprint, verify_manifest, write_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small tensors with a chat template."""
    weights = {"first": np.arange(6, dtype=np.float32).reshape(2, 3), "second": np.ones(4, dtype=np.float32)}
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    return tmp_path


def rewrite(file: Path, content: bytes) -> None:
    file.chmod(0o644)
    file.write_bytes(content)


def test_a_closed_version_verifies_and_its_manifest_names_every_tensor(folder: Path) -> None:
    written = write_manifest(folder, "base", "hash")
    assert verify_manifest(folder) == written == read_manifest(folder)
    assert [(tensor.name, tensor.shape, tensor.dtype) for tensor in written.tensors] == [
        ("first", (2, 3), "F32"),
        ("second", (4,), "F32"),
    ]
    assert (written.base_model, written.dataset_hash) == ("base", "hash")
    assert written.template_fingerprint == template_fingerprint(folder)


def test_every_file_of_a_closed_version_is_read_only(folder: Path) -> None:
    write_manifest(folder, "base", "hash")
    assert {file.stat().st_mode & 0o222 for file in folder.iterdir()} == {0}


def test_a_version_is_closed_once(folder: Path) -> None:
    write_manifest(folder, "base", "hash")
    with pytest.raises(VersionExists, match="closed already"):
        write_manifest(folder, "base", "other")


def test_one_changed_byte_is_found_and_its_tensor_named(folder: Path) -> None:
    write_manifest(folder, "base", "hash")
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1  # the last byte belongs to the tensor that is written last, `second`
    rewrite(file, bytes(content))
    with pytest.raises(DamagedWeights, match=r"tensor second .* has changed"):
        verify_manifest(folder)


def test_a_cut_off_file_names_the_tensor_that_lacks_bytes(folder: Path) -> None:
    write_manifest(folder, "base", "hash")
    file = folder / "model.safetensors"
    rewrite(file, file.read_bytes()[:-4])
    with pytest.raises(DamagedWeights, match=r"tensor second .* cut off"):
        verify_manifest(folder)


def test_a_missing_tensor_a_foreign_one_and_another_shape_are_named(folder: Path) -> None:
    write_manifest(folder, "base", "hash")
    file = folder / "model.safetensors"
    first = np.arange(6, dtype=np.float32).reshape(2, 3)
    second = np.ones(4, dtype=np.float32)
    others: dict[str, dict[str, np.ndarray[Any, Any]]] = {
        "second .* is missing": {"first": first},
        "third .* not in the manifest": {"first": first, "second": second, "third": second},
        r"first .* is F32 \[3, 2\], the manifest says F32 \[2, 3\]": {"first": first.reshape(3, 2), "second": second},
    }
    for expected, weights in others.items():
        file.unlink()
        save_file(weights, file)
        with pytest.raises(DamagedWeights, match=expected):
            verify_manifest(folder)


def test_a_changed_chat_template_is_damage_too(folder: Path) -> None:
    write_manifest(folder, "base", "hash")
    rewrite(folder / "chat_template.jinja", b"{{ other }}")
    with pytest.raises(DamagedWeights, match=r"chat_template\.jinja"):
        verify_manifest(folder)


def test_a_folder_without_a_readable_manifest_or_weights_is_damaged(folder: Path) -> None:
    with pytest.raises(DamagedWeights, match=r"no readable manifest\.json"):
        verify_manifest(folder)
    (folder / "manifest.json").write_text(json.dumps([1]))
    with pytest.raises(DamagedWeights, match=r"no readable manifest\.json"):
        verify_manifest(folder)
    for content in (b"", b"short", (1 << 40).to_bytes(8, "little") + b"{}"):
        rewrite(folder / "model.safetensors", content)
        (folder / "manifest.json").unlink(missing_ok=True)
        with pytest.raises(DamagedWeights):
            write_manifest(folder, "base", "hash")


def test_a_folder_of_safetensors_is_a_base_model_as_it_is(folder: Path, tmp_path: Path) -> None:
    assert materialize(str(folder), tmp_path / "models") == folder.resolve()


def test_a_folder_that_lacks_weights_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UnknownBaseModel, match=r"lacks tokenizer_config\.json"):
        materialize(str(tmp_path), tmp_path / "models")
