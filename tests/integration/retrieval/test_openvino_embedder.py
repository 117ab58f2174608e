"""Embedders converted for OpenVINO, against the same models in torch; and the folder that keeps them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, StaticEmbedding, Transformer
from tokenizers import Tokenizer
from transformers import AutoTokenizer, BertConfig, BertModel

from retrieval.embedding.embedder import Dense, SentenceTransformerEmbedder, model_location
from retrieval.embedding.openvino_cache import WEIGHTS, converted, is_sound
from retrieval.embedding.openvino_embedder import OpenVinoEmbedder
from retrieval.embedding.runtime import make_embedder

PACKAGED = "all-minilm-l6-v2"
TEXTS = [
    "What is the tyre pressure of the Brindle City?",
    "3.8 bar",
    "In winter ride with 3.2 bar. " * 60,
    "  Refunds are paid within FIVE working days,\nof the returned bike's arrival. ",
    "Die Rückgabe dauert fünf Werktage.",
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embedders")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of one layer and random weights that pools by the first token and reads 12 tokens."""
    folder = tmp_path_factory.mktemp("models")
    config = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    BertModel(config).save_pretrained(folder / "bert")
    AutoTokenizer.from_pretrained(model_location(PACKAGED)).save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"), max_seq_length=12)
    model = SentenceTransformer(modules=[transformer, Pooling(32, pooling_mode="cls")], device="cpu")
    model.save(str(folder / "tiny"))
    return str(folder / "tiny")


def cosines(some: Sequence[Dense], others: Sequence[Dense]) -> list[float]:
    return [sum(a * b for a, b in zip(one, other, strict=True)) for one, other in zip(some, others, strict=True)]


def test_the_packaged_model_gives_the_vectors_of_torch(cache: Path) -> None:
    fast, reference = make_embedder(PACKAGED, "openvino", cache), SentenceTransformerEmbedder(PACKAGED, dtype="float32")
    assert isinstance(fast, OpenVinoEmbedder)
    assert (fast.name, fast.dimension) == (reference.name, reference.dimension)
    assert min(cosines(fast.embed(TEXTS), reference.embed(TEXTS))) > 0.999
    assert [fast.count_tokens(text) for text in TEXTS] == [reference.count_tokens(text) for text in TEXTS]


def test_a_text_has_the_same_vector_alone_and_among_others(cache: Path) -> None:
    embedder = make_embedder(PACKAGED, "openvino", cache, threads=2)
    assert min(cosines([embedder.embed_query(text) for text in TEXTS], embedder.embed(TEXTS))) > 0.9999
    assert embedder.embed([]) == []


def test_questions_and_batches_from_several_threads_do_not_mix(cache: Path) -> None:
    embedder = make_embedder(PACKAGED, "openvino", cache)
    alone = embedder.embed(TEXTS)
    with ThreadPoolExecutor(6) as threads:
        batches = [threads.submit(embedder.embed, TEXTS) for _ in range(4)]
        questions = [threads.submit(embedder.embed_query, text) for text in TEXTS * 4]
    assert all(min(cosines(batch.result(), alone)) > 0.9999 for batch in batches)
    assert min(cosines([one.result() for one in questions], alone * 4)) > 0.9999


@pytest.mark.long  # it converts a model, 15 s of a core
def test_pooling_and_length_are_those_of_the_models_own_files(tiny: str, cache: Path) -> None:
    fast = make_embedder(tiny, "openvino", cache, dtype="float32")
    assert isinstance(fast, OpenVinoEmbedder)
    assert min(cosines(fast.embed(TEXTS), SentenceTransformerEmbedder(tiny, dtype="float32").embed(TEXTS))) > 0.9999
    ten = "one two three four five six seven eight nine ten"
    assert cosines([fast.embed_query(f"{ten} eleven")], [fast.embed_query(f"{ten} twelve")])[0] > 0.9999


@pytest.mark.long  # it converts a model, 15 s of a core
def test_processes_that_start_together_convert_once(tiny: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:  # each opens the lock anew, as a process would
        folders = set(threads.map(lambda cache: converted(tiny, cache), [tmp_path, tmp_path]))
    assert len(folders) == 1
    assert [one.name for one in tmp_path.iterdir() if one.is_dir()] == [folders.pop().name]


def test_a_damaged_folder_is_made_anew(tiny: str, cache: Path) -> None:
    weights = converted(tiny, cache) / WEIGHTS
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    assert not is_sound(weights.parent)
    assert is_sound(converted(tiny, cache))
    assert weights.read_bytes() == content


@pytest.mark.long  # it converts a model, 15 s of a core
def test_changed_weights_are_converted_again(tiny: str, cache: Path) -> None:
    before = converted(tiny, cache)
    (Path(tiny) / "README.md").write_text("another training run", encoding="utf-8")
    assert converted(tiny, cache) != before


@pytest.mark.long  # it converts a model, 15 s of a core
def test_a_model_that_cannot_be_converted_runs_on_torch_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = Tokenizer.from_file(str(Path(model_location(PACKAGED)) / "tokenizer.json"))
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=16)], device="cpu")
    model.save(str(tmp_path / "static"))
    embedder = make_embedder(str(tmp_path / "static"), "openvino", tmp_path / "cache", dtype="float32")
    assert isinstance(embedder, SentenceTransformerEmbedder)
    assert "cannot be converted for OpenVINO" in caplog.text
    assert len(embedder.embed_query("tyres")) == 16


def test_a_model_that_does_not_exist_is_refused_as_torch_refuses_it(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no-such-folder"):
        make_embedder(str(tmp_path / "no-such-folder"), "openvino", tmp_path / "cache")


def test_a_second_start_loads_no_torch(tiny: str, cache: Path) -> None:
    converted(tiny, cache)
    program = (
        "import sys; from pathlib import Path; from retrieval.embedding.runtime import make_embedder; "
        "make_embedder(sys.argv[1], 'openvino', Path(sys.argv[2])).embed_query('tyres'); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, tiny, str(cache)], check=True)
