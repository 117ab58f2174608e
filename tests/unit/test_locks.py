"""The locks agree with each other, with pyproject.toml and with the page of licences."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "deploy/lock"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, LOCKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


subsets = load("subsets")
licences = load("licences")


@pytest.mark.parametrize("image", subsets.IMAGES)
def test_the_lock_of_an_image_is_the_part_of_the_whole_lock_that_its_extra_needs(image: str) -> None:
    written = (LOCKS / f"{image}.lock").read_text()
    assert written == subsets.lock_text(image), "run deploy/lock/subsets.py"


def test_a_closure_follows_extras_and_leaves_out_what_is_not_locked() -> None:
    needs = {
        "app": ["store[fast]", "absent", "windows-only; sys_platform == 'win32'"],
        "store": ["base", "speed; extra == 'fast'", "other; extra == 'slow'"],
    }
    known = ("app", "store", "base", "speed", "other", "windows-only")
    assert subsets.closure(["App"], known, lambda name: needs.get(name, [])) == {"app", "store", "base", "speed"}


def test_an_extra_may_name_another_extra() -> None:
    project = {
        "name": "p",
        "dependencies": ["a"],
        "optional-dependencies": {"x": ["p[y]", "b"], "y": ["c"], "postgres": ["d"]},
    }
    assert subsets.project_requirements("x", project) == ["a", "c", "b", "d"]


def test_only_the_images_that_run_models_hold_torch() -> None:
    with_torch = {image for image in subsets.IMAGES if subsets.NEEDS_TORCH in (LOCKS / f"{image}.lock").read_text()}
    assert with_torch == {"retrieval", "generation", "worker"}


def test_every_locked_package_is_listed_with_its_version_and_licence() -> None:
    assert (ROOT / "docs/licences.md").read_text() == licences.page(), "run deploy/lock/licences.py"
