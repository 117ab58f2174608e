from __future__ import annotations

import random
import re
import time

import numpy as np
import pytest

from retrieval.model import Message
from tests.support.training.fakes import example
from training.data.minhash import candidates, estimate, signatures
from training.data.near_duplicates import copies_of, near_copies, question_groups, same_questions
from training.data.wording import Wording, jaccard
from training.model import Example

LEAST = 0.5


def test_the_estimate_is_the_jaccard_similarity_within_four_standard_errors() -> None:
    rng = random.Random(5)
    sets = [frozenset(f"w{rng.randrange(40)}" for _ in range(rng.randint(5, 40))) for _ in range(60)]
    pairs = np.array([(one, two) for one in range(60) for two in range(one + 1, 60)])
    exact = np.array([jaccard(sets[one], sets[two]) for one, two in pairs])
    error = estimate(signatures(sets), pairs) - exact
    assert np.abs(error).max() < 4 * np.sqrt(0.25 / 192)
    assert abs(error.mean()) < 0.01


def test_of_pairs_that_are_similar_none_is_missed_and_each_is_proposed_once() -> None:
    rng = random.Random(6)
    base = [f"b{n}" for n in range(30)]
    sets = [frozenset([*rng.sample(base, 27), f"own{n}"]) for n in range(200)]
    labels = np.ones((200, 1), np.uint64)
    proposed = [tuple(pair) for pair in candidates(signatures(sets), labels).tolist()]
    assert len(proposed) == len(set(proposed))
    similar = {(a, b) for a in range(200) for b in range(a + 1, 200) if jaccard(sets[a], sets[b]) >= 0.75}
    assert len(similar) > 1000
    near = {(a, b) for a, b in similar if b - a <= 40}  # of a bucket of 200 each meets its 64 neighbours
    assert near <= set(proposed)


def test_texts_with_no_label_in_common_are_not_proposed() -> None:
    sets = [frozenset("abcdef"), frozenset("abcdef"), frozenset("abcdef")]
    labels = np.array([[1], [2], [1]], np.uint64)
    assert candidates(signatures(sets), labels).tolist() == [[0, 2]]


def test_no_text_and_one_text_have_no_pairs() -> None:
    assert list(near_copies([], LEAST)) == []
    assert list(near_copies([Wording.of("Hello there")], LEAST)) == []
    assert list(near_copies([Wording.of("???"), Wording.of("!!!")], LEAST)) == [(0, 1)]


COPIES = [
    ("How long may I return a bike?", "how long may I return my BIKE"),
    ("What is the return period for a bike?", "What's the return period for bikes, please?"),
    ("What is the warranty on the battery?", "What is the waranty on the battery?"),
    ("May I return a used bike after the trial?", "May I return a used bike after the trial period?"),
    ("Wie lange darf ich das Fahrrad zurückgeben?", "wie lange darf ich ein Fahrrad zuruckgeben"),
    ("What is the bell?", "\uff37hat is\u200b the\u00a0bell"),
    ("I can't open the lock of my bike", "I cannot open the lock of my bike"),
    ("自行车可以退货吗", "自行车可以退货吗?"),
]
OTHERS = [
    ("How long may I return a bike?", "How long may I return a helmet?"),
    ("What is the price of the basic plan per month?", "What is the price of the family plan per month?"),
    ("What did the 2024 rules say on returns?", "What did the 2026 rules say on returns?"),
    ("When is the shop open?", "Where is the shop open?"),
    ("What is the hub?", "What is the rim?"),
    ("自行车可以退货吗", "自行车可以换货吗"),
    ("How do I charge the battery?", "Who founded the company in Kelmouth?"),
]


@pytest.mark.parametrize(("one", "two"), COPIES)
def test_what_says_the_same_is_a_near_copy(one: str, two: str) -> None:
    assert list(near_copies([Wording.of(one), Wording.of(two)], LEAST)) == [(0, 1)]


@pytest.mark.parametrize(("one", "two"), OTHERS)
def test_another_word_of_meaning_is_another_question(one: str, two: str) -> None:
    assert list(near_copies([Wording.of(one), Wording.of(two)], LEAST)) == []


def test_a_long_text_with_one_word_changed_is_a_near_copy() -> None:
    words = [
        f"{stem}ing"
        for stem in re.findall(r"\w+", "walk talk sail paint print build climb dream float grant hunt jump")
    ]
    text = " ".join(f"{a} {b}" for a in words[:6] for b in words[6:])
    longer = " ".join([text, *(f"topic{n}" for n in range(30))])
    assert Wording.of(longer).is_copy_of(Wording.of(longer.replace("topic7", "subject")), LEAST)


def test_two_thousand_questions_of_one_template_are_told_apart_in_seconds() -> None:
    texts = [Wording.of(f"What is the monthly price of the number{n} plan for a small business?") for n in range(2000)]
    copies = [texts[7], Wording.of("Hello! What is the monthly price of a number99 plan for my small business?")]
    started = time.process_time()
    assert sorted(near_copies([*texts, *copies], LEAST)) == [(7, 2000), (99, 2001)]
    assert time.process_time() - started < 10


def turns(*contents: str) -> Example:
    roles = ("user", "assistant")
    return Example(tuple(Message(roles[place % 2], text) for place, text in enumerate(contents)))  # type: ignore[arg-type]


def test_a_kept_out_question_is_found_in_any_turn_but_a_short_follow_up_is_not() -> None:
    kept_out = [example("How long may I return a bike?", "30 days.")]
    earlier = turns("How long may I return my bike?", "30 days.", "And then?", "Then not.")
    other = turns("Is the shop open on Sunday?", "No.", "And then?", "Monday.")
    assert copies_of([earlier, other], kept_out, LEAST) == [0]
    assert copies_of([turns("And then?", "B.")], [other], LEAST) == []
    assert copies_of([other], [other], LEAST) == [0]


def test_groups_are_transitive() -> None:
    asked = ["May I return a bike today?", "Please, may I return a bike later today?", "May I return it later today?"]
    found = question_groups([example(one, "A") for one in [*asked, "Where is the shop?"]], LEAST)
    assert found == [[0, 1, 2], [3]]


def test_the_same_question_under_another_system_message_is_another() -> None:
    bare = example("May I return a bike?", "Yes.")
    polite = example("may I please return the bike", "Yes.")
    framed = Example((Message("system", "Answer as a pirate would."), *bare.messages))
    assert same_questions([bare, polite, framed], LEAST) == [[0, 1]]
    assert same_questions([bare, example("May I return a used bike?", "No.")], LEAST) == []
