"""The values that pass through training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from retrieval.answers.conversation import Conversation
from retrieval.answers.grounding import is_refusal
from retrieval.model import Message
from retrieval.text.layout import LIST_NUMBER
from retrieval.text.markers import strip_markers
from retrieval.text.numbers import FIGURE

OF_THE_LAST = ("document", "facts")
"""What an example's metadata says of its last answer."""
RowKind = Literal["grounded", "refusal", "plain", "general"]
StageName = Literal["dataset", "rows", "lora", "merge", "parity", "candidate", "load", "evaluate", "gate", "publish"]
STAGES: tuple[StageName, ...] = (
    "dataset", "rows", "lora", "merge", "parity", "candidate", "load", "evaluate", "gate", "publish",
)  # fmt: skip


@dataclass(frozen=True)
class Example:
    """One training conversation, which ends with a turn of the assistant.

    Each answer to a user's turn is learned, but for those at the places `unlearned` (weight 0). What is said here of a
    question and its answer is of the last one that is learned, and so is `metadata`. `rejected` is a worse answer than
    it, in a data set of preference pairs: there nothing but the last turn is learned. `line` is where the example
    stands in its file, from 1.
    """

    messages: tuple[Message, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    rejected: str | None = None
    line: int = field(default=0, compare=False)
    unlearned: frozenset[int] = frozenset()

    @property
    def turns(self) -> tuple[Example, ...]:
        """Each answer that is learned, in an example of its own that ends with it: what comes before is its history.

        What `metadata` names as a document or facts is known of the last alone.
        """
        *earlier, last = self._learned() or [len(self.messages) - 1]
        unnamed = {name: value for name, value in self.metadata.items() if name not in OF_THE_LAST}
        return (*(self._until(place, unnamed) for place in earlier), self._until(last, self.metadata))

    @property
    def unasked(self) -> int:
        """How many turns of the assistant have no weight 0 and are not learned, since they follow no turn of a user."""
        answers = {place for place, message in enumerate(self.messages) if message.role == "assistant"}
        return len(answers - self.unlearned - set(self._learned())) if self.rejected is None else 0

    @property
    def conversation(self) -> Conversation:
        """What stands before the answer, as a server takes it."""
        return Conversation.of([(message.role, message.content) for message in self.messages[: self._last]])

    @property
    def question(self) -> str:
        """The user's turn that is answered."""
        return self.messages[self._last - 1].content

    @property
    def answer(self) -> str:
        return self.messages[self._last].content

    @property
    def history(self) -> tuple[Message, ...]:
        """The turns before the question, without system messages."""
        return self.conversation.history

    @property
    def system(self) -> str:
        """What the system messages before the answer ask for, if anything."""
        return self.conversation.system

    @property
    def asked(self) -> str:
        """The question with the turns that lead to it."""
        return "\n".join([*(message.content for message in self.history), self.question])

    @property
    def whole_prompt(self) -> str:
        """All that stands before the answer, system messages included."""
        return "\n".join(message.content for message in self.messages[: self._last])

    @property
    def document(self) -> str | None:
        """The filename of the document that answers, where the data set names it."""
        name = self.metadata.get("document")
        return name if isinstance(name, str) else None

    @property
    def documents(self) -> tuple[str, ...]:
        return (self.document,) if self.document else ()

    @property
    def refuses(self) -> bool:
        """Whether the answer says that the documents do not answer: by the data set's word, else by its wording."""
        if "document" in self.metadata:
            return self.metadata["document"] is None
        return is_refusal(self.answer, None)

    @property
    def _last(self) -> int:
        places = range(len(self.messages) - 1, 0, -1)
        return next(filter(self._is_learned, places), len(self.messages) - 1)

    def _learned(self) -> list[int]:
        if self.rejected is not None:
            return [self._last]
        return [place for place in range(1, len(self.messages)) if self._is_learned(place)]

    def _is_learned(self, place: int) -> bool:
        roles = self.messages[place - 1].role, self.messages[place].role
        return roles == ("user", "assistant") and place not in self.unlearned

    def _until(self, place: int, metadata: Mapping[str, Any]) -> Example:
        if place == len(self.messages) - 1 and len(self._learned()) == 1:
            return self
        before = frozenset(at for at in range(place) if self.messages[at].role == "assistant")
        return replace(self, messages=self.messages[: place + 1], metadata=metadata, unlearned=before)


def turns_of(examples: Iterable[Example]) -> list[Example]:
    """Every answer that is learned from the examples, in an example of its own."""
    return [turn for example in examples for turn in example.turns]


@dataclass(frozen=True)
class Dataset:
    """Examples, frozen: `sha256` is over their canonical form, whatever the format that they were read from.

    `unread` counts the rows by each of their keys that means nothing here.
    """

    examples: tuple[Example, ...]
    sha256: str
    format: str = "messages"
    unread: Mapping[str, int] = field(default_factory=dict)

    @property
    def has_preferences(self) -> bool:
        """Whether every example has a rejected answer beside its own; such a set is for preference training alone."""
        return any(example.rejected is not None for example in self.examples)


@dataclass(frozen=True)
class TrainingRow:
    """One prompt as the server would send it, and the answer to learn. `file_ids` are those of its passages.

    A row of a preference pair has the `rejected` answer too. `line` is that of its example in the training file, 0
    for a general one.
    """

    prompt: tuple[Message, ...]
    completion: str
    kind: RowKind
    file_ids: tuple[str, ...] = ()
    rejected: str | None = None
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class RowsReport:
    """How many rows of each kind were made. `brought` counts the examples whose right passage live retrieval missed and
    that was fetched from the named document; `unsupported` those that no passage carries, kept without passages;
    `distracted` the grounded rows whose other passages are all of other documents, by `share_distractors`."""

    rows: int
    grounded: int
    refusal: int
    plain: int
    general: int
    brought: int
    unsupported: int
    distracted: int = 0


@dataclass(frozen=True)
class Sides:
    """Places of the examples of a data set, from 0, that are not trained on; all others are.

    `held_out` may judge, `removed` ask what a validation file or an evaluation data set asks, and `between` are
    near-copies of what is trained on and of what is held out.
    """

    held_out: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    between: tuple[int, ...] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Sequence[int]]) -> Sides:
        """From plain values, as `asdict` gives them."""
        return cls(**{name: tuple(places) for name, places in plain.items()})

    def trained(self, examples: Sequence[Example]) -> tuple[Example, ...]:
        apart = {*self.held_out, *self.removed, *self.between}
        return tuple(example for place, example in enumerate(examples) if place not in apart)


@dataclass(frozen=True)
class DatasetReport:
    """What a data set holds, after the split: how many examples are trained on, and how many held out of training.

    `data_set_id` names the frozen copy where one is kept. `removed_lines` are left out of training, since they ask what
    the model is judged by, `between_lines` since they are near-copies of both sides; `validation` counts the examples
    of the validation file. `asked` counts the questions that judge, by where they are from: held_out, validation,
    evaluation.
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


@dataclass(frozen=True)
class RunProgress:
    """Where a run is. `fraction` is of the whole run, in 0..1; `data` has figures such as step, loss, tokens/s, eta.

    A step that `tells` is kept as an event, however soon it follows another.
    """

    stage: StageName
    fraction: float
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)
    tells: bool = False


Progress = Callable[[RunProgress], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class StepMetrics:
    """One step of training. Losses in nats, accuracies in 0..1, of answer tokens; None where they were not measured."""

    step: int
    train_loss: float
    train_accuracy: float | None = None
    valid_loss: float | None = None
    valid_accuracy: float | None = None


@dataclass(frozen=True)
class LoraResult:
    """A trained adapter. Losses are means over the held-out rows' answer tokens, in nats, before and after training;
    `tokens` counts trained tokens without padding. `history` has every step, those before an interruption too."""

    adapter: Path
    loss_before: float
    loss_after: float
    train_losses: tuple[float, ...]
    steps: int
    tokens: int
    seconds: float
    history: tuple[StepMetrics, ...] = ()

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class PreferencePair:
    """A prompt as the server would send it, and two answers, the first of which is preferred."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True)
class RatedAnswer:
    """A prompt as the server would send it, an answer, and whether it is wanted."""

    prompt: tuple[Message, ...]
    completion: str
    label: bool


@dataclass(frozen=True)
class PreferenceResult(LoraResult):
    """An adapter trained on preferences. The losses are those of the method, over the held-out rows.

    A reward is `beta` times by how much the adapter makes an answer likelier than the base weights do, in nats. Margins
    are mean rewards of preferred less those of rejected answers, over the held-out rows and over each step's.
    `accuracy` is the share of held-out pairs whose preferred answer has the higher reward; None for ratings, and where
    no row was held out.
    """

    margin_after: float = math.nan
    accuracy: float | None = None
    train_margins: tuple[float, ...] = ()


@dataclass(frozen=True)
class ParityReport:
    """Adapter against merged weights.

    `agreement` is the share of `answer_tokens` teacher-forced answer tokens with the same first token, `near_ties` the
    part of it where another came first that bf16 cannot tell from it; both in 0..1.
    """

    passed: bool
    max_logit_difference: float
    agreement: float
    near_ties: float
    answer_tokens: int
    message: str


@dataclass(frozen=True)
class Question:
    """A question that a model is judged on, under the `system` messages and after the `history` of its conversation.

    `document` names the file that answers, `other_documents` those that answer as well; `answerable` says whether any
    does. `facts` are the required facts, each with its accepted spellings; `facts_are_figures` says that nobody named
    them: they are the figures of the `reference`, which is an answer in the wanted style.
    """

    question: str
    answerable: bool
    document: str | None = None
    reference: str = ""
    facts: tuple[tuple[str, ...], ...] = ()
    history: tuple[Message, ...] = ()
    other_documents: tuple[str, ...] = ()
    system: str = ""
    facts_are_figures: bool = False

    @property
    def documents(self) -> tuple[str, ...]:
        """Every file that is known to answer."""
        return (self.document, *self.other_documents) if self.document else self.other_documents

    @property
    def conversation(self) -> Conversation:
        return Conversation(self.question, self.history, self.system)

    @classmethod
    def of(cls, example: Example) -> Question:
        """A held-out example as a question. Its required facts are those that `metadata.facts` names, else the figures
        in its answer."""
        named = _named_facts(example)
        return cls(
            question=example.question,
            answerable=not example.refuses,
            document=example.document,
            reference=example.answer,
            facts=() if example.refuses else named or _figures_in(example.answer),
            history=example.history,
            system=example.system,
            facts_are_figures=not named,
        )


def _named_facts(example: Example) -> tuple[tuple[str, ...], ...]:
    """`metadata.facts`: a list of facts, each a text or a list of its spellings."""
    named = example.metadata.get("facts")
    if not isinstance(named, list):
        return ()
    return tuple(tuple(map(str, fact)) if isinstance(fact, list) else (str(fact),) for fact in named)


def _figures_in(answer: str) -> tuple[tuple[str, ...], ...]:
    found = dict.fromkeys(FIGURE.findall(strip_markers(LIST_NUMBER.sub("", answer))))
    return tuple((figure,) for figure in found)


@dataclass(frozen=True)
class Completion:
    """What a server answered. `finish_reason` is `stop` where the model ended by itself, `length` where it was cut."""

    text: str
    finish_reason: str
    tokens: int


@dataclass(frozen=True)
class Share:
    """A count of a whole. `value` is None where there was nothing to count."""

    hits: float
    of: int

    @property
    def value(self) -> float | None:
        return self.hits / self.of if self.of else None

    def __str__(self) -> str:
        return f"{self.hits / self.of:.0%} of {self.of}" if self.of else "nothing to measure"


NOTHING = Share(0, 0)


@dataclass(frozen=True)
class PromptScore:
    """What the answer to one prompt reached, by figure, each in 0..1; `removed` as in Trial.

    A figure that says nothing about this prompt is absent, and every figure is where the question failed.
    """

    prompt: str
    values: Mapping[str, float] = field(default_factory=dict)
    removed: bool = False


@dataclass(frozen=True)
class Metrics:
    """A model on a question set. Failed questions are counted in `failed` and enter no other figure.

    `style` has the four traits and `overall`, over answers that do not refuse. `facts` counts answers with every
    required fact, `fact_recall` the facts among those required; `token_f1` is against the reference.
    `citation_recall` counts answerable questions with a supported citation of the right document, `citation_precision`
    citations that the check supports; `model_made` those whose marker the model wrote, `marked` the grounded answers
    with such a marker, and `marker_precision` is the share of an answer's own markers that the check supports.
    `refused_unanswerable` and `refused_removed` (the right passage taken away) ought to be high, `refused_answerable`
    low; `decided` counts the questions of all three where the model refused, or did not, as it ought to. `general`
    counts the probes that were passed, `repeated` the answers that repeat training text, `judged` is an outside
    judge's mark; `longest_repeat` is in words. `scores` has one entry a prompt in the order asked, so that two models
    asked the same prompts can be compared in pairs.

    `sourced` and `voiced` count the answerable questions that a document answers and that none does. The latter are
    asked without passages and judged as a voice: of these figures they have style, `stopped`, `repeated`, `judged`,
    `refused_answerable` and `decided`, and facts where the data set names them.
    """

    questions: int
    failed: int
    failures: tuple[str, ...]
    style: Mapping[str, Share]
    facts: Share
    token_f1: Share
    citation_recall: Share
    citation_precision: Share
    model_made: Share
    refused_unanswerable: Share
    refused_removed: Share
    refused_answerable: Share
    stopped: Share
    fact_recall: Share = NOTHING
    marked: Share = NOTHING
    marker_precision: Share = NOTHING
    decided: Share = NOTHING
    general: Share = NOTHING
    repeated: Share = NOTHING
    judged: Share = NOTHING
    longest_repeat: int = 0
    judge_error: str = ""
    sourced: int = 0
    voiced: int = 0
    scores: tuple[PromptScore, ...] = ()

    def figures(self) -> dict[str, Any]:
        """As plain values, rounded; None where there was nothing to measure."""
        plain: dict[str, Any] = {"questions": self.questions, "failed": self.failed, "failures": list(self.failures)}
        plain["style"] = {name: _rounded(share) for name, share in self.style.items()}
        plain |= {name: _rounded(getattr(self, name)) for name in SHARES}
        plain |= {"sourced": self.sourced, "voiced": self.voiced}
        return plain | {"longest_repeat": self.longest_repeat, "judge_error": self.judge_error}


SHARES = (
    "facts", "fact_recall", "token_f1", "citation_recall", "citation_precision", "model_made", "marked",
    "marker_precision", "refused_unanswerable", "refused_removed", "refused_answerable", "decided", "stopped",
    "general", "repeated", "judged",
)  # fmt: skip


def _rounded(share: Share) -> float | None:
    return None if share.value is None else round(share.value, 4)


@dataclass(frozen=True)
class GateCheck:
    """One test of the gate, and its outcome in a sentence with its figures. `figures` has them as numbers, where two
    models were compared: both means, the paired difference with its interval, the number of pairs, the margin."""

    name: str
    passed: bool
    sentence: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class GateReport:
    """Whether a candidate may go live, and why."""

    passed: bool
    checks: tuple[GateCheck, ...]

    @property
    def summary(self) -> str:
        """In words: what failed, or that nothing did."""
        failed = [check.sentence for check in self.checks if not check.passed]
        if not failed:
            return f"The candidate passed all {len(self.checks)} checks."
        return f"The candidate was refused: {' '.join(failed)}"
