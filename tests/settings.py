"""Every setting of the platform, found in the classes that read them."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import services
from services.kit.settings import Platform, ServiceSettings

Setting = tuple[
    str, str, str
]  # key in tandem.toml, environment variable, default as TOML; empty where there is none, or a folder decides


def all_settings() -> list[Setting]:
    for file in sorted(Path(services.__path__[0]).glob("*/settings.py")):
        importlib.import_module(f"services.{file.parent.name}.settings")
    kinds: list[type[Platform] | type[ServiceSettings]] = [Platform, *ServiceSettings.__subclasses__()]
    return [setting for kind in kinds for setting in _of(kind)]


def _of(kind: type[Platform] | type[ServiceSettings]) -> list[Setting]:
    table, prefix = kind.toml_table, str(kind.model_config["env_prefix"])
    found = []
    for name, field in kind.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "" if default is None or isinstance(default, Path) else json.dumps(default)
        found.append((f"{table}.{name}" if table else name, f"{prefix}{name.upper()}", shown))
    return found
