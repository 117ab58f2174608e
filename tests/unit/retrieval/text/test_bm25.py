"""BM25's vectors, by the engine's real tokenizers: English as it was, scripts without spaces by their words."""

from __future__ import annotations

import pytest
import qdrant_edge

from harness.places import BRINDLE
from retrieval.embedding.embedder import Bm25Encoder
from retrieval.model import SparseVector

CHINESE = (
    "顾客可以在收货后30天内退回自行车。退货须保留原包装，运费由顾客承担。客服电话是400。型号\uff21\uff22\uff23第3章"
)
JAPANESE = (
    "お客様は商品到着後30日以内であれば自転車を返品できます。返品期限を過ぎた場合、営業日は5日です。"
    "東京都千代田区の本店で電池を充電する。ABC型番、第3章、ｶﾀｶﾅ。"
)
THAI = "ลูกค้าสามารถคืนจักรยานได้ภายใน 30 วันหลังได้รับสินค้า ต้องเก็บกล่องเดิมไว้ และลูกค้าเป็นผู้จ่ายค่าขนส่ง"
OLD, NEW = Bm25Encoder(tokenizer="word"), Bm25Encoder()


def score(question: str, text: str, encoder: Bm25Encoder = NEW) -> float:
    document = encoder.document(text)
    weights = dict(zip(document.indices, document.values, strict=True))
    return sum(weights.get(term, 0.0) for term in encoder.query(question).indices)


def as_set(vector: SparseVector) -> set[tuple[int, float]]:
    return set(zip(vector.indices, vector.values, strict=True))


@pytest.mark.parametrize("tokenizer", ["multilingual", "word"])
def test_english_vectors_are_the_engines_own(tokenizer: str) -> None:
    engine = qdrant_edge.Bm25(qdrant_edge.Bm25Config(language="english", avg_len=100.0))
    encoder = NEW if tokenizer == "multilingual" else OLD
    for path in sorted(BRINDLE.rglob("*.md")):
        for text in path.read_text().split("\n\n"):
            document, query = engine.embed_document(text), engine.embed_query(text)
            assert as_set(encoder.document(text)) == set(zip(document.indices, document.values, strict=True))
            assert set(encoder.query(text).indices) == set(query.indices)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("谁承担运费？", CHINESE),
        ("退货", CHINESE),
        ("自行车退回30天", CHINESE),
        ("客服电话", CHINESE),
        ("返品期限はいつですか", JAPANESE),
        ("返品期限", JAPANESE),
        ("東京都千代田区", JAPANESE),
        ("電池充電", JAPANESE),
        ("カタカナ", JAPANESE),
        ("ใครจ่ายค่าขนส่ง", THAI),
        ("คืนจักรยาน", THAI),
    ],
)
def test_a_question_meets_words_of_a_text_without_spaces(question: str, text: str) -> None:
    assert score(question, text) > 0.0
    assert score(question, text) > max(score(question, other) for other in (CHINESE, JAPANESE, THAI) if other != text)


@pytest.mark.parametrize("question", ["30", "400", "abc", "ABC", "\uff21\uff22\uff23"])
def test_numbers_and_letters_beside_such_words_are_found(question: str) -> None:
    assert score(question, CHINESE) > 0.0


def test_a_table_without_kana_is_found_by_a_question_with_some() -> None:
    table = "東京本店 営業時間 九時"
    assert score("東京本店の営業時間は？", table) > score("大阪支店の電話番号は？", table)


def test_a_mixed_text_is_weighed_as_the_engine_weighs_one_of_words() -> None:
    english = "A bike, a bike and a helmet are returned within 30 days of delivery."
    alone, beside = OLD.document(english), NEW.document(f"{english} 退")
    weights = dict(zip(beside.indices, beside.values, strict=True))
    assert len(weights) == len(alone.indices) + 1
    assert all(0 < value - weights[term] < 0.02 for term, value in as_set(alone))  # one word longer


def test_the_former_tokenizer_takes_a_clause_for_a_word() -> None:
    assert score("运费", CHINESE, OLD) == 0.0
    assert len(OLD.document("顾客可以退回自行车。").indices) == 1
