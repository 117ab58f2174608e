"""Tuning of the packaged embedder, a few steps on the sample's documents; and the job that does it."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest

from harness.places import BRINDLE
from retrieval.documents.chunking import ChunkingSettings, chunk, embedding_text
from retrieval.documents.loading import load
from retrieval.embedding.embedder import SentenceTransformerEmbedder, model_location
from retrieval.model import Chunk, FileRef
from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import Feedback, File, Store, StoreFile, TunedEmbedder, Turn, Workspace
from services.domain.jobs import Jobs, new_job
from services.worker.embedders import run as process
from services.worker.embedders.data import praised_answers
from training.config import EmbedderSettings
from training.embedders.gate import Encode
from training.embedders.pairs import Pair, generated_pairs, split
from training.embedders.recipe import MANIFEST, EmbedderRequest, train_embedder
from training.errors import Cancelled, InvalidDataset, VersionExists

pytestmark = pytest.mark.heavy

BASE = model_location("all-minilm-l6-v2")
QUICK = EmbedderSettings(max_steps=3, per_device_train_batch_size=4, warmup_steps=0, max_length=48, threads=1)
DOCUMENTS = sorted(path for path in (BRINDLE / "documents").iterdir() if path.suffix in (".md", ".txt"))[:14]


def open_weights(weights: str) -> Encode:
    return SentenceTransformerEmbedder(weights, threads=1).embed


def read(path: Path) -> list[Chunk]:
    return chunk(load(path.read_bytes(), path.name), FileRef("w", "vs", path.name, 1), ChunkingSettings(chunk_size=80))


@pytest.fixture(scope="module")
def chunks() -> list[Chunk]:
    return [one for path in DOCUMENTS for one in read(path)]


def request_of(chunks: list[Chunk], folder: Path, settings: EmbedderSettings = QUICK) -> EmbedderRequest:
    pairs = generated_pairs(chunks, embedding_text, random.Random(1))
    passages = [(one.id, embedding_text(one)) for one in chunks]
    return EmbedderRequest(BASE, pairs, passages, folder / "emb-1", folder / "work", settings)


def run(request: EmbedderRequest, cancelled: bool = False):  # type: ignore[no-untyped-def]
    return train_embedder(request, open_weights, lambda _stage, _share: None, lambda: cancelled)


def test_a_tuned_embedder_is_a_folder_that_serves_with_a_manifest_of_its_making(
    chunks: list[Chunk], tmp_path: Path
) -> None:
    weights = Path(BASE) / "model.safetensors"
    before = hashlib.sha256(weights.read_bytes()).hexdigest()
    result = run(request_of(chunks, tmp_path))
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == before
    made = SentenceTransformerEmbedder(str(result.folder), threads=1)
    present = SentenceTransformerEmbedder(BASE, threads=1)
    assert made.dimension == present.dimension
    assert made.embed_query("return a bike") != present.embed_query("return a bike")
    manifest = json.loads((result.folder / MANIFEST).read_text())
    own = hashlib.sha256((result.folder / "model.safetensors").read_bytes()).hexdigest()
    assert manifest["files"]["model.safetensors"] == own
    assert (manifest["steps"], manifest["base"], result.tuned.steps) == (3, BASE, 3)
    assert len(result.tuned.losses) == 3
    with pytest.raises(VersionExists, match="exists already"):
        run(request_of(chunks, tmp_path))


def test_an_embedder_taught_with_shuffled_pairs_is_refused_with_a_sentence(chunks: list[Chunk], tmp_path: Path) -> None:
    settings = EmbedderSettings(
        max_steps=12, learning_rate=1e-3, per_device_train_batch_size=8, warmup_steps=0, max_length=48, threads=1
    )
    honest = request_of(chunks, tmp_path, settings)
    trained, kept_out = split(honest.pairs, settings.share_held_out, random.Random(settings.seed))
    passages = random.Random(2).sample([one.passage for one in trained], len(trained))
    wrong = [
        *kept_out,
        *(
            Pair(one.query, text, one.chunk_id, one.document, one.source)
            for one, text in zip(trained, passages, strict=True)
        ),
    ]
    result = train_embedder(
        EmbedderRequest(BASE, wrong, honest.passages, honest.target, honest.work, settings),
        open_weights,
        lambda _stage, _share: None,
        lambda: False,
    )
    assert not result.report.passed
    assert "refused" in result.report.summary


def test_too_few_pairs_are_refused_before_anything_is_trained(chunks: list[Chunk], tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"at least 60 are needed; add documents"):
        run(request_of(chunks[:5], tmp_path))


def test_a_cancelled_tuning_leaves_nothing(chunks: list[Chunk], tmp_path: Path) -> None:
    with pytest.raises(Cancelled, match="step 1 of 3"):
        run(request_of(chunks, tmp_path), cancelled=True)
    assert [path.name for path in tmp_path.iterdir() if "emb" in path.name] == []


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    """A home with one store of the sample's documents, in the process's environment."""
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path))
    monkeypatch.setenv("TANDEM_SERVICE_TOKEN", "token")
    monkeypatch.setenv("TANDEM_BROKER_URL", "memory://")
    monkeypatch.setenv("TANDEM_WORKER_TRAIN_THREADS", "1")
    url = f"sqlite:///{tmp_path}/tandem.db"
    migrate(url)
    sessions = open_sessions(url)
    with sessions.begin() as session:
        session.add(Workspace(id="w", name="W"))
        session.flush()
        session.add(Store(id="vs", workspace_id="w", name="Docs", is_default=True))
        for path in DOCUMENTS:
            about = {"filename": path.name, "purpose": "assistants", "bytes": 1, "sha256": "", "path": str(path)}
            session.add(File(id=path.name, workspace_id="w", **about))
            session.flush()
            wanted = {"revision": 1, "status": "completed"}
            session.add(StoreFile(store_id="vs", file_id=path.name, workspace_id="w", **wanted))
    return sessions


def test_the_job_reads_the_store_trains_and_records_what_came_of_it(platform: Sessions, tmp_path: Path) -> None:
    jobs = Jobs(platform)
    job = new_job("w", "embedder_training", {"store_id": "vs", "hyperparameters": {"max_steps": 2}}, 600.0)
    with platform.begin() as session:
        session.add(job)
    jobs.claim(job.id)
    process.run_claimed(job.id)
    done = jobs.find("w", job.id)
    assert done.status == "succeeded", done.reason
    with platform() as session:
        embedder = session.query(TunedEmbedder).one()
    assert Path(embedder.path).parent == tmp_path / "embedders" / "w"
    assert SentenceTransformerEmbedder(embedder.path, threads=1).dimension == 384
    assert done.result["embedder"] == embedder.id
    assert embedder.status in ("passed", "refused")
    assert done.reason == embedder.report["summary"]
    assert not (tmp_path / "runs" / job.id).exists()


def test_a_store_without_documents_fails_the_job_with_what_to_do(platform: Sessions) -> None:
    jobs = Jobs(platform)
    job = new_job("w", "embedder_training", {"store_id": "vs_other", "hyperparameters": {}}, 600.0)
    with platform.begin() as session:
        session.add(job)
    jobs.claim(job.id)
    process.run_claimed(job.id)
    done = jobs.find("w", job.id)
    assert done.status == "failed"
    assert "at least 60 are needed" in (done.reason or "")


def test_praised_answers_bring_the_supported_passages_of_files_that_are_still_there(platform: Sessions) -> None:
    there, gone = DOCUMENTS[0].name, "deleted.md"
    passages = [
        {"index": 1, "chunk_id": "c1", "file_id": there, "revision": 1, "filename": there, "title": "T",
         "headings": ["T", "H"], "page": None, "text": "A text.", "score": 1.0},
        {"index": 2, "chunk_id": "c2", "file_id": gone, "revision": 1, "filename": gone, "title": "T",
         "headings": [], "page": None, "text": "Another.", "score": 1.0},
    ]  # fmt: skip
    citations = [{"index": 1, "supported": True}, {"index": 2, "supported": True}, {"index": 3, "supported": False}]
    rest = {"model": "m", "mode": "rag", "answer": "A", "messages": [], "timings": {}, "versions": {}}
    with platform.begin() as session:
        for turn_id, rating in (("t1", "up"), ("t2", "down")):
            asked = {"question": f"Question of {turn_id}?", "passages": passages, "citations": citations}
            session.add(Turn(id=turn_id, workspace_id="w", **asked, **rest))
            session.flush()
            session.add(Feedback(id=f"fb-{turn_id}", workspace_id="w", turn_id=turn_id, rating=rating))
    (praised,) = praised_answers(platform, "w")
    assert praised.question == "Question of t1?"
    assert [(one.id, one.headings, one.text) for one in praised.cited] == [("c1", ("T", "H"), "A text.")]
    assert praised_answers(platform, "another") == []
