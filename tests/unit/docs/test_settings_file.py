"""`tandem.toml` and the environment: which one counts, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.command.supervisor import launch
from services.gateway.settings import GatewaySettings
from services.kit.settings import Platform, ServiceSettings
from tests.settings import all_settings

TABLES = sorted({key.split(".")[0] for key, _, _ in all_settings() if "." in key})
CLASSES = {str(kind.toml_table): kind for kind in ServiceSettings.__subclasses__()}


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tandem.toml` in the current folder, with nothing of the environment above it."""
    for name in [name for name in os.environ if name.startswith("TANDEM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tandem.toml"


def test_the_top_level_is_the_platforms_and_a_table_one_services(file: Path) -> None:
    file.write_text('top_k = 5\n\n[gateway]\nmax_waiting = 3\nmodel_aliases = {"gpt-4o-mini" = "tandem/hybrid"}\n')
    assert Platform().top_k == 5
    assert GatewaySettings().max_waiting == 3
    assert GatewaySettings().model_aliases == {"gpt-4o-mini": "tandem/hybrid"}


def test_a_variable_wins_over_the_file_and_lists_and_tables_are_json(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("top_k = 5\n\n[gateway]\nmax_waiting = 3\n")
    monkeypatch.setenv("TANDEM_TOP_K", "7")
    monkeypatch.setenv("TANDEM_GATEWAY_MAX_WAITING", "9")
    monkeypatch.setenv("TANDEM_GATEWAY_MODEL_ALIASES", json.dumps({"gpt-4o-mini": "tandem/hybrid"}))
    assert Platform().top_k == 7
    assert GatewaySettings().max_waiting == 9
    assert GatewaySettings().model_aliases == {"gpt-4o-mini": "tandem/hybrid"}


def test_another_file_may_be_named(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.toml"
    other.write_text("top_k = 4\n")
    file.write_text("top_k = 5\n")
    monkeypatch.setenv("TANDEM_CONFIG", str(other))
    assert Platform().top_k == 4


@pytest.mark.parametrize("table", TABLES)
def test_an_unknown_key_in_a_services_table_is_refused_by_name(file: Path, table: str) -> None:
    file.write_text(f"[{table}]\nprot = 9000\n")
    with pytest.raises(ValidationError, match="prot"):
        CLASSES[table]()


def test_the_address_in_the_file_is_where_the_platform_listens(file: Path) -> None:
    file.write_text('gateway_url = "http://127.0.0.1:8100"\ndashboard_url = "http://127.0.0.1:8200"\n')
    found = launch.settings(None)
    assert (found.gateway_url, found.dashboard_url) == ("http://127.0.0.1:8100", "http://127.0.0.1:8200")
    chosen = launch.settings(None, port=9000)
    assert (chosen.gateway_url, chosen.dashboard_url) == ("http://127.0.0.1:9000", "http://127.0.0.1:9001")
