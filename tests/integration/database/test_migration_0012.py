"""A platform whose jobs had their deadline from the moment that they were made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

import services.database
from services.database.engine import migrate, open_engine, open_sessions
from services.database.tables import Job, StoreFile
from services.domain.jobs import Jobs

COLUMNS = "id, workspace_id, kind, status, stage, progress, request, result, cancel_requested, pause_requested, tries, "
COLUMNS += "created_at"
MADE, END = "'2026-06-01 00:00:00'", "'2026-06-01 01:00:00'"


def at_0011(url: str) -> Engine:
    """A database as it was before, with a workspace."""
    config = Config()
    config.set_main_option("script_location", str(Path(services.database.__path__[0]) / "migrations"))
    config.attributes["engine"] = engine = open_engine(url)
    command.upgrade(config, "0011")
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO workspaces VALUES ('w', 'W', {MADE})"))
    return engine


def test_half_a_pair_or_nul_in_a_jobs_metadata_is_mended_where_it_is_stored(tmp_path: Path) -> None:
    """PostgreSQL's `->>` fails over every job of a workspace, where one has such an escape."""
    url = f"sqlite:///{tmp_path}/tandem.db"
    engine = at_0011(url)
    requests = {"half": r'{"team": "\ud83d"}', "nul": r'{"team": "a\u0000b"}', "whole": r'{"team": "\ud83d\ude00"}'}
    with engine.begin() as connection:
        for name, request in requests.items():
            values = f"'{name}', 'w', 'fine_tuning', 'failed', '', 0, '{request}', '{{}}', false, false, 0, {MADE}"
            connection.exec_driver_sql(f"INSERT INTO jobs ({COLUMNS}) VALUES ({values})")
    migrate(url)
    with engine.begin() as connection:
        stored = {row.id: row.request for row in connection.execute(text("SELECT id, request FROM jobs"))}
    assert stored == {
        "half": r'{"team": "\ufffd"}',
        "nul": r'{"team": "a\ufffdb"}',
        "whole": r'{"team": "\ud83d\ude00"}',
    }


def test_jobs_that_wait_get_their_whole_time_and_one_that_runs_keeps_its_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tandem.db"
    with at_0011(url).begin() as connection:
        for status in ("queued", "paused", "running", "failed"):
            values = f"'{status}', 'w', 'index_file', '{status}', '', 0, '{{}}', '{{}}', false, false, 0, {MADE}, {END}"
            connection.execute(text(f"INSERT INTO jobs ({COLUMNS}, deadline_at) VALUES ({values})"))
        connection.execute(text(f"INSERT INTO stores (id, workspace_id, name, is_default, metadata, last_active_at, "
                                f"created_at) VALUES ('s', 'w', 'S', false, '{{}}', {MADE}, {MADE})"))  # fmt: skip
        connection.execute(text(f"INSERT INTO files (id, workspace_id, filename, purpose, bytes, sha256, path, "
                                f"created_at) VALUES ('f', 'w', 'f.md', 'assistants', 1, '', '', {MADE})"))  # fmt: skip
        connection.execute(text(f"INSERT INTO store_files (store_id, file_id, workspace_id, revision, status, deleted, "
                                f"chunk_count, attributes, created_at) VALUES ('s', 'f', 'w', 3, 'completed', false, "
                                f"1, '{{}}', {MADE})"))  # fmt: skip
    migrate(url)
    sessions = open_sessions(url)
    with sessions() as session:
        ends = {
            status: session.get_one(Job, status).deadline_at for status in ("queued", "paused", "running", "failed")
        }
        file = session.get_one(StoreFile, ("s", "f"))
    over = datetime(2026, 6, 1, 1, tzinfo=UTC)
    assert ends == {"queued": None, "paused": None, "running": over, "failed": over}
    assert (file.revision, file.former_revision) == (3, None)
    jobs = Jobs(sessions)
    assert [job.id for job in jobs.overdue()] == ["running"]
    claimed = jobs.claim("queued")
    assert claimed is not None
    assert claimed.started_at is not None
    assert claimed.deadline_at == claimed.started_at + timedelta(hours=1)
