"""The shape of docker-compose.yml and the Dockerfile. No Docker engine is needed, and none is asked."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.places import ROOT
from services.kit.settings import Platform
from tests.settings import all_settings
from tests.support.compose import EXAMPLE, OURS, SECRETS, STORES, MissingVariable, read, substitute
from tests.unit.deploy.uses import asked_from, starts_of

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
FILLED = {name: f"value{number}" for number, name in enumerate(SECRETS)}
RAW = read()
SERVICES: dict[str, Any] = RAW["services"]
ASKS_OTHERS = {"judge_url", "request_timeout"}  # settings of the judge, and of what opens sources
ONE_SHOT = {
    target
    for service in SERVICES.values()
    for target, wish in service.get("depends_on", {}).items()
    if wish["condition"] == "service_completed_successfully"
}


def test_every_process_and_every_store_is_a_service() -> None:
    assert {*OURS, *STORES, "generation-gpu"} <= set(SERVICES)


def test_only_the_gateway_is_published_and_on_loopback_unless_told_otherwise() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["gateway"]
    assert read(FILLED)["services"]["gateway"]["ports"] == ["127.0.0.1:8000:8000"]


def test_stores_and_inner_services_have_no_way_out() -> None:
    assert RAW["networks"]["internal"]["internal"] is True
    for name in (*STORES, "migrate", "retrieval", "generation", "generation-gpu", "worker-index", "beat"):
        assert set(SERVICES[name]["networks"]) == {"internal"}


def test_the_workers_that_ask_sites_buckets_or_a_judge_have_a_way_out_and_nothing_comes_in() -> None:
    asking = {name for name in OURS if asked_from(starts_of(SERVICES[name]["command"])) & ASKS_OTHERS}
    assert asking == {"worker-train", "worker-light"}
    assert {name for name, service in SERVICES.items() if "egress" in service.get("networks", [])} == asking
    assert not (RAW["networks"]["egress"] or {}).get("internal")
    for name in asking:
        assert set(SERVICES[name]["networks"]) == {"egress", "internal"}
        assert "ports" not in SERVICES[name]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check_or_ends_by_itself(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert (name in ONE_SHOT) == bool(check.get("disable"))
    assert name in ONE_SHOT or check["test"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_only_for_services_that_its_profile_starts(name: str) -> None:
    for target in SERVICES[name].get("depends_on", {}):
        assert set(SERVICES[target].get("profiles", [])) <= set(SERVICES[name].get("profiles", []))


@pytest.mark.parametrize("name", SECRETS)
def test_a_missing_secret_stops_compose_and_is_named(name: str) -> None:
    with pytest.raises(MissingVariable, match=name):
        read({key: value for key, value in FILLED.items() if key != name})


def test_the_example_names_every_secret_and_holds_none() -> None:
    lines = dict(line.split("=", 1) for line in EXAMPLE.read_text().splitlines() if re.match(r"[A-Z]", line))
    assert {name: lines.get(name) for name in SECRETS} == dict.fromkeys(SECRETS, "")


def test_no_secret_is_written_in_the_file() -> None:
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|KEY|SECRET", key):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), key
            assert not re.search(r"://[^/@]*:[^/@]+@", re.sub(r"\$\{[^}]*\}", "", str(value))), key


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if "build" in service])
def test_a_built_image_names_an_extra_that_has_a_lock(name: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    extra = SERVICES[name]["build"]["args"]["EXTRA"]
    assert extra in extras
    assert (ROOT / f"deploy/lock/{extra}.lock").is_file()
    assert re.search(rf"^\s+gateway\|.*\b{extra}\b.*\)", DOCKERFILE, re.MULTILINE) or extra == "gateway"


def test_every_image_is_pinned_by_a_tag() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += re.findall(r"^ARG \w+_IMAGE=(\S+)", DOCKERFILE, re.MULTILINE)
    for image in images:
        assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", image), image


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_limit_of_memory_that_the_example_names(name: str) -> None:
    variable = f"MEMORY_{name.upper().replace('-', '_')}"
    found = re.fullmatch(rf"\$\{{{variable}:-(\d+[mg])\}}", SERVICES[name]["mem_limit"])
    assert found
    assert f"#{variable}={found[1]}" in EXAMPLE.read_text(encoding="utf-8").splitlines()
    assert read({**FILLED, variable: "3g"})["services"][name]["mem_limit"] == "3g"


def test_shared_memory_is_within_the_limit() -> None:
    """Shared memory counts as a container's memory."""
    services = read(FILLED)["services"]
    with_shared = [service for service in services.values() if "shm_size" in service]
    assert {service["image"] for service in with_shared} >= {services["generation-gpu"]["image"]}
    for service in with_shared:
        assert in_bytes(service["shm_size"]) <= in_bytes(service["mem_limit"]) / 2


def in_bytes(size: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([mg])b?", size).groups()  # type: ignore[union-attr]
    return int(number) * {"m": 2**20, "g": 2**30}[unit]


@pytest.mark.parametrize("name", OURS)
def test_a_command_runs_a_module_that_exists(name: str) -> None:
    python, flag, module, *_ = SERVICES[name]["command"]
    assert (python, flag) == ("python", "-m")
    assert importlib.util.find_spec(module)


def test_gateway_training_and_generation_share_the_folder_of_the_slots_sockets() -> None:
    folder = str(Platform(home="/data").run_folder)  # type: ignore[arg-type]
    for name in ("gateway", "worker-train", "generation", "generation-gpu"):
        assert f"slots:{folder}" in [volume.removesuffix(":ro") for volume in SERVICES[name]["volumes"]]


@pytest.mark.parametrize("name", [*OURS, "generation-gpu"])
def test_every_variable_is_a_setting(name: str) -> None:
    known = {variable for _, variable, _ in all_settings()}
    assert {key for key in SERVICES[name]["environment"] if key.startswith("TANDEM_")} <= known


def test_images_run_as_a_user_without_rights() -> None:
    for stage in DOCKERFILE.split("\nFROM ")[1:]:
        last = stage.split(" AS ")[1].split()[0]
        assert ("\nUSER tandem" in stage) == (last in ("service", "gpu"))


def test_variables_are_put_in_as_compose_does() -> None:
    assert substitute("a ${A} $$b ${C:-c} ${D-d} ${E-e}", {"A": "1", "C": "", "D": ""}) == "a 1 $b c  e"


@pytest.mark.parametrize("path", sorted((ROOT / "deploy").glob("compose.*.yml")), ids=lambda path: path.name)
def test_a_further_file_changes_services_that_exist_and_names_variables_of_the_example(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert set(yaml.safe_load(text)["services"]) <= set(SERVICES)
    assert set(re.findall(r"\$\{(\w+)", text)) <= set(re.findall(r"^#?(\w+)=", EXAMPLE.read_text(), re.MULTILINE))
    for port in (port for service in yaml.safe_load(text)["services"].values() for port in service.get("ports", [])):
        assert port.startswith("127.0.0.1:")
