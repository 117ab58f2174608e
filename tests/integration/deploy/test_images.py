"""Each image has what its process imports: nothing is there only because another part or a test tool brought it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from harness.places import ROOT

PROCESSES = {
    "gateway": ["services.gateway.__main__", "services.domain.bootstrap"],
    "retrieval": ["services.retrieval.__main__", "retrieval.index.collection_builder"],
    "generation": ["services.generation.__main__", "vllm.entrypoints.openai.api_server"],
    "worker": [
        "services.worker.app",
        "services.worker.tasks",
        "services.worker.light",
        "services.worker.fine_tuning.run",
    ],
    "dashboard": ["services.dashboard.__main__"],
}


def locked(image: str) -> list[str]:
    text = (ROOT / f"deploy/lock/{image}.lock").read_text()
    pins = [Requirement(line.partition(" --hash")[0]) for line in text.splitlines() if not line.startswith("#")]
    names = [pin.name for pin in pins if pin.marker is None or pin.marker.evaluate()]
    return [*names, "torch"] if "torch.lock" in text else names


def link_packages(names: list[str], folder: Path) -> None:
    """Make a folder of packages with links to what these distributions installed, and nothing else."""
    for name in names:
        installed = distribution(name)
        for top in {file.parts[0] for file in installed.files or []} - {"..", "__pycache__"}:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(installed.locate_file(top))))


@pytest.mark.parametrize("image", PROCESSES)
def test_a_process_imports_with_the_packages_of_its_image_alone(image: str, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    link_packages(locked(image), packages)
    done = subprocess.run(
        # -S: without the packages of the environment that the tests run in.
        [sys.executable, "-S", "-c", "; ".join(f"import {module}" for module in PROCESSES[image])],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{packages}:{ROOT}", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
