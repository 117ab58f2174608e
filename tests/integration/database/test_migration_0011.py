"""A platform that was live before the history began."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import select, text

import services.database
from services.database.engine import migrate, open_engine, open_sessions
from services.database.tables import Publication, Version


def test_what_was_live_before_the_history_began_stands_at_its_beginning(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tandem.db"
    config = Config()
    config.set_main_option("script_location", str(Path(services.database.__path__[0]) / "migrations"))
    config.attributes["engine"] = engine = open_engine(url)
    command.upgrade(config, "0006")
    moved = "'2026-06-01 00:00:00'"
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO workspaces VALUES ('w', 'W', {moved}), ('x', 'X', {moved})"))
        connection.execute(
            text(f"INSERT INTO live_pointers VALUES ('w', 'v2', 'v1', {moved}), ('x', 'v3', NULL, {moved})")
        )
        columns = "id, name, base_model, path, dataset_hash, template_fingerprint, settings, metrics, gate, status, "
        values = "'v2', 'ft:b:s:2', 'b', 'w/v2', '', '', '{}', '{}', '{}', 'published', "
        connection.execute(
            text(f"INSERT INTO versions ({columns} created_at, workspace_id) VALUES ({values} {moved}, 'w')")
        )
    migrate(url)
    with open_sessions(url)() as session:
        events = session.scalars(select(Publication).order_by(Publication.workspace_id, Publication.id)).all()
        version = session.get_one(Version, "v2")
    assert [(one.workspace_id, one.from_version_id, one.version_id) for one in events] == [
        ("w", None, "v1"),
        ("w", "v1", "v2"),
        ("x", None, "v3"),
    ]
    assert {(one.event, one.overrides, one.reason) for one in events} == {
        ("moved", False, "It was live when the history began.")
    }
    assert (version.lineage, version.pinned) == ({}, False)
