"""docs/settings.md and the classes of settings say the same."""

from __future__ import annotations

import re

from harness.places import ROOT
from tests.settings import all_settings

ROW = re.compile(r"^\| `([\w.]+)` \| `(\w+)` \| (?:`([^`]*)`|[^|`]*) \| [^|]{10,} \|$", re.MULTILINE)


def test_the_page_lists_every_setting_with_its_variable_and_default_and_no_other() -> None:
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    listed = [(key, variable, default or "") for key, variable, default in ROW.findall(page)]
    assert sorted(listed) == sorted(all_settings())
