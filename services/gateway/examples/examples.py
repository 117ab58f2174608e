"""Examples for training: proposed by feedback or made by hand, reviewed, and frozen into files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.database.engine import Sessions
from services.database.tables import Example, ExampleUse, File, now
from services.domain.examples import (
    ExampleKind,
    ExampleStatus,
    Use,
    count_new,
    freeze_examples,
    use_of,
    uses_of_examples,
)
from services.gateway.examples.schemas import ExampleCreate, ExampleReview, ExampleUpdate
from services.gateway.examples.texts import new_example_id, plain, without_markers
from services.gateway.files.files import Files
from services.gateway.http.paging import Cursor, Place, read_page
from services.kit.errors import ApiError
from training.data.dataset import parse_dataset
from training.errors import InvalidDataset
from training.model import turns_of

TEXTS = ("prompt", "answer", "rejected", "label", "metadata")
Shown = tuple[Example, list[Use]]


class Examples:
    """`files_url` is where frozen training files are written."""

    def __init__(self, sessions: Sessions, files: Files, files_url: str) -> None:
        self._sessions, self._files, self._files_url = sessions, files, files_url

    def create(self, workspace_id: str, key_id: str, asked: ExampleCreate) -> Shown:
        """Raises ApiError 400 for a text that the kind needs and is missing, or that the kind does not have."""
        example = Example(id=new_example_id(), workspace_id=workspace_id, kind=asked.kind, origin="api")
        _write(example, asked.model_dump(include=set(TEXTS)))
        _settle(example, asked.status, key_id, asked.note)
        with self._sessions.begin() as session:
            session.add(example)
        return example, []

    def import_file(self, workspace_id: str, key_id: str, file_id: str, status: ExampleStatus) -> int:
        """Make an example of each answer in a training file; returns how many. A file is imported only once."""
        file, data = self._files.content(workspace_id, file_id)
        try:
            turns = turns_of(parse_dataset(data).examples)
        except InvalidDataset as error:
            message = f"'{file.filename}' is no file of examples: {error}"
            raise ApiError(400, message, code="invalid_training_file", param="file_id") from error
        with self._sessions.begin() as session:
            if session.scalar(select(ExampleUse.example_id).where(ExampleUse.file_id == file_id).limit(1)):
                message = f"The examples of '{file_id}' are here already."
                raise ApiError(409, message, code="already_imported", param="file_id")
            for turn in turns:
                prompt = [{"role": one.role, "content": one.content} for one in turn.messages[:-1]]
                example = Example(id=new_example_id(), workspace_id=workspace_id, kind="supervised", origin="file")
                _write(example, {"prompt": prompt, "answer": turn.answer, "metadata": dict(turn.metadata)})
                _settle(example, status, key_id, None)
                session.add_all([example, use_of(example, file_id)])
        return len(turns)

    def find(self, workspace_id: str, example_id: str) -> Shown:
        with self._sessions() as session:
            example = _found(session, workspace_id, [example_id])[0]
            return example, uses_of_examples(session, workspace_id, [example_id])

    def list(
        self, workspace_id: str, status: ExampleStatus | None, kind: ExampleKind | None, cursor: Cursor
    ) -> tuple[Sequence[Shown], bool]:
        """A page of examples with their uses, and whether there are more."""
        query = select(Example).where(Example.workspace_id == workspace_id)
        query = query.where(Example.status == status) if status else query
        query = query.where(Example.kind == kind) if kind else query
        with self._sessions() as session:

            def place(example_id: str) -> Place:
                return _found(session, workspace_id, [example_id])[0].created_at, example_id

            rows, more = read_page(session, query, Example.created_at, Example.id, cursor, place)
            uses = uses_of_examples(session, workspace_id, [example.id for (example,) in rows])
        return [(example, [use for use in uses if use.example_id == example.id]) for (example,) in rows], more

    def update(self, workspace_id: str, key_id: str, example_id: str, asked: ExampleUpdate) -> Shown:
        """Change an example. A review is about the text, so a new text without a verdict waits for a new review."""
        changes = asked.model_dump(include=set(TEXTS), exclude_none=True)
        with self._sessions.begin() as session:
            example = _found(session, workspace_id, [example_id])[0]
            if changes:
                _write(example, changes)
            if changes or asked.status:
                _settle(example, asked.status or "proposed", key_id, asked.note)
            elif asked.note:
                example.note = asked.note
            return example, uses_of_examples(session, workspace_id, [example_id])

    def review(self, workspace_id: str, key_id: str, asked: ExampleReview) -> Sequence[str]:
        """Give many examples one verdict. If one of them does not exist, none is changed."""
        with self._sessions.begin() as session:
            for example in _found(session, workspace_id, list(dict.fromkeys(asked.ids))):
                _settle(example, asked.status, key_id, asked.note)
        return asked.ids

    def delete(self, workspace_id: str, example_id: str) -> Sequence[Use]:
        """Delete an example; returns which files still contain its text."""
        with self._sessions.begin() as session:
            session.delete(_found(session, workspace_id, [example_id])[0])
            return uses_of_examples(session, workspace_id, [example_id])

    def freeze(self, workspace_id: str, kind: ExampleKind) -> tuple[File, int, int]:
        """Write the approved examples to a file; returns how many they are, and how many no training has used yet."""
        file = freeze_examples(self._sessions, self._files_url, workspace_id, kind)
        new = count_new(self._sessions, workspace_id, kind)
        with self._sessions() as session:
            held = session.scalars(select(ExampleUse.example_id).where(ExampleUse.file_id == file.id)).all()
        return file, len(held), new


def _found(session: Session, workspace_id: str, example_ids: Sequence[str]) -> list[Example]:
    """These examples, in this order. Raises ApiError 404 for the first that does not exist."""
    query = select(Example).where(Example.workspace_id == workspace_id, Example.id.in_(example_ids))
    found = {example.id: example for example in session.scalars(query)}
    for example_id in example_ids:
        if example_id not in found:
            raise ApiError(404, f"There is no example '{example_id}'.", code="example_not_found", param="id")
    return [found[example_id] for example_id in example_ids]


def _write(example: Example, texts: dict[str, Any]) -> None:
    """Put texts into an example, without markers. Raises ApiError 400 if they do not make an example of its kind."""
    for name, value in texts.items():
        setattr(example, {"metadata": "details"}.get(name, name), value)
    example.prompt = without_markers(example.prompt or [])
    example.answer, example.rejected = plain(example.answer), plain(example.rejected) if example.rejected else None
    _check(example)


def _check(example: Example) -> None:
    problem = None
    if not example.prompt or example.prompt[-1]["role"] != "user":
        problem = "prompt", "The prompt must end with the user's question."
    elif not example.answer:
        problem = "answer", "The answer has no text beside its markers."
    elif (example.rejected is not None) != (example.kind == "preference"):
        problem = "rejected", "A 'preference' needs the text that was rejected; the other kinds have none."
    elif example.rejected == example.answer:
        problem = "rejected", "The answer and the rejected text are the same, so nothing is preferred."
    elif (example.label is not None) != (example.kind == "rating"):
        problem = "label", "A 'rating' needs a label, true or false; the other kinds have none."
    if problem:
        raise ApiError(400, problem[1], code="invalid_example", param=problem[0])


def _settle(example: Example, status: ExampleStatus, key_id: str, note: str | None) -> None:
    """Set the status, who decided it and when. Proposing again withdraws an earlier verdict."""
    decided = status != "proposed"
    example.status, example.note = status, note
    example.reviewed_by, example.reviewed_at = (key_id, now()) if decided else (None, None)
