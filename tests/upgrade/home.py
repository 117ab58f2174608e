"""Homes of earlier versions, as their own code left them, and what was asked of them then: see make_home.py."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HOMES = sorted(path.name.removesuffix(".tar.gz") for path in HERE.glob("home-*.tar.gz"))
PATHS = (
    ("files", "path"),
    ("data_sets", "path"),
    ("versions", "path"),
    ("tuned_embedders", "path"),
    ("sources", "location"),
)
"""Where the database names a folder of the machine."""


@dataclass(frozen=True)
class OldHome:
    """A home in `folder`. `then` is what make_home.py wrote down."""

    folder: Path
    then: dict[str, Any]

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder}/tandem.db"

    @property
    def config(self) -> Path:
        return self.folder / "tandem.toml"


def unpack(name: str, folder: Path) -> OldHome:
    """Put a home of then into a folder, as somebody does who moves a platform from one folder to another."""
    with tarfile.open(HERE / f"{name}.tar.gz") as archive:
        archive.extractall(folder, filter="tar")
    home = OldHome(folder, json.loads((HERE / f"{name}.json").read_text(encoding="utf-8")))
    former = str(home.then["home"])
    with sqlite3.connect(folder / "tandem.db") as database:
        for table, column in PATHS:
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (former, str(folder)))
    database.close()
    home.config.write_text(home.config.read_text().replace(former, str(folder)))
    return home
