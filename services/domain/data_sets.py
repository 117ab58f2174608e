"""Frozen data sets: their content is written once, under its hash; the same content is the same version."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import fsspec
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from retrieval.model import Message
from services.database.engine import Sessions
from services.database.tables import DataSet, now
from services.domain.files import read_bytes, remove_bytes
from services.domain.lineage import EXAMPLES, add_origins
from training.config import ExampleSettings
from training.data.dataset import Dataset, canonical, digest, parse_dataset
from training.errors import InvalidDataset
from training.model import Example

Use = Literal["training", "evaluation"]
FOLDER = "_data_sets"
TRIES = 5
ANY_NUMBER = ExampleSettings(min_examples=1)


class FrozenSets:
    """The data sets of all workspaces, under `files_url`."""

    def __init__(self, sessions: Sessions, files_url: str) -> None:
        self._sessions, self._root = sessions, f"{files_url.rstrip('/')}/{FOLDER}"

    def freeze(
        self, workspace_id: str, dataset: Dataset, file_ids: Iterable[str], name: str, use: Use = "training"
    ) -> DataSet:
        """Store a data set, and record that it has the text of these files. The same content under the same name gives
        the existing data set.
        """
        path = self._write(workspace_id, dataset)
        answers = {str(one.metadata["answer_id"]) for one in dataset.examples if one.metadata.get("answer_id")}
        for attempt in range(TRIES):
            try:
                with self._sessions.begin() as session:
                    row = _found(session, workspace_id, name, use, dataset.sha256)
                    if row is None:
                        row = _new(session, workspace_id, name, use, dataset, path)
                    row.deleted_at = None
                    add_origins(session, workspace_id, row.id, {*file_ids, *answers}, EXAMPLES)
                return row
            except IntegrityError:  # another process froze one under this name at the same time
                if attempt + 1 == TRIES:
                    raise
        raise AssertionError("unreachable")

    def find_same(self, workspace_id: str, sha256: str) -> DataSet | None:
        """The first data set for training with this content, whatever its name."""
        mine = DataSet.workspace_id == workspace_id, DataSet.sha256 == sha256, DataSet.use == "training"
        with self._sessions() as session:
            return session.scalar(select(DataSet).where(*mine).order_by(DataSet.created_at).limit(1))

    def examples(self, row: DataSet) -> tuple[Example, ...]:
        """A data set's examples. Raises InvalidDataset if its content is gone or was changed."""
        return self.read(row).examples

    def read(self, row: DataSet) -> Dataset:
        """As `examples`, but the whole Dataset."""
        try:
            content = read_bytes(row.path)
        except FileNotFoundError as error:
            message = f"The content of the data set '{row.id}' is gone from {row.path}; restore it from its copy."
            raise InvalidDataset(message) from error
        if digest(content) != row.sha256:
            raise InvalidDataset(f"The content of the data set '{row.id}' has changed: its SHA-256 is another one.")
        return parse_dataset(content, ANY_NUMBER)

    def for_evaluation(self, workspace_id: str) -> dict[str, list[Example]]:
        """The data sets by which a workspace judges models, by name and version, the newest first. A question that is
        in several belongs to the newest.
        """
        mine = DataSet.workspace_id == workspace_id, DataSet.use == "evaluation", DataSet.deleted_at.is_(None)
        with self._sessions() as session:
            rows = session.scalars(select(DataSet).where(*mine).order_by(DataSet.created_at.desc(), DataSet.id)).all()
        found: dict[str, list[Example]] = {}
        asked: set[tuple[Message, ...]] = set()
        for row in rows:
            examples = self.examples(row)
            found[f"{row.name}, version {row.version}"] = [one for one in examples if one.messages[:-1] not in asked]
            asked |= {one.messages[:-1] for one in examples}
        return found

    def keep_report(self, data_set_id: str, report: dict[str, Any]) -> None:
        with self._sessions.begin() as session:
            session.execute(update(DataSet).where(DataSet.id == data_set_id).values(report=report))

    def keep_rows(self, data_set_id: str, figures: Mapping[str, Any]) -> None:
        """Add what the last run made of a data set to its report, under `rows`."""
        with self._sessions.begin() as session:
            row = session.get_one(DataSet, data_set_id)
            if row.deleted_at is None:
                row.report = {**row.report, "rows": dict(figures)}

    def delete(self, row: DataSet) -> None:
        """Remove a data set's content; its row stays, because versions name it."""
        with self._sessions.begin() as session:
            session.execute(update(DataSet).where(DataSet.id == row.id).values(deleted_at=now(), report={}))
            others = select(DataSet.id).where(DataSet.path == row.path, DataSet.deleted_at.is_(None))
            shared = session.scalar(others.limit(1)) is not None
        if not shared:
            remove_bytes(row.path)

    def _write(self, workspace_id: str, dataset: Dataset) -> str:
        """Write under a temporary name first: an interrupted start leaves no incomplete content under the hash."""
        target = f"{self._root}/{workspace_id}/{dataset.sha256}.jsonl"
        filesystem, path = fsspec.core.url_to_fs(target)
        if not filesystem.exists(path):
            draft = f"{path}.{secrets.token_hex(6)}"
            with filesystem.open(_made(filesystem, draft), "wb") as written:
                written.write(canonical(dataset.examples))
            filesystem.mv(draft, path)
        return target


def set_name(filename: str) -> str:
    """A data set's name if nobody gave one."""
    return Path(filename).stem or filename


def latest(session: Session, workspace_id: str) -> Sequence[DataSet]:
    """A workspace's data sets that are not deleted, the newest first."""
    mine = DataSet.workspace_id == workspace_id, DataSet.deleted_at.is_(None)
    return session.scalars(select(DataSet).where(*mine).order_by(DataSet.created_at.desc(), DataSet.id)).all()


def _made(filesystem: fsspec.AbstractFileSystem, path: str) -> str:
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    return path


def _found(session: Session, workspace_id: str, name: str, use: Use, sha256: str) -> DataSet | None:
    mine = DataSet.workspace_id == workspace_id, DataSet.name == name, DataSet.use == use, DataSet.sha256 == sha256
    return session.scalar(select(DataSet).where(*mine))


def _new(session: Session, workspace_id: str, name: str, use: Use, dataset: Dataset, path: str) -> DataSet:
    last = select(func.max(DataSet.version)).where(DataSet.workspace_id == workspace_id, DataSet.name == name)
    row = DataSet(
        id=f"ds-{secrets.token_hex(12)}",
        workspace_id=workspace_id,
        name=name,
        version=(session.scalar(last) or 0) + 1,
        use=use,
        sha256=dataset.sha256,
        examples=len(dataset.examples),
        path=path,
        report={},
    )
    session.add(row)
    session.flush()
    return row
