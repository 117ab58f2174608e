"""Read what stands in this folder: the `.in` files, the locks, and what `make_lock.py` learnt of each package."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from targets import ENVIRONMENTS, holds

HERE = Path(__file__).parent
PACKAGES = HERE / "packages.json"

Wanted = tuple[str, frozenset[str]]  # name, extras
RequirementsOf = Callable[[str], Iterable[str]]


@dataclass(frozen=True)
class Package:
    """One locked package: what its wheels say of themselves."""

    version: str
    licence: str
    requires: list[str]  # its needs, less those of extras that nobody asks for
    wheels: dict[str, str]  # sha256 by file name; one fits each target that the package is locked for


def names(path: Path) -> list[str]:
    """The requirement lines of a `.in` file."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def excluded() -> set[str]:
    """Packages that are named by others and never installed."""
    return {canonicalize_name(name) for name in names(HERE / "excluded.in")}


def locked(path: Path) -> dict[str, str]:
    """The lines of a lock by package name."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(line.split("==")[0]): line for line in lines}


def requirement_of(line: str) -> Requirement:
    """A lock's line without its hashes: name, version, marker."""
    return Requirement(line.partition(" --hash")[0])


def read_packages() -> dict[str, Package]:
    return {name: Package(**fields) for name, fields in json.loads(PACKAGES.read_text()).items()}


def write_packages(packages: dict[str, Package]) -> None:
    fields = {name: asdict(package) for name, package in sorted(packages.items())}
    PACKAGES.write_text(json.dumps(fields, indent=1) + "\n")


def closure(
    roots: Iterable[str],
    known: Iterable[str],
    requirements_of: RequirementsOf,
    environments: list[dict[str, str]] = ENVIRONMENTS,
) -> set[Wanted]:
    """The packages among `known`, with their extras, that the requirement lines `roots` need in any environment."""
    among, seen = set(known), set[Wanted]()
    todo = [wanted for line in roots for wanted in _wanted(line, frozenset(), environments)]
    while todo:
        name, extras = todo.pop()
        if name not in among or (name, extras) in seen:
            continue
        seen.add((name, extras))
        todo += [wanted for line in requirements_of(name) for wanted in _wanted(line, extras, environments)]
    return seen


def _wanted(line: str, extras: frozenset[str], environments: list[dict[str, str]]) -> list[Wanted]:
    requirement = Requirement(line)
    if not holds(requirement.marker, environments, extras):
        return []
    return [(canonicalize_name(requirement.name), frozenset(requirement.extras))]
