"""vLLM in a slot: on a Unix socket, on the CPU or on GPUs."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Literal

import httpx

from services.generation.engine_args import command_line
from services.generation.engines.cores import Cores
from services.generation.engines.engine import Launch, thread_environment
from services.generation.settings import EngineName, GenerationSettings

# The `vllm` command looks for a distribution named `vllm`, which the CPU build is not; its module works for both.
SERVER = ("-m", "vllm.entrypoints.openai.api_server")
REQUESTS = re.compile(r"^vllm:num_requests_(?:running|waiting)(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)


class VllmEngine:
    """vLLM's OpenAI server. Its socket is in `sockets`, which only this user may enter, so it needs no key."""

    name: EngineName = "vllm"

    def __init__(self, settings: GenerationSettings, sockets: Path, device: Literal["cpu", "cuda"]) -> None:
        self._settings, self._sockets, self._device = settings, sockets, device

    def prepare(self, slot: str, weights: Path, model: str, cores: Cores) -> Launch:
        socket = self._sockets / f"{slot}.sock"
        socket.unlink(missing_ok=True)
        device = self._cpu() if self._device == "cpu" else self._gpu()
        further = command_line(self._settings.engine_args)
        command = (sys.executable, *SERVER, *self._common(weights, model, socket), *device, *further)
        return Launch(command, self._environment(cores), self._sockets, f"unix:{socket}")

    def unfinished_requests(self, client: httpx.Client) -> int | None:
        counts = REQUESTS.findall(client.get("/metrics").raise_for_status().text)
        return int(sum(float(count) for count in counts)) if counts else None

    def _common(self, weights: Path, model: str, socket: Path) -> tuple[str, ...]:
        settings = self._settings
        return (
            *("--model", str(weights), "--served-model-name", model, "--uds", str(socket)),
            *("--dtype", "bfloat16", "--max-model-len", str(settings.max_model_len)),
            *("--max-num-seqs", str(settings.max_num_seqs), "--enable-prefix-caching"),
            *("--disable-uvicorn-access-log", "--no-enable-log-requests"),
        )

    def _cpu(self) -> tuple[str, ...]:
        # Compilation cost 50 to 120 s a start on two cores and gained nothing measurable for a small model.
        return ("--enforce-eager",)

    def _gpu(self) -> tuple[str, ...]:
        settings = self._settings
        return (
            *("--tensor-parallel-size", str(settings.tensor_parallel_size)),
            *("--gpu-memory-utilization", str(settings.gpu_memory_utilization)),
        )

    def _environment(self, cores: Cores) -> dict[str, str]:
        environment = {**thread_environment(cores), "VLLM_NO_USAGE_STATS": "1"}
        if self._device == "cpu":
            environment |= {
                "VLLM_CPU_KVCACHE_SPACE": str(self._settings.kv_cache_gib),
                "VLLM_CPU_OMP_THREADS_BIND": ",".join(str(core) for core in cores),
                # The worker runs inside the engine process: one import of vLLM less, ready in 29 s rather than 44 s,
                # 0.7 GB less memory. Threads are bound by the affinity that the slot's processes inherit.
                "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
                # The first request for log probabilities would compile a kernel even so: that stalled the slot for
                # 16 s, and killed the engine where there is no C++ compiler, as in the image.
                "TORCH_COMPILE_DISABLE": "1",
            }
        return environment
