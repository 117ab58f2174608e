"""Write one lock for each service's image: the part of `runtime.lock` that its extra of pyproject.toml needs.

What needs what is read from the metadata of the installed packages, so no resolver runs and no version changes.
Run as `.venv/bin/python deploy/lock/subsets.py` after `make install` when an extra has changed (`make lock` does so);
a test fails until it was run. Packages outside the lock are left out: they are the ones named in `excluded.in`,
and what `unresolved.in` says is not needed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
PROJECT = HERE.parents[1] / "pyproject.toml"
IMAGES = ("gateway", "retrieval", "generation", "worker", "dashboard")
EVERYWHERE = "postgres"  # every image talks to the database; beyond one machine that is PostgreSQL
NEEDS_TORCH = "# Install torch.lock first."

Wanted = tuple[str, frozenset[str]]  # name, extras
RequirementsOf = Callable[[str], Iterable[str]]


def locked(path: Path) -> dict[str, str]:
    """The lines of a lock by package name."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(line.split("==")[0]): line for line in lines}


def project_requirements(extra: str, project: dict[str, object]) -> list[str]:
    """What our distribution needs for an extra, with the extras that it names in turn."""
    extras: dict[str, list[str]] = project["optional-dependencies"]  # type: ignore[assignment]
    own = f"{project['name']}["
    lines: list[str] = list(project["dependencies"])  # type: ignore[call-overload]
    for name in (extra, EVERYWHERE):
        for line in extras[name]:
            inner = line.removeprefix(own).removesuffix("]") if line.startswith(own) else None
            lines += extras[inner] if inner else [line]
    return lines


def closure(roots: Iterable[str], known: Iterable[str], requirements_of: RequirementsOf) -> set[str]:
    """The packages among `known` that the requirement lines `roots` need, directly or through others."""
    among, seen = set(known), set[Wanted]()
    todo = [wanted for line in roots for wanted in _wanted(line, frozenset())]
    while todo:
        name, extras = todo.pop()
        if name not in among or (name, extras) in seen:
            continue
        seen.add((name, extras))
        todo += [wanted for line in requirements_of(name) for wanted in _wanted(line, extras)]
    return {name for name, _ in seen}


def _wanted(line: str, extras: frozenset[str]) -> list[Wanted]:
    requirement = Requirement(line)
    environments = [{"extra": extra} for extra in ("", *extras)]
    if requirement.marker and not any(requirement.marker.evaluate(one) for one in environments):
        return []
    return [(canonicalize_name(requirement.name), frozenset(requirement.extras))]


def installed_requirements(name: str) -> list[str]:
    return requires(name) or []


def lock_text(image: str) -> str:
    """The text of one image's lock."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    lines = locked(HERE / "runtime.lock")
    names = closure(project_requirements(image, project), [*lines, "torch"], installed_requirements)
    head = [f"# The part of runtime.lock for the image {image}, by subsets.py. Install with --no-deps."]
    head += [NEEDS_TORCH] if "torch" in names else []
    return "\n".join(head + [lines[name] for name in sorted(names - {"torch"})]) + "\n"


def main() -> None:
    for image in IMAGES:
        text = lock_text(image)
        (HERE / f"{image}.lock").write_text(text)
        print(f"{image}.lock: {text.count('==')} packages{', torch' if NEEDS_TORCH in text else ''}")


if __name__ == "__main__":
    main()
