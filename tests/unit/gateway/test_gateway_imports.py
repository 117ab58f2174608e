"""The gateway's image has no numpy, torch or transformers: nothing that it imports may need them."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
sys.modules.update(dict.fromkeys(["numpy", "torch", "transformers", "llama_index"]))  # importing these now fails
import services.gateway.app
"""


def test_the_gateway_starts_without_the_libraries_of_the_workers() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
