"""The shape of docker-compose.yml and the Dockerfile. No Docker engine is needed, and none is asked."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from typing import Any

import pytest

from services.kit.settings import Platform
from tests.compose import EXAMPLE, OURS, ROOT, SECRETS, STORES, MissingVariable, read, substitute
from tests.settings import all_settings

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
FILLED = {name: f"value{number}" for number, name in enumerate(SECRETS)}
RAW = read()
SERVICES: dict[str, Any] = RAW["services"]
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
    for name in (
        *STORES,
        "retrieval",
        "generation",
        "generation-gpu",
        "worker-index",
        "worker-train",
        "worker-light",
        "beat",
    ):
        assert set(SERVICES[name]["networks"]) == {"internal"}


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


@pytest.mark.parametrize("name", OURS)
def test_a_command_runs_a_module_that_exists(name: str) -> None:
    python, flag, module, *_ = SERVICES[name]["command"]
    assert (python, flag) == ("python", "-m")
    assert importlib.util.find_spec(module)


def test_volumes_are_folders_that_the_image_gives_to_its_user() -> None:
    for name in (*OURS, "generation-gpu"):
        for volume in SERVICES[name].get("volumes", []):
            folder = volume.split(":")[1].removeprefix("/data/")
            assert re.search(rf"for folder in[^;]*\b{folder}\b", DOCKERFILE), volume


def test_gateway_training_and_generation_share_the_folder_of_the_slots_sockets() -> None:
    folder = str(Platform(home="/data").run_folder)  # type: ignore[arg-type]
    for name in ("gateway", "worker-train", "generation", "generation-gpu"):
        assert f"slots:{folder}" in SERVICES[name]["volumes"]


@pytest.mark.parametrize("name", [*OURS, "generation-gpu"])
def test_every_variable_is_a_setting(name: str) -> None:
    known = {variable for _, variable, _ in all_settings()}
    assert {key for key in SERVICES[name]["environment"] if key.startswith("TANDEM_")} <= known


def test_a_setting_of_training_goes_from_env_to_the_workers_that_count_and_train_and_is_else_the_default() -> None:
    usual, chosen = (read({**FILLED, **more})["services"] for more in ({}, {"TANDEM_TRAINING_MAX_LENGTH": "4096"}))
    for name in ("worker-index", "worker-train"):
        assert "TANDEM_TRAINING_MAX_LENGTH" not in usual[name]["environment"]
        assert chosen[name]["environment"]["TANDEM_TRAINING_MAX_LENGTH"] == "4096"
    added = read({**FILLED, "TANDEM_GENERATION_ENGINE_ARGS": '{"seed": 1}'})["services"]
    assert added["generation-gpu"]["environment"]["TANDEM_GENERATION_ENGINE_ARGS"] == '{"seed": 1}'
    assert "TANDEM_GENERATION_ENGINE_ARGS" not in usual["generation-gpu"]["environment"]


def test_images_run_as_a_user_without_rights() -> None:
    for stage in DOCKERFILE.split("\nFROM ")[1:]:
        last = stage.split(" AS ")[1].split()[0]
        assert ("\nUSER tandem" in stage) == (last in ("service", "gpu"))


def test_variables_are_put_in_as_compose_does() -> None:
    assert substitute("a ${A} $$b ${C:-c} ${D-d} ${E-e}", {"A": "1", "C": "", "D": ""}) == "a 1 $b c  e"
