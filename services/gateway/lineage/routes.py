"""Which data sets and versions contain the text of a file or an answer."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.parts import part
from services.gateway.http.visibility import purposes
from services.gateway.lineage.bodies import lineage_body
from services.gateway.lineage.lineage import Lineages

router = APIRouter(tags=["voice"])
LINEAGES = part(Lineages)


@router.get("/v1/files/{file_id}/lineage")
def file_lineage(
    file_id: str, caller: Caller = Depends(require("knowledge", "voice", counts="reads")), lineages: Lineages = LINEAGES
) -> dict[str, Any]:
    """The data sets and versions that contain text of a file, deleted or not."""
    found = lineages.of_file(caller.workspace_id, file_id, purposes(caller))
    return lineage_body(found, file_id)


@router.get("/v1/answers/{answer_id}/lineage")
def answer_lineage(
    answer_id: str, caller: Caller = Depends(require("ask", "voice", counts="reads")), lineages: Lineages = LINEAGES
) -> dict[str, Any]:
    """The data sets and versions that were made from an answer of the journal."""
    return lineage_body(lineages.of_answer(caller.workspace_id, answer_id), answer_id)
