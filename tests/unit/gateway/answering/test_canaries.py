"""The share of a canary, and when its figures end it."""

from __future__ import annotations

import pytest

from services.contracts.generation import CanaryShare, Route, RoutingTable
from services.database.tables import Canary
from services.gateway.answering.canaries import in_words, verdict
from services.gateway.answering.models import choose, falls_to

BASE = Route(slot="base", address="unix:/base", model="base")
LIVE = Route(slot="a", address="unix:/a", model="v1", version_id="ver-1")
SPARE = Route(slot="b", address="unix:/b", model="v2", version_id="ver-2")
TRIED = CanaryShare(id="canary-1", version_id="ver-2", share=0.2)
NAMES = {"ft:smol:brindle:1": "ver-1"}
MANY = [f"key-1:question {n}" for n in range(4000)]


def table(spare_is_ready: bool = True) -> RoutingTable:
    versions = {"ver-2": SPARE} if spare_is_ready else {}
    live = {"home": LIVE, "elsewhere": LIVE}
    return RoutingTable(epoch=1, base=BASE, live=live, versions=versions, loading=[], canaries={"home": TRIED})


def side(name: str, conversation: str, workspace: str = "home", spare_is_ready: bool = True) -> Route:
    return choose(name, table(spare_is_ready), workspace, {}, NAMES, False, conversation).route


@pytest.mark.parametrize("share", [0.01, 0.2, 0.9])
def test_so_many_conversations_fall_to_a_canary_as_its_share_says(share: float) -> None:
    canary = CanaryShare(id="canary-1", version_id="v", share=share)
    found = sum(falls_to(canary, one) for one in MANY) / len(MANY)
    assert abs(found - share) < 4 * (share * (1 - share) / len(MANY)) ** 0.5  # four standard deviations


def test_a_conversation_stays_on_its_side_and_another_canary_draws_anew() -> None:
    other = CanaryShare(id="canary-2", version_id="v", share=0.2)
    again = CanaryShare(id="canary-1", version_id="v", share=0.2)
    assert [falls_to(TRIED, one) for one in MANY] == [falls_to(again, one) for one in MANY]
    both = sum(falls_to(TRIED, one) and falls_to(other, one) for one in MANY) / len(MANY)
    assert 0.02 < both < 0.06


def test_a_larger_share_keeps_those_who_had_the_canary() -> None:
    larger = CanaryShare(id="canary-1", version_id="v", share=0.4)
    assert all(falls_to(larger, one) for one in MANY if falls_to(TRIED, one))


@pytest.mark.parametrize("name", ["default", "tandem/tuned", "tandem/hybrid"])
def test_the_names_of_the_live_version_are_shared_with_the_canary(name: str) -> None:
    routes = {side(name, one).version_id for one in MANY[:200]}
    assert routes == {"ver-1", "ver-2"}
    chosen = choose(name, table(), "home", {}, {}, False, MANY[0])
    assert chosen.trial is not None
    assert chosen.trial.new == (chosen.route == SPARE)


@pytest.mark.parametrize("name", ["tandem/base", "tandem/rag", "ft:smol:brindle:1"])
def test_a_canary_touches_neither_the_base_weights_nor_who_asks_for_a_version(name: str) -> None:
    for conversation in MANY[:200]:
        chosen = choose(name, table(), "home", {}, NAMES, False, conversation)
        assert (chosen.trial, chosen.route in (BASE, LIVE)) == (None, True)


def test_another_workspace_and_a_slot_that_is_gone_get_the_live_version() -> None:
    assert {side("default", one, workspace="elsewhere") for one in MANY[:200]} == {LIVE}
    assert {side("default", one, spare_is_ready=False) for one in MANY[:200]} == {LIVE}


@pytest.mark.parametrize(
    ("answers", "errors", "live_answers", "live_errors", "promote_after", "expected"),
    [
        (0, 19, 200, 0, None, "go on"),  # too few to tell
        (19, 1, 200, 0, None, "go on"),  # 5%: at the margin, not beyond it
        (18, 2, 200, 0, None, "end"),
        (18, 2, 90, 10, None, "go on"),  # the live version fails as often
        (0, 20, 0, 0, None, "end"),
        (100, 0, 200, 0, None, "go on"),  # never by itself
        (99, 0, 200, 0, 100, "go on"),
        (100, 0, 200, 0, 100, "publish"),
        (90, 10, 200, 0, 100, "end"),
        (0, 0, 0, 0, None, "go on"),
    ],
)
def test_a_canary_ends_by_its_error_rate_and_is_published_only_where_that_was_asked_for(
    answers: int, errors: int, live_answers: int, live_errors: int, promote_after: int | None, expected: str
) -> None:
    row = Canary(margin=0.05, min_requests=20, promote_after=promote_after, answers=answers, errors=errors,
                 live_answers=live_answers, live_errors=live_errors)  # fmt: skip
    assert verdict(row) == expected


def test_the_figures_are_a_sentence() -> None:
    row = Canary(margin=0.05, answers=15, errors=5, live_answers=199, live_errors=1)
    assert in_words(row) == (
        "25.0% of its 20 requests failed, 0.5% of the live version's 200; at most 5.0% more are allowed."
    )
