"""LlamaIndex's own retrievers and query engines over our indexes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.llms import MockLLM
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters
from qdrant_client import QdrantClient

from retrieval.errors import InputError
from retrieval.index.edge import EdgeEngine
from retrieval.index.port import CollectionRef, IndexEngine
from retrieval.index.remote import RemoteEngine
from retrieval.search.llama_store import ChunkEmbedding, ChunkVectorStore, from_node, to_node
from tests.contract.test_vector_index import BM25, EMBEDDER, make_point

REF = CollectionRef("w1", "s1", "col_1")


@pytest.fixture(params=["edge", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ChunkVectorStore]:
    local = request.param == "local"
    engine: IndexEngine = RemoteEngine(QdrantClient(location=":memory:")) if local else EdgeEngine(tmp_path)
    index = engine.create(REF, EMBEDDER.dimension)
    index.upsert(
        [
            make_point("Refunds are paid within five days.", "refunds"),
            make_point("The tyre pressure is 3.8 bar.", "tyres"),
            make_point("Refunds of another tenant.", "other", workspace="w2"),
        ]
    )
    yield ChunkVectorStore(index, BM25, "w1")
    index.close()
    engine.close()


def as_index(store: ChunkVectorStore) -> VectorStoreIndex:
    return VectorStoreIndex.from_vector_store(store, embed_model=ChunkEmbedding(EMBEDDER))


def test_a_retriever_finds_a_workspaces_chunks_and_no_others(store: ChunkVectorStore) -> None:
    found = as_index(store).as_retriever(similarity_top_k=5).retrieve("When are refunds paid?")
    assert [hit.node.get_content() for hit in found] == [
        "Refunds are paid within five days.",
        "The tyre pressure is 3.8 bar.",
    ]
    assert found[0].score > found[1].score


def test_a_retriever_can_be_held_to_some_files(store: ChunkVectorStore) -> None:
    filters = MetadataFilters(filters=[MetadataFilter(key="file_id", value="tyres")])
    found = as_index(store).as_retriever(filters=filters).retrieve("When are refunds paid?")
    assert [hit.node.ref_doc_id for hit in found] == ["tyres"]


def test_a_query_engine_puts_the_passages_into_its_prompt(store: ChunkVectorStore) -> None:
    engine = as_index(store).as_query_engine(llm=MockLLM(), similarity_top_k=1)
    answer = engine.query("What is the tyre pressure?")
    assert "The tyre pressure is 3.8 bar." in str(answer)  # the mock model repeats its prompt
    assert [hit.node.metadata["filename"] for hit in answer.source_nodes] == ["tyres.md"]


def test_nodes_can_be_added_and_files_deleted(store: ChunkVectorStore) -> None:
    node = to_node(make_point("Locks weigh two kilograms.", "locks").chunk)
    as_index(store).insert_nodes([node])
    retriever = as_index(store).as_retriever(similarity_top_k=1)
    assert retriever.retrieve("How heavy are locks?")[0].node.ref_doc_id == "locks"
    store.delete("locks")
    assert retriever.retrieve("How heavy are locks?")[0].node.ref_doc_id != "locks"


def test_a_chunk_survives_being_a_node() -> None:
    chunk = make_point("Locks weigh two kilograms.", "locks").chunk
    assert from_node(to_node(chunk)) == chunk


def test_a_node_from_elsewhere_is_refused(store: ChunkVectorStore) -> None:
    node = to_node(make_point("x").chunk)
    node.metadata = {}
    node.embedding = list(EMBEDDER.embed_query("x"))
    with pytest.raises(InputError, match=r"retrieval\.index\.ingest"):
        store.add([node])


def test_filters_that_are_not_understood_are_refused(store: ChunkVectorStore) -> None:
    filters = MetadataFilters(filters=[MetadataFilter(key="year", value=2026)])
    with pytest.raises(InputError, match="file_id"):
        as_index(store).as_retriever(filters=filters).retrieve("x")
