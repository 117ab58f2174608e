"""Checks whether something is a schedule: five cron fields and a time zone, without the library that computes due
times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7))
PART = re.compile(r"(\*|[0-9]{1,9}(?:-[0-9]{1,9})?)(?:/([0-9]{1,9}))?")  # not \d, which takes digits of every script
LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of each month, in a leap year."""


@dataclass(frozen=True)
class _Part:
    """One part of a field: its stored text, and the values that it stands for."""

    text: str
    numbers: range


def check_cron(cron: str) -> str:
    """The expression with single spaces: minute, hour, day of the month, month, day of the week, in numbers.

    Raises ValueError, also for one that matches no day, such as the 30th of February.
    """
    fields = cron.split()
    if len(fields) != len(FIELDS):
        raise ValueError(
            f"'{cron}' has {len(fields)} fields, not five: minute hour day month weekday, as in '0 3 * * *'"
        )
    read = [[_part(text, *field) for text in parts.split(",")] for parts, field in zip(fields, FIELDS, strict=True)]
    _, _, days, months, weekdays = read
    first = min(part.numbers[0] for part in days)
    longest = max(LONGEST[month - 1] for part in months for month in part.numbers)
    if first > longest and "*" in [part.text for part in weekdays]:  # with weekdays, either of the two is enough
        raise ValueError(f"'{cron}' is never due: none of its months has a day {first}")
    return " ".join(",".join(part.text for part in parts) for parts in read)


def _part(text: str, name: str, lowest: int, highest: int) -> _Part:
    """Raises ValueError."""
    found = PART.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is no {name}: use numbers, ranges as 1-5, lists as 1,3 and steps as */2")
    span = [int(number) for number in found[1].split("-")] if found[1] != "*" else [lowest, highest]
    if not lowest <= span[0] <= span[-1] <= highest:
        raise ValueError(f"'{text}' is no {name}: it lies from {lowest} to {highest}, the smaller number first")
    step = int(found[2] or 1)
    if step == 0:
        raise ValueError(f"'{text}' is no {name}: a step is at least 1")
    if len(span) == 2 and span[0] == span[1]:
        return _Part(str(span[0]), range(span[0], span[0] + 1))  # croniter 7 takes 2-2 for *
    last = highest if found[2] and len(span) == 1 else span[-1]  # 5/15 begins at 5 and goes on to the end
    return _Part(text, range(span[0], last + 1, step))


def check_time_zone(name: str) -> str:
    """The name of a time zone that this machine knows. Raises ValueError."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"'{name}' is no time zone; use a name as 'Europe/Berlin' or 'UTC'") from error
    return name
