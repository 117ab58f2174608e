"""Bodies of the fine-tuning routes that clients send, with OpenAI's field names. An unknown field is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from services.gateway.http.bodies import Strict
from services.gateway.http.fields import Metadata

Choice = Literal["auto"] | float
METHODS = ("supervised", "dpo")


def _auto_or(kind: type[int] | type[float], low: float, high: float) -> Any:
    """`auto`, or a number in a range. For anything else the error is one sentence."""
    what = f"a {'whole ' if kind is int else ''}number from {low:g} to {high:g}"
    schema = {"type": "integer" if kind is int else "number", "minimum": low, "maximum": high}

    def checked(value: Any) -> Any:
        is_number = isinstance(value, kind | int) and not isinstance(value, bool)
        if value == "auto" or (is_number and low <= value <= high):
            return value
        raise ValueError(f"must be 'auto' or {what}; it is {value!r}")

    return BeforeValidator(checked), WithJsonSchema({"anyOf": [{"const": "auto"}, schema], "default": "auto"})


Epochs = Annotated[Literal["auto"] | int, *_auto_or(int, 1, 50)]
BatchSize = Annotated[Literal["auto"] | int, *_auto_or(int, 1, 256)]
Multiplier = Annotated[Choice, *_auto_or(float, 0.01, 20)]
Beta = Annotated[Choice, *_auto_or(float, 0.01, 2)]


class Hyperparameters(Strict):
    """`learning_rate_multiplier` multiplies the learning rate of the settings."""

    n_epochs: Epochs = "auto"
    batch_size: BatchSize = "auto"
    learning_rate_multiplier: Multiplier = "auto"


class DpoHyperparameters(Hyperparameters):
    beta: Beta = "auto"


class SupervisedMethod(Strict):
    hyperparameters: Hyperparameters = Hyperparameters()


class DpoMethod(Strict):
    hyperparameters: DpoHyperparameters = DpoHyperparameters()


def _known(name: object) -> object:
    if name not in METHODS:
        raise ValueError(f"{name!r} is not served here; the methods are {' and '.join(METHODS)}")
    return name


class FineTuningMethod(Strict):
    type: Annotated[Literal["supervised", "dpo"], BeforeValidator(_known)]
    supervised: SupervisedMethod | None = None
    dpo: DpoMethod | None = None

    @model_validator(mode="after")
    def _only_its_own(self) -> FineTuningMethod:
        other = "dpo" if self.type == "supervised" else "supervised"
        if getattr(self, other) is not None:
            raise ValueError(f"the type is '{self.type}', so '{other}' must be absent")
        return self

    def chosen(self) -> Hyperparameters:
        if self.type == "dpo":
            return (self.dpo or DpoMethod()).hyperparameters
        return (self.supervised or SupervisedMethod()).hyperparameters


class FineTuningCreate(Strict):
    """`hyperparameters` is where OpenAI had those of the method `supervised` before."""

    model: str
    training_file: str
    validation_file: str | None = None
    suffix: str | None = Field(default=None, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    metadata: Metadata | None = None
    hyperparameters: Hyperparameters | None = None
    method: FineTuningMethod = FineTuningMethod(type="supervised")
    integrations: list[Any] | None = None

    @model_validator(mode="after")
    def _can_be_done(self) -> FineTuningCreate:
        if self.integrations:
            raise ValueError("integrations are not served here; the metrics come as events and as a result file")
        for key in self.metadata or {}:
            if '"' in key or "\\" in key:  # SQLite finds no such key in JSON
                raise ValueError(f"the key {key!r} in metadata has a quotation mark or a backslash; leave them out")
        if self.hyperparameters is not None and "method" in self.model_fields_set:
            raise ValueError("hyperparameters stand in 'method', or beside it; give them once")
        return self

    def chosen(self) -> Hyperparameters:
        return self.hyperparameters or self.method.chosen()
