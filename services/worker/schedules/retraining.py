"""Schedules of retraining: at a due time, checks the conditions and makes the job if they hold."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import islice
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from retrieval.answers.grounding import is_refusal
from retrieval.model import Passage
from services.database.engine import Sessions
from services.database.tables import Job, LivePointer, TrainingSchedule, Turn, Version
from services.domain.journal import passage_chunk
from services.domain.retraining import ApprovedExamples, NothingToTrainOn, begin_run, training_file, unfinished_job
from services.worker.schedules.conditions import Check, decide, enough_examples, old_enough, style_drifted
from services.worker.schedules.scheduling import Begin, Begun, run_due
from training.judging.style import StyleProfile
from training.weights.candidate import STYLE_FILE

MOST_ANSWERS = 200
LOOKED_THROUGH = 1000
"""Turns of the journal, the newest first, among which the live version's answers are looked for."""


class Retraining:
    """Queues the runs of training schedules. `deadline` of a run is in seconds."""

    def __init__(
        self, sessions: Sessions, versions_folder: Path, examples: ApprovedExamples, base_model: str, deadline: float
    ) -> None:
        self._sessions, self._versions_folder, self._examples = sessions, versions_folder, examples
        self._base_model, self._deadline = base_model, deadline

    def due(self, at: datetime) -> list[Job]:
        """Queue a run for each schedule that is due and whose conditions hold; returns the jobs to send."""
        return run_due(self._sessions, TrainingSchedule, at, lambda schedule: self._prepare(schedule, at))

    def _prepare(self, schedule: TrainingSchedule, at: datetime) -> Begin:
        with self._sessions() as session:
            running = unfinished_job(session, schedule)
        if running:
            return _skip(f"the job {running} of the run before is not finished")
        try:
            verdict = self._conditions(schedule, at)
            if not verdict.met:
                return _skip(verdict.sentence)
            file_id = training_file(self._sessions, schedule, self._examples)
        except (NothingToTrainOn, OSError, ValueError, KeyError) as error:  # the last two: a style file of another kind
            return _skip(str(error))
        return lambda session: self._begin(session, schedule, file_id, verdict)

    def _begin(self, session: Session, schedule: TrainingSchedule, file_id: str, verdict: Check) -> Begun:
        job = begin_run(session, schedule, file_id, self._base_model, self._deadline)
        if job is None:
            return Begun(None, False, "skipped: another run began at the same time")
        return Begun(job, True, f"queued: {verdict.sentence}")

    def _conditions(self, schedule: TrainingSchedule, at: datetime) -> Check:
        wanted, live = schedule.conditions, self._live(schedule.workspace_id)
        checks: list[Check] = []
        if least := wanted.get("new_examples"):
            found = self._examples.count(schedule.workspace_id, self._last_run(schedule))
            checks.append(enough_examples(found, least))
        if drop := wanted.get("style_drop"):
            checks.append(self._drift(live, drop) if live else Check(False, "no version is live to have drifted"))
        if days := wanted.get("older_than_days"):
            checks.append(old_enough(live.created_at if live else None, at, days))
        return decide(checks, wanted.get("match", "all"))

    def _live(self, workspace_id: str) -> Version | None:
        with self._sessions() as session:
            pointer = session.get(LivePointer, workspace_id)
            return session.get(Version, pointer.version_id) if pointer and pointer.version_id else None

    def _last_run(self, schedule: TrainingSchedule) -> datetime | None:
        with self._sessions() as session:
            job = session.get(Job, schedule.last_job_id) if schedule.last_job_id else None
        return job.created_at if job else None

    def _drift(self, live: Version, drop: float) -> Check:
        path = self._versions_folder / live.path / STYLE_FILE
        profile = StyleProfile.from_json(json.loads(path.read_text(encoding="utf-8")))
        scores = [profile.score(answer).overall for answer in self._answers(live)]
        at_gate = live.metrics.get("candidate", {}).get("style", {}).get("overall")
        return style_drifted(scores, at_gate, drop)

    def _answers(self, live: Version) -> list[str]:
        """The live version's last answers without refusals, scored as the gate scored them."""
        tuned = Turn.workspace_id == live.workspace_id, Turn.mode.in_(("tuned", "hybrid"))
        told = Turn.answer, Turn.versions, Turn.passages
        query = select(*told).where(*tuned).order_by(Turn.created_at.desc()).limit(LOOKED_THROUGH)
        with self._sessions() as session:
            found = session.execute(query).all()
        ours = (
            (answer, [Passage(passage_chunk(live.workspace_id, one), 0.0) for one in passages])
            for answer, versions, passages in found
            if versions.get("weights") == live.id and answer.strip()
        )
        return list(islice((answer for answer, shown in ours if not is_refusal(answer, shown)), MOST_ANSWERS))


def _skip(reason: str) -> Begin:
    return lambda _session: Begun(None, False, f"skipped: {reason}")
