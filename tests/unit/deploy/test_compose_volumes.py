"""What lies below the home is on volumes of exactly those services that use it, and secrets go to those alone."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.places import ROOT
from services.kit.settings import Platform
from tests.support.compose import OURS, read
from tests.unit.deploy.uses import HOME, folders_of, secrets_of

SERVICES: dict[str, Any] = read()["services"]
VOLUMES: dict[str, Any] = read()["volumes"]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
PAGE = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
NOTHING_KEPT = {"dashboard"}
SECRETS = {
    "database_url": "TANDEM_DATABASE_URL",
    "broker_url": "TANDEM_BROKER_URL",
    "service_token": "TANDEM_SERVICE_TOKEN",
    "index_api_key": "TANDEM_RETRIEVAL_INDEX_API_KEY",
}


def mounts(name: str) -> dict[str, str]:
    """`read` or `write` for each folder of the home that a service has a volume for."""
    parts = [volume.split(":") for volume in SERVICES[name].get("volumes", [])]
    return {target.removeprefix("/data/"): "read" if mode == ["ro"] else "write" for _, target, *mode in parts}


def table() -> dict[str, dict[str, str]]:
    """The page's table: for each folder, the services that use it and how."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if re.match(r"\| (folder|`\w+/`) \|", line)]
    (_, _, *services), *folders = rows
    return {
        name.strip("`/"): {service: cell for service, cell in zip(services, cells, strict=True) if cell != "-"}
        for name, _, *cells in folders
    }


def test_the_table_has_every_folder_of_a_home_and_no_other() -> None:
    named = {getattr(HOME, name).name for name in vars(Platform) if name.endswith("_folder")}
    assert set(table()) == {*named, "files"}


def test_folders_of_a_home_are_named_by_platform_alone() -> None:
    code = [file for package in ("services", "training", "retrieval") for file in (ROOT / package).rglob("*.py")]
    spelled = [file for file in code if re.search(r"\bhome\s*/\s*f?[\"']", file.read_text(encoding="utf-8"))]
    assert [str(file.relative_to(ROOT)) for file in spelled] == ["services/kit/settings.py"]


@pytest.mark.parametrize("name", OURS)
def test_a_service_has_the_folders_that_its_code_uses_and_no_other(name: str) -> None:
    assert {folder for folder, users in table().items() if name in users} == folders_of(name, SERVICES[name])


@pytest.mark.parametrize("name", OURS)
def test_each_folder_that_a_service_uses_is_a_volume_that_it_may_use_so(name: str) -> None:
    used = {folder: users[name] for folder, users in table().items() if name in users and folder not in NOTHING_KEPT}
    assert mounts(name) == used


def test_generation_on_gpus_has_the_same_volumes() -> None:
    assert mounts("generation-gpu") == mounts("generation")


@pytest.mark.parametrize("name", [*OURS, "generation-gpu"])
def test_a_volume_lies_on_a_folder_that_the_image_gives_to_its_user(name: str) -> None:
    stages = {stage.split(" AS ")[1].split()[0]: stage for stage in DOCKERFILE.split("\nFROM ")[1:]}
    stage = stages[SERVICES[name]["build"]["target"]]
    made = re.search(r"for folder in ([\w ]+); do[\s\\]*install -d -m 0700 -o tandem -g tandem /data/\$folder;", stage)
    assert made
    assert set(mounts(name)) <= set(made[1].split())
    assert "useradd --uid 10001 " in stage  # the same in both images, or one could not read what the other wrote


def test_every_volume_is_declared_and_used() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {name for name in used if not name.startswith(".")} == set(VOLUMES)


@pytest.mark.parametrize("name", OURS)
def test_a_service_has_the_secrets_that_its_code_uses_and_no_other(name: str) -> None:
    used = {SECRETS[setting] for setting in secrets_of(SERVICES[name]) & SECRETS.keys()}
    assert set(SERVICES[name]["environment"]) & set(SECRETS.values()) == used


def test_the_first_key_is_where_the_page_says() -> None:
    """`docker compose run --rm migrate cat /data/secrets/api_key`: the image has no entry point in `cat`'s way."""
    assert f"migrate cat {HOME.secrets_folder}/api_key" in PAGE
    assert mounts("migrate") == {"secrets": "write"}
    assert "ENTRYPOINT" not in DOCKERFILE.split(" AS service\n")[1].split("\nFROM ")[0]
