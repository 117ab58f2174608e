"""Data sets: frozen, and examined before any training."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from services.database.tables import DataSet
from services.gateway.data_sets.data_sets import DataSets
from services.gateway.data_sets.schemas import DataSetCreate
from services.gateway.files.files import Files, check_files
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.parts import part

router = APIRouter(tags=["voice"])
READ = Depends(require("voice", counts="reads"))
WRITE = Depends(require("voice", counts="writes"))
DATA_SETS = part(DataSets)
FILES = part(Files)


def data_set_body(row: DataSet) -> dict[str, Any]:
    """`report` is null until the job is done."""
    return {
        "id": row.id,
        "object": "data_set",
        "name": row.name,
        "version": row.version,
        "use": row.use,
        "sha256": row.sha256,
        "examples": row.examples,
        "report": row.report or None,
        "job_id": row.job_id,
        "created_at": int(row.created_at.timestamp()),
    }


@router.post("/v1/data_sets")
def create_data_set(
    body: DataSetCreate, caller: Caller = WRITE, files: Files = FILES, data_sets: DataSets = DATA_SETS
) -> dict[str, Any]:
    """Freeze an uploaded file. A job makes the report. If a data set with the same content exists, it is returned."""
    check_files(files, caller, file_id=body.file_id)
    return data_set_body(data_sets.create(caller.workspace_id, body.file_id, body.name, body.use))


@router.get("/v1/data_sets")
def list_data_sets(caller: Caller = READ, data_sets: DataSets = DATA_SETS) -> dict[str, Any]:
    rows = data_sets.list(caller.workspace_id)
    return {"object": "list", "data": [data_set_body(row) for row in rows], "has_more": False}


@router.get("/v1/data_sets/{data_set_id}")
def retrieve_data_set(data_set_id: str, caller: Caller = READ, data_sets: DataSets = DATA_SETS) -> dict[str, Any]:
    return data_set_body(data_sets.find(caller.workspace_id, data_set_id))


@router.delete("/v1/data_sets/{data_set_id}")
def delete_data_set(data_set_id: str, caller: Caller = WRITE, data_sets: DataSets = DATA_SETS) -> dict[str, Any]:
    """Remove a data set's content. Versions that were trained on it stay, and name its hash."""
    data_sets.delete(caller.workspace_id, data_set_id)
    return {"id": data_set_id, "object": "data_set", "deleted": True}
