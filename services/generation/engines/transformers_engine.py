"""`transformers serve` in a slot, for machines where vLLM cannot run. It has no Unix socket: loopback TCP."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Literal

import httpx

from services.generation.engines.cores import Cores
from services.generation.engines.engine import Launch, thread_environment
from services.generation.settings import EngineName

SERVER = ("-c", "from transformers.cli.transformers import main; main()", "serve")


class TransformersEngine:
    """The server that comes with transformers.

    It answers to the name of the folder that it is given, relative to its working folder. So each slot gets a folder of
    its own, in which a link with the served name points to the weights.
    """

    name: EngineName = "transformers"

    def __init__(self, links: Path, device: Literal["cpu", "cuda"]) -> None:
        self._links, self._device = links, device

    def prepare(self, slot: str, weights: Path, model: str, cores: Cores) -> Launch:
        folder = self._links / slot
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        link = folder / model
        link.unlink(missing_ok=True)
        link.symlink_to(weights, target_is_directory=True)
        port = _free_port()
        options = ("--host", "127.0.0.1", "--port", str(port), "--dtype", "bfloat16", "--device", self._device)
        command = (sys.executable, *SERVER, model, *options)
        return Launch(command, thread_environment(cores), folder, f"http://127.0.0.1:{port}")

    def unfinished_requests(self, client: httpx.Client) -> int | None:  # noqa: ARG002
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
