"""Open the database, and bring its schema up to date."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Dialect, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session, sessionmaker

from services.database.patience import outlast
from services.kit.texts import read_stored_json

BUSY_TIMEOUT_MS = 15_000
COMMON: dict[str, Any] = {"hide_parameters": True, "json_deserializer": read_stored_json}
Sessions = sessionmaker[Session]


def open_engine(url: str, patience: float = 0.0) -> Engine:
    """An engine for a SQLite or PostgreSQL URL. SQLite runs in WAL mode, with foreign keys on, and waits for a lock.

    Its errors name the statement without the values, which are questions, answers and documents. If a connection cannot
    be opened, it tries again for `patience` seconds.
    """
    engine = _engine(make_url(url))
    if patience:
        event.listen(engine, "do_connect", partial(_connect, patience))
    return engine


def _engine(parsed: URL) -> Engine:
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, **COMMON)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, **COMMON)
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _connect(patience: float, dialect: Dialect, _record: Any, args: Sequence[Any], options: dict[str, Any]) -> Any:
    return outlast(lambda: dialect.connect(*args, **options), patience, (dialect.loaded_dbapi.Error,))


def open_sessions(url: str, patience: float = 0.0) -> Sessions:
    """Sessions whose objects stay readable after commit. They wait `patience` seconds for a database that is away."""
    return sessionmaker(open_engine(url, patience), expire_on_commit=False, info={"patience": patience})


def migrate(url: str) -> None:
    """Run every migration that the database has not seen."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    config.attributes["engine"] = open_engine(url)
    command.upgrade(config, "head")
