"""Resolve the dependency set once and write the locks that `make install` uses.

The locks are exact and hashed and are installed with `--no-deps`, because a few packages declare pins that disagree
though they work together. torch stands in a file of its own without a hash: its CPU build carries another hash
on each index. Run with `make lock`, on Python 3.11 and Linux x86-64, and run the whole test suite afterwards.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
Package = tuple[str, str, str]  # name, version, sha256


def names(path: Path) -> list[str]:
    """The requirement lines of a `.in` file."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def resolve(requirements: list[str], *flags: str) -> dict[str, Package]:
    """Ask pip what it would install on an empty machine."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        subprocess.run([*command, *flags, "--report", str(report), *requirements], check=True)
        items = json.loads(report.read_text())["install"]
    return {package[0]: package for package in map(_package, items)}


def _package(item: dict) -> Package:
    hashes = item["download_info"]["archive_info"]["hashes"]
    name = item["metadata"]["name"].lower().replace("_", "-").replace(".", "-")
    return name, item["metadata"]["version"].split("+")[0], hashes["sha256"]


def write(path: Path, packages: list[Package]) -> None:
    lines = [f"{name}=={version} --hash=sha256:{digest}" for name, version, digest in sorted(packages)]
    path.write_text("# Written by `make lock`. Install with --no-deps.\n" + "\n".join(lines) + "\n")


def main() -> None:
    excluded = set(names(HERE / "excluded.in")) | {"torch"}
    runtime = resolve(names(HERE / "runtime.in"))
    everything = resolve(names(HERE / "runtime.in") + names(HERE / "dev.in"))
    unresolved = resolve(names(HERE / "unresolved.in"), "--no-deps")
    moved = {name for name in runtime if everything[name] != runtime[name]}
    if moved:
        raise SystemExit(f"dev.in changes runtime versions: {sorted(moved)}; pin them in runtime.in")
    keep = [package for name, package in runtime.items() if name not in excluded]
    write(HERE / "runtime.lock", keep + list(unresolved.values()))
    write(HERE / "dev.lock", [package for name, package in everything.items() if name not in runtime])
    (HERE / "torch.lock").write_text(f"torch=={runtime['torch'][1]}\n")


if __name__ == "__main__":
    main()
