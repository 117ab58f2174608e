from __future__ import annotations

import pytest

from retrieval.documents.chunking import ChunkingSettings
from retrieval.errors import InputError
from retrieval.index.recipe import Recipe, SparseSettings, bm25_encoder, chunking_of, sparse_of

RECIPE = Recipe("minilm", 384, ChunkingSettings(200, 20), SparseSettings("german", 30.0))


def test_a_recipe_is_read_back_from_a_collections_settings() -> None:
    settings = RECIPE.settings()
    assert chunking_of(settings, ChunkingSettings()) == RECIPE.chunking
    assert sparse_of(settings) == RECIPE.sparse


def test_what_the_settings_do_not_say_is_the_defaults() -> None:
    assert chunking_of({"chunk_size": 64, "store_id": "vs_1"}, ChunkingSettings(200, 20)) == ChunkingSettings(64, 20)
    assert sparse_of({}, RECIPE.sparse) == RECIPE.sparse


def test_settings_that_do_not_say_their_tokenizer_are_of_the_one_that_there_was() -> None:
    told = {name: value for name, value in RECIPE.settings().items() if name != "sparse_tokenizer"}
    assert sparse_of(told) == SparseSettings("german", 30.0, "word")
    assert sparse_of({}) == SparseSettings("english", 100.0, "word")
    assert SparseSettings().tokenizer == "multilingual"


def test_an_unknown_tokenizer_is_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"no tokenizer 'nonsense'.*multilingual and word"):
        sparse_of({"sparse_tokenizer": "nonsense"})


def test_sizes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="chunk_overlap 100"):
        chunking_of({"chunk_size": 64}, ChunkingSettings(200, 100))


def test_an_unknown_language_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="klingon"):
        bm25_encoder(SparseSettings("klingon"))


def test_the_language_chooses_the_stemmer() -> None:
    assert bm25_encoder(SparseSettings("german")).query("Häuser") == bm25_encoder(SparseSettings("german")).query(
        "Haus"
    )
    assert bm25_encoder(SparseSettings()).query("Häuser") != bm25_encoder(SparseSettings()).query("Haus")
