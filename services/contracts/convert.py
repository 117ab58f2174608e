"""Retrieval's values to bodies and back."""

from __future__ import annotations

from retrieval.model import Chunk, FileRef, Passage, Point, SparseVector
from services.contracts.retrieval import ChunkBody, PassageBody, PointBody


def chunk_body(chunk: Chunk) -> ChunkBody:
    source = chunk.source
    return ChunkBody(
        id=chunk.id,
        workspace_id=source.workspace_id,
        store_id=source.store_id,
        file_id=source.file_id,
        revision=source.revision,
        attributes=dict(source.attributes),
        position=chunk.position,
        text=chunk.text,
        filename=chunk.filename,
        title=chunk.title,
        headings=list(chunk.headings),
        page=chunk.page,
        start=chunk.start,
        end=chunk.end,
        url=chunk.url,
    )


def chunk_value(body: ChunkBody) -> Chunk:
    return Chunk(
        id=body.id,
        source=FileRef(body.workspace_id, body.store_id, body.file_id, body.revision, body.attributes),
        position=body.position,
        text=body.text,
        filename=body.filename,
        title=body.title,
        headings=tuple(body.headings),
        page=body.page,
        start=body.start,
        end=body.end,
        url=body.url,
    )


def point_body(point: Point) -> PointBody:
    return PointBody(
        chunk=chunk_body(point.chunk),
        dense=list(point.dense),
        sparse_indices=list(point.sparse.indices),
        sparse_values=list(point.sparse.values),
    )


def point_value(body: PointBody) -> Point:
    sparse = SparseVector(tuple(body.sparse_indices), tuple(body.sparse_values))
    return Point(chunk_value(body.chunk), tuple(body.dense), sparse)


def passage_body(passage: Passage) -> PassageBody:
    return PassageBody(
        chunk=chunk_body(passage.chunk),
        score=passage.score,
        dense_rank=passage.dense_rank,
        dense_score=passage.dense_score,
        sparse_rank=passage.sparse_rank,
        sparse_score=passage.sparse_score,
        rerank_score=passage.rerank_score,
    )


def passage_value(body: PassageBody) -> Passage:
    return Passage(
        chunk=chunk_value(body.chunk),
        score=body.score,
        dense_rank=body.dense_rank,
        dense_score=body.dense_score,
        sparse_rank=body.sparse_rank,
        sparse_score=body.sparse_score,
        rerank_score=body.rerank_score,
    )
