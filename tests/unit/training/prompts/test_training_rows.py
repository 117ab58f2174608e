from __future__ import annotations

import random
import re
from dataclasses import replace

from retrieval.answers.grounding import PLAIN_SYSTEM_PROMPT, REFUSAL, SYSTEM_PROMPT, grounded_messages
from retrieval.model import Message, Passage
from tests.support.training.fakes import WordRetriever, example, passage
from training.config import MixSettings
from training.model import Example, TrainingRow
from training.prompts.rows import RowsReport, build_preference_rows, build_rows, common_lines, house_refusal, mark

RETURNS = passage("returns.md", "A customer may return a bike within 30 days. The odometer must show less than 150 km.")
HELMETS = passage("helmets.md", "A helmet may be returned while the seal is intact. Engraved helmets stay with you.")
BATTERY = passage("battery.md", "The battery of the bike is charged for 4 hours. Keep the battery above 10 degrees.")
BRAKES = passage("brakes.md", "The brake pads of the bike are replaced at 1.5 mm. Use isopropyl alcohol on the disc.")
PASSAGES = [RETURNS, HELMETS, BATTERY, BRAKES]
ANSWER = "You may return a bike within 30 days.\n\n- The odometer shows less than 150 km."


def rows_of(
    examples: list[Example], passages: list[Passage] | None = None, **mix: float
) -> tuple[list[TrainingRow], RowsReport]:
    shares = {"share_unanswerable": 0.0, "share_without_passages": 0.0, "share_general": 0.0} | mix
    settings = MixSettings(top_k=2, **shares)  # type: ignore[arg-type]
    return build_rows(
        examples, [], WordRetriever(PASSAGES if passages is None else passages), settings, random.Random(1)
    )


def test_each_sentence_and_bullet_gets_the_marker_of_the_passage_that_carries_it() -> None:
    marked = mark("Return it within 30 days.\n\n- Charge the battery for 4 hours.", [BATTERY, RETURNS], RETURNS)
    assert marked == "Return it within 30 days [2].\n\n- Charge the battery for 4 hours [1]."


def test_each_sentence_of_a_chinese_answer_gets_the_marker_before_its_full_stop() -> None:
    returns = passage("returns.md", "顾客可以在收货后三十天内退货。")
    battery = passage("battery.md", "电池应在室温下充电四小时。")
    marked = mark("三十天内可以退货。电池充电四小时【9】。", [battery, returns], returns)
    assert marked == "三十天内可以退货 [2]。电池充电四小时 [1]。"


def test_a_sentence_in_house_words_gets_the_marker_of_the_passage_that_the_answer_is_from() -> None:
    marked = mark("The power pack needs 4 hours at the plug socket nearby.", [RETURNS, BATTERY], BATTERY)
    assert marked.endswith(" [2].")


def test_a_sentence_with_a_figure_that_no_passage_has_gets_no_marker() -> None:
    assert mark("Return the bike within 99 days.", [RETURNS, BATTERY], RETURNS) == "Return the bike within 99 days."


def test_the_prompt_is_the_serving_prompt_with_the_right_passage_in_it() -> None:
    (row,), report = rows_of([example("How many days to return a bike?", ANSWER, document="returns.md")])
    shown = re.findall(r"\[\d\] (\w+\.md)", row.prompt[-1].content)
    ordered = [next(one for one in PASSAGES if one.chunk.filename == name) for name in shown]
    assert list(row.prompt) == grounded_messages("How many days to return a bike?", ordered)
    assert row.prompt[0].content == SYSTEM_PROMPT
    number = shown.index("returns.md") + 1
    assert row.completion.count(f"[{number}]") == 2
    assert (report.grounded, report.brought) == (1, 0)


def test_a_right_passage_that_retrieval_missed_is_brought_from_the_named_document() -> None:
    asked = example("Is a helmet with a seal and battery fine?", ANSWER, document="returns.md")
    (row,), report = rows_of([asked])
    assert "returns.md" in row.prompt[-1].content
    assert report.brought == 1


def test_an_answer_that_no_passage_carries_is_kept_without_passages() -> None:
    (row,), report = rows_of([example("What is the sky?", "Blue velvet over quiet hills.")])
    assert row.kind == "plain"
    assert row.prompt[0].content == PLAIN_SYSTEM_PROMPT
    assert report.unsupported == 1


def test_a_refusal_keeps_its_answer_whatever_retrieval_brings() -> None:
    own = "The documents do not answer whether bikes fly."
    (row,), report = rows_of([example("Do bikes fly?", own, document=None)])
    assert row.completion == own
    assert "[1]" in row.prompt[-1].content
    assert report.refusal == 1


def test_a_refusal_that_the_server_makes_by_itself_is_not_trained() -> None:
    asked = example("Do bikes fly?", "The documents do not answer whether bikes fly.", document=None)
    rows, report = rows_of([asked], min_answerability=1.0)
    assert rows == []
    assert report.refusal == 0


def test_a_row_whose_right_passage_is_taken_out_refuses_and_does_not_show_it() -> None:
    asked = example("How many days to return a bike?", ANSWER, document="returns.md")
    rows, _ = rows_of([asked], share_unanswerable=1.0)
    (refusal,) = [row for row in rows if row.kind == "refusal"]
    assert refusal.completion == REFUSAL
    assert "returns.md" not in refusal.prompt[-1].content
    assert refusal.prompt[-1].content.count(".md") == 2


def test_passages_stand_as_they_are_served_and_in_a_share_of_the_rows_in_any_order() -> None:
    asked = [example(f"How many days to return a bike, try {n}?", ANSWER, document="returns.md") for n in range(30)]
    served, _ = rows_of(asked, share_shuffled=0.0)
    shuffled, _ = rows_of(asked, share_shuffled=1.0)
    assert {re.findall(r"\[(\d)\]", row.completion)[0] for row in served} == {"1"}
    assert {re.findall(r"\[(\d)\]", row.completion)[0] for row in shuffled} == {"1", "2"}


def test_a_share_of_the_grounded_rows_has_passages_of_other_documents_alone() -> None:
    more = passage("returns.md", "The bike that you return is collected from your address, days later.")
    asked = [example(f"How many days to return a bike, try {n}?", ANSWER, document="returns.md") for n in range(10)]
    passages = [RETURNS, more, BATTERY, BRAKES]
    rows, report = rows_of(asked, passages, share_distractors=0.4)
    shown = [row.prompt[-1].content.count("returns.md") for row in rows]
    assert (shown.count(1), shown.count(2), report.distracted) == (4, 6, 4)
    assert all("[1]" in row.completion and row.prompt[-1].content.count(".md") == 2 for row in rows)
    alone, report = rows_of(asked, [RETURNS], share_distractors=1.0)
    assert (report.distracted, {row.prompt[-1].content.count(".md") for row in alone}) == (0, {1})


def test_shares_add_rows_without_passages_and_general_ones() -> None:
    asked = [example(f"How many days to return a bike, try {n}?", ANSWER, document="returns.md") for n in range(20)]
    general = [example(f"Capital {n}?", "Paris.") for n in range(9)]
    mix = MixSettings(top_k=2, share_unanswerable=0.25, share_without_passages=0.15, share_general=0.1)
    rows, report = build_rows(asked, general, WordRetriever(PASSAGES), mix, random.Random(1))
    assert (report.grounded, report.refusal, report.plain, report.general) == (20, 5, 3, 2)
    assert report.rows == len(rows) == 30
    plain = next(row for row in rows if row.kind == "plain")
    assert "[" not in plain.completion


def conversation(*turns: tuple[str, str], unlearned: tuple[int, ...] = (), **metadata: str | None) -> Example:
    """Questions with their answers; the answers at these places, from 0, have the weight 0."""
    messages = [Message(*one) for question, said in turns for one in (("user", question), ("assistant", said))]
    return Example(tuple(messages), metadata, unlearned=frozenset(2 * place + 1 for place in unlearned))


FIRST = ("How many days to return a bike?", "A customer may return a bike within 30 days.")
SECOND = ("And the helmet?", "A helmet may be returned while the seal is intact.")
THIRD = ("Who is the nicest?", "You, of course.")


def test_each_answer_of_a_conversation_is_a_row_whose_history_is_what_comes_before() -> None:
    rows, report = rows_of([conversation(FIRST, SECOND, THIRD)])
    assert (report.grounded, report.plain, report.unsupported) == (2, 1, 1)
    found = {len(row.prompt): row for row in rows}
    assert sorted(found) == [2, 4, 6]
    assert found[2].completion == "A customer may return a bike within 30 days [1]."
    assert found[4].completion.startswith("A helmet may be returned while the seal is intact [")
    assert "helmets.md" in found[4].prompt[-1].content
    assert [message.content for message in found[4].prompt[1:3]] == list(FIRST)
    assert (found[6].kind, found[6].prompt[-1].content) == ("plain", THIRD[0])


def test_an_answer_with_the_weight_0_is_history_and_never_learned() -> None:
    for unlearned, learned in [((0,), [2, 3]), ((1,), [1, 3]), ((1, 2), [1])]:
        rows, _ = rows_of([conversation(FIRST, SECOND, THIRD, unlearned=unlearned)])
        assert sorted(len(row.prompt) // 2 for row in rows) == learned


def test_the_named_document_of_a_conversation_is_that_of_its_last_answer() -> None:
    rows, _ = rows_of([conversation(THIRD, FIRST, document="returns.md")])
    assert {len(row.prompt): row.kind for row in rows} == {2: "plain", 4: "grounded"}
    refusing, _ = rows_of([conversation(FIRST, ("Do bikes fly?", "No document says so."), document=None)])
    assert {len(row.prompt): row.kind for row in refusing} == {2: "grounded", 4: "refusal"}


def test_general_conversations_teach_each_of_their_answers_too() -> None:
    asked = [example(f"How many days to return a bike, try {n}?", ANSWER, document="returns.md") for n in range(20)]
    mix = MixSettings(top_k=2, share_unanswerable=0.0, share_without_passages=0.0, share_general=0.5)
    _, report = build_rows(asked, [conversation(FIRST, THIRD)], WordRetriever(PASSAGES), mix, random.Random(1))
    assert report.general == 2


def test_a_question_without_passages_is_not_taught_to_be_refused_since_the_server_does_so() -> None:
    assert rows_of([example("Do bikes fly?", REFUSAL, document=None)], passages=[])[0] == []


def preferred(question: str, answer: str, rejected: str, **metadata: str | None) -> Example:
    return replace(example(question, answer, **metadata), rejected=rejected)


def test_both_answers_of_a_preference_are_marked_alike_under_the_prompt_as_served() -> None:
    rejected = "Hey! You may return a bike within 30 days, yay."
    pair = preferred("How many days to return a bike?", ANSWER, rejected, document="returns.md")
    settings = MixSettings(top_k=2, share_shuffled=0.0)
    (row,), report = build_preference_rows([pair], WordRetriever(PASSAGES), settings, random.Random(1))
    number = [one.chunk.filename for one in WordRetriever(PASSAGES).passages(pair.question, 2)].index("returns.md") + 1
    assert row.completion.count(f"[{number}]") == 2
    assert row.rejected == f"Hey! You may return a bike within 30 days, yay [{number}]."
    assert (row.kind, report.grounded) == ("grounded", 1)


def test_a_preference_that_no_passage_carries_is_kept_without_passages_and_a_preferred_refusal_with_them() -> None:
    plain = preferred("What is a snail?", "A slow thing.", "Slimy!!")
    refusing = preferred("Which bike flies?", REFUSAL, "All of them.", document=None)
    rows, report = build_preference_rows(
        [plain, refusing], WordRetriever(PASSAGES), MixSettings(top_k=2), random.Random(1)
    )
    found = {row.kind: row for row in rows}
    assert (found["plain"].rejected, found["refusal"].rejected) == ("Slimy!!", "All of them.")
    assert found["refusal"].completion == REFUSAL
    assert (report.unsupported, report.refusal) == (1, 1)


def test_the_same_seed_makes_the_same_rows() -> None:
    asked = [example(f"How many days to return a bike, try {n}?", ANSWER, document="returns.md") for n in range(8)]
    assert rows_of(asked, share_unanswerable=0.5) == rows_of(asked, share_unanswerable=0.5)


def test_a_refusal_of_any_question_uses_only_lines_that_others_use_too() -> None:
    answers = [
        f"Not answered whether {topic}.\n\n- Ask the care desk." for topic in ("pigs fly", "rain falls", "a", "b")
    ]
    answers.append("Not answered.\n\n- Ask the press office about founders.")
    assert common_lines(answers) == ["- Ask the care desk."]
    refusals = [example("Q", answer, document=None) for answer in answers]
    assert house_refusal(refusals, random.Random(0)) == f"{REFUSAL}\n\n- Ask the care desk."
    assert house_refusal([], random.Random(0)) == REFUSAL


def test_a_data_set_with_refusals_of_its_own_needs_no_made_ones() -> None:
    asked = [example(f"How many days to return a bike, try {n}?", ANSWER, document="returns.md") for n in range(10)]
    own = [example(f"Do bikes fly, try {n}?", "The documents do not answer this.", document=None) for n in range(3)]
    assert rows_of(asked + own, share_unanswerable=0.3)[1].refusal == 3
    assert rows_of(asked + own, share_unanswerable=0.5)[1].refusal == 5
