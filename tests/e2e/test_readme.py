"""The README's Python, run as it stands there but for the address, the key's folder and the question."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from harness.places import BRINDLE, ROOT
from harness.platform import RunningPlatform
from tests.support.pages import read_page

QUESTION = "Within how many days can I return a bike that I bought?"


def test_the_code_of_the_readme_uploads_a_file_asks_and_prints_citations(
    platform: RunningPlatform, tmp_path: Path
) -> None:
    (code,) = [code for language, code in read_page(ROOT / "README.md").blocks if language == "python"]
    for there, here in {
        "http://127.0.0.1:8000": platform.gateway_url,
        ".tandem/secrets/api_key": f"{platform.home}/secrets/api_key",
        "How long is the probation period?": QUESTION,
    }.items():
        assert there in code
        code = code.replace(there, here)
    shutil.copy(BRINDLE / "documents/gears-manual.pdf", tmp_path / "handbook.pdf")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    answer, *citations = done.stdout.strip().splitlines()
    assert answer
    assert any("refund" in line for line in citations)
