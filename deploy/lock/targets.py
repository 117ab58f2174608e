"""What the locks are for: CPython 3.11 to 3.13 on Linux, x86-64 and aarch64, as pip and markers name them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from packaging.markers import Marker

PYTHONS = ("3.11", "3.12", "3.13")
# The oldest glibc 2.x that every pin has a wheel for: llguidance asks for 2.31, openvino for 2.35 on aarch64.
GLIBC = {"x86_64": 31, "aarch64": 35}
FIRST_GLIBC = {"x86_64": 5, "aarch64": 17}  # wheels are built for these and newer
OLD_NAMES = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}  # of glibc 2.5, 2.12 and 2.17


@dataclass(frozen=True)
class Target:
    """One Python version on one machine."""

    python: str  # "3.11"
    machine: str  # as `uname -m` says it

    @property
    def platforms(self) -> list[str]:
        """The platform tags that such a machine takes, best first."""
        tags = []
        for minor in range(GLIBC[self.machine], FIRST_GLIBC[self.machine] - 1, -1):
            tags.append(f"manylinux_2_{minor}_{self.machine}")
            tags += [f"{OLD_NAMES[minor]}_{self.machine}"] if minor in OLD_NAMES else []
        return [*tags, f"linux_{self.machine}"]

    @property
    def pip_flags(self) -> list[str]:
        """Make pip choose for this target, whatever it runs on. A version without a patch is that minor's first."""
        flags = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", self.python]
        return flags + [part for platform in self.platforms for part in ("--platform", platform)]

    @property
    def environments(self) -> list[dict[str, str]]:
        """What markers see on this target, with the first patch release of its Python and with a late one."""
        return [self._environment(f"{self.python}.{patch}") for patch in (0, 99)]

    def _environment(self, full_version: str) -> dict[str, str]:
        return {
            "implementation_name": "cpython",
            "implementation_version": full_version,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": full_version,
            "python_version": self.python,
            "sys_platform": "linux",
        }


TARGETS = [Target(python, machine) for python, machine in product(PYTHONS, GLIBC)]
ENVIRONMENTS = [environment for target in TARGETS for environment in target.environments]


def holds(marker: Marker | None, environments: list[dict[str, str]], extras: frozenset[str] = frozenset()) -> bool:
    """Whether a marker holds in any of the environments, with any of the extras or with none."""
    return marker is None or any(
        marker.evaluate({**environment, "extra": extra}) for environment in environments for extra in ("", *extras)
    )
