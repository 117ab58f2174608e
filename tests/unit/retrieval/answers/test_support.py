from __future__ import annotations

import pytest

from retrieval.answers.support import SUPPORT_THRESHOLD, Objection, objection, support
from retrieval.text.opposites import opposites
from retrieval.text.stems import stem

REFUNDS = """Refund policy
Returning a bike
Customers may return a bike within 30 days of delivery. The fee is £1,500 for one bike. Collection is free on Mondays.
Opened packaging is accepted. A longer ride increases the wear of the chain.
Kelmouth and Lindwick have a repair shop."""


def supported(sentence: str, passage: str = REFUNDS) -> bool:
    return support(sentence, passage) >= SUPPORT_THRESHOLD


@pytest.mark.parametrize(
    "sentence",
    [
        "You may return a bike within 30 days of delivery [1].",
        "- Customers return bikes within thirty days of their delivery.",
        "2. The fee for 1 bike is £1500.",
        "Collection on Monday is free.",
        "Packaging that was opened is accepted.",
        "A repair shop is in Lindwick.",
    ],
)
def test_a_sentence_made_of_the_passage_is_supported(sentence: str) -> None:
    assert objection(sentence, REFUNDS) is None
    assert supported(sentence)


@pytest.mark.parametrize(
    ("sentence", "because"),
    [
        ("You may return a bike within 60 days of delivery.", "figure"),
        ("You may return a bike within sixty days of delivery.", "figure"),
        ("The fee is £1.50 for one bike.", "figure"),
        ("Collection is free on Tuesdays.", "date"),
        ("Opened packaging is not accepted.", "denial"),
        ("The shops can't return a bike.", "denial"),
        ("A longer ride reduces the wear of the chain.", "opposite"),
        ("Opened packaging is refused.", "opposite"),
        ("Unopened packaging is accepted.", "opposite"),
    ],
)
def test_one_wrong_thing_takes_all_support_away(sentence: str, because: Objection) -> None:
    assert objection(sentence, REFUNDS) == because
    assert support(sentence, REFUNDS) == 0.0


def test_words_close_together_count_more_than_words_far_apart() -> None:
    far = "\n".join(["A bike.", "Rain.", "Snow.", "Wind.", "A return.", "Hail.", "Fog.", "Sun.", "The delivery."])
    near = "\n".join(["Rain.", "Snow.", "Wind.", "A bike, a return, the delivery.", "Hail.", "Fog.", "Sun."])
    sentence = "The return of a bike after its delivery."
    assert support(sentence, near) > support(sentence, far) > 0.0


def test_a_name_that_the_passage_lacks_lowers_the_score_but_is_no_objection() -> None:
    theirs = "The repair shop is in Kelmouth."
    foreign = "The repair shop is in Harwell."
    assert support(foreign, REFUNDS) < support(theirs, REFUNDS)
    assert objection(foreign, REFUNDS) is None


def test_a_passage_that_denies_may_carry_a_denial() -> None:
    passage = "The starting fee is never refunded."
    assert supported("The starting fee is not refunded.", passage)
    assert objection("The starting fee is refunded.", passage) is None  # what the check cannot see


@pytest.mark.parametrize("sentence", ["", "Yes.", "It is so.", "[1]", "Purple giraffes juggle."])
def test_a_sentence_that_shares_no_word_has_no_support(sentence: str) -> None:
    assert support(sentence, REFUNDS) == 0.0


def test_an_empty_passage_supports_nothing() -> None:
    assert support("You may return a bike.", "") == 0.0


def test_opposites_stand_in_the_table_or_behind_a_prefix() -> None:
    assert stem("decreases") in opposites(stem("increased"))
    assert "ineffectiv" in opposites("effectiv")
    assert "effectiv" in opposites("ineffectiv")
    assert "put" not in opposites("input")


CHINESE = "顾客可以在收货后三十天内退回自行车。退货须保留原包装，运费由顾客承担。退款将在五个工作日内原路退回。"
JAPANESE = (
    "お客様は商品到着後30日以内であれば自転車を返品できます。返品には元の箱が必要で、送料はお客様の負担となります。"
)
THAI = "ลูกค้าสามารถคืนจักรยานได้ภายใน 30 วันหลังได้รับสินค้า ต้องเก็บกล่องเดิมไว้ และลูกค้าเป็นผู้จ่ายค่าขนส่ง"


@pytest.mark.parametrize(
    ("sentence", "passage"),
    [
        ("三十天内可以退回自行车。", CHINESE),
        ("您可以在30天内退回。", CHINESE),
        ("运费由顾客承担。", CHINESE),
        ("送料はお客様の負担です。", JAPANESE),
        ("30日以内に返品できます。", JAPANESE),
        ("ลูกค้าเป็นผู้จ่ายค่าขนส่ง", THAI),
        ("คืนจักรยานได้ภายใน 30 วัน", THAI),
    ],
)
def test_a_shortened_sentence_of_a_script_without_spaces_is_supported(sentence: str, passage: str) -> None:
    assert supported(sentence, passage)
    assert not any(supported(sentence, other) for other in (REFUNDS, CHINESE, JAPANESE, THAI) if other != passage)


@pytest.mark.parametrize(
    ("sentence", "passage", "because"),
    [
        ("顾客可以在收货后六十天内退回自行车。", CHINESE, "figure"),
        ("顾客可以在收货后60天内退回自行车。", CHINESE, "figure"),
        ("顾客不可以在收货后三十天内退回自行车。", CHINESE, "denial"),
        ("60日以内に返品できます。", JAPANESE, "figure"),
        ("自転車は返品できません。", JAPANESE, "denial"),
        ("คืนจักรยานได้ภายใน 60 วัน", THAI, "figure"),
        ("ลูกค้าไม่สามารถคืนจักรยานได้", THAI, "denial"),
    ],
)
def test_one_wrong_thing_takes_all_support_away_there_too(sentence: str, passage: str, because: Objection) -> None:
    assert objection(sentence, passage) == because
    assert not supported(sentence, passage)


def test_a_sentence_about_something_else_in_the_same_script_is_not_supported() -> None:
    assert not supported("本店提供免费的自行车清洗服务。", CHINESE)
    assert not supported("店舗では自転車の修理を無料で行っています。", JAPANESE)
    assert not supported("ร้านมีบริการล้างจักรยานฟรีทุกวันเสาร์", THAI)
