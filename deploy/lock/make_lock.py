"""Resolve the dependency set once and write the locks that `make install` uses.

The locks are exact and hashed and are installed with `--no-deps`, because a few packages declare pins that disagree
though they work together. They hold the hash of one wheel for each target (targets.py). torch stands in a file of its
own without a hash: its CPU build carries another hash on each index. What each wheel is called and says of its needs
and its licence goes to `packages.json`, from which subsets.py, licences.py and the tests read.

Run with `make lock`, on Linux x86-64, and run the whole test suite afterwards. `make lock KEEP=1` resolves nothing: it
keeps every version and marker that the locks have and looks their wheels up again, for example for another Python.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from licences import stated_licence
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pins import HERE, Package, closure, excluded, locked, names, requirement_of, write_packages
from targets import ENVIRONMENTS, TARGETS, holds

HEAD = "# Written by `make lock`. Install with --no-deps.\n"
RUNTIME, UNRESOLVED, DEV = (HERE / f"{name}.in" for name in ("runtime", "unresolved", "dev"))
Pins = dict[str, Requirement]  # by name: exact version, and the marker if only some targets need it


def main() -> None:
    runtime, dev = kept() if "--keep" in sys.argv[1:] else resolved()
    packages = look_up(runtime | dev)
    write("runtime.lock", runtime, packages)
    write("dev.lock", dev, packages)
    (HERE / "torch.lock").write_text(f"torch=={packages['torch'].version}\n")
    write_packages(packages)


def kept() -> tuple[Pins, Pins]:
    """The runtime's and the tests' pins as they stand in the locks."""
    runtime = {**locked(HERE / "runtime.lock"), **locked(HERE / "torch.lock")}
    return tuple(  # type: ignore[return-value]
        {name: requirement_of(line) for name, line in lines.items()} for lines in (runtime, locked(HERE / "dev.lock"))
    )


def resolved() -> tuple[Pins, Pins]:
    """The runtime's and the tests' pins that pip finds for the `.in` files, less what is never installed."""
    runtime, everything = install_report(roots(RUNTIME)), install_report(roots(RUNTIME, DEV))
    versions = {name: item["metadata"]["version"] for name, item in runtime.items()}
    moved = {name for name in versions if everything[name]["metadata"]["version"] != versions[name]}
    if moved:
        raise SystemExit(f"dev.in changes runtime versions: {sorted(moved)}; pin them in runtime.in")
    everything |= install_report(roots(UNRESOLVED), "--no-deps")
    return needed(everything, RUNTIME, UNRESOLVED), needed(everything, DEV, leave_out=set(runtime))


def roots(*files: Path) -> list[str]:
    """The requirements of `.in` files for the resolver: all of them, whatever this machine is."""
    return [line.partition(";")[0].strip() for file in files for line in names(file)]


def needed(items: dict[str, dict], *files: Path, leave_out: Iterable[str] = ()) -> Pins:
    """Pins for what the `.in` files need among the items of a report, with the markers that those files give."""
    known = items.keys() - excluded()
    reached = closure(roots(*files), known, lambda name: items[name]["metadata"].get("requires_dist", []))
    markers = {canonicalize_name(one.name): one.marker for file in files for one in map(Requirement, names(file))}
    pins = {}
    for name in sorted({name for name, _ in reached} - set(leave_out)):
        pins[name] = Requirement(f"{name}=={items[name]['metadata']['version'].split('+')[0]}")
        pins[name].marker = markers.get(name)
    return pins


def look_up(pins: Pins) -> dict[str, Package]:
    """The wheel of each pin for each target that it is locked for. pip fails on a pin that has none."""
    items: dict[str, list[dict]] = {name: [] for name in pins}
    for target in TARGETS:
        wanted = [f"{pin.name}{pin.specifier}" for pin in pins.values() if holds(pin.marker, target.environments)]
        for name, item in install_report(wanted, "--no-deps", *target.pip_flags).items():
            items[name].append(item)
    needs = {name: found[0]["metadata"].get("requires_dist", []) for name, found in items.items()}
    reached = closure(roots(RUNTIME, UNRESOLVED, DEV), pins, needs.__getitem__)
    extras = {name: frozenset[str]().union(*(asked for other, asked in reached if other == name)) for name in pins}
    return {name: package(items[name], extras[name]) for name in pins}


def package(items: list[dict], extras: frozenset[str]) -> Package:
    """What the wheels of one release say of themselves; it is the same in each."""
    fields = items[0]["metadata"]
    needs = fields.get("requires_dist", [])
    return Package(
        version=fields["version"].split("+")[0],
        licence=stated_licence(fields),
        requires=sorted(line for line in needs if holds(Requirement(line).marker, ENVIRONMENTS, extras)),
        wheels=dict(sorted(wheel(item) for item in items)),
    )


def wheel(item: dict) -> tuple[str, str]:
    """File name and sha256 of what pip would install."""
    info = item["download_info"]
    return unquote(info["url"].rsplit("/", 1)[1]), info["archive_info"]["hashes"]["sha256"]


def install_report(requirements: list[str], *flags: str) -> dict[str, dict]:
    """Ask pip what it would install on an empty machine: its report's items by name."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        subprocess.run([*command, *flags, "--report", str(report), *requirements], check=True)
        items = json.loads(report.read_text())["install"]
    return {canonicalize_name(item["metadata"]["name"]): item for item in items}


def write(file: str, pins: Pins, packages: dict[str, Package]) -> None:
    lines = [line(pins[name], packages[name]) for name in sorted(pins) if name != "torch"]
    (HERE / file).write_text(HEAD + "\n".join(lines) + "\n")


def line(pin: Requirement, package: Package) -> str:
    marker = f" ; {pin.marker}" if pin.marker else ""
    hashes = "".join(f" --hash=sha256:{digest}" for digest in sorted(set(package.wheels.values())))
    return f"{pin.name}{pin.specifier}{marker}{hashes}"


if __name__ == "__main__":
    main()
