"""Makes training rows from examples: each prompt is the serving prompt, with the passages of the live retriever."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from retrieval.answers.answerability import answerability
from retrieval.answers.grounding import REFUSAL, passage_text
from retrieval.answers.support import SUPPORT_THRESHOLD, support
from retrieval.model import Passage
from retrieval.search.follow_up import standalone_query
from retrieval.text.markers import strip_markers
from retrieval.text.sentences import ENDS, sentences
from retrieval.text.words import content_words
from training.carrying import carries, source
from training.config import MixSettings
from training.model import Example, RowKind, TrainingRow, turns_of
from training.retriever import Retriever

EXTRA_PASSAGES = 4
"""How many passages more than `top_k` are fetched, to replace those that are taken out."""


@dataclass(frozen=True)
class RowsReport:
    """How many rows of each kind were made. `brought` counts the examples whose right passage live retrieval missed, so
    that it was fetched from the named document. `unsupported` counts those whose answer no passage supports; they are
    kept without passages. `distracted` counts the grounded rows whose other passages are all of other documents, by
    `share_distractors`.
    """

    rows: int
    grounded: int
    refusal: int
    plain: int
    general: int
    brought: int
    unsupported: int
    distracted: int = 0


@dataclass(frozen=True)
class _Grounded:
    """What retrieval found for an answered example: `right` supports the answer, `others` do not, best first."""

    example: Example
    right: Passage | None
    passages: list[Passage]
    others: list[Passage]
    brought: bool


def build_rows(
    examples: Sequence[Example],
    general: Sequence[Example],
    retriever: Retriever,
    mix: MixSettings,
    rng: random.Random,
) -> tuple[list[TrainingRow], RowsReport]:
    """Make the rows of a run, in random order.

    Every answer that is learned gives rows, also when a conversation has several; the turns before it are its history.

    Each answered example gives a row with passages. Its answer is marked with the numbers of the passages that support
    its sentences. In a share of the rows, all passages but the one that answers are of other documents. A share of the
    examples is used a second time without passages. Examples that refuse keep their answer, with whatever retrieval
    finds. If they are too few, answered examples are used again, without the supporting passages and with a refusal as
    the answer. Passages are in the retriever's order, in a share of the rows in random order. An example whose answer
    no passage supports is kept without passages: it teaches the voice and nothing about sources.
    """
    turns = turns_of(examples)
    answered = [_retrieve(example, retriever, mix) for example in turns if not example.refuses]
    refusals = [example for example in turns if example.refuses]
    carried = [item for item in answered if item.right]
    unsupported = [item.example for item in answered if not item.right]
    chosen = set(rng.sample(range(len(carried)), _share(mix.share_distractors, carried)))
    shown = [_distracted(item, mix) if place in chosen else item for place, item in enumerate(carried)]
    distracted = sum(item is not before for item, before in zip(shown, carried, strict=True))
    rows = [_answer_row(item, mix, rng) for item in shown]
    own = [row for example in refusals if (row := _refusal_row(example, retriever, mix, rng))]
    rows += own
    lacking = max(0, _share(mix.share_unanswerable, carried) - len(own))
    taken = rng.sample(carried, min(lacking, len(carried)))
    rows += [_removed_row(item, house_refusal(refusals, rng), mix, rng) for item in taken if item.others]
    plain = rng.sample(carried, _share(mix.share_without_passages, carried))
    rows += [_plain_row(example, "plain") for example in [*unsupported, *(item.example for item in plain)]]
    others = turns_of(general)
    wanted = min(len(others), _share(mix.share_general, answered))
    rows += [_plain_row(example, "general") for example in rng.sample(others, wanted)]
    rng.shuffle(rows)
    return rows, _report(rows, sum(item.brought for item in carried), len(unsupported), distracted)


def build_preference_rows(
    examples: Sequence[Example], retriever: Retriever, mix: MixSettings, rng: random.Random
) -> tuple[list[TrainingRow], RowsReport]:
    """Make one row of each preference pair, in random order: the prompt as it is served, and both answers.

    Both answers are marked with the passages' numbers in the same way, so that the voice is preferred and not a marker.
    A pair whose preferred answer no passage supports is kept without passages. A pair whose question the server refuses
    before it asks the model is left out.
    """
    made, brought, unsupported = list[TrainingRow](), 0, 0
    for example in examples:
        assert example.rejected is not None
        if example.refuses:
            row = _refusal_row(example, retriever, mix, rng)
            made += [replace(row, rejected=example.rejected)] if row else []
            continue
        item = _retrieve(example, retriever, mix)
        if item.right is None:
            unsupported += 1
            made.append(replace(_plain_row(example, "plain"), rejected=example.rejected))
            continue
        brought += item.brought
        made.append(_pair_row(item, item.right, example.rejected, mix, rng))
    rng.shuffle(made)
    return made, _report(made, brought, unsupported, 0)


def mark(answer: str, passages: Sequence[Passage], right: Passage) -> str:
    """Put the number of the passage that supports a sentence before its final full stop: `... within 30 days [2].`

    If the check finds no passage for a sentence, the sentence gets the number of the passage `right`, from which the
    answer as a whole was written, unless it has a figure that this passage lacks or shares no word with it.
    """
    pieces, position = [], 0
    for start, end in sentences(answer):
        sentence = strip_markers(answer[start:end])
        number = _carrier(sentence, passages, right)
        pieces += [answer[position:start], _with_marker(sentence, number) if number else sentence]
        position = end
    return "".join([*pieces, answer[position:]])


def house_refusal(refusals: Sequence[Example], rng: random.Random) -> str:
    """A refusal that fits any question, in the form that the data set uses.

    It is the refusal sentence of the serving prompt and, below it, a line of the data set's own refusals. Every word of
    that line is in other refusals too, so it fits every question. Without such a line, it is the sentence alone.
    """
    lines = common_lines([example.answer for example in refusals])
    return f"{REFUSAL}\n\n{rng.choice(lines)}" if lines else REFUSAL


def common_lines(answers: Sequence[str], least: int = 2) -> list[str]:
    """The lines after the first paragraph whose content words are all in at least `least` other answers."""
    spread = Counter(word for answer in answers for word in content_words(answer))
    below = [line.strip() for answer in answers for line in answer.splitlines()[1:] if line.strip()]
    return sorted({line for line in below if all(spread[word] > least for word in content_words(line))})


def _retrieve(example: Example, retriever: Retriever, mix: MixSettings) -> _Grounded:
    answer, documents = example.answer, example.documents
    found = _found(example, retriever, mix, mix.top_k + EXTRA_PASSAGES)
    passages = found[: mix.top_k]
    right = source(answer, passages, documents)
    brought = False
    if right is None and example.document:
        right = source(answer, _found(example, retriever, mix, mix.top_k, example.document), documents)
        brought = right is not None
        passages = [*passages[: mix.top_k - 1], right] if right else passages
    others = [passage for passage in found if not carries(answer, passage, documents)]
    return _Grounded(example, right, passages, others, brought)


def _found(
    example: Example, retriever: Retriever, mix: MixSettings, top_k: int, document: str | None = None
) -> list[Passage]:
    asked = example.conversation
    return [_cut(one, mix) for one in retriever.passages(asked.question, top_k, document, asked.earlier)]


def _cut(passage: Passage, mix: MixSettings) -> Passage:
    return replace(passage, chunk=replace(passage.chunk, text=passage.chunk.text[: mix.max_passage_chars]))


def _carrier(sentence: str, passages: Sequence[Passage], right: Passage) -> int | None:
    scores = [support(sentence, passage_text(passage)) for passage in passages]
    own = passages.index(right)
    best = max(range(len(passages)), key=lambda place: (scores[place], place == own))
    if scores[best] >= SUPPORT_THRESHOLD and scores[best] > scores[own] + 0.2:
        return best + 1
    return own + 1 if scores[own] > 0 else None


def _with_marker(sentence: str, number: int) -> str:
    stripped = sentence.rstrip()
    if stripped[-1] in ENDS:
        return f"{stripped[:-1]} [{number}]{stripped[-1]}"
    return f"{stripped} [{number}]"


def _distracted(item: _Grounded, mix: MixSettings) -> _Grounded:
    """The example with the right passage in its place, among passages of other documents only; unchanged if none was
    found.
    """
    assert item.right is not None
    foreign = [passage for passage in item.others if passage.chunk.filename != item.right.chunk.filename]
    passages = foreign[: mix.top_k - 1]
    passages.insert(item.passages.index(item.right), item.right)
    return replace(item, passages=passages) if foreign else item


def _answer_row(item: _Grounded, mix: MixSettings, rng: random.Random) -> TrainingRow:
    assert item.right is not None
    passages = _ordered(item.passages, mix, rng)
    prompt = item.example.conversation.grounded(passages)
    marked = mark(item.example.answer, passages, item.right)
    return TrainingRow(tuple(prompt), marked, "grounded", _files(passages), line=item.example.line)


def _pair_row(item: _Grounded, right: Passage, rejected: str, mix: MixSettings, rng: random.Random) -> TrainingRow:
    passages = _ordered(item.passages, mix, rng)
    prompt = item.example.conversation.grounded(passages)
    chosen, rejected = (mark(answer, passages, right) for answer in (item.example.answer, rejected))
    return TrainingRow(tuple(prompt), chosen, "grounded", _files(passages), rejected, item.example.line)


def _refusal_row(example: Example, retriever: Retriever, mix: MixSettings, rng: random.Random) -> TrainingRow | None:
    """None if the server refuses before it asks the model."""
    found = _found(example, retriever, mix, mix.top_k)
    if not found or _answerability(example, found) < mix.min_answerability:
        return None
    prompt = example.conversation.grounded(_ordered(found, mix, rng))
    return TrainingRow(tuple(prompt), example.answer, "refusal", _files(found), line=example.line)


def _answerability(example: Example, passages: Sequence[Passage]) -> float:
    asked = example.conversation
    return answerability(standalone_query(asked.question, asked.earlier), passages)


def _removed_row(item: _Grounded, refusal: str, mix: MixSettings, rng: random.Random) -> TrainingRow:
    passages = _ordered(item.others[: mix.top_k], mix, rng)
    prompt = item.example.conversation.grounded(passages)
    return TrainingRow(tuple(prompt), refusal, "refusal", _files(passages), line=item.example.line)


def _files(passages: Sequence[Passage]) -> tuple[str, ...]:
    return tuple(sorted({passage.chunk.source.file_id for passage in passages}))


def _ordered(passages: Sequence[Passage], mix: MixSettings, rng: random.Random) -> list[Passage]:
    shuffled = rng.random() < mix.share_shuffled
    return rng.sample(passages, len(passages)) if shuffled else list(passages)


def _plain_row(example: Example, kind: RowKind) -> TrainingRow:
    line = 0 if kind == "general" else example.line
    return TrainingRow(tuple(example.conversation.plain()), example.answer, kind, line=line)


def _share(share: float, of: Sequence[object]) -> int:
    return round(share * len(of))


def _report(rows: Sequence[TrainingRow], brought: int, unsupported: int, distracted: int) -> RowsReport:
    kinds = Counter(row.kind for row in rows)
    return RowsReport(
        rows=len(rows),
        grounded=kinds["grounded"],
        refusal=kinds["refusal"],
        plain=kinds["plain"],
        general=kinds["general"],
        brought=brought,
        unsupported=unsupported,
        distracted=distracted,
    )
