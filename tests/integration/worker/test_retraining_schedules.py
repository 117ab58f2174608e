"""Schedules of retraining with a clock that the test turns: due times, conditions, downtime, two beats at once."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from retrieval.answers.grounding import REFUSAL
from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import (
    File,
    Job,
    LivePointer,
    ScheduleRun,
    TrainingSchedule,
    Turn,
    Version,
    Workspace,
)
from services.domain.retraining import NothingToTrainOn, ReviewedExamples
from services.worker.schedules.retraining import Retraining
from training.judging.style import StyleProfile
from training.weights.candidate import STYLE_FILE

BERLIN = "Europe/Berlin"
HOUSE = "Short and plain.\n\n- You may return it.\n- Bring the receipt."
OTHER = "Hey there! I'd absolutely love to help you with that, isn't it great? Let me tell you all about it!"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Reviewed:
    """Approved examples, as a list of when they were approved."""

    def __init__(self) -> None:
        self.approved: list[datetime] = []
        self.frozen = 0

    def count(self, workspace_id: str, since: datetime | None) -> int:
        return sum(since is None or moment > since for moment in self.approved)

    def freeze(self, workspace_id: str) -> str:
        if not self.approved:
            raise NothingToTrainOn("nothing is approved yet; approve some")
        self.frozen += 1
        return "file-frozen"


class Desk:
    """One workspace with one schedule, and beats that ring when told."""

    def __init__(self, folder: Path) -> None:
        url = f"sqlite:///{folder}/tandem.db"
        migrate(url)
        self.sessions: Sessions = open_sessions(url)
        self.versions, self.examples = folder / "versions", Reviewed()
        self.retraining = Retraining(self.sessions, self.versions, self.examples, "base", 60.0)
        with self.sessions.begin() as session:
            session.add(Workspace(id="w1", name="One"))
            session.flush()
            session.add(File(id="file-1", workspace_id="w1", filename="a", purpose="fine-tune", bytes=1, sha256="",
                             path="/a"))  # fmt: skip

    def add(self, cron: str, time_zone: str = "UTC", due: datetime | None = None, **columns: Any) -> None:
        values = {"training_file": "file-1", "suffix": "house", "seed": 3, "name": "Nightly", **columns}
        with self.sessions.begin() as session:
            session.add(TrainingSchedule(id="sched_1", workspace_id="w1", cron=cron, time_zone=time_zone,
                                         next_due_at=due, **values))  # fmt: skip

    def change(self, **columns: Any) -> None:
        with self.sessions.begin() as session:
            for name, value in columns.items():
                setattr(session.get_one(TrainingSchedule, "sched_1"), name, value)

    def beat(self, at: str) -> list[Job]:
        return self.retraining.due(utc(at))

    def schedule(self) -> TrainingSchedule:
        with self.sessions() as session:
            return session.get_one(TrainingSchedule, "sched_1")

    def finish(self, status: str = "succeeded") -> None:
        with self.sessions.begin() as session:
            for job in session.scalars(select(Job)):
                job.status = status

    def outcomes(self) -> list[str | None]:
        with self.sessions() as session:
            return list(session.scalars(select(ScheduleRun.outcome).order_by(ScheduleRun.due_at)))

    def publish(self, made_at: str, style_at_gate: float = 0.9) -> None:
        """A live version that speaks as the house does."""
        folder = self.versions / "w1" / "ver-1"
        folder.mkdir(parents=True)
        profile = StyleProfile.fit([HOUSE] * 12, ["May I return it?"])
        (folder / STYLE_FILE).write_text(json.dumps(profile.to_json()))
        with self.sessions.begin() as session:
            session.add(
                Version(
                    id="ver-1", name="ft:base:house:1", workspace_id="w1", base_model="base", path="w1/ver-1",
                    dataset_hash="", template_fingerprint="", settings={}, status="published",
                    metrics={"candidate": {"style": {"overall": style_at_gate}}}, created_at=utc(made_at),
                )
            )  # fmt: skip
            session.add(LivePointer(workspace_id="w1", version_id="ver-1", previous_version_id=None))

    def answer(self, text: str, times: int, weights: str = "ver-1", mode: str = "hybrid") -> None:
        empty: dict[str, Any] = {"messages": [], "passages": [], "citations": [], "timings": {}}
        with self.sessions.begin() as session:
            count = session.scalar(select(func.count()).select_from(Turn)) or 0
            for number in range(count, count + times):
                session.add(Turn(id=f"t{number}", workspace_id="w1", model="m", mode=mode, question="?", answer=text,
                                 versions={"weights": weights}, **empty))  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def run_times(desk: Desk, start: str, hours: float) -> list[str]:
    """When runs were queued while a beat rang every minute; each ends at once."""
    found, moment = [], utc(start)
    while moment < utc(start) + timedelta(hours=hours):
        for job in desk.retraining.due(moment):
            found.append(moment.strftime("%d %H:%M"))
            assert job.status == "queued"
        desk.finish()
        moment += timedelta(minutes=1)
    return found


def test_a_nightly_retraining_runs_once_a_night_when_clocks_go_forward_and_back(desk: Desk) -> None:
    desk.add("30 2 * * *", BERLIN)
    assert run_times(desk, "2026-03-28T22:00", 28) == ["29 01:00", "30 00:30"]
    desk.change(next_due_at=None)
    assert run_times(desk, "2026-10-24T22:00", 28) == ["25 00:30", "26 01:30"]
    assert len(desk.outcomes()) == 4


def test_an_hourly_retraining_runs_each_real_hour_of_the_longer_night(desk: Desk) -> None:
    desk.add("0 * * * *", BERLIN)
    assert run_times(desk, "2026-10-24T22:30", 5) == ["24 23:00", "25 00:00", "25 01:00", "25 02:00", "25 03:00"]


def test_the_job_has_what_the_schedule_says(desk: Desk) -> None:
    desk.add("0 3 * * *", due=utc("2026-06-01T03:00"), hyperparameters={"n_epochs": 2})
    (job,) = desk.beat("2026-06-01T03:00")
    assert job.kind == "fine_tuning"
    assert job.request == {"model": "base", "training_file": "file-1", "suffix": "house", "seed": 3,
                           "hyperparameters": {"n_epochs": 2}, "schedule_id": "sched_1"}  # fmt: skip
    assert (desk.schedule().last_job_id, desk.outcomes()) == (job.id, ["queued: no conditions"])


def test_what_was_missed_in_a_downtime_is_made_up_once(desk: Desk) -> None:
    desk.add("0 3 * * *", due=utc("2026-06-01T03:00"))
    assert len(desk.beat("2026-06-05T12:00")) == 1
    desk.finish()
    assert desk.beat("2026-06-05T12:01") == []
    assert desk.schedule().next_due_at == utc("2026-06-06T03:00")
    with desk.sessions() as session:
        assert session.scalars(select(ScheduleRun.due_at)).all() == [utc("2026-06-01T03:00")]


def test_beats_at_once_run_a_due_time_once(desk: Desk) -> None:
    desk.add("0 3 * * *", due=utc("2026-06-01T03:00"))
    start, queued = threading.Barrier(4), list[Job]()

    def beat() -> None:
        start.wait()
        queued.extend(desk.beat("2026-06-01T03:00"))

    beats = [threading.Thread(target=beat) for _ in range(4)]
    for thread in beats:
        thread.start()
    for thread in beats:
        thread.join()
    assert len(queued) == 1
    with desk.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 1
        assert session.scalars(select(ScheduleRun.job_id)).all() == [queued[0].id]


def test_there_are_never_two_runs_at_a_time(desk: Desk) -> None:
    desk.add("*/5 * * * *", due=utc("2026-06-01T03:00"))
    (job,) = desk.beat("2026-06-01T03:00")
    desk.finish("running")
    assert desk.beat("2026-06-01T03:05") == []
    assert desk.outcomes()[-1] == f"skipped: the job {job.id} of the run before is not finished"
    desk.finish("failed")
    assert len(desk.beat("2026-06-01T03:10")) == 1


def test_a_schedule_is_changed_turned_off_and_deleted_while_it_runs(desk: Desk) -> None:
    desk.add("0 3 * * *", due=utc("2026-06-01T03:00"))
    for changed in ({"enabled": False}, {"enabled": True, "deleted_at": utc("2026-01-01T00:00")}):
        desk.change(**changed)
        assert desk.beat("2026-06-01T03:00") == []
    desk.change(deleted_at=None, cron="0 4 * * *", time_zone=BERLIN, next_due_at=None)
    desk.beat("2026-06-01T03:00")
    assert desk.schedule().next_due_at == utc("2026-06-02T02:00")


def test_a_schedule_that_matches_no_day_is_turned_off_and_says_so(desk: Desk) -> None:
    desk.add("0 0 31 2 *")
    assert desk.beat("2026-06-01T03:00") == []
    assert (desk.schedule().enabled, "never due" in (desk.schedule().last_error or "")) == (False, True)


def test_new_examples_are_counted_since_the_last_run(desk: Desk) -> None:
    desk.add("0 * * * *", due=utc("2026-06-01T03:00"), training_file=None, conditions={"new_examples": 2})
    desk.examples.approved = [utc("2026-05-01T00:00")]
    assert desk.beat("2026-06-01T03:00") == []
    assert desk.outcomes() == ["skipped: 1 new approved examples since the last run (wanted 2)"]
    desk.examples.approved *= 2
    (job,) = desk.beat("2026-06-01T04:00")
    assert (job.request["training_file"], desk.examples.frozen) == ("file-frozen", 1)
    desk.finish()
    assert desk.beat("2026-06-01T05:00") == []
    desk.examples.approved += [job.created_at + timedelta(minutes=n) for n in (1, 2)]
    assert len(desk.beat("2026-06-01T06:00")) == 1


def test_nothing_to_train_on_is_an_outcome_in_words(desk: Desk) -> None:
    desk.add("0 * * * *", due=utc("2026-06-01T03:00"), training_file=None)
    assert desk.beat("2026-06-01T03:00") == []
    assert desk.outcomes() == ["skipped: nothing is approved yet; approve some"]
    with desk.sessions.begin() as session:
        session.get_one(File, "file-1").deleted_at = utc("2026-06-01T03:30")
    desk.change(training_file="file-1")
    assert desk.beat("2026-06-01T04:00") == []
    assert "'file-1' was deleted" in (desk.outcomes()[-1] or "")
    none = Retraining(desk.sessions, desk.versions, ReviewedExamples(desk.sessions, "memory://files"), "base", 60.0)
    desk.change(training_file=None)
    assert none.due(utc("2026-06-01T05:00")) == []
    assert "0 approved examples" in (desk.outcomes()[-1] or "")


def test_the_live_versions_age_is_a_condition(desk: Desk) -> None:
    desk.publish("2026-05-31T03:00")
    desk.add("0 3 * * *", due=utc("2026-06-01T03:00"), conditions={"older_than_days": 2})
    assert desk.beat("2026-06-01T03:00") == []
    assert desk.outcomes() == ["skipped: the live version is 1.0 days old (wanted 2)"]
    assert len(desk.beat("2026-06-02T03:00")) == 1


def test_a_drift_of_the_live_answers_style_is_a_condition(desk: Desk) -> None:
    desk.publish("2026-05-31T03:00")
    desk.add("0 * * * *", due=utc("2026-06-01T03:00"), conditions={"style_drop": 0.2})
    desk.answer(OTHER, 30, weights="ver-0")
    desk.answer(OTHER, 30, weights="base", mode="rag")
    desk.answer(HOUSE, 10)
    assert desk.beat("2026-06-01T03:00") == []
    assert "10 answers of the live version" in (desk.outcomes()[-1] or "")
    desk.answer(HOUSE, 15)
    desk.answer(REFUSAL, 30)
    assert desk.beat("2026-06-01T04:00") == []
    assert "the style of its last 25 answers is" in (desk.outcomes()[-1] or "")
    desk.answer(OTHER, 60)
    assert len(desk.beat("2026-06-01T05:00")) == 1
    assert "at the gate it was 0.900" in (desk.outcomes()[-1] or "")


def test_a_style_that_cannot_be_read_skips_the_run_and_not_the_beat(desk: Desk) -> None:
    desk.publish("2026-05-31T03:00")
    desk.add("0 * * * *", due=utc("2026-06-01T03:00"), conditions={"style_drop": 0.2})
    (desk.versions / "w1" / "ver-1" / STYLE_FILE).unlink()
    assert desk.beat("2026-06-01T03:00") == []
    (desk.versions / "w1" / "ver-1" / STYLE_FILE).write_text("{}")
    assert desk.beat("2026-06-01T04:00") == []
    assert all((outcome or "").startswith("skipped: ") for outcome in desk.outcomes())


def test_one_of_several_conditions_is_enough_where_the_schedule_says_so(desk: Desk) -> None:
    desk.publish("2026-01-01T03:00")
    conditions = {"new_examples": 5, "older_than_days": 30}
    desk.add("0 * * * *", due=utc("2026-06-01T03:00"), conditions={**conditions, "match": "all"})
    assert desk.beat("2026-06-01T03:00") == []
    desk.change(conditions={**conditions, "match": "any"})
    assert len(desk.beat("2026-06-01T04:00")) == 1
