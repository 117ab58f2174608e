"""Settings of a run, one frozen dataclass for each concern. A value out of range raises OutOfRange, which names the
setting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from training.errors import OutOfRange
from training.hardware import Hardware


@dataclass(frozen=True)
class ExampleSettings:
    """`share_held_out` of the examples is never trained on, and at most `max_held_out` of those are asked. A data set
    needs at least `min_examples` examples.

    A validation file replaces the split. At most `max_validation` of its examples are asked, and the same number of the
    evaluation data sets. Training is refused if more than `max_overlap` of the validation file is in the training file,
    or if more than `max_contradictory` of the training examples contradict others. `near_duplicate` is the Jaccard
    similarity from which questions count as near-copies; see `training.data.near_duplicates`.
    """

    share_held_out: float = 0.1
    max_held_out: int = 24
    min_examples: int = 10
    max_validation: int = 200
    max_overlap: float = 0.5
    max_contradictory: float = 0.1
    near_duplicate: float = 0.5

    def __post_init__(self) -> None:
        _within("share_held_out", self.share_held_out, 0.0, 0.5)
        _within("max_held_out", self.max_held_out, 1, 1000)
        _within("min_examples", self.min_examples, 1, 1_000_000)
        _within("max_validation", self.max_validation, 1, 100_000)
        _within("max_overlap", self.max_overlap, 0.0, 1.0)
        _within("max_contradictory", self.max_contradictory, 0.0, 1.0)
        _within("near_duplicate", self.near_duplicate, 0.3, 1.0)


@dataclass(frozen=True)
class MixSettings:
    """What the training rows are made of. Shares are of the answered examples, each rounded to whole rows.

    Each grounded prompt has `top_k` passages from retrieval. In `share_distractors` of the grounded rows, all passages
    but the one that answers are of other documents, as far as retrieval finds any. Refusals make up
    `share_unanswerable`: the data set's own, and if those are too few, answered examples a second time, without the
    supporting passages and with a refusal as the answer. Refusals whose passages lie below `min_answerability` are left
    out: the server refuses those by itself. `share_without_passages` are used a second time without any passage;
    general examples are added up to `share_general`. Passages are in the retriever's order, as the server sends them,
    except in `share_shuffled` of the rows, where the order is random.
    """

    top_k: int = 3
    share_unanswerable: float = 0.05
    share_without_passages: float = 0.1
    share_general: float = 0.1
    share_distractors: float = 0.0
    share_shuffled: float = 0.0
    min_answerability: float = 0.0
    max_passage_chars: int = 1200
    seed: int = 13

    def __post_init__(self) -> None:
        _within("top_k", self.top_k, 1, 20)
        _within("share_unanswerable", self.share_unanswerable, 0.0, 1.0)
        _within("share_without_passages", self.share_without_passages, 0.0, 1.0)
        _within("share_general", self.share_general, 0.0, 1.0)
        _within("share_distractors", self.share_distractors, 0.0, 1.0)
        _within("share_shuffled", self.share_shuffled, 0.0, 1.0)
        _within("min_answerability", self.min_answerability, 0.0, 1.0)
        _within("max_passage_chars", self.max_passage_chars, 100, 20_000)


@dataclass(frozen=True)
class LoraSettings:
    """LoRA by trl and peft. `max_length` is in tokens; longer rows are left out and counted.

    On any hardware, a step takes `per_device_train_batch_size` times `gradient_accumulation_steps` rows, and one pass
    at most `per_device_train_batch_size`. Every `save_steps` steps a checkpoint is written and the loss of the first
    `validation_rows` held-out rows is measured. `gradient_checkpointing` computes activations again in the backward
    pass: less memory, more time, the same weights. A gradient longer than `max_grad_norm` is clipped to it; 0 turns
    clipping off. The defaults were measured on the sample data with a model of 135 million weights; see
    docs/experiments.md.
    """

    lora_r: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    learning_rate: float = 8e-4
    num_train_epochs: float = 1.5
    max_steps: int = -1
    per_device_train_batch_size: int = 2
    gradient_accumulation_steps: int = 1
    warmup_steps: int = 4
    max_grad_norm: float = 1.0
    max_length: int = 1024
    save_steps: int = 25
    validation_rows: int = 4
    gradient_checkpointing: bool = False
    threads: int = 2
    seed: int = 13
    hardware: Hardware = field(default_factory=Hardware)

    def __post_init__(self) -> None:
        _within("lora_r", self.lora_r, 1, 512)
        _within("lora_alpha", self.lora_alpha, 1, 4096)
        _within("lora_dropout", self.lora_dropout, 0.0, 0.9)
        _within("learning_rate", self.learning_rate, 1e-7, 1e-1)
        _within("num_train_epochs", self.num_train_epochs, 0.01, 100)
        _within("per_device_train_batch_size", self.per_device_train_batch_size, 1, 1024)
        _within("gradient_accumulation_steps", self.gradient_accumulation_steps, 1, 1024)
        _within("warmup_steps", self.warmup_steps, 0, 1_000_000)
        _within("max_grad_norm", self.max_grad_norm, 0.0, 1000.0)
        _within("max_length", self.max_length, 32, 1_000_000)
        _within("save_steps", self.save_steps, 1, 1_000_000)
        _within("validation_rows", self.validation_rows, 0, 1000)
        _within("threads", self.threads, 1, 1024)


PREFERENCE_LEARNING_RATE, PREFERENCE_EPOCHS = 1e-4, 3.0


@dataclass(frozen=True)
class PreferenceSettings:
    """Preference training. `beta` holds the adapter to the base weights: the larger, the closer it stays.

    Method `dpo` learns from pairs, `kto` from ratings; a batch for `kto` needs at least two rows. The learning rate of
    `lora` is lower than for answers and the number of epochs higher: preferences need small steps and few rows.
    """

    method: Literal["dpo", "kto"] = "dpo"
    beta: float = 0.1
    lora: LoraSettings = field(
        default_factory=lambda: LoraSettings(learning_rate=PREFERENCE_LEARNING_RATE, num_train_epochs=PREFERENCE_EPOCHS)
    )

    def __post_init__(self) -> None:
        _within("beta", self.beta, 1e-3, 10.0)
        if self.method == "kto":
            _within("per_device_train_batch_size", self.lora.per_device_train_batch_size, 2, 1024)


@dataclass(frozen=True)
class ParitySettings:
    """Bounds of the comparison between adapter and merged weights.

    `max_logit_difference` holds in fp32. `min_agreement` is the share of answer tokens, over at least `answer_tokens`
    of them, for which the weights as served (bf16) rank the same token first as the fp32 adapter does. Near ties count
    as the same.
    """

    max_logit_difference: float = 1e-3
    min_agreement: float = 0.99
    answer_tokens: int = 2000
    exact_rows: int = 4

    def __post_init__(self) -> None:
        _within("max_logit_difference", self.max_logit_difference, 0.0, 1.0)
        _within("min_agreement", self.min_agreement, 0.0, 1.0)
        _within("answer_tokens", self.answer_tokens, 1, 1_000_000)
        _within("exact_rows", self.exact_rows, 1, 1000)


@dataclass(frozen=True)
class EvaluationSettings:
    """How a candidate is asked: answers of at most `max_tokens`, `concurrency` at once, with `top_k` passages.

    `max_tokens` is the gateway's, so an answer that is cut here is cut there too. `removed` of the answerable questions
    are asked a second time without the passages that answer them. Below `min_answerability` the server refuses by
    itself. If it is `guarded`, it also refuses an answer whose first sentence no passage supports. The evaluation does
    the same. Probes of general ability get `probe_tokens`. An answer counts as repeating training text from
    `repeat_words` consecutive words on.
    """

    top_k: int = 3
    max_tokens: int = 512
    concurrency: int = 8
    removed: int = 5
    min_answerability: float = 0.0
    guarded: bool = False
    probe_tokens: int = 48
    repeat_words: int = 12

    def __post_init__(self) -> None:
        _within("top_k", self.top_k, 1, 20)
        _within("max_tokens", self.max_tokens, 1, 100_000)
        _within("concurrency", self.concurrency, 1, 256)
        _within("removed", self.removed, 0, 1000)
        _within("min_answerability", self.min_answerability, 0.0, 1.0)
        _within("probe_tokens", self.probe_tokens, 1, 100_000)
        _within("repeat_words", self.repeat_words, 4, 1000)


@dataclass(frozen=True)
class GateSettings:
    """What a candidate must reach. Margins are differences of scores in 0..1 against what is live now.

    `style_gain` is how much style must rise over the base weights. The margins are how far style (against an earlier
    tuned version), facts, citations, refusals and general ability may fall. A fall of more than `clear_fall` is refused
    even if there were so few questions that it could be chance. Intervals are bootstrapped with `resamples` resamples
    at `confidence`.

    Shares of the candidate alone: at least `min_stop_rate` of its answers end by themselves, at least `min_marked` of
    its grounded answers have a citation marker that the model wrote, at most `max_repeated` repeat training text, and
    at most `max_failed` of the questions get no answer. The support for markers is compared only if both models wrote
    markers on at least `min_marked_pairs` questions.
    """

    style_gain: float = 0.02
    style_margin: float = 0.03
    fact_margin: float = 0.05
    citation_margin: float = 0.05
    refusal_margin: float = 0.05
    general_margin: float = 0.1
    clear_fall: float = 0.15
    confidence: float = 0.9
    resamples: int = 4000
    seed: int = 13
    min_stop_rate: float = 0.95
    min_marked: float = 0.5
    min_marked_pairs: int = 5
    max_repeated: float = 0.1
    max_failed: float = 0.05

    def __post_init__(self) -> None:
        for name in (
            "style_gain", "style_margin", "fact_margin", "citation_margin", "refusal_margin", "general_margin",
            "clear_fall", "min_stop_rate", "min_marked", "max_repeated", "max_failed",
        ):  # fmt: skip
            _within(name, getattr(self, name), 0.0, 1.0)
        _within("confidence", self.confidence, 0.5, 0.999)
        _within("resamples", self.resamples, 100, 1_000_000)
        _within("min_marked_pairs", self.min_marked_pairs, 1, 10_000)


@dataclass(frozen=True)
class EmbedderSettings:
    """Tuning of the embedder. `max_length` is in tokens; with `max_steps` -1 the epochs decide the number of steps.

    `share_held_out` of the pairs, by whole documents, judge the result; at least `min_pairs` pairs are needed in all.
    At most `max_passages` chunks are searched for hard negatives and by the gate.
    """

    learning_rate: float = 2e-5
    num_train_epochs: float = 1.0
    max_steps: int = -1
    per_device_train_batch_size: int = 16
    warmup_steps: int = 20
    max_length: int = 192
    share_held_out: float = 0.2
    max_held_out: int = 400
    min_pairs: int = 60
    max_passages: int = 5000
    threads: int = 2
    seed: int = 13

    def __post_init__(self) -> None:
        _within("learning_rate", self.learning_rate, 1e-8, 1e-2)
        _within("num_train_epochs", self.num_train_epochs, 0.01, 100)
        _within("max_steps", self.max_steps, -1, 1_000_000)
        _within("per_device_train_batch_size", self.per_device_train_batch_size, 2, 1024)
        _within("max_length", self.max_length, 16, 8192)
        _within("share_held_out", self.share_held_out, 0.05, 0.5)
        _within("max_held_out", self.max_held_out, 10, 100_000)
        _within("min_pairs", self.min_pairs, 4, 1_000_000)
        _within("max_passages", self.max_passages, 10, 1_000_000)
        _within("threads", self.threads, 1, 1024)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise OutOfRange(f"The setting {name} is {value}; it must lie between {low} and {high}.")
