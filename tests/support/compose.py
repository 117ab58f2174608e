"""Reads docker-compose.yml as Compose does, as far as our file goes: `${...}`, `$$`, YAML merges, `env_file`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

from harness.places import ROOT

COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"
OURS = (
    "migrate",
    "gateway",
    "retrieval",
    "generation",
    "worker-index",
    "worker-train",
    "worker-light",
    "beat",
    "dashboard",
)
STORES = ("qdrant", "redis", "postgres")
SECRETS = ("POSTGRES_PASSWORD", "BROKER_PASSWORD", "QDRANT_API_KEY", "TANDEM_SERVICE_TOKEN", "GRAFANA_PASSWORD")
VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:?[-?])([^}]*))?\})")


class MissingVariable(Exception):
    """A required variable is not set; the message is the file's own."""


def substitute(text: str, variables: Mapping[str, str]) -> str:
    """Put the variables into a string. Raises MissingVariable for one that is required and not set."""

    def value(match: re.Match[str]) -> str:
        name, operator, word = match.groups()
        if name is None:
            return "$"
        found = variables.get(name)
        if found or (found is not None and not (operator or "").startswith(":")):
            return found
        if operator and operator.endswith("?"):
            raise MissingVariable(f"{name}: {word}")
        return word or ""

    return VARIABLE.sub(value, text)


def read(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file's content; with variables put in where they are given."""
    text = COMPOSE.read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return _filled(content, variables) if variables is not None else content


def environment(service: Mapping[str, Any], root: Path = ROOT) -> dict[str, str]:
    """What a container is given: its files of variables that exist below `root`, one after the other, and on top what
    stands under `environment`."""
    given: dict[str, str] = {}
    for file in service.get("env_file", []):
        path = root / file["path"]
        assert path.is_file() or file["required"] is False, f"Compose stops without {path}"
        given |= {key: value for key, value in dotenv_values(path).items() if value is not None}
    return {**given, **{key: str(value) for key, value in service.get("environment", {}).items()}}


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return substitute(value, variables)
    if isinstance(value, list):
        return [_filled(one, variables) for one in value]
    if isinstance(value, dict):
        filled = {key: _filled(one, variables) for key, one in value.items()}
        if "environment" in filled:
            filled["environment"] = _passed_on(filled["environment"], variables)
        return filled
    return value


def _passed_on(environment: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """A variable without a value is the one of the same name, and is not there where that is not."""
    passed = {name: variables.get(name) if value is None else value for name, value in environment.items()}
    return {name: value for name, value in passed.items() if value is not None}
