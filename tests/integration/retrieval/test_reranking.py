"""A real cross-encoder, tiny and with random weights: that it is read, asked and obeyed, not that it is any good."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from retrieval.embedding.embedder import Bm25Encoder, SentenceTransformerEmbedder, model_location
from retrieval.index.ingest import prepare
from retrieval.model import FileRef
from retrieval.search.reranking import CrossEncoderReranker
from services.contracts.convert import point_body
from services.contracts.retrieval import SearchRequest, SearchResponse, UpsertRequest
from services.database.engine import migrate, open_sessions
from services.database.tables import File, Store, StoreFile, Workspace
from services.kit.settings import Platform
from services.retrieval.app import create_app
from services.retrieval.settings import RetrievalSettings

TEXTS = ["Refunds take five days.", "The tyre pressure is 3.8 bar.", "A saddle bag costs 12 euro.", "Bring both keys."]
DOCUMENT = "\n\n".join(f"## Part {number}\n\n{text}" for number, text in enumerate(TEXTS))
HEADERS = {"Authorization": "Bearer a-service-token", "Content-Type": "application/json"}


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("cross-encoder")
    tokenizer = AutoTokenizer.from_pretrained(model_location("all-minilm-l6-v2"))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(4)
    shape = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                       intermediate_size=32, num_labels=1, initializer_range=0.5)  # fmt: skip
    BertForSequenceClassification(shape).save_pretrained(folder)
    return folder


def test_every_text_gets_a_score_and_the_same_one_again(cross_encoder: Path) -> None:
    reranker = CrossEncoderReranker(str(cross_encoder))
    scores = reranker.scores("How long do refunds take?", TEXTS)
    assert len(set(scores)) == len(TEXTS)
    assert reranker.scores("How long do refunds take?", TEXTS) == pytest.approx(scores)
    assert reranker.scores("How long do refunds take?", []) == []


def test_a_text_beyond_the_models_length_is_cut_and_scored(cross_encoder: Path) -> None:
    assert len(CrossEncoderReranker(str(cross_encoder)).scores("Why?", ["word " * 5000])) == 1


def test_a_model_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no-such-model"):
        CrossEncoderReranker(str(tmp_path / "no-such-model"))


def test_the_service_answers_in_the_order_of_the_model_that_its_settings_name(
    cross_encoder: Path, tmp_path: Path
) -> None:
    platform = Platform(home=tmp_path / "home", service_token="a-service-token")
    migrate(platform.database_url)
    sessions = open_sessions(platform.database_url)
    with sessions.begin() as session:
        session.add(Workspace(id="w1", name="One"))
        session.flush()
        session.add(Store(id="s1", workspace_id="w1", name="Docs"))
        session.add(
            File(id="a.md", workspace_id="w1", filename="a.md", purpose="assistants", bytes=1, sha256="", path="")
        )
        session.flush()
        session.add(StoreFile(store_id="s1", file_id="a.md", workspace_id="w1", revision=1, status="in_progress"))
    embedder = SentenceTransformerEmbedder("all-minilm-l6-v2", threads=1)
    points = prepare(DOCUMENT.encode(), "a.md", FileRef("w1", "s1", "a.md", 1), embedder, Bm25Encoder())
    upsert = UpsertRequest(workspace_id="w1", store_id="s1", file_id="a.md", revision=1, embedder=embedder.name,
                           points=[point_body(point) for point in points])  # fmt: skip
    request = SearchRequest(workspace_id="w1", store_ids=["s1"], query="How long do refunds take?")
    settings = RetrievalSettings(rerank_model=str(cross_encoder))
    with TestClient(create_app(platform, settings, embedder=embedder, sessions=sessions), headers=HEADERS) as client:
        assert client.post("/points", content=upsert.model_dump_json()).status_code == 200
        found = SearchResponse.model_validate_json(client.post("/search", content=request.model_dump_json()).content)
    scores = [passage.rerank_score for passage in found.passages]
    assert len(scores) == len(TEXTS)
    assert None not in scores
    assert scores == sorted(scores, key=lambda score: -(score or 0.0))
    assert {"embed", "dense", "sparse", "fuse", "rerank", "select", "total"} <= set(found.timings_ms)
