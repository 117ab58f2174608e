"""The side that an example is on, over sequences of runs: it never changes, and nothing that was learned is asked."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from harness.places import BRINDLE
from retrieval.model import Message
from tests.support.training.fakes import example
from training.config import ExampleSettings
from training.data.dataset import parse_dataset
from training.data.near_duplicates import question_groups
from training.data.splitting import ENOUGH_GROUPS, KEYS, Known, fewest, group_key, keep_out, part
from training.data.wording import Wording
from training.model import Example

SETTINGS = ExampleSettings()
SAMPLE = BRINDLE / "train.jsonl"
THINGS = re.findall(
    r"\w+",
    "bell lamp lock pump seat tyre chain pedal fork hub rim stand rack grip saddle brake spoke valve helmet basket "
    "ticket invoice refund parcel voucher workshop trailer ferry island courier warranty deposit battery charger",
)
VERBS = ["return", "borrow", "repair", "insure", "exchange", "collect"]
OPENINGS = ["", "Please, ", "Hello, ", "Say, "]


def question(rng: random.Random) -> str:
    """Some 200 questions, each in several wordings; a lengthened one is a near-copy of two."""
    thing, verb = rng.choice(THINGS), rng.choice(VERBS)
    asked = f"{rng.choice(OPENINGS)}may I {verb} the {thing} at the shop"
    return asked + rng.choice(["?", " today?", " without a receipt?", f" with the {rng.choice(THINGS)}?"])


def some(rng: random.Random) -> Example:
    if rng.random() < 0.1:
        first = (Message("user", question(rng)), Message("assistant", "Which one?"))
        last = (Message("user", question(rng)), Message("assistant", f"Yes, {rng.random()}."))
        return Example((*first, *last), {"document": "a.md"})
    return example(question(rng), f"Yes, {rng.random()}.", document=None if rng.random() < 0.2 else "a.md")


def changed(examples: list[Example], rng: random.Random) -> list[Example]:
    """After some were added, removed, edited, and all put into another order."""
    kept = [one for one in examples if rng.random() > 0.1]
    edited = [
        example(one.question.replace("Please, ", "") + " thanks", one.answer, **one.metadata)
        if rng.random() < 0.1
        else one
        for one in kept
    ]
    found = edited + [some(rng) for _ in range(rng.randint(1, 12))]
    rng.shuffle(found)
    return found


def are_copies(one: Example, other: Example) -> bool:
    """Told pair by pair, without the search among thousands."""
    both = [Wording.of(text) for text in asks(one)], [Wording.of(text) for text in asks(other)]
    return any(mine.is_copy_of(theirs, SETTINGS.near_duplicate) for mine in both[0] for theirs in both[1])


def asks(one: Example) -> list[str]:
    turns = [message.content for message in one.messages if message.role == "user"] if one.history else []
    return [one.asked, *turns]


@dataclass
class History:
    """Runs one after the other, each of which remembers what those before it trained on and held out, by question."""

    trained: dict[str, Example] = field(default_factory=dict)
    held_out: dict[str, Example] = field(default_factory=dict)

    def run(self, examples: list[Example]) -> tuple[dict[str, Example], dict[str, Example], dict[str, Example]]:
        sides = part(examples, Known(tuple(self.trained.values()), tuple(self.held_out.values())), SETTINGS)
        trained, held_out = by_question(sides.trained(examples)), by_question(examples[one] for one in sides.held_out)
        self.trained |= trained
        self.held_out |= held_out
        return trained, held_out, by_question(examples[one] for one in sides.between)


def by_question(examples: Iterable[Example]) -> dict[str, Example]:
    return {one.asked: one for one in examples}


def copied(one: Example, known: dict[str, Example]) -> bool:
    return any(are_copies(one, other) for other in known.values())


@pytest.mark.parametrize("seed", range(12))
def test_whatever_comes_goes_or_is_edited_no_question_changes_sides(seed: int) -> None:
    rng, history = random.Random(seed), History()
    examples = [some(rng) for _ in range(rng.randint(12, 40))]
    for _ in range(6):
        learned, kept_out = dict(history.trained), dict(history.held_out)
        trained, held_out, between = history.run(examples)
        assert {*trained, *held_out, *between} == {one.asked for one in examples}
        assert held_out, "there is always something to judge by"
        assert not [one for one in held_out.values() if copied(one, history.trained)]
        assert not trained.keys() & kept_out.keys()
        assert not held_out.keys() & learned.keys()
        for one in examples:
            if one.asked in learned or one.asked in kept_out:
                continue
            joins, apart = copied(one, learned), copied(one, kept_out)
            assert not (joins and apart) or one.asked in between
            assert not (joins and one.asked in held_out)
            assert not (apart and one.asked in trained)
        examples = changed(examples, rng)


def test_the_order_of_a_data_set_changes_no_side() -> None:
    rng = random.Random(3)
    examples = [some(rng) for _ in range(60)]
    held_out = {examples[place].answer for place in part(examples, Known(), SETTINGS).held_out}
    rng.shuffle(examples)
    assert {examples[place].answer for place in part(examples, Known(), SETTINGS).held_out} == held_out
    assert held_out


def sample() -> tuple[Example, ...]:
    return parse_dataset(SAMPLE.read_bytes()).examples


@pytest.mark.parametrize("remembers", [True, False])
def test_when_twelve_examples_come_to_the_sample_none_is_asked_that_the_version_before_was_trained_on(
    remembers: bool,
) -> None:
    before, after = sample()[:200], sample()
    first = part(before, Known(), SETTINGS)
    trained, held_out = first.trained(before), tuple(before[place] for place in first.held_out)
    second = part(after, Known(trained, held_out) if remembers else Known(), SETTINGS)
    asked = [after[place] for place in second.held_out]
    assert keep_out(asked, trained, SETTINGS)[1] == []
    assert {one.question for one in held_out} <= {one.question for one in asked}
    assert (len(held_out), len(asked)) == (19, 22)


def test_the_side_of_a_group_rests_on_its_key_alone() -> None:
    examples = sample()
    held_out = set(part(examples, Known(), SETTINGS).held_out)
    for group in question_groups(examples, SETTINGS.near_duplicate):
        below = group_key([examples[place] for place in group]) / KEYS < SETTINGS.share_held_out
        assert {place in held_out for place in group} == {below}


def test_a_large_group_is_held_out_no_more_often_than_a_small_one() -> None:
    held_out = 0
    for number in range(300):
        copies = [example(f"{opening}may I return number {number}?", "Yes.") for opening in OPENINGS]
        held_out += group_key(copies) / KEYS < SETTINGS.share_held_out
    assert 15 <= held_out <= 45


def test_a_near_copy_joins_the_side_of_its_group_and_one_of_both_sides_neither() -> None:
    trained, held_out = about("bell"), example("May I return the lamp at the shop without its box?", "No.")
    both = example("May I return the lamp at the shop without its box, and the bell?", "No.")
    known = Known((example("May I return the lamp at the shop, and the bell?", "No."),), (held_out,))
    copies = [example(f"Please, {one.question}", "Well.") for one in (trained, held_out)]
    examples = [*copies, both, *(about(thing) for thing in THINGS[1:12])]
    sides = part(examples, Known((*known.trained, trained), known.held_out), SETTINGS)
    assert 1 in sides.held_out
    assert 0 not in (*sides.held_out, *sides.between)
    assert sides.between == (2,)


def about(thing: str) -> Example:
    return example(f"What does the {thing} of my bike cost?", f"The {thing} is cheap.", document="a.md")


def test_what_was_trained_on_goes_before_what_was_held_out() -> None:
    examples = [about(thing) for thing in THINGS]
    once = part(examples, Known(), SETTINGS).held_out
    known = Known(tuple(examples[place] for place in once), tuple(examples))
    assert not set(part(examples, known, SETTINGS).held_out) & set(once)


def test_a_copy_of_what_was_trained_on_is_asked_no_more_though_it_was_held_out_before() -> None:
    trained, held_out = about("bell"), example("Please, what does the bell of my bike cost?", "Five.")
    examples = [trained, held_out, *(about(thing) for thing in THINGS[1:12])]
    sides = part(examples, Known((trained,), (held_out,)), SETTINGS)
    assert sides.between == (1,)
    assert trained in sides.trained(examples)
    assert sides.held_out


def test_something_is_held_out_of_a_small_set_and_stays_so() -> None:
    for start in range(20):
        examples = [about(thing) for thing in THINGS[start : start + 12]]
        sides = part(examples, Known(), SETTINGS)
        assert sides.held_out
        assert len(sides.trained(examples)) >= 6
        known = Known(sides.trained(examples), tuple(examples[place] for place in sides.held_out))
        more = [about(thing) for thing in THINGS[:start]] + examples
        assert set(sides.held_out) <= {place - start for place in part(more, known, SETTINGS).held_out}


def test_refusals_and_answers_are_both_held_out_where_there_are_enough() -> None:
    refused = [
        example(f"Who was the first owner of the {thing}?", "Ask.", document=None) for thing in THINGS[:ENOUGH_GROUPS]
    ]
    for start in range(20):
        examples = [*(about(thing) for thing in THINGS[start : start + 14]), *refused]
        held_out = [examples[place] for place in part(examples, Known(), SETTINGS).held_out]
        assert {one.refuses for one in held_out} == {True, False}


def test_nothing_is_held_out_where_all_was_trained_on_and_where_the_share_is_none() -> None:
    examples = [about(thing) for thing in THINGS]
    assert part(examples, Known(tuple(examples)), SETTINGS).held_out == ()
    assert part(examples, Known(), ExampleSettings(share_held_out=0.0)).held_out == ()


def test_a_group_that_is_most_of_the_data_set_is_trained_on() -> None:
    copies = [example("May I return a bike?", f"A {n}") for n in range(8)]
    others = [example("Where is the shop?", f"B {n}") for n in range(4)]
    sides = part([*copies, *others], Known(), SETTINGS)
    assert sides.held_out == (8, 9, 10, 11)
    assert part(copies, Known(), SETTINGS).held_out == ()


def test_of_many_the_same_are_asked_when_others_come() -> None:
    examples = [about(thing) for thing in THINGS]
    few = fewest(examples[:20], 8)
    assert len(few) == 8
    assert {one.question for one in fewest(examples, 8)} & {one.question for one in examples[:20]} <= {
        one.question for one in few
    }
    refused = [example(f"Who was the owner of the {thing}?", "Ask.", document=None) for thing in THINGS[:3]]
    assert sum(one.refuses for one in fewest([*examples, *refused], 8)) == 1
