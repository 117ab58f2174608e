"""Write one lock for each service's image: the part of `runtime.lock` that its extra of pyproject.toml needs.

What needs what is read from packages.json, so no resolver runs and no version changes. Run as
`.venv/bin/python deploy/lock/subsets.py` when an extra has changed (`make lock` does so); a test fails until it was
run. Packages outside the lock are left out: they are the ones named in `excluded.in`, and what `unresolved.in` says is
not needed.
"""

from __future__ import annotations

import tomllib

from pins import HERE, closure, locked, read_packages

PROJECT = HERE.parents[1] / "pyproject.toml"
IMAGES = ("gateway", "retrieval", "generation", "worker", "dashboard")
EVERYWHERE = "postgres"  # every image talks to the database; beyond one machine that is PostgreSQL
NEEDS_TORCH = "# Install torch.lock first."


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


def lock_text(image: str) -> str:
    """The text of one image's lock."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    lines = locked(HERE / "runtime.lock")
    packages = read_packages()
    reached = closure(project_requirements(image, project), packages, lambda name: packages[name].requires)
    names = {name for name, _ in reached}
    head = [f"# The part of runtime.lock for the image {image}, by subsets.py. Install with --no-deps."]
    head += [NEEDS_TORCH] if "torch" in names else []
    return "\n".join(head + [lines[name] for name in sorted(names & lines.keys())]) + "\n"


def main() -> None:
    for image in IMAGES:
        text = lock_text(image)
        (HERE / f"{image}.lock").write_text(text)
        print(
            f"{image}.lock: {text.count(chr(10)) - text.count('#')} packages{', torch' if NEEDS_TORCH in text else ''}"
        )


if __name__ == "__main__":
    main()
