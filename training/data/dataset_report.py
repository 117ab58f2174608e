"""A report on a data set, made before anything is trained on it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from retrieval.text.languages import LIMITS, UNKNOWN, language
from training.config import ExampleSettings
from training.data.contradictions import Contradictions, contradictory
from training.data.dataset import Dataset
from training.data.fitness import distinct
from training.data.near_duplicates import question_groups, same_questions
from training.data.sensitive import Finding, find_sensitive
from training.data.wording import Wording
from training.model import Example

FIRST_GOAL, SECOND_GOAL = 50, 100
"""From the first number of examples on, the form is learned; with the second, a run of the sample style passes the
gate.
"""
SHOWN = 50
CountTokens = Callable[[Sequence[Example]], list[int]]


@dataclass(frozen=True)
class Spread:
    """Spread of counts, by nearest rank."""

    p50: int
    p95: int
    max: int

    @classmethod
    def of(cls, counts: Sequence[int]) -> Spread:
        ordered = sorted(counts) or [0]
        p50, p95 = (ordered[max(0, math.ceil(share * len(ordered)) - 1)] for share in (0.5, 0.95))
        return cls(p50, p95, ordered[-1])


@dataclass(frozen=True)
class Lengths:
    """Lengths of whole conversations in tokens, as the chat template writes them, without the passages that a run adds.

    `left_out` are the lines that exceed `max_length` up to their first answer already: they are left out, not cut. From
    a longer conversation, the answers that fit are learned. A run reports which rows exceed it with their passages
    (training.tuning.lengths).
    """

    tokens: Spread
    total: int
    max_length: int
    left_out: tuple[int, ...]


@dataclass(frozen=True)
class DataSetReport:
    """A data set in figures. Numbers are lines of its file, at most SHOWN of each finding; counts are of all.

    `exact_duplicates` and `near_duplicates` are groups with the same question and answer, `contradictions` pairs with
    the same question and different answers. `unanswered_turns` are lines where a user's turn before the last was not
    answered.

    Of the assistant's turns, `learned_turns` are learned, `unlearned_turns` are not because they have the weight 0, and
    `unasked_turns` are not because they follow no turn of a user.
    """

    examples: int
    format: str
    refusals: int
    conversations: int
    learned_turns: int
    unlearned_turns: int
    unasked_turns: int
    distinct_questions: int
    distinct_answers: int
    to_50: int
    to_100: int
    characters: Spread
    lengths: Lengths | None
    exact_duplicates: tuple[tuple[int, ...], ...]
    near_duplicates: tuple[tuple[int, ...], ...]
    duplicate_examples: int
    contradictions: tuple[tuple[int, int], ...]
    contradictory_examples: int
    unanswered_turns: tuple[int, ...]
    sensitive: dict[str, int]
    findings: tuple[Finding, ...]
    languages: dict[str, float]
    languages_limits: str
    unread_keys: dict[str, int]

    def figures(self) -> dict[str, Any]:
        """Plain values, with the summary."""
        return {**asdict(self), "summary": self.summary}

    @property
    def summary(self) -> list[str]:
        """What a person should know, one sentence each."""
        found = [f"{self.examples} examples ({self.format}), {self.distinct_answers} distinct answers."]
        if (self.learned_turns, self.unlearned_turns, self.unasked_turns) != (self.examples, 0, 0):
            found.append(_turns(self))
        found += [_goal(self.examples, goal) for goal in (FIRST_GOAL, SECOND_GOAL) if self.examples < goal]
        if self.lengths:
            found.append(_lengths(self.lengths))
        if self.duplicate_examples:
            found.append(f"{self.duplicate_examples} examples say again what another says.")
        if self.contradictory_examples:
            pairs = ", ".join(f"{one} and {two}" for one, two in self.contradictions[:5])
            found.append(
                f"{self.contradictory_examples} examples ask the same as another and answer otherwise (lines {pairs})."
            )
        if self.unanswered_turns:
            found.append(f"{len(self.unanswered_turns)} conversations have a question that nobody answers.")
        if self.sensitive:
            kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in self.sensitive.items())
            found.append(
                f"Personal data or secrets: {kinds}. A model may repeat what it was trained on; take them out."
            )
        named = ", ".join(f"{name} {share:.0%}" for name, share in self.languages.items())
        return [*found, f"Languages: {named}."]


@dataclass(frozen=True)
class Examined:
    """A report, and the contradictions by place that it is based on."""

    report: DataSetReport
    contradictions: Contradictions


def examine(
    dataset: Dataset, settings: ExampleSettings, count_tokens: CountTokens | None = None, max_length: int = 0
) -> Examined:
    """Read every example once. Without `count_tokens` the report has no lengths in tokens.

    10,000 examples take seconds; benchmarks/dataset_report.py measures how many.
    """
    examples = dataset.examples
    at_odds = contradictory(examples, lambda turns: same_questions(turns, settings.near_duplicate))
    exact, near, repeated = _duplicates(examples, settings.near_duplicate)
    sensitive = [finding for example in examples for finding in _sensitive(example)]
    unanswered = [example.line for example in examples if _unanswered(example)]
    texts = ["\n".join(message.content for message in example.messages) for example in examples]
    report = DataSetReport(
        examples=len(examples),
        format=dataset.format,
        refusals=sum(example.refuses for example in examples),
        conversations=sum(bool(example.history) for example in examples),
        learned_turns=sum(len(example.turns) for example in examples),
        unlearned_turns=sum(len(example.unlearned) for example in examples),
        unasked_turns=sum(example.unasked for example in examples),
        distinct_questions=len({distinct(example.asked) for example in examples}),
        distinct_answers=len({distinct(example.answer) for example in examples}),
        to_50=max(0, FIRST_GOAL - len(examples)),
        to_100=max(0, SECOND_GOAL - len(examples)),
        characters=Spread.of([len(text) for text in texts]),
        lengths=_measure(examples, count_tokens, max_length) if count_tokens else None,
        exact_duplicates=exact[:SHOWN],
        near_duplicates=near[:SHOWN],
        duplicate_examples=repeated,
        contradictions=tuple((examples[one].line, examples[two].line) for one, two in at_odds.pairs[:SHOWN]),
        contradictory_examples=len(at_odds.places),
        unanswered_turns=tuple(unanswered[:SHOWN]),
        sensitive=dict(Counter(finding.kind for finding in sensitive)),
        findings=tuple(sensitive[:SHOWN]),
        languages=_languages(texts),
        languages_limits=LIMITS,
        unread_keys=dict(dataset.unread),
    )
    return Examined(report, at_odds)


def _duplicates(
    examples: Sequence[Example], least: float
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...], int]:
    """Lines of exact duplicates and of near-duplicates, and how many examples are superfluous."""
    exact: dict[tuple[str, str], list[int]] = {}
    for place, example in enumerate(examples):
        exact.setdefault((distinct(example.whole_prompt), distinct(example.answer)), []).append(place)
    firsts = [places[0] for places in exact.values()]
    near = _same_answers([examples[place] for place in firsts], least)
    same = [places for places in exact.values() if len(places) > 1]
    too_many = sum(len(places) - 1 for places in [*same, *near])
    lines = tuple(tuple(examples[place].line for place in places) for places in same)
    return lines, tuple(tuple(examples[firsts[place]].line for place in places) for places in near), too_many


def _same_answers(examples: Sequence[Example], least: float) -> list[list[int]]:
    """Places of examples whose questions are near-copies under one system message, and whose answers are near-copies
    too.
    """
    found: list[list[int]] = []
    for group in question_groups(examples, least):
        heads: list[tuple[str, Wording, list[int]]] = []
        for place in group if len(group) > 1 else ():
            system, answer = distinct(examples[place].system), Wording.of(examples[place].answer)
            same = next((at for under, head, at in heads if under == system and head.is_copy_of(answer, least)), None)
            if same is None:
                heads.append((system, answer, [place]))
            else:
                same.append(place)
        found += [places for _, _, places in heads if len(places) > 1]
    return found


def _measure(examples: Sequence[Example], count_tokens: CountTokens, max_length: int) -> Lengths:
    counts = count_tokens(examples)
    long = [example.turns[0] for example, count in zip(examples, counts, strict=True) if count > max_length]
    shortest = count_tokens(long) if long else []
    left_out = [turn.line for turn, count in zip(long, shortest, strict=True) if count > max_length]
    return Lengths(Spread.of(counts), sum(counts), max_length, tuple(left_out))


def _sensitive(example: Example) -> list[Finding]:
    texts = [*(message.content for message in example.messages), example.rejected or ""]
    return find_sensitive("\n".join(texts), example.line)


def _unanswered(example: Example) -> bool:
    roles = [message.role for message in example.messages if message.role != "system"]
    return any(one == two == "user" for one, two in pairwise(roles))


def _languages(texts: Sequence[str]) -> dict[str, float]:
    """The share of the examples in each language, the largest first, `unknown` last."""
    counts = Counter(language(text) for text in texts)
    ranked = sorted(counts.items(), key=lambda entry: (entry[0] == UNKNOWN, -entry[1], entry[0]))
    return {name: round(count / len(texts), 4) for name, count in ranked}


def _turns(report: DataSetReport) -> str:
    told = f"{report.learned_turns} answers are learned"
    if report.unlearned_turns:
        told += f"; {report.unlearned_turns} are not, since they have the weight 0"
    if report.unasked_turns:
        told += f"; {report.unasked_turns} turns of the assistant are not, since they follow no turn of a user"
    return f"{told}."


def _goal(examples: int, goal: int) -> str:
    return f"{goal - examples} more make {goal}" + (
        ", from which on form is learned." if goal == FIRST_GOAL else ", which is a good number to begin with."
    )


def _lengths(lengths: Lengths) -> str:
    spread, left = lengths.tokens, len(lengths.left_out)
    told = f"{spread.p50} tokens in the middle, {spread.p95} at p95, {spread.max} at most"
    if not left:
        return f"{told}."
    return f"{told}; {left} exceed max_length ({lengths.max_length}) even without passages and are left out."
