"""LlamaIndex on a VectorIndex: its retrievers and query engines work on either adapter.

    index = VectorStoreIndex.from_vector_store(ChunkVectorStore(...), embed_model=ChunkEmbedding(embedder))
    index.as_retriever(similarity_top_k=4).retrieve("How long do refunds take?")

Writing goes through `retrieval.index.ingest`, which keeps revisions; `add` takes only nodes that `to_node` made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterOperator,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)

from retrieval.documents.chunking import embedding_text
from retrieval.embedding.embedder import Bm25Encoder, Embedder
from retrieval.errors import InputError
from retrieval.index.port import Scope, VectorIndex
from retrieval.index.records import chunk_from_record, chunk_record
from retrieval.model import Chunk, Point
from retrieval.search.fusion import FusionSettings, fuse

CANDIDATES = 30


class ChunkEmbedding(BaseEmbedding):  # type: ignore[misc]
    """An Embedder as LlamaIndex's embedding model."""

    _embedder: Any = PrivateAttr()

    def __init__(self, embedder: Embedder) -> None:
        super().__init__(model_name=embedder.name)
        self._embedder = embedder

    def _get_text_embedding(self, text: str) -> list[float]:
        return list(self._embedder.embed([text])[0])

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return [list(vector) for vector in self._embedder.embed(texts)]

    def _get_query_embedding(self, query: str) -> list[float]:
        return list(self._embedder.embed_query(query))

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


class ChunkVectorStore(BasePydanticVectorStore):  # type: ignore[misc]
    """One workspace's view of an open collection. Queries are hybrid: both stages, fused."""

    stores_text: bool = True
    flat_metadata: bool = False
    _index: Any = PrivateAttr()
    _bm25: Any = PrivateAttr()
    _workspace_id: str = PrivateAttr()
    _fusion: Any = PrivateAttr()

    def __init__(
        self, index: VectorIndex, bm25: Bm25Encoder, workspace_id: str, fusion: FusionSettings | None = None
    ) -> None:
        super().__init__()
        self._index, self._bm25, self._workspace_id = index, bm25, workspace_id
        self._fusion = fusion or FusionSettings()

    @property
    def client(self) -> VectorIndex:
        index: VectorIndex = self._index
        return index

    def add(self, nodes: Sequence[BaseNode], **_kwargs: Any) -> list[str]:
        """Write nodes that `to_node` made and LlamaIndex embedded. Raises InputError for others."""
        points = [self._point(node) for node in nodes]
        self._index.upsert(points)
        return [point.chunk.id for point in points]

    def delete(self, ref_doc_id: str, **_kwargs: Any) -> None:
        """Remove a file; its id is the nodes' `ref_doc_id`."""
        self._index.delete_file(ref_doc_id)

    def query(self, query: VectorStoreQuery, **_kwargs: Any) -> VectorStoreQueryResult:
        """Raises InputError for a query without an embedding, or with filters other than on `file_id`."""
        if query.query_embedding is None:
            raise InputError("the query has no embedding; give the index an embed_model")
        scope = Scope(self._workspace_id, _file_ids(query))
        sparse = self._bm25.query(query.query_str or "")
        limit = max(CANDIDATES, query.similarity_top_k)
        found = self._index.search(query.query_embedding, sparse, limit, scope)
        passages = fuse(found, self._fusion)[: query.similarity_top_k]
        return VectorStoreQueryResult(
            nodes=[to_node(passage.chunk) for passage in passages],
            similarities=[passage.score for passage in passages],
            ids=[passage.chunk.id for passage in passages],
        )

    def _point(self, node: BaseNode) -> Point:
        chunk = from_node(node)
        return Point(chunk, tuple(node.get_embedding()), self._bm25.document(embedding_text(chunk)))


def to_node(chunk: Chunk) -> TextNode:
    """A chunk as LlamaIndex's node. What a model gets to see of its metadata is title, headings and page."""
    record = chunk_record(chunk)
    text = record.pop("text")
    hidden = [key for key in record if key not in ("title", "headings", "page")]
    source = RelatedNodeInfo(node_id=chunk.source.file_id)
    return TextNode(
        id_=chunk.id,
        text=text,
        metadata=record,
        excluded_llm_metadata_keys=hidden,
        excluded_embed_metadata_keys=[key for key in record if key not in ("title", "headings")],
        relationships={NodeRelationship.SOURCE: source},
    )


def from_node(node: BaseNode) -> Chunk:
    """The chunk that a node was made of. Raises InputError for a node that `to_node` did not make."""
    try:
        return chunk_from_record(node.node_id, {**node.metadata, "text": node.get_content()})
    except KeyError as error:
        raise InputError(f"node {node.node_id} has no {error}; add files through retrieval.index.ingest") from error


def _file_ids(query: VectorStoreQuery) -> frozenset[str] | None:
    named = set(query.doc_ids) if query.doc_ids else None
    filters: MetadataFilters | None = query.filters
    for one in filters.filters if filters else []:
        if getattr(one, "key", None) != "file_id" or one.operator not in (FilterOperator.EQ, FilterOperator.IN):
            raise InputError("only filters on file_id, with == or in, are understood")
        ids = set(one.value if isinstance(one.value, list) else [one.value])
        named = ids if named is None else named & ids
    return frozenset(named) if named is not None else None
