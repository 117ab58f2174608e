"""Schedules: when something is due, and who does it.

A due time is claimed by inserting the row (schedule, due time), so that two beats never run it twice. Whatever was due
while nothing ran is done once. Needs croniter, which only the workers have.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadDateError, CroniterError, croniter
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.database.tables import ScheduleRun


class NeverDue(ValueError):
    """A cron expression that matches no day, such as the 31st of February, or one that cannot be read."""


def next_due(cron: str, time_zone: str, after: datetime) -> datetime:
    """The first due time after a given time, in UTC.

    The fields count wall-clock time. When clocks go forward, a time that does not exist is due when the gap ends. When
    they go back, an expression with fixed hours is due once, the first time, and one with `*` hours each hour. Raises
    NeverDue.
    """
    try:
        times = croniter(cron, after.astimezone(ZoneInfo(time_zone)))
        fixed_hours = "*" not in cron.split()[1]
        found: datetime = times.get_next(datetime)
        while fixed_hours and found.fold:  # croniter 7 gives the repeated hour twice
            found = times.get_next(datetime)
    except CroniterBadDateError as error:
        raise NeverDue(f"'{cron}' is never due; change the schedule") from error
    except (CroniterError, ZoneInfoNotFoundError, ValueError) as error:
        problem = f"'{cron}' in the time zone '{time_zone}' cannot be read ({error}); change the schedule"
        raise NeverDue(problem) from error
    return found.astimezone(UTC)


def claim_run(session: Session, workspace_id: str, schedule_id: str, due_at: datetime) -> ScheduleRun | None:
    """Take a due time. Returns its row, in which the caller records the outcome; None if somebody else has it."""
    run = ScheduleRun(schedule_id=schedule_id, due_at=due_at, workspace_id=workspace_id)
    try:
        with session.begin_nested():
            session.add(run)
    except IntegrityError:
        return None
    return run
