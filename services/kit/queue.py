"""The Celery app, the same for those who send and those who work."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
from celery import Celery
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

LONGEST_JOB_SECONDS = 24 * 3600
REDELIVERY_SECONDS = LONGEST_JOB_SECONDS + 3600


def make_celery(broker_url: str) -> Celery:
    """A Celery app that takes JSON only, acknowledges late, and never delivers a running job a second time.

    A lost worker's job is found by its heartbeat, not by redelivery: the visibility timeout is longer than the longest
    job.
    """
    app = Celery("tandem", broker=broker_url)
    app.conf.update(
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        task_create_missing_queues=True,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": REDELIVERY_SECONDS,
            "socket_connect_timeout": 3,
            "socket_timeout": 30,
        },
        task_publish_retry_policy={"max_retries": 2, "interval_start": 0.2, "interval_step": 0.3, "interval_max": 1},
        timezone="UTC",
    )
    return app


def redis_client(broker_url: str) -> redis.asyncio.Redis:
    """An asyncio client of the broker, for counters that all replicas share.

    It tries once more and then gives up: the client's own ten attempts with pauses would delay each request for seconds
    while the broker is away.
    """
    parts, retry = urlsplit(broker_url), Retry(NoBackoff(), 1)
    if parts.scheme == "redis+socket":
        password = unquote(parts.password or "") or None
        return redis.asyncio.Redis(unix_socket_path=parts.path, password=password, socket_timeout=1.0, retry=retry)
    return redis.asyncio.Redis.from_url(broker_url, socket_timeout=1.0, socket_connect_timeout=1.0, retry=retry)
