"""A platform from when the first key was the only one."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

import services.database
from services.database.engine import migrate, open_engine, open_sessions
from services.database.tables import ApiKey
from services.domain.keys import ALL_SCOPES, SCOPES

MADE = "'2026-06-01 00:00:00'"
COLUMNS = "id, workspace_id, name, digest, prefix, scopes, requests_per_minute, tokens_per_minute, created_at"


def test_the_first_key_may_make_workspaces_and_a_key_that_was_put_there_by_hand_may_not(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tandem.db"
    config = Config()
    config.set_main_option("script_location", str(Path(services.database.__path__[0]) / "migrations"))
    config.attributes["engine"] = engine = open_engine(url)
    command.upgrade(config, "0012")
    scopes = '["ask", "knowledge", "voice", "operate"]'
    with engine.begin() as connection:
        for workspace in ("default", "other"):
            connection.execute(text(f"INSERT INTO workspaces VALUES ('{workspace}', 'W', {MADE})"))
        for key, workspace, name in (
            ("first", "default", "first key"),
            ("app", "default", "app"),
            ("others", "other", "first key"),
        ):
            values = f"'{key}', '{workspace}', '{name}', '{key}', 'sk', '{scopes}', 600, 1000, {MADE}"
            connection.exec_driver_sql(f"INSERT INTO api_keys ({COLUMNS}) VALUES ({values})")
    migrate(url)
    with open_sessions(url)() as session:
        found = {key: session.get_one(ApiKey, key) for key in ("first", "app", "others")}
    assert {key: row.is_first for key, row in found.items()} == {"first": True, "app": False, "others": False}
    assert tuple(found["first"].scopes) == ALL_SCOPES
    assert {tuple(found[key].scopes) for key in ("app", "others")} == {SCOPES}
    command.downgrade(config, "0012")
    with engine.connect() as connection:
        assert scopes in connection.exec_driver_sql("SELECT scopes FROM api_keys WHERE id = 'first'").scalars().all()
