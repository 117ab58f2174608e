"""`make` takes a Python that fits, or says in words which it found and what to do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.places import ROOT

TOOLS = ("sh", "sed", "head")
# An interpreter that takes itself for another version, and runs what it is given as that one would.
FAKE = """#!/bin/sh
exec {python} -S -c 'import sys
sys.version_info = ({version}, 0, "final", 0)
sys._base_executable = "{path}"
sys.implementation.name = "{implementation}"
sys.modules.update(dict.fromkeys({missing}))
exec(sys.argv[1])' "$2"
"""
BROKEN = "#!/bin/sh\necho 'pyenv: python3.11: command not found' >&2\nexit 127\n"


class Desk:
    """A checkout with the Makefile alone, on a machine that has the Pythons put there and nothing else."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin = root, root / "bin"
        self.bin.mkdir()
        (root / "deploy").mkdir()
        shutil.copy(ROOT / "Makefile", root)
        shutil.copy(ROOT / "deploy/python.sh", root / "deploy")
        for tool in TOOLS:
            path = shutil.which(tool)
            assert path is not None
            (self.bin / tool).symlink_to(path)

    def put(self, name: str, version: str, *missing: str, implementation: str = "cpython", folder: str = "bin") -> Path:
        """Put an interpreter there that lacks the modules named `missing`."""
        path = self.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        python, numbers = Path(sys.executable).resolve(), version.replace(".", ", ")
        lacking = json.dumps(missing)  # in double quotes, as the shell has taken the single ones
        text = FAKE.format(python=python, version=numbers, path=path, implementation=implementation, missing=lacking)
        return script(path, text)

    def environment(self, version: str | None, *missing: str) -> None:
        """Put a .venv there that was made with a Python of this version; with None that Python is gone."""
        (self.root / ".venv/bin").mkdir(parents=True)
        (self.root / ".venv/pyvenv.cfg").write_text("home = /opt/old/bin\n")
        if version:
            self.put("python", version, *missing, folder=".venv/bin")
        else:
            (self.root / ".venv/bin/python").symlink_to("/opt/old/bin/python3.11")

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        make = shutil.which("make")
        assert make is not None
        return subprocess.run(
            [make, "--no-print-directory", "python", *arguments],
            cwd=self.root, env={"PATH": str(self.bin)}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def chosen(self, *arguments: str) -> str:
        done = self.make(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def complaint(self, *arguments: str) -> str:
        done = self.make(*arguments)
        assert done.returncode != 0, done.stdout
        assert done.stdout == ""
        return done.stderr


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("name", ["python{}", "python3", "python"])
def test_any_supported_python_under_any_usual_name_is_taken(desk: Desk, version: str, name: str) -> None:
    path = desk.put(name.format(version), version)
    assert desk.chosen() == str(path)


def test_of_several_the_most_tested_is_taken(desk: Desk) -> None:
    for version in ("3.13", "3.12", "3.11"):
        path = desk.put(f"python{version}", version)
        desk.put("python3", version)
        assert desk.chosen() == str(path)


@pytest.mark.parametrize(
    "unfit",
    [
        pytest.param(lambda desk: desk.put("python3.11", "3.11", "ensurepip"), id="without-ensurepip"),
        pytest.param(lambda desk: desk.put("python3.11", "3.11", "venv"), id="without-venv"),
        pytest.param(lambda desk: desk.put("python3.11", "3.11", implementation="pypy"), id="pypy"),
        pytest.param(lambda desk: script(desk.bin / "python3.11", BROKEN), id="broken"),
    ],
)
def test_one_that_does_not_fit_is_passed_over(desk: Desk, unfit: Callable[[Desk], Path]) -> None:
    unfit(desk)
    path = desk.put("python3.12", "3.12")
    assert desk.chosen() == str(path)


def test_where_none_fits_it_is_said_what_was_found_and_what_to_install(desk: Desk) -> None:
    script(desk.bin / "python3.11", BROKEN)
    desk.put("python3.12", "3.12", "ensurepip")
    desk.put("python3.13", "3.13", implementation="pypy")
    desk.put("python3", "3.14")
    desk.put("python", "3.10")
    complaint = desk.complaint()
    assert "python3.11: does not run: pyenv: python3.11: command not found" in complaint
    assert "python3.12: 3.12 without venv: install python3.12-venv" in complaint
    assert "python3.13: 3.13 (pypy), which has no wheels" in complaint
    assert "python3: 3.14, which is not supported" in complaint
    assert "python: 3.10, which is not supported" in complaint
    assert "apt-get install python3 python3-venv" in complaint


def test_without_any_python_each_name_is_not_found(desk: Desk) -> None:
    assert desk.complaint().count(": not found") == 5


def test_the_python_that_is_named_wins(desk: Desk) -> None:
    desk.put("python3.11", "3.11")
    path = desk.put("mine", "3.13", folder="elsewhere")
    assert desk.chosen(f"PYTHON={path}") == str(path)


def test_a_named_python_that_does_not_fit_is_not_replaced_by_another(desk: Desk) -> None:
    desk.put("python3.11", "3.11")
    path = desk.put("mine", "3.9", folder="elsewhere")
    assert f"{path}: 3.9, which is not supported" in desk.complaint(f"PYTHON={path}")


def test_an_environment_that_fits_stays_as_it_is(desk: Desk) -> None:
    desk.put("python3.11", "3.11")
    desk.environment("3.13")
    assert desk.chosen() == str(desk.root / ".venv/bin/python")
    same = desk.put("mine", "3.13", folder="elsewhere")
    assert desk.chosen(f"PYTHON={same}") == str(desk.root / ".venv/bin/python")


def test_an_environment_needs_no_venv_any_more(desk: Desk) -> None:
    desk.environment("3.12", "ensurepip")
    assert desk.chosen() == str(desk.root / ".venv/bin/python")


@pytest.mark.parametrize(
    ("version", "words"), [(None, "its Python: not found"), ("3.10", "its Python: 3.10, which is not supported")]
)
def test_an_environment_of_no_use_is_to_be_removed(desk: Desk, version: str | None, words: str) -> None:
    desk.put("python3.11", "3.11")
    desk.environment(version)
    complaint = desk.complaint()
    assert words in complaint
    assert "made from /opt/old/bin" in complaint
    assert "rm -r .venv" in complaint


def test_an_environment_of_another_version_than_the_named_one_is_said_to_be_so(desk: Desk) -> None:
    desk.environment("3.13")
    other = desk.put("mine", "3.12", folder="elsewhere")
    assert f".venv is Python 3.13, and PYTHON={other} is: 3.12." in desk.complaint(f"PYTHON={other}")
