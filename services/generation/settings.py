"""Settings of the generation service: table `[generation]`, environment `TANDEM_GENERATION_...`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, JsonValue, model_validator

from services.generation import engine_args
from services.kit.settings import ServiceSettings, service_config
from training.errors import OutOfRange

EngineName = Literal["vllm", "transformers"]
EngineArgument = bool | int | float | str | list[str | int | float] | dict[str, JsonValue]


class GenerationSettings(ServiceSettings):
    """What runs in a slot and how long things may take. Times are in seconds."""

    toml_table: ClassVar[str | None] = "generation"
    model_config = service_config("generation")

    engine: Literal["vllm", "transformers", "auto"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    serve_base: bool = True
    max_model_len: int = Field(default=2048, ge=128)
    max_num_seqs: int = Field(default=16, ge=1)
    kv_cache_gib: int = Field(default=1, ge=1)
    tensor_parallel_size: int = Field(default=1, ge=1)
    gpu_memory_utilization: float = Field(default=0.3, gt=0, le=0.95)
    """Share of a GPU's memory that one slot takes; base, live and spare must fit together."""
    engine_args: dict[str, EngineArgument] = Field(default_factory=dict)
    """What vLLM's server is given beside these, by the names of its options; see services/generation/engine_args.py."""

    start_timeout_seconds: float = Field(default=300, gt=0)
    drain_timeout_seconds: float = Field(default=120, ge=0)
    drain_least_seconds: float = Field(default=3, ge=0)
    """A retired slot answers at least this long: gateways read the routing table every second."""
    warm_seconds: float = Field(default=600, ge=0)
    stop_timeout_seconds: float = Field(default=15, gt=0)
    tick_seconds: float = Field(default=0.25, gt=0)

    @model_validator(mode="after")
    def _engine_args_are_the_engine_s(self) -> GenerationSettings:
        engine_args.check(self.engine_args)
        if self.engine_args and self.chosen_engine() != "vllm":
            raise OutOfRange("engine_args are for vLLM, and what serves here is transformers; leave them out.")
        return self

    def chosen_engine(self) -> EngineName:
        if self.engine != "auto":
            return self.engine
        return "vllm" if importlib.util.find_spec("vllm") else "transformers"

    def chosen_device(self) -> Literal["cpu", "cuda"]:
        if self.device != "auto":
            return self.device
        return "cuda" if Path("/dev/nvidiactl").exists() else "cpu"
