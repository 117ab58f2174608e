"""Examples for training: the review queue, and the file that approved examples are frozen into."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from services.domain.examples import ExampleKind, ExampleStatus
from services.gateway.examples.bodies import example_body, use_body
from services.gateway.examples.examples import Examples
from services.gateway.examples.schemas import (
    ExampleCreate,
    ExampleExport,
    ExampleImport,
    ExampleReview,
    ExampleUpdate,
)
from services.gateway.files.files import Files, check_files
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, cursor, page
from services.gateway.http.parts import part

router = APIRouter(tags=["voice"])
READ = Depends(require("voice", counts="reads"))
WRITE = Depends(require("voice", counts="writes"))
EXAMPLES = part(Examples)
FILES = part(Files)


@router.get("/v1/examples")
def list_examples(
    status: ExampleStatus | None = None,
    kind: ExampleKind | None = None,
    wanted: Cursor = Depends(cursor),
    caller: Caller = READ,
    examples: Examples = EXAMPLES,
) -> dict[str, Any]:
    rows, more = examples.list(caller.workspace_id, status, kind, wanted)
    return page([example_body(*row) for row in rows], more)


@router.post("/v1/examples")
def create_example(body: ExampleCreate, caller: Caller = WRITE, examples: Examples = EXAMPLES) -> dict[str, Any]:
    """Make an example by hand. It waits for a review unless the body says `approved`."""
    return example_body(*examples.create(caller.workspace_id, caller.key_id, body))


@router.post("/v1/examples/import")
def import_examples(
    body: ExampleImport, caller: Caller = WRITE, examples: Examples = EXAMPLES, files: Files = FILES
) -> dict[str, Any]:
    """Make an example of each line of an uploaded training file."""
    check_files(files, caller, file_id=body.file_id)
    count = examples.import_file(caller.workspace_id, caller.key_id, body.file_id, body.status)
    return {"object": "example.import", "file_id": body.file_id, "examples": count, "status": body.status}


@router.post("/v1/examples/review")
def review_examples(body: ExampleReview, caller: Caller = WRITE, examples: Examples = EXAMPLES) -> dict[str, Any]:
    """Approve or reject many at once."""
    ids = examples.review(caller.workspace_id, caller.key_id, body)
    return {"object": "example.review", "ids": ids, "status": body.status}


@router.post("/v1/examples/export")
def export_examples(
    body: ExampleExport | None = None, caller: Caller = WRITE, examples: Examples = EXAMPLES
) -> dict[str, Any]:
    """Freeze the approved examples of a kind into a file with the purpose fine-tune."""
    kind = (body or ExampleExport()).kind
    file, count, new = examples.freeze(caller.workspace_id, kind)
    return {
        "object": "example.export",
        "kind": kind,
        "file_id": file.id,
        "filename": file.filename,
        "sha256": file.sha256,
        "examples": count,
        "new_examples": new,
    }


@router.get("/v1/examples/{example_id}")
def retrieve_example(example_id: str, caller: Caller = READ, examples: Examples = EXAMPLES) -> dict[str, Any]:
    return example_body(*examples.find(caller.workspace_id, example_id))


@router.post("/v1/examples/{example_id}")
def update_example(
    example_id: str, body: ExampleUpdate, caller: Caller = WRITE, examples: Examples = EXAMPLES
) -> dict[str, Any]:
    """Change the text, or approve, reject or propose the example again."""
    return example_body(*examples.update(caller.workspace_id, caller.key_id, example_id, body))


@router.delete("/v1/examples/{example_id}")
def delete_example(example_id: str, caller: Caller = WRITE, examples: Examples = EXAMPLES) -> dict[str, Any]:
    """Delete an example, and say which files still contain its text."""
    uses = examples.delete(caller.workspace_id, example_id)
    contained = [use_body(use) for use in uses]
    return {"id": example_id, "object": "example", "deleted": True, "contained_in": contained}
