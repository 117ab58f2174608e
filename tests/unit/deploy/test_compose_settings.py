"""Settings of containers: files of variables beside `.env`, each read by those services that need it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from harness.places import ROOT
from services.dashboard.settings import DashboardSettings
from services.gateway.settings import GatewaySettings
from services.generation.settings import GenerationSettings
from services.kit.settings import DataSetSettings, Platform, SourceSettings
from services.retrieval.settings import RetrievalSettings
from services.worker.settings import TrainingSettings, WorkerSettings
from tests.settings import all_settings
from tests.support.compose import EXAMPLE, OURS, SECRETS, environment, read

FILLED = {name: f"value{number}" for number, name in enumerate(SECRETS)}
SERVICES = read(FILLED)["services"]
ENV = Path("deploy/env")
READERS = {"settings.env": {*OURS, "generation-gpu"}, "judge.env": {"worker-train"}, "buckets.env": {"worker-light"}}
SECRET = re.compile("PASSWORD|TOKEN(?!S|IZER)|KEY|SECRET")
VARIABLES = {variable for _, variable, _ in all_settings()}
EVERY_CLASS = (
    Platform, GatewaySettings, RetrievalSettings, GenerationSettings, WorkerSettings, TrainingSettings,
    SourceSettings, DataSetSettings, DashboardSettings,
)  # fmt: skip


def named(path: Path) -> list[str]:
    """The variables that a file of examples names, set or commented out."""
    return re.findall(r"^#?([A-Z][A-Z_0-9]+)=", path.read_text(encoding="utf-8"), re.MULTILINE)


def fill(root: Path, name: str, text: str) -> None:
    (root / ENV).mkdir(parents=True, exist_ok=True)
    (root / ENV / name).write_text(text)


def put_on(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("TANDEM_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("file", READERS)
def test_a_file_is_read_by_those_who_need_it_and_by_no_store(file: str) -> None:
    path = str(ENV / file)
    reads = {name: [one["path"] for one in service.get("env_file", [])] for name, service in SERVICES.items()}
    assert {name for name, paths in reads.items() if path in paths} == READERS[file]


def test_compose_starts_without_the_files_and_git_leaves_them_alone() -> None:
    for service in SERVICES.values():
        assert all(one["required"] is False for one in service.get("env_file", []))
    assert "deploy/env/*.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_a_setting_reaches_a_service_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "settings.env", "TANDEM_GATEWAY_MAX_WAITING=3\nTANDEM_SOURCES_FOLDERS='[\"/sources\"]'\n")
    fill(tmp_path, "judge.env", "TANDEM_TRAINING_JUDGE_API_KEY=sk-judge\n")
    put_on(monkeypatch, environment(SERVICES["gateway"], tmp_path))
    assert GatewaySettings().max_waiting == 3
    assert SourceSettings().folders == ["/sources"]
    assert TrainingSettings().judge_api_key == ""
    put_on(monkeypatch, environment(SERVICES["worker-train"], tmp_path))
    assert TrainingSettings().judge_api_key == "sk-judge"


def test_what_compose_sets_wins_over_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "settings.env", "TANDEM_HOME=/elsewhere\nTANDEM_TOP_K=9\n")
    put_on(monkeypatch, environment(SERVICES["gateway"], tmp_path))
    assert str(Platform().home) == "/data"
    assert Platform().top_k == 3


@pytest.mark.parametrize("file", READERS)
def test_an_example_is_read_whole_and_names_settings(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / ENV, tmp_path / ENV)
    text = (tmp_path / ENV / f"{file}.example").read_text()
    fill(tmp_path, file, re.sub(r"^#(?=[A-Z_]+=)", "", text, flags=re.MULTILINE))
    reader = min(READERS[file])
    given = environment(SERVICES[reader], tmp_path)
    assert set(named(tmp_path / ENV / f"{file}.example")) <= set(given)
    put_on(monkeypatch, given)
    for kind in EVERY_CLASS:
        kind()
    assert {name for name in given if name.startswith("TANDEM_")} <= VARIABLES


def test_the_file_for_all_services_holds_no_secret_and_nothing_that_compose_sets() -> None:
    names = set(named(ROOT / ENV / "settings.env.example"))
    set_by_compose = {name for service in OURS for name in SERVICES[service]["environment"]}
    assert not {name for name in names if SECRET.search(name)}
    assert not names & set_by_compose
    assert not names & set(named(EXAMPLE))


def test_every_secret_among_the_settings_has_a_place_that_few_services_read() -> None:
    secret = {variable for variable in VARIABLES if SECRET.search(variable)}
    placed = {*named(EXAMPLE), *named(ROOT / ENV / "judge.env.example")}
    assert secret - placed == {"TANDEM_RETRIEVAL_INDEX_API_KEY"}  # QDRANT_API_KEY in .env
    assert "TANDEM_RETRIEVAL_INDEX_API_KEY" in SERVICES["retrieval"]["environment"]
