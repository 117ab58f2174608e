"""The port to an engine: a program that serves one folder of weights in OpenAI's chat shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from services.generation.engines.cores import Cores
from services.generation.settings import EngineName


@dataclass(frozen=True)
class Launch:
    """How to start one engine: the command, variables to add to the environment, where it runs and where it will
    answer.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    address: str


class Engine(Protocol):
    """One kind of engine.

    Every engine answers `GET /health` with 200 once its weights are loaded, and `POST /v1/chat/completions` for the
    served name, streamed or not. It ends on SIGTERM.
    """

    @property
    def name(self) -> EngineName: ...

    def prepare(self, slot: str, weights: Path, model: str, cores: Cores) -> Launch:
        """The launch of slot `slot`, which serves the folder `weights` under the name `model` on these cores."""
        ...

    def unfinished_requests(self, client: httpx.Client) -> int | None:
        """Requests that run or wait in the engine behind this client; None if the engine does not report them.

        Raises httpx.HTTPError if it does not answer.
        """
        ...


def thread_environment(cores: Cores) -> dict[str, str]:
    """One thread per core for the numeric libraries, and no downloads or reports over a network."""
    return {
        "OMP_NUM_THREADS": str(len(cores)),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }
