"""The Celery app of the workers and of beat: `celery -A services.worker.app worker -Q index`."""

from __future__ import annotations

from celery.signals import setup_logging

from services.contracts.jobs import INDEX_QUEUE, TICK
from services.kit.logging import configure
from services.kit.queue import make_celery
from services.kit.settings import Platform

TICK_SECONDS = 60.0

app = make_celery(Platform().broker_url)
app.conf.imports = ["services.worker.tasks"]
app.conf.beat_schedule = {"tick": {"task": TICK, "schedule": TICK_SECONDS, "options": {"queue": INDEX_QUEUE}}}


@setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logging(**_kwargs: object) -> None:
    configure("worker")
