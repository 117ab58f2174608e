from __future__ import annotations

import pytest

from services.contracts.generation import Route, RoutingTable
from services.gateway.answering.models import UnloadedVersion, choose, served
from services.kit.errors import ApiError

BASE = Route(slot="base", address="unix:/base", model="base")
LIVE = Route(slot="a", address="unix:/a", model="v1", version_id="ver-1")
SPARE = Route(slot="b", address="unix:/b", model="v2", version_id="ver-2")
VERSIONS = {"ft:smol:brindle:1": "ver-1", "ft:smol:brindle:2": "ver-2", "ft:smol:brindle:3": "ver-3"}


def table(loading: tuple[str, ...] = ()) -> RoutingTable:
    return RoutingTable(epoch=1, base=BASE, live={"home": LIVE}, versions={"ver-2": SPARE}, loading=list(loading))


def pick(name: str, workspace: str = "home", with_stores: bool = False, loading: tuple[str, ...] = ()) -> object:
    return choose(name, table(loading), workspace, {"gpt-4o-mini": "tandem/hybrid"}, VERSIONS, with_stores)


@pytest.mark.parametrize(
    ("name", "mode", "route"),
    [
        ("tandem/base", "base", BASE),
        ("tandem/rag", "rag", BASE),
        ("tandem/tuned", "tuned", LIVE),
        ("tandem/hybrid", "hybrid", LIVE),
        ("gpt-4o-mini", "hybrid", LIVE),
        ("default", "hybrid", LIVE),
    ],
)
def test_a_model_name_chooses_mode_and_weights(name: str, mode: str, route: Route) -> None:
    choice = choose(name, table(), "home", {"gpt-4o-mini": "tandem/hybrid"}, {}, with_stores=False)
    assert (choice.mode, choice.route) == (mode, route)


def test_the_default_is_rag_until_tuned_weights_are_live() -> None:
    assert choose("default", table(), "elsewhere", {}, {}, with_stores=False).mode == "rag"


def test_a_version_answers_as_hybrid_with_stores_and_as_tuned_without() -> None:
    for with_stores, mode in ((True, "hybrid"), (False, "tuned")):
        choice = choose("ft:smol:brindle:2", table(), "home", {}, VERSIONS, with_stores)
        assert (choice.mode, choice.route) == (mode, SPARE)


def test_a_mode_without_weights_is_a_404_that_says_how_to_turn_it_on() -> None:
    with pytest.raises(ApiError, match="tandem train") as caught:
        pick("tandem/hybrid", workspace="elsewhere")
    assert caught.value.status == 404
    assert served(table(), "elsewhere") == ["tandem/base", "tandem/rag"]


def test_an_unknown_mode_is_a_404_that_lists_what_is_served() -> None:
    with pytest.raises(ApiError, match="tandem/hybrid") as caught:
        pick("tandem/psychic")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_a_version_that_is_loading_is_a_503_with_retry_after() -> None:
    with pytest.raises(ApiError) as caught:
        pick("ft:smol:brindle:3", loading=("ver-3",))
    assert caught.value.status == 503
    assert caught.value.retry_after


def test_a_version_that_no_slot_serves_is_asked_for() -> None:
    with pytest.raises(UnloadedVersion):
        pick("ft:smol:brindle:3")


def test_another_workspaces_version_does_not_exist() -> None:
    with pytest.raises(ApiError) as caught:
        choose("ft:smol:brindle:2", table(), "elsewhere", {}, {}, with_stores=True)
    assert caught.value.status == 404
