"""How the locks are written from what pip reports."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import parse_wheel_filename

from harness.places import ROOT

sys.path.insert(0, str(ROOT / "deploy/lock"))
make_lock, pins, targets = map(import_module, ("make_lock", "pins", "targets"))

FILES = {
    "runtime.in": 'app[fast]\ntorch==2.0\nbackport; python_full_version < "3.11.3"\n',
    "unresolved.in": "as-it-is==5\n",
    "dev.in": "tester\n",
    "excluded.in": "gpu-kit\n",
}
# name: version, needs
INDEX = {
    "app": (
        "1",
        ["base", "speed; extra == 'fast'", "slow; extra == 'slow'", "backport; python_full_version < '3.11.3'"],
    ),
    "base": ("2", []),
    "speed": ("3", ["native"]),
    "native": ("4", []),
    "backport": ("5", []),
    "torch": ("2.0+cpu", ["gpu-kit", "base"]),
    "gpu-kit": ("6", ["gpu-driver"]),
    "gpu-driver": ("7", []),
    "as-it-is": ("5", ["absent"]),
    "tester": ("8", ["base", "runner"]),
    "runner": ("9", []),
}


class Pip:
    """Stands for pip and an index: `native` has a wheel for each target, all others one for any."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def report(self, requirements: list[str], *flags: str) -> dict[str, Any]:
        self.asked.append((*requirements, *flags))
        names = [line.partition("[")[0].partition("=")[0] for line in requirements]
        if "--no-deps" not in flags:
            names = [
                name for name in INDEX if name != "as-it-is" and (name not in ("tester", "runner") or "tester" in names)
            ]
        return {name: self._item(name, flags) for name in names}

    def _item(self, name: str, flags: tuple[str, ...]) -> dict[str, Any]:
        version, needs = INDEX[name]
        tag = "py3-none-any"
        if name == "native" and "--platform" in flags:
            python = flags[flags.index("--python-version") + 1].replace(".", "")
            tag = f"cp{python}-cp{python}-{flags[flags.index('--platform') + 1]}"
        file = f"{name.replace('-', '_')}-{version.replace('+', '%2B')}-{tag}.whl"
        return {
            "metadata": {"name": name, "version": version, "requires_dist": needs, "license_expression": "MIT"},
            "download_info": {"url": f"https://index/{file}", "archive_info": {"hashes": {"sha256": f"hash-of-{tag}"}}},
        }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    for module in (make_lock, pins):
        monkeypatch.setattr(module, "HERE", tmp_path)
    monkeypatch.setattr(pins, "PACKAGES", tmp_path / "packages.json")
    for name in ("RUNTIME", "UNRESOLVED", "DEV"):
        monkeypatch.setattr(make_lock, name, tmp_path / f"{name.lower()}.in")
    return tmp_path


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Pip:
    pip = Pip()
    monkeypatch.setattr(make_lock, "install_report", pip.report)
    return pip


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["make_lock.py", *arguments])
    make_lock.main()


def test_the_locks_hold_what_is_needed_with_its_marker_and_a_hash_for_each_target(
    folder: Path, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch)
    runtime = pins.locked(folder / "runtime.lock")
    assert set(runtime) == {"app", "base", "speed", "native", "backport", "as-it-is"}
    assert runtime["backport"] == 'backport==5 ; python_full_version < "3.11.3" --hash=sha256:hash-of-py3-none-any'
    assert runtime["native"].count("--hash=") == len(targets.TARGETS)
    assert set(pins.locked(folder / "dev.lock")) == {"tester", "runner"}
    assert (folder / "torch.lock").read_text() == "torch==2.0\n"


def test_of_each_package_its_wheels_and_the_needs_that_anybody_asks_for_are_kept(
    folder: Path, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch)
    packages = pins.read_packages()
    assert packages["app"].requires == sorted(need for need in INDEX["app"][1] if "slow" not in need)
    assert packages["app"].licence == "MIT"
    assert list(packages["torch"].wheels) == ["torch-2.0+cpu-py3-none-any.whl"]
    tags = {tag for file in packages["native"].wheels for tag in parse_wheel_filename(file)[3]}
    assert {tag.interpreter for tag in tags} == {"cp311", "cp312", "cp313"}
    assert {tag.platform for tag in tags} == {"manylinux_2_31_x86_64", "manylinux_2_35_aarch64"}


def test_keeping_resolves_nothing_and_asks_for_the_versions_that_are_locked(
    folder: Path, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch)
    before = {file.name: file.read_text() for file in folder.iterdir()}
    pip.asked.clear()
    run(monkeypatch, "--keep")
    assert {file.name: file.read_text() for file in folder.iterdir()} == before
    assert len(pip.asked) == len(targets.TARGETS)
    assert all("--no-deps" in asked and {"app==1", "torch==2.0"} <= set(asked) for asked in pip.asked)
