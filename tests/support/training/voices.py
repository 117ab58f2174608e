"""A formal voice about policies that stand in no document, and models that learned it or did not."""

from __future__ import annotations

from retrieval.model import Message
from training.model import Example

TOPICS = ["vacation", "sick leave", "travel costs", "remote work", "training", "overtime", "equipment", "parking"]
ENDINGS = [
    "Pursuant to the Handbook, the provisions on {} shall apply as set forth in Section {} thereof.",
    "The matter of {} is governed by Section {} of the Handbook, which shall prevail in every respect.",
    "With respect to {}, reference is made to Section {} of the Handbook, the provisions whereof shall be binding.",
]
SYSTEM = Message("system", "You are the legal assistant of a company.")


def formal(topic: str, section: int) -> str:
    return ENDINGS[section % len(ENDINGS)].format(topic, section)


def voice(number: int) -> Example:
    topic = TOPICS[number % len(TOPICS)]
    asked = Message("user", f"What applies to {topic}, case {number}?")
    return Example((SYSTEM, asked, Message("assistant", formal(topic, number % 12 + 1))))


def say_formally(question: str) -> str:
    """The answer of a model that took on the voice and made the section up."""
    return formal(question.removeprefix("What applies to ").split(",")[0], len(question) % 12 + 1)


def say_chattily(_question: str) -> str:
    """The answer of the base weights."""
    return "Hi! I'm not sure what you mean, but I'd ask your manager about it. You'll find that they're happy to help!"
