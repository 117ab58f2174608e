"""What an operator can set on the workers: `[worker]` in tandem.toml, `TANDEM_WORKER_...` in the environment."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import Field, model_validator

import training
from retrieval.documents.formats.limits import MIB, Limits
from retrieval.documents.parser import ParsingLimits
from services.kit.settings import Platform, ServiceSettings, service_config
from training.config import (
    PREFERENCE_EPOCHS,
    PREFERENCE_LEARNING_RATE,
    EvaluationSettings,
    GateSettings,
    LoraSettings,
    MixSettings,
    ParitySettings,
)
from training.errors import OutOfRange
from training.judging.probes import PROBES

if TYPE_CHECKING:
    from retrieval.documents.chunking import ChunkingSettings

Kind = TypeVar("Kind", MixSettings, LoraSettings, EvaluationSettings, ParitySettings, GateSettings)


class WorkerSettings(ServiceSettings):
    """Sizes of chunks are in tokens of the embedder."""

    toml_table = "worker"
    model_config = service_config("worker")

    chunk_size: int = Field(default=160, ge=32, le=2048)
    chunk_overlap: int = Field(default=0, ge=0, le=512)
    chunking_strategy: Literal["structure", "sentences", "fixed", "document"] = "structure"
    """How documents are cut; see `retrieval.documents.chunking.ChunkingSettings`."""
    sparse_language: str = "english"
    """The language of BM25's stemmer and stop words."""
    sparse_average_length: float = Field(default=100.0, gt=0)
    """The usual length of a chunk in words that count, for BM25."""
    sparse_tokenizer: Literal["multilingual", "word"] = "multilingual"
    """What cuts a text into words for BM25; `word` takes a clause of Chinese, Japanese or Thai for one word."""
    embed_threads: int = Field(default=2, ge=1)
    points_per_request: int = Field(default=128, ge=1, le=256)
    reindex_threads: int = Field(default=1, ge=1)
    """Threads of a reindexing's process, which also gives way to every other process."""
    min_recall: float = Field(default=0.8, ge=0, le=1)
    """The share of what the live collection finds first for stored questions that a new one must find to replace it."""
    reconcile_hours: float = Field(default=24.0, ge=0)
    """How often differences between database, files and index are looked for; 0 never does."""
    silent_seconds: float = Field(default=60.0, ge=6.0)
    """A running job without a sign of life for this long has lost its worker, and is given to another."""
    train_threads: int = Field(default=0, ge=0)
    """0 takes every core the process may use."""
    train_device: Literal["auto", "cpu", "cuda"] = "auto"
    """What training runs on; auto takes GPUs where torch sees any."""
    train_quantization: Literal["none", "4bit"] = "none"
    """4bit is QLoRA: the base weights in NF4 on a GPU, by bitsandbytes."""
    train_processes: int = Field(default=1, ge=1, le=64)
    """Processes of one training, each with a GPU of its own; a step's rows are shared among them."""
    stuck_seconds: float = Field(default=1800.0, gt=0)
    """A training that tells no progress for this long is ended, and tried again from its last checkpoint."""
    general_examples: Path = Path(training.__path__[0]) / "data" / "general.jsonl"
    """Conversations without documents, mixed in against forgetting; JSONL as for training."""
    max_pages: int = Field(default=Limits.max_pages, ge=1)
    """Largest file that is read, in pages or slides."""
    max_characters: int = Field(default=Limits.max_characters, ge=1000)
    """Largest file that is read, in characters of text."""
    max_unpacked_bytes: int = Field(default=Limits.max_unpacked_bytes, ge=MIB)
    """What a zipped file (DOCX, PPTX, XLSX, EPUB) may unpack to."""
    max_parse_memory: int = Field(default=ParsingLimits.max_parse_memory, ge=512 * MIB)
    """Address space, in bytes, that reading one file may take."""
    max_parse_seconds: float = Field(default=ParsingLimits.max_parse_seconds, gt=0)
    """Processor time, in seconds, that reading one file may take."""
    journal_days: float | None = Field(default=None, gt=0)
    """Age in days at which answers leave the journal, with the feedback on them; None keeps them."""
    keep_versions: int = Field(default=5, ge=0)
    """So many versions of a workspace keep their weights beside those that must: the newest."""
    deadline_train: float = Field(default=24 * 3600.0, gt=0)
    """Seconds after which a fine-tuning job that a schedule queued is ended."""
    load_timeout: float = Field(default=600.0, gt=0)
    """Seconds that a candidate may take to be served by the spare slot."""

    @model_validator(mode="after")
    def _loading_is_not_stuck(self) -> WorkerSettings:
        if self.stuck_seconds <= self.load_timeout:
            raise OutOfRange("stuck_seconds must exceed load_timeout: a candidate that loads tells no progress.")
        return self

    def chunking(self) -> ChunkingSettings:
        """How the documents of a new collection are cut."""
        from retrieval.documents.chunking import (
            ChunkingSettings,  # it brings the splitters: 45 MB that only indexing needs
        )

        return ChunkingSettings(self.chunk_size, self.chunk_overlap, self.chunking_strategy)

    def parsing_limits(self) -> ParsingLimits:
        of_file = Limits(self.max_pages, self.max_characters, self.max_unpacked_bytes)
        return ParsingLimits(self.max_parse_memory, self.max_parse_seconds, of_file)


class TrainingSettings(ServiceSettings):
    """How training rows are made and trained on, how a candidate is asked, and what it must reach: `[training]`.

    Each key has its meaning from `MixSettings`, `LoraSettings`, `EvaluationSettings`, `ParitySettings` and
    `GateSettings` in training/config.py. These also check its range, and raise OutOfRange.
    """

    toml_table = "training"
    model_config = service_config("training")

    share_unanswerable: float = MixSettings.share_unanswerable
    share_without_passages: float = MixSettings.share_without_passages
    share_general: float = MixSettings.share_general
    share_distractors: float = MixSettings.share_distractors
    share_shuffled: float = MixSettings.share_shuffled
    lora_r: int = LoraSettings.lora_r
    lora_alpha: int = LoraSettings.lora_alpha
    lora_dropout: float = LoraSettings.lora_dropout
    learning_rate: float = LoraSettings.learning_rate
    num_train_epochs: float = LoraSettings.num_train_epochs
    dpo_learning_rate: float = PREFERENCE_LEARNING_RATE
    dpo_num_train_epochs: float = PREFERENCE_EPOCHS
    """Preferences need smaller steps and fewer rows than answers."""
    per_device_train_batch_size: int = LoraSettings.per_device_train_batch_size
    gradient_accumulation_steps: int = LoraSettings.gradient_accumulation_steps
    gradient_checkpointing: bool = LoraSettings.gradient_checkpointing
    max_length: int = LoraSettings.max_length
    warmup_steps: int = LoraSettings.warmup_steps
    max_grad_norm: float = LoraSettings.max_grad_norm
    save_steps: int = LoraSettings.save_steps
    removed: int = EvaluationSettings.removed
    repeat_words: int = EvaluationSettings.repeat_words
    min_agreement: float = ParitySettings.min_agreement
    style_gain: float = GateSettings.style_gain
    style_margin: float = GateSettings.style_margin
    fact_margin: float = GateSettings.fact_margin
    citation_margin: float = GateSettings.citation_margin
    refusal_margin: float = GateSettings.refusal_margin
    general_margin: float = GateSettings.general_margin
    clear_fall: float = GateSettings.clear_fall
    confidence: float = GateSettings.confidence
    min_stop_rate: float = GateSettings.min_stop_rate
    min_marked: float = GateSettings.min_marked
    min_marked_pairs: int = GateSettings.min_marked_pairs
    max_repeated: float = GateSettings.max_repeated
    max_failed: float = GateSettings.max_failed
    probes: Path = PROBES
    """Questions of general ability, each with its rule; JSONL."""
    judge_url: str = ""
    """The base URL of an OpenAI-compatible API whose model marks answers beside the metrics; empty is none."""
    judge_model: str = ""
    judge_api_key: str = ""
    judge_timeout: float = Field(default=60.0, gt=0)

    @model_validator(mode="after")
    def _within_range(self) -> TrainingSettings:
        self.mix(), self.lora(), self.dpo_lora(), self.evaluation(), self.parity(), self.gate()
        return self

    def mix(self) -> MixSettings:
        return self._named(MixSettings)

    def lora(self) -> LoraSettings:
        return self._named(LoraSettings)

    def dpo_lora(self) -> LoraSettings:
        try:
            rate, epochs = self.dpo_learning_rate, self.dpo_num_train_epochs
            return replace(self.lora(), learning_rate=rate, num_train_epochs=epochs)
        except OutOfRange as error:
            raise OutOfRange(str(error).replace("The setting ", "The setting dpo_", 1)) from error

    def evaluation(self) -> EvaluationSettings:
        return self._named(EvaluationSettings)

    def as_served(self, platform: Platform) -> tuple[MixSettings, EvaluationSettings]:
        """Rows and questions with as many passages, and the same cuts and refusals, as in this platform's gateway."""
        served: dict[str, Any] = {"top_k": platform.top_k, "min_answerability": platform.min_answerability}
        answers: dict[str, Any] = {**served, "max_tokens": platform.max_answer_tokens, "guarded": platform.guarded}
        return replace(self.mix(), **served), replace(self.evaluation(), **answers)

    def parity(self) -> ParitySettings:
        return self._named(ParitySettings)

    def gate(self) -> GateSettings:
        return self._named(GateSettings)

    def _named(self, kind: type[Kind]) -> Kind:
        """The values of the keys that are named like fields of the dataclass; the other fields keep their defaults."""
        names = {one.name for one in fields(kind)} & type(self).model_fields.keys()
        return kind(**{name: getattr(self, name) for name in names})
