"""The migration of examples: it makes the tables of the models, and keeps the feedback that was there."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, inspect, text

import services.database
from services.database.engine import migrate, open_engine
from services.database.tables import Base

TABLES = ("feedback", "examples", "example_uses")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/tandem.db"


def configured(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(services.database.__path__[0]) / "migrations"))
    config.attributes["engine"] = open_engine(url)
    return config


@pytest.mark.parametrize("table", TABLES)
def test_the_tables_are_those_of_the_models(url: str, table: str) -> None:
    migrate(url)
    found, model = inspect(open_engine(url)), Base.metadata.tables[table]
    columns = {(column["name"], column["nullable"]) for column in found.get_columns(table)}
    assert columns == {(column.name, column.nullable) for column in model.columns}
    indexes = {
        (index["name"], tuple(index["column_names"]), bool(index["unique"])) for index in found.get_indexes(table)
    }
    assert indexes == {(one.name, tuple(column.name for column in one.columns), one.unique) for one in model.indexes}


def test_feedback_from_before_stays(url: str) -> None:
    config = configured(url)
    command.upgrade(config, "0006")
    engine: Engine = config.attributes["engine"]
    turn = (
        "id, workspace_id, model, mode, question, answer, messages, passages, citations, timings, versions, created_at"
    )
    with engine.begin() as connection:
        connection.execute(text("insert into workspaces values ('w', 'w', '2026-01-01')"))
        values = "'t', 'w', 'm', 'rag', 'Q', 'A', '[]', '[]', '[]', '{}', '{}', '2026-01-01'"
        connection.execute(text(f"insert into turns ({turn}) values ({values})"))
        for name in ("a", "b"):
            row = f"'{name}', 'w', 't', 'up', '2026-01-01'"
            columns = "id, workspace_id, turn_id, rating, created_at"
            connection.execute(text(f"insert into feedback ({columns}) values ({row})"))
    command.upgrade(config, "0010")
    with engine.connect() as connection:
        rows = connection.execute(text("select id, key_id from feedback order by id")).all()
    assert [tuple(row) for row in rows] == [("a", None), ("b", None)]
    command.downgrade(config, "0006")
    assert "key_id" not in {column["name"] for column in inspect(engine).get_columns("feedback")}
