"""The gateway's image has no numpy, torch or transformers: nothing that it imports may need them."""

from __future__ import annotations

import subprocess
import sys
import tomllib

from harness.places import ROOT

CONTRACT = "No route module of the gateway imports another"
PROGRAM = """
import sys
sys.modules.update(dict.fromkeys(["numpy", "torch", "transformers", "llama_index"]))  # importing these now fails
import services.gateway.app
"""


def test_the_gateway_starts_without_the_libraries_of_the_workers() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr


def test_the_contract_on_route_modules_names_each_of_them() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    named = next(set(one["modules"]) for one in settings["contracts"] if one["name"] == CONTRACT)
    paths = [path.relative_to(ROOT) for path in (ROOT / "services/gateway").rglob("*_routes.py")]
    found = {".".join(path.with_suffix("").parts) for path in paths}
    assert found == named - {"services.gateway.*.routes"}
