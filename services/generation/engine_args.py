"""Further arguments for vLLM's server, besides those that Tandem gives it: `engine_args` in `[generation]`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from training.errors import OutOfRange

NAME = re.compile(r"[a-z][a-z0-9-]*(\.[A-Za-z0-9_-]+)*")
EACH_SLOT = "Tandem sets it for each slot"
TEXTS = "it would write what users say into the log"
OURS = {
    "model": EACH_SLOT, "served-model-name": EACH_SLOT, "uds": EACH_SLOT, "host": EACH_SLOT, "port": EACH_SLOT,
    "api-key": "a slot listens on a socket that only this user may enter",
    "ssl-keyfile": EACH_SLOT, "ssl-certfile": EACH_SLOT, "ssl-ca-certs": EACH_SLOT, "ssl-cert-reqs": EACH_SLOT,
    "root-path": EACH_SLOT, "headless": EACH_SLOT,
    "config": "name its arguments here instead",
    "dtype": "weights are served in bfloat16, in which a run compares them with what was trained",
    "max-model-len": "set generation.max_model_len",
    "max-num-seqs": "set generation.max_num_seqs",
    "tensor-parallel-size": "set generation.tensor_parallel_size",
    "gpu-memory-utilization": "set generation.gpu_memory_utilization",
    "enable-log-requests": TEXTS, "enable-log-outputs": TEXTS,
    "disable-uvicorn-access-log": EACH_SLOT,
}  # fmt: skip
"""Options that `engine_args` must not set, and why."""


def check(arguments: Mapping[str, Any]) -> None:
    """Raises OutOfRange for an argument that Tandem sets itself, or that is not one of vLLM's long options."""
    for key, value in arguments.items():
        name = _option(key)
        if not NAME.fullmatch(name):
            raise OutOfRange(f"engine_args has '{key}', which is not the name of an option; write it without dashes.")
        # vLLM takes `serve` for `served-model-name` where no other option begins so
        ours = next((one for one in OURS if one.startswith(name.partition(".")[0].removeprefix("no-"))), None)
        if ours:
            raise OutOfRange(f"engine_args has '{key}', which is not yours to give ({ours}): {OURS[ours]}.")
        if isinstance(value, list) and any(str(one).startswith("-") for one in value):
            raise OutOfRange(f"engine_args has '{key}' with a value that begins with a dash; it would be an option.")


def command_line(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The arguments as options, each as a separate word: no shell reads them, so nothing needs quotes.

    true is `--name`, false `--no-name`, a list `--name one two`, a table `--name={JSON}`, all else `--name=value`.
    """
    return tuple(word for key, value in arguments.items() for word in _words(f"--{_option(key)}", value))


def _option(key: str) -> str:
    first, dot, rest = key.partition(".")
    return first.replace("_", "-") + dot + rest


def _words(option: str, value: Any) -> list[str]:
    if isinstance(value, bool) and "." not in option:
        return [option if value else f"--no-{option.removeprefix('--')}"]
    if isinstance(value, list):
        return [option, *map(str, value)]
    return [f"{option}={value if isinstance(value, str) else json.dumps(value)}"]
