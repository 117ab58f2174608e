"""The tandem.toml of an earlier version: a key that is no longer known would keep a service from starting."""

from __future__ import annotations

import json

import pytest

from tests.settings import all_settings
from tests.upgrade.home import HERE, HOMES

GONE: set[str] = set()
"""Keys that were given up on purpose. CHANGELOG.md says what takes the place of each."""


@pytest.mark.parametrize("name", HOMES)
def test_every_key_of_an_earlier_version_is_still_taken(name: str) -> None:
    then = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))["settings"]
    assert set(then) - {key for key, _, _ in all_settings()} == GONE
