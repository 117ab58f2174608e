"""A stand-in for the process of a training, which does what DOUBLE says: `python -m MODULE JOB`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from services.database.engine import open_sessions
from services.domain.checkpoints import record_checkpoint
from services.domain.jobs import Jobs
from services.kit.parent import die_with_parent
from services.kit.settings import Platform
from training.hardware import VISIBLE_DEVICES

SLEEPER = "import time; time.sleep(600)"


def main(job_id: str) -> None:
    die_with_parent()
    platform = Platform()
    sessions = open_sessions(platform.database_url, patience=60.0)
    jobs = Jobs(sessions)
    job = jobs.current(job_id)
    assert job is not None
    jobs.progress(job_id, "Tuning: step 1 of 9", 0.1)
    (platform.home / "pid").write_text(str(os.getpid()))
    behaviour = os.environ["DOUBLE"]
    if behaviour == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "gets on and dies":
        record_checkpoint(sessions, job, 25 * len(list((platform.home / "tries").iterdir())), {})
        (platform.home / "tries" / f"{time.time_ns()}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "trains":
        (platform.home / "child").write_text(str(os.getpid()))
        for step in range(1, 10):  # as a run does: it listens, it tells, and now and then it keeps something
            assert not jobs.must_stop(job)
            jobs.progress(job_id, f"Tuning: step {step} of 9", step / 10)
            record_checkpoint(sessions, job, step, {})
            time.sleep(0.2)
        jobs.add_event(job, "trained")
    if behaviour in ("succeeds", "trains"):
        jobs.finish(job_id, "succeeded", "done", {"version": "ft:x", "sees": os.environ.get(VISIBLE_DEVICES, "all")})
        return
    child = subprocess.Popen([sys.executable, "-c", SLEEPER])  # as a data loader or a launcher has
    (platform.home / "child").write_text(str(child.pid))
    while behaviour != "obeys" or not jobs.must_stop(job):
        if behaviour != "hangs":
            jobs.progress(job_id, "Tuning: step 2 of 9", 0.2)
        time.sleep(0.1)


def is_running(pid_file: Path) -> bool:
    """Whether the process of this id runs; one that was killed and not waited for does not."""
    status = Path(f"/proc/{pid_file.read_text()}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


if __name__ == "__main__":
    main(sys.argv[1])
