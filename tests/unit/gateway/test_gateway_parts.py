"""The gateway's collaborators are typed: mypy sees what stands behind every route."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

import services.gateway
from services.gateway.http.parts import Needed, part_of
from services.gateway.jobs.dispatch import Dispatcher
from services.gateway.parts import Parts
from services.gateway.stores.stores import Stores
from tests.gateway_fakes import Gateway

HERE = Path(services.gateway.__file__).parent


def needed(dependant: Dependant) -> Iterator[type[Any]]:
    for one in dependant.dependencies:
        if isinstance(one.call, Needed):
            yield one.call.kind
        yield from needed(one)


def test_one_module_reads_the_state_of_the_app() -> None:
    said = {path.relative_to(HERE).as_posix() for path in HERE.rglob("*.py") if "app.state" in path.read_text("utf-8")}
    assert said == {"http/parts.py"}


def test_each_part_is_of_a_kind_of_its_own() -> None:
    kinds = list(get_type_hints(Parts).values())
    assert Any not in kinds
    assert object not in kinds
    assert len(set(kinds)) == len(kinds)


def test_a_route_asks_for_no_part_that_is_not_there(tmp_path: Path) -> None:
    routes = [route for route in Gateway(tmp_path).app.routes if isinstance(route, APIRoute)]
    asked = {kind for route in routes for kind in needed(route.dependant)}
    assert {Stores, Dispatcher} <= asked
    assert asked <= set(get_type_hints(Parts).values())


def test_a_part_is_found_by_its_kind(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    assert part_of(gateway.app, Stores) is gateway.parts.stores
    with pytest.raises(KeyError):
        part_of(gateway.app, str)
