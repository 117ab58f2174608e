"""Each route says which scopes it needs and which limit it counts against; docs/api.md has the table.

A new route is named with the line that the table lacks: put it there.
"""

from __future__ import annotations

from itertools import takewhile
from typing import get_args

import pytest
from fastapi.routing import APIRoute

from harness.places import ROOT
from services.contracts.jobs import TASKS
from services.domain.keys import ALL_SCOPES as SCOPES
from services.gateway.files.files import PURPOSES as UPLOADED
from services.gateway.http.access import Access, Scope, access_of
from services.gateway.http.door import API
from services.gateway.http.visibility import JOB_KINDS, PURPOSES
from tests.gateway_fakes import Gateway

HEAD = ["| route | ask | knowledge | voice | operate | workspaces | counts as |", "|---|---|---|---|---|---|---|"]
ASKING = {
    "POST /v1/chat/completions",
    "POST /v1/responses",
    "POST /v1/embeddings",
    "POST /v1/vector_stores/{store_id}/search",
}


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Access | None]:
    """What each route below /v1/ asks for, in the app's order."""
    app = Gateway(tmp_path_factory.mktemp("routes")).app
    shown = [route for route in app.routes if isinstance(route, APIRoute) and route.path.startswith(API)]
    assert len(shown) > 80
    return {f"{method} {named(route)}": access_of(route) for route in shown for method in sorted(route.methods)}


def named(route: APIRoute) -> str:
    return route.path.replace(":path}", "}")


def test_every_route_of_the_api_names_its_scopes_and_its_limit(routes: dict[str, Access | None]) -> None:
    assert [name for name, access in routes.items() if access is None or not access.scopes] == []


def test_routes_that_look_are_reads_and_those_that_ask_are_requests(routes: dict[str, Access | None]) -> None:
    for name, access in routes.items():
        assert access is not None
        expected = "reads" if name.startswith("GET") else "requests" if name in ASKING else "writes"
        assert access.counts == expected, name


def test_the_page_has_a_line_for_each_route_and_no_other(routes: dict[str, Access | None]) -> None:
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8").splitlines()
    start = page.index(HEAD[0])
    table = list(takewhile(lambda row: row.startswith("|"), page[start:]))
    assert table[:2] == HEAD
    wanted = [line(name, access) for name, access in routes.items() if access and not name.endswith("/")]
    assert sorted(table[2:]) == sorted(wanted)


def line(name: str, access: Access) -> str:
    marks = " | ".join("x" if scope in access.scopes else " " for scope in SCOPES)
    return f"| `{name}` | {marks} | {access.counts} |"


def test_scopes_of_keys_and_of_routes_are_the_same() -> None:
    assert get_args(Scope) == SCOPES


def test_every_kind_of_job_and_every_purpose_of_a_file_is_one_scopes() -> None:
    kinds = [kind for scope in ("knowledge", "voice") for kind in JOB_KINDS[scope]]
    assert sorted(kinds) == sorted(TASKS) == sorted(JOB_KINDS["operate"])
    purposes = [purpose for some in PURPOSES.values() for purpose in some]
    assert len(purposes) == len(set(purposes))
    assert set(UPLOADED) <= set(purposes)
