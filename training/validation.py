"""A validation file beside the training file: its examples are the held-out questions."""

from __future__ import annotations

from training.errors import InvalidDataset
from training.model import Dataset, Example

SHOWN_CHARACTERS = 80


def check_disjoint(training: Dataset, validation: Dataset) -> None:
    """Raises InvalidDataset where a conversation of the validation file asks what one of the training file asks."""
    trained = {_asked(example) for example in training.examples}
    both = [example for example in validation.examples if _asked(example) in trained]
    if both:
        raise InvalidDataset(
            f"The validation file overlaps the training file: {len(both)} of its {len(validation.examples)} examples "
            f"ask what a training example asks, the first {both[0].question[:SHOWN_CHARACTERS]!r}. Take them out of "
            "one of the two files."
        )


def _asked(example: Example) -> tuple[str, ...]:
    """What comes before the answer, letter case and spaces aside."""
    asked = [*(message.content for message in example.history), example.question]
    return tuple(" ".join(content.lower().split()) for content in asked)
