"""The schema brought up to date on the database of an old home: cut short at any statement, and by two at once."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, select

from services.database.engine import migrate, open_sessions
from services.database.tables import ApiKey, Store
from services.domain.bootstrap import bootstrap
from services.kit.settings import Platform
from tests.e2e.compose_platform import ComposePlatform
from tests.upgrade.home import HOMES, unpack

MOST_STATEMENTS = 500
each_home = pytest.mark.parametrize("name", HOMES)


@pytest.fixture
def old(name: str, tmp_path: Path) -> Path:
    """The database of an old home."""
    return unpack(name, tmp_path / "home").folder / "tandem.db"


def apart(act: Callable[[], None]) -> int:
    """Do something in a process of its own; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        act()
        code = 0
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """How a process ended: its exit code, or the signal's number below zero."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def before_statements(do: Callable[[str], None]) -> None:
    @event.listens_for(Engine, "before_cursor_execute")
    def called(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        do(statement)


def migrate_until(database: Path, statement: int) -> None:
    """Die before the statement of this number."""
    seen = 0

    def count(_statement: str) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    before_statements(count)
    migrate(f"sqlite:///{database}")


def shape(database: Path) -> list[tuple[str, int]]:
    """Every table as it is defined, with the number of its rows, and every index."""
    connection = sqlite3.connect(database)
    try:
        found = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        counted = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
                   for kind, name, _ in found if kind == "table"}  # fmt: skip
        return sorted((sql, counted.get(name, 0)) for _, name, sql in found)
    finally:
        connection.close()


def copy_of(database: Path, name: str) -> Path:
    """A copy, with all that was written."""
    target = database.parent / name
    source, copied = sqlite3.connect(database), sqlite3.connect(target)
    source.backup(copied)
    source.close()
    copied.close()
    return target


@each_home
def test_a_migration_killed_before_any_of_its_statements_is_done_by_the_next_start(old: Path) -> None:
    whole = copy_of(old, "whole.db")
    migrate(f"sqlite:///{whole}")
    wanted = shape(whole)
    for statement in range(1, MOST_STATEMENTS):
        cut = copy_of(old, f"cut-{statement}.db")
        killed = ended(apart(lambda cut=cut, statement=statement: migrate_until(cut, statement)))  # type: ignore[misc]
        migrate(f"sqlite:///{cut}")
        assert shape(cut) == wanted, statement
        if killed == 0:
            break
        assert killed == -signal.SIGKILL
    assert 5 < statement < MOST_STATEMENTS, statement


def linger(statement: str) -> None:
    """Where one has read what the database has seen: without a lock all of them would go on from there."""
    if statement.startswith("SELECT alembic_version"):
        time.sleep(0.5)


def migrate_at_once(url: str) -> list[int]:
    """How three processes end that bring one database up to date."""

    def go() -> None:
        before_statements(linger)
        migrate(url)

    return [ended(pid) for pid in [apart(go) for _ in range(3)]]


@each_home
def test_several_that_migrate_at_once_all_find_it_done(old: Path) -> None:
    assert migrate_at_once(f"sqlite:///{old}") == [0, 0, 0]


@each_home
def test_several_starts_at_once_over_an_old_home_leave_it_its_key_and_stores(name: str, tmp_path: Path) -> None:
    home = unpack(name, tmp_path / "home")

    def go() -> None:
        before_statements(linger)
        bootstrap(Platform(home=home.folder))

    assert [ended(pid) for pid in [apart(go) for _ in range(3)]] == [0, 0, 0]
    assert (home.folder / "secrets" / "api_key").read_text().strip() == home.then["key"]
    with open_sessions(home.database)() as session:
        assert len(session.scalars(select(ApiKey)).all()) == 1
        assert {store.id for store in session.scalars(select(Store))} == set(home.then["stores"].values())


def test_several_first_starts_at_once_all_find_it_done(tmp_path: Path) -> None:
    assert migrate_at_once(f"sqlite:///{tmp_path}/tandem.db") == [0, 0, 0]


def test_several_that_migrate_one_postgresql_at_once_all_find_it_done(tmp_path: Path) -> None:
    stores = ComposePlatform(tmp_path / "home")
    try:
        stores.start_stores()
        if stores.sqlite:
            pytest.skip("PostgreSQL's programs are not installed")
        assert migrate_at_once(stores.environment("gateway")["TANDEM_DATABASE_URL"]) == [0, 0, 0]
    finally:
        stores.stop()
