"""A collection's tokenizer, kept from its making until it is reindexed, whatever the settings say since."""

from __future__ import annotations

import pytest

from retrieval.errors import RecipeChanged
from retrieval.index.ingest import prepare
from retrieval.index.recipe import bm25_encoder
from retrieval.model import FileRef
from services.database.tables import Collection, StoreFile
from tests.integration.worker.reindexing.pages import TYRES
from tests.worker_desk import Desk

CHINESE = "# 退货\n\n顾客可以在收货后三十天内退回自行车。退货须保留原包装，运费由顾客承担。"
GLOVES = "# 手套\n\n手套有三种尺寸。请在购买前测量手掌的宽度，营业员会帮您挑选。"
QUESTION = "运费谁承担"


def forget_tokenizer(desk: Desk) -> None:
    """The live collection's row as it was written before collections remembered their tokenizer."""
    with desk.sessions.begin() as session:
        row = session.get_one(Collection, desk.collections().live_id)
        row.settings = {name: value for name, value in row.settings.items() if name != "sparse_tokenizer"}


def made_before(desk: Desk) -> Desk:
    """A store as it was made, and written down, before: what was searched for, and how."""
    desk.settings = desk.settings.model_copy(update={"sparse_tokenizer": "word"})
    desk.index("returns.md", CHINESE)
    desk.index("gloves.md", GLOVES)
    desk.index("tyres.md", TYRES)
    forget_tokenizer(desk)
    desk.settings = desk.settings.model_copy(update={"sparse_tokenizer": "multilingual"})
    return desk


def ranking(desk: Desk, question: str) -> list[tuple[str, float | None, float]]:
    return [(one.chunk.id, one.sparse_score, one.score) for one in desk.search(question)]


def live_settings(desk: Desk) -> dict[str, object]:
    found = desk.collections()
    return next(one.settings for one in found.collections if one.id == found.live_id)


def test_a_build_made_before_answers_and_is_written_to_with_its_tokenizer_until_it_is_reindexed(desk: Desk) -> None:
    made_before(desk)
    before = {asked: ranking(desk, asked) for asked in (QUESTION, "tyre pressure")}
    assert {score for _, score, _ in before[QUESTION]} <= {None, 0.0}
    assert live_settings(desk)["sparse_tokenizer"] == "word"

    desk.index("brakes.md", "# Brakes\n\nBrakes are bled once a year.")
    desk.index("lock.md", "# 锁\n\n车锁由顾客承担。")
    assert {score for _, score, _ in ranking(desk, QUESTION)} <= {None, 0.0}
    desk.delete("brakes.md")
    desk.delete("lock.md")
    assert [one[0] for one in ranking(desk, "tyre pressure")] == [one[0] for one in before["tyre pressure"]]

    desk.reindex()
    assert live_settings(desk)["sparse_tokenizer"] == "multilingual"
    best = desk.search(QUESTION)[0]
    assert (best.chunk.filename, best.sparse_rank) == ("returns.md", 1)
    assert best.sparse_score
    assert ranking(desk, "tyre pressure") == before["tyre pressure"]


def test_a_build_keeps_its_tokenizer_and_language_whatever_the_settings_say_since(desk: Desk) -> None:
    desk.index("returns.md", CHINESE)
    before = ranking(desk, QUESTION)
    desk.settings = desk.settings.model_copy(update={"sparse_tokenizer": "word", "sparse_language": "german"})
    desk.index("gloves.md", GLOVES)
    assert ranking(desk, QUESTION)[0][0] == before[0][0]
    assert desk.search("测量手掌")[0].sparse_rank == 1
    assert live_settings(desk)["sparse_language"] == "english"

    desk.reindex()
    told = live_settings(desk)
    assert (told["sparse_tokenizer"], told["sparse_language"]) == ("word", "german")
    assert not desk.search("测量手掌")[0].sparse_score


def test_the_way_back_to_a_build_made_before_takes_its_tokenizer_along(desk: Desk) -> None:
    made_before(desk)
    before = ranking(desk, QUESTION)
    desk.reindex()
    desk.index("lock.md", "# 锁\n\n车锁由顾客承担。")
    assert desk.search(QUESTION)[0].sparse_score
    desk.roll_back()
    assert {score for _, score, _ in ranking(desk, QUESTION)} <= {None, 0.0}
    desk.delete("lock.md")
    assert {one[0] for one in ranking(desk, QUESTION)} == {one[0] for one in before}


def test_points_of_another_tokenizer_do_not_get_into_a_build_made_before(desk: Desk) -> None:
    made_before(desk)
    live = desk.collections().live_id
    recipe = desk.indexing(desk.embedder).recipe
    assert recipe.sparse.tokenizer == "multilingual"
    with desk.sessions() as session:
        row = session.get_one(StoreFile, ("s1", "gloves.md"))
    source = FileRef("w1", "s1", row.file_id, row.revision, row.attributes)
    points = prepare(GLOVES.encode(), "gloves.md", source, desk.embedder, bm25_encoder(recipe.sparse))
    with pytest.raises(RecipeChanged, match="multilingual"):
        desk.writer.upsert(source, recipe, points, 8)
    assert desk.collections().live_id == live
