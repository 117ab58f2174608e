"""One log for each process: lines of JSON on standard error, without secrets and without texts of users."""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from typing import Any

from services.kit.telling import told, traced, words_of


class JsonLines(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self.service,
            "logger": record.name,
            "message": _message(record, error),
        }
        if error:
            entry["error"] = traced(error)
        return json.dumps(entry, ensure_ascii=False)


def _message(record: logging.LogRecord, error: BaseException | None) -> str:
    """The message with each error in it as `told`. If a trace follows, only the text before the error's own words:
    Celery and asyncio repeat the error there.
    """
    if isinstance(record.msg, BaseException):
        return told(record.msg)
    if error and isinstance(record.args, dict) and "exc" in record.args:  # Celery's words for a failed task
        return str(record.msg) % {**record.args, "exc": told(error), "traceback": ""}
    arguments: Any = record.args
    if isinstance(arguments, tuple):
        arguments = tuple(words_of(one) or told(one) if isinstance(one, BaseException) else one for one in arguments)
    message = str(record.msg) % arguments if arguments else str(record.msg)
    return message.partition("\n")[0] if error else message


def configure(service: str, level: str = "INFO") -> None:
    """Log to standard error, also errors that nobody catches."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    sys.excepthook = lambda _kind, error, _trace: _uncaught(error)
    threading.excepthook = lambda caught: _uncaught(caught.exc_value)


def _uncaught(error: BaseException | None) -> None:
    if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
        logging.getLogger("uncaught").critical("an error that nobody caught", exc_info=error)
