"""The side that an example is on, over sequences of runs: it never changes, and nothing that was learned is asked."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from retrieval.model import Message
from tests.training_fakes import example
from training.config import DatasetSettings
from training.dataset import parse_dataset
from training.model import Example, Sides
from training.splitting import KEYS, Known, fewest, keep_out, key, part
from training.wording import Wording

SETTINGS = DatasetSettings()
SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "brindle" / "train.jsonl"
THINGS = (
    "bell lamp lock pump seat tyre chain pedal fork hub rim stand rack grip saddle brake spoke valve helmet basket "
    "ticket invoice refund parcel voucher workshop trailer ferry island courier warranty deposit battery charger"
).split()
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
