"""Which examples of a data set are trained on, which are held out to judge, and which are neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from training.model import Example


@dataclass(frozen=True)
class Sides:
    """Places in the data set, from 0, of the examples that are not trained on; all others are.

    `held_out` may judge, `removed` ask what a validation file or an evaluation data set asks, and `between` are
    near-copies of both what is trained on and what is held out.
    """

    held_out: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    between: tuple[int, ...] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Sequence[int]]) -> Sides:
        """Makes it from plain values, as `asdict` gives them."""
        return cls(**{name: tuple(places) for name, places in plain.items()})

    def trained(self, examples: Sequence[Example]) -> tuple[Example, ...]:
        apart = {*self.held_out, *self.removed, *self.between}
        return tuple(example for place, example in enumerate(examples) if place not in apart)


@dataclass(frozen=True)
class SplitReport:
    """What a data set holds, after the split: how many examples are trained on, and how many are held out of training.

    `data_set_id` names the frozen copy, if one is kept. `removed_lines` are left out of training because they ask what
    the model is judged by, `between_lines` because they are near-copies of both sides; `validation` counts the examples
    of the validation file. `asked` counts the questions that judge, by their source: held_out, validation, evaluation.
    """

    examples: int
    trained: int
    held_out: int
    refusals: int
    sha256: str
    data_set_id: str = ""
    validation: int = 0
    removed_lines: tuple[int, ...] = ()
    between_lines: tuple[int, ...] = ()
    asked: Mapping[str, int] = field(default_factory=dict)
