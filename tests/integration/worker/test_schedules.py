"""Schedules with a clock that the test turns: due times, claims, what was missed."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import func, select

from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import Job, ScheduleRun, Source, Store, Workspace
from services.domain.schedules import NeverDue, claim_run, next_due
from services.domain.sources import begin_sync
from services.worker.schedules.scheduling import Begin, Begun, due_syncs, run_due

BERLIN = "Europe/Berlin"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    url = f"sqlite:///{tmp_path}/tandem.db"
    migrate(url)
    opened = open_sessions(url)
    with opened.begin() as session:
        session.add(Workspace(id="w1", name="One"))
        session.flush()
        session.add(Store(id="s1", workspace_id="w1", name="Docs"))
    return opened


def add(sessions: Sessions, cron: str, time_zone: str = "UTC", due: datetime | None = None) -> None:
    source = Source(id="src_1", workspace_id="w1", store_id="s1", name="Docs", kind="folder", location="/srv",
                    settings={}, cron=cron, time_zone=time_zone, next_due_at=due)  # fmt: skip
    with sessions.begin() as session:
        session.add(source)


def source(sessions: Sessions) -> Source:
    with sessions() as session:
        return session.get_one(Source, "src_1")


def finish_all(sessions: Sessions) -> None:
    with sessions.begin() as session:
        for job in session.scalars(select(Job)):
            job.status = "succeeded"


def run_times(sessions: Sessions, start: datetime, hours: float, step_minutes: int = 1) -> list[str]:
    """When syncs were queued while a minute's tick went from `start` on; each sync ends at once."""
    found, moment = [], start
    while moment < start + timedelta(hours=hours):
        if due_syncs(sessions, moment, 60.0):
            found.append(moment.strftime("%d %H:%M"))
            finish_all(sessions)
        moment += timedelta(minutes=step_minutes)
    return found


def test_a_night_job_runs_once_a_day_when_clocks_go_forward_and_back(sessions: Sessions) -> None:
    add(sessions, "30 2 * * *", BERLIN)
    assert run_times(sessions, utc("2026-03-28T12:00"), 40) == ["29 01:00", "30 00:30"]
    with sessions.begin() as session:
        session.get_one(Source, "src_1").next_due_at = None
    assert run_times(sessions, utc("2026-10-24T12:00"), 40) == ["25 00:30", "26 01:30"]


def test_an_hourly_job_runs_every_real_hour_of_both_nights() -> None:
    for night in ("2026-03-28T22:30", "2026-10-24T22:30"):
        moment, found = utc(night), []
        for _ in range(6):
            moment = next_due("0 * * * *", BERLIN, moment)
            found.append(moment)
        assert [later - earlier for earlier, later in pairwise(found)] == [timedelta(hours=1)] * 5


def test_what_was_missed_while_nothing_ran_is_made_up_once(sessions: Sessions) -> None:
    add(sessions, "0 * * * *", due=utc("2026-06-01T10:00"))
    assert len(due_syncs(sessions, utc("2026-06-03T09:30"), 60.0)) == 1
    assert due_syncs(sessions, utc("2026-06-03T09:31"), 60.0) == []
    assert source(sessions).next_due_at == utc("2026-06-03T10:00")
    with sessions() as session:
        assert session.scalars(select(ScheduleRun.due_at)).all() == [utc("2026-06-01T10:00")]


def test_two_beats_at_once_run_a_due_time_once(sessions: Sessions) -> None:
    add(sessions, "0 3 * * *", due=utc("2026-06-01T03:00"))
    start, queued = threading.Barrier(4), list[Job]()

    def beat() -> None:
        start.wait()
        queued.extend(due_syncs(sessions, utc("2026-06-01T03:00"), 60.0))

    beats = [threading.Thread(target=beat) for _ in range(4)]
    for thread in beats:
        thread.start()
    for thread in beats:
        thread.join()
    assert len(queued) == 1
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 1
        assert session.scalar(select(func.count()).select_from(ScheduleRun)) == 1


def test_a_due_time_that_somebody_has_is_not_taken_again(sessions: Sessions) -> None:
    add(sessions, "0 3 * * *", due=utc("2026-06-01T03:00"))
    with sessions.begin() as session:
        assert claim_run(session, "w1", "src_1", utc("2026-06-01T03:00"))
    with sessions.begin() as session:
        assert claim_run(session, "w1", "src_1", utc("2026-06-01T03:00")) is None
    assert due_syncs(sessions, utc("2026-06-01T03:01"), 60.0) == []
    assert source(sessions).next_due_at == utc("2026-06-02T03:00")


def test_a_source_that_still_waits_for_a_worker_is_not_queued_twice(sessions: Sessions) -> None:
    add(sessions, "*/5 * * * *", due=utc("2026-06-01T03:00"))
    assert len(due_syncs(sessions, utc("2026-06-01T03:00"), 60.0)) == 1
    assert due_syncs(sessions, utc("2026-06-01T03:05"), 60.0) == []


def test_a_schedule_that_matches_no_day_is_turned_off_and_says_so(sessions: Sessions) -> None:
    with pytest.raises(NeverDue):
        next_due("0 0 31 2 *", "UTC", utc("2026-06-01T03:00"))
    add(sessions, "0 0 31 2 *")
    assert due_syncs(sessions, utc("2026-06-01T03:00"), 60.0) == []
    assert (source(sessions).enabled, "never due" in (source(sessions).last_error or "")) == (False, True)


def test_what_was_stored_before_it_was_checked_is_turned_off_and_stops_no_other(sessions: Sessions) -> None:
    add(sessions, "0 3 * * *", due=utc("2026-06-01T03:00"))
    bad = {"full_width": ("0 \uff13 * * *", "UTC"), "no_zone": ("0 3 * * *", "Mars/Base"), "no_cron": ("hourly", "UTC")}
    with sessions.begin() as session:
        for name, (cron, time_zone) in bad.items():
            session.add(Source(id=name, workspace_id="w1", store_id="s1", name=name, kind="folder", location="/srv",
                               settings={}, cron=cron, time_zone=time_zone))  # fmt: skip
    assert [job.request["source_id"] for job in due_syncs(sessions, utc("2026-06-01T03:00"), 60.0)] == ["src_1"]
    with sessions() as session:
        for name, (cron, time_zone) in bad.items():
            row = session.get_one(Source, name)
            assert not row.enabled
            assert f"'{cron}' in the time zone '{time_zone}' cannot be read" in str(row.last_error)


def test_a_schedule_that_fails_in_a_way_nobody_foresaw_says_so_and_stops_no_other(sessions: Sessions) -> None:
    due = utc("2026-06-01T03:00")
    add(sessions, "0 3 * * *", due=due)
    with sessions.begin() as session:
        session.add(Source(id="src_0", workspace_id="w1", store_id="s1", name="0", kind="folder", location="/srv",
                           settings={}, cron="0 3 * * *", next_due_at=due))  # fmt: skip

    def prepare(row: Source) -> Begin:
        if row.id == "src_0":
            raise FileNotFoundError("the profile of its style")
        return lambda session: Begun(*begin_sync(session, row, 60.0))

    assert [job.request["source_id"] for job in run_due(sessions, Source, due, prepare)] == ["src_1"]
    with sessions() as session:
        failed = session.get_one(Source, "src_0")
    assert (failed.enabled, failed.next_due_at) == (True, due)
    assert "FileNotFoundError; the worker's log says more" in str(failed.last_error)


def test_a_source_that_is_turned_off_or_deleted_is_never_due(sessions: Sessions) -> None:
    add(sessions, "0 3 * * *", due=utc("2026-06-01T03:00"))
    for changed in ({"enabled": False}, {"enabled": True, "deleted_at": utc("2026-01-01T00:00")}):
        with sessions.begin() as session:
            for name, value in changed.items():
                setattr(session.get_one(Source, "src_1"), name, value)
        assert due_syncs(sessions, utc("2026-06-01T03:00"), 60.0) == []
