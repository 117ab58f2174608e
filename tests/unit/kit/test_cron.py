"""Schedules as an operator writes them, checked before anything is stored."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.gateway.sources.schemas import SourceCreate, SourceUpdate
from services.kit.cron import check_cron, check_time_zone


@pytest.mark.parametrize("cron", ["0 3 * * *", "*/15 8-18 * * 1-5", "0,30 * 1 1,7 0", " 5  4 * * 7 ", "0-10/2 * * * *"])
def test_five_fields_of_numbers_ranges_lists_and_steps_are_a_schedule(cron: str) -> None:
    assert check_cron(cron) == " ".join(cron.split())


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("", "0 fields"),
        ("0 3 * *", "4 fields"),
        ("@daily", "1 fields"),
        ("60 3 * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 3 0 * *", "day of the month"),
        ("0 3 * 13 *", "month"),
        ("0 3 * * 8", "day of the week"),
        ("0 18-8 * * *", "smaller number first"),
        ("*/0 * * * *", "at least 1"),
        ("0 3 * * mon", "use numbers"),
        ("0 3 * * 1-", "use numbers"),
        ("0 3 * * 1;ls", "use numbers"),
        ("0 \uff13 * * *", "no hour: use numbers"),  # a digit of full width
        ("0 \u0663 * * *", "no hour: use numbers"),  # an Arabic digit
        ("0 3 * * *\u00b2", "use numbers"),
        ("0 3 1/99999999999 * *", "use numbers"),
        ("0 0 30 2 *", "never due: none of its months has a day 30"),
        ("0 0 31 4,6-6 *", "never due: none of its months has a day 31"),
        ("0 0 30-31 2 1,*", "never due"),
    ],
)
def test_what_is_no_schedule_says_which_field(cron: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_cron(cron)


@pytest.mark.parametrize("cron", ["0 0 29 2 *", "0 0 31 2-3 *", "0 0 30 2 1", "0 0 28-31 2 *", "0 0 */30 2 *"])
def test_the_29th_of_february_and_what_a_weekday_makes_due_are_schedules(cron: str) -> None:
    assert check_cron(cron) == cron


def test_a_range_of_one_number_is_that_number() -> None:
    assert check_cron("5-5 3-3/2 1-31 2-2,7 1") == "5 3 1-31 2,7 1"


@pytest.mark.parametrize("name", ["Mars/Base", "", "../../etc/passwd", "/etc/localtime"])
def test_a_time_zone_has_to_exist(name: str) -> None:
    assert check_time_zone("Europe/Berlin") == "Europe/Berlin"
    with pytest.raises(ValueError, match="is no time zone"):
        check_time_zone(name)


def test_a_change_keeps_what_it_does_not_name_and_null_takes_away() -> None:
    before = {"include": ["docs/*"], "url_prefix": "https://wiki.test/"}
    changed = SourceUpdate(exclude=["*.txt"], url_prefix=None).columns(before)
    assert changed == {"settings": {"include": ["docs/*"], "exclude": ["*.txt"]}}
    assert SourceUpdate(schedule=None).columns(before) == {"cron": None, "time_zone": "UTC"}
    assert SourceUpdate(name="Wiki").columns(before) == {"name": "Wiki"}


def test_a_new_source_has_a_name_and_settings_of_its_own() -> None:
    body = SourceCreate.model_validate(
        {"kind": "folder", "location": "/srv/docs", "include": ["*.md"], "schedule": {"cron": "0 3 * * *"}}
    )
    assert body.title() == "/srv/docs"
    assert body.columns() == {"cron": "0 3 * * *", "time_zone": "UTC", "settings": {"include": ["*.md"]}}


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "ftp"}, {"location": ""}, {"exlude": ["*"]}, {"url_prefix": "javascript:alert(1)"}, {"max_file_bytes": 0},
     {"attributes": {"a": ["list"]}}, {"schedule": {"cron": "daily"}}, {"schedule": {}}],
)  # fmt: skip
def test_a_source_with_a_mistake_in_it_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SourceCreate.model_validate({"kind": "folder", "location": "/srv/docs", **wrong})
