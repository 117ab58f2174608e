"""The Celery app of the workers and of beat.

The workers do all long work: they claim jobs, do them and record how they end. `tasks.py` and `light.py` have the
tasks. The rooms `indexing/`, `reindexing/`, `sources/`, `fine_tuning/`, `embedders/` and `data_sets/` have the work of
their jobs. `schedules/`, `versions/` and `files/` have what the tick does each minute, and the cleaning up after files.

A worker is told which tasks it knows, so that one without an embedder imports none: `celery -A services.worker.app
worker -Q index -I services.worker.tasks`, and `celery -A services.worker.app worker -Q tick,sync -I
services.worker.light` for the tick and the syncs.
"""

from __future__ import annotations

from celery.signals import setup_logging, worker_init
from pydantic import ValidationError

from services.contracts.jobs import TICK, TICK_QUEUE
from services.kit.logging import configure
from services.kit.queue import make_celery
from services.kit.settings import Platform
from services.kit.telling import told
from services.worker.settings import TrainingSettings, WorkerSettings
from training.errors import OutOfRange

TICK_SECONDS = 60.0

app = make_celery(Platform().broker_url)
TICK_MESSAGE = {"queue": TICK_QUEUE, "expires": TICK_SECONDS}
"""A tick that nobody took within its minute is dropped: the next one looks for all that is due by then."""
app.conf.beat_schedule = {"tick": {"task": TICK, "schedule": TICK_SECONDS, "options": TICK_MESSAGE}}


@setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logging(**_kwargs: object) -> None:
    configure("worker")


@worker_init.connect  # type: ignore[untyped-decorator]
def _check_settings(**_kwargs: object) -> None:
    """A worker with a setting out of range ends at once and names the setting, so that no job fails because of it
    later.
    """
    try:
        WorkerSettings(), TrainingSettings()
    except (ValidationError, OutOfRange) as error:
        raise SystemExit(told(error)) from error
