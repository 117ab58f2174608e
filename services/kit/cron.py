"""Is this a schedule? Five cron fields and a time zone, checked without the library that computes due times."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7))
PART = re.compile(r"(\*|\d+(?:-\d+)?)(?:/(\d+))?")


def check_cron(cron: str) -> str:
    """The expression with single spaces: minute, hour, day of the month, month, day of the week, in numbers.

    Raises ValueError.
    """
    fields = cron.split()
    if len(fields) != len(FIELDS):
        raise ValueError(
            f"'{cron}' has {len(fields)} fields, not five: minute hour day month weekday, as in '0 3 * * *'"
        )
    for text, (name, lowest, highest) in zip(fields, FIELDS, strict=True):
        for part in text.split(","):
            _check_part(part, name, lowest, highest)
    return " ".join(fields)


def _check_part(part: str, name: str, lowest: int, highest: int) -> None:
    found = PART.fullmatch(part)
    if found is None:
        raise ValueError(f"'{part}' is no {name}: use numbers, ranges as 1-5, lists as 1,3 and steps as */2")
    span = [int(number) for number in found[1].split("-")] if found[1] != "*" else [lowest, highest]
    if not lowest <= span[0] <= span[-1] <= highest:
        raise ValueError(f"'{part}' is no {name}: it lies from {lowest} to {highest}, the smaller number first")
    if found[2] is not None and int(found[2]) == 0:
        raise ValueError(f"'{part}' is no {name}: a step is at least 1")


def check_time_zone(name: str) -> str:
    """The name of a time zone that this machine knows. Raises ValueError."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"'{name}' is no time zone; use a name as 'Europe/Berlin' or 'UTC'") from error
    return name
