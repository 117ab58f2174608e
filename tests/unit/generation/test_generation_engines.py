"""Command lines of the engines, and which cores their slots get."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal

import httpx
import pytest

from services.generation.engines.cores import CoreGroups, divide
from services.generation.engines.transformers_engine import TransformersEngine
from services.generation.engines.vllm_engine import VllmEngine
from services.generation.settings import GenerationSettings
from training.errors import OutOfRange


def option(command: tuple[str, ...], name: str) -> str:
    return command[command.index(name) + 1]


def vllm(folder: Path, device: Literal["cpu", "cuda"], **settings: object) -> VllmEngine:
    return VllmEngine(GenerationSettings.model_validate(settings), folder, device)


def test_vllm_on_the_cpu_listens_on_a_socket_and_binds_its_threads(tmp_path: Path) -> None:
    launch = vllm(tmp_path, "cpu", max_model_len=1024, kv_cache_gib=2).prepare("base", Path("/w"), "base", (2, 3))
    assert option(launch.command, "--model") == "/w"
    assert option(launch.command, "--served-model-name") == "base"
    assert option(launch.command, "--uds") == str(tmp_path / "base.sock")
    assert launch.address == f"unix:{tmp_path}/base.sock"
    assert option(launch.command, "--max-model-len") == "1024"
    assert {"--enforce-eager", "--enable-prefix-caching"} <= set(launch.command)
    assert "--tensor-parallel-size" not in launch.command
    assert launch.environment["VLLM_CPU_OMP_THREADS_BIND"] == "2,3"
    assert launch.environment["OMP_NUM_THREADS"] == "2"
    assert launch.environment["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert launch.environment["TORCH_COMPILE_DISABLE"] == "1"
    assert (launch.environment["HF_HUB_OFFLINE"], launch.environment["VLLM_NO_USAGE_STATS"]) == ("1", "1")


def test_vllm_on_gpus_splits_tensors_and_compiles(tmp_path: Path) -> None:
    engine = vllm(tmp_path, "cuda", tensor_parallel_size=2, gpu_memory_utilization=0.25)
    launch = engine.prepare("slot-1", Path("/w"), "v1", (0, 1))
    assert option(launch.command, "--tensor-parallel-size") == "2"
    assert option(launch.command, "--gpu-memory-utilization") == "0.25"
    assert "--enforce-eager" not in launch.command
    assert not [
        name
        for name in launch.environment
        if name.startswith(("VLLM_CPU", "TORCH")) or name.endswith("MULTIPROCESSING")
    ]


def test_what_the_operator_adds_reaches_the_server_of_every_slot_word_by_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = {
        "max_num_batched_tokens": 4096, "enable-chunked-prefill": True, "enable-prefix-caching": False,
        "chat-template": "it's; $(rm) \"x\" --port 1", "middleware": ["a.B", "c.D"], "rope-scaling": {"factor": 2.0},
        "compilation-config.mode": 3,
    }  # fmt: skip
    monkeypatch.setenv("TANDEM_GENERATION_ENGINE_ARGS", json.dumps(added))
    engine = VllmEngine(GenerationSettings(engine="vllm"), tmp_path, "cuda")
    for slot in ("base", "slot-1"):
        assert engine.prepare(slot, Path("/w"), "v1", (0,)).command[-9:] == (
            "--max-num-batched-tokens=4096", "--enable-chunked-prefill", "--no-enable-prefix-caching",
            "--chat-template=it's; $(rm) \"x\" --port 1", "--middleware", "a.B", "c.D",
            '--rope-scaling={"factor": 2.0}', "--compilation-config.mode=3",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("added", "words"),
    [
        ({"port": 80}, r"has 'port', which is not yours to give \(port\): Tandem sets it for each slot"),
        ({"served_model_name": "x"}, "'served_model_name'.*Tandem sets it for each slot"),
        ({"serve": "x"}, r"'serve', which is not yours to give \(served-model-name\)"),
        ({"uds": "/x"}, "Tandem sets it"), ({"model": "/x"}, "Tandem sets it"), ({"host": "0.0.0.0"}, "Tandem sets it"),
        ({"api-key": "k"}, "a socket that only this user may enter"),
        ({"max-model-len": 9}, "set generation.max_model_len"),
        ({"gpu_memory_utilization": 0.9}, "set generation.gpu_memory_utilization"),
        ({"no-enable-log-requests": True}, "what users say"), ({"enable-log-outputs": True}, "what users say"),
        ({"config": "x.yaml"}, "name its arguments here"), ({"dtype": "half"}, "bfloat16"),
        ({"--seed": 1}, "'--seed', which is not the name of an option; write it without dashes"),
        ({"seed 1 --port": 2}, "not the name of an option"),
        ({"middleware": ["a", "--port=1"]}, "begins with a dash"),
    ],
)  # fmt: skip
def test_an_argument_that_is_tandem_s_is_refused_in_words(added: dict[str, object], words: str) -> None:
    with pytest.raises(OutOfRange, match=words):
        GenerationSettings.model_validate({"engine": "vllm", "engine_args": added})


def test_arguments_of_vllm_are_refused_where_transformers_serves() -> None:
    with pytest.raises(OutOfRange, match="engine_args are for vLLM, and what serves here is transformers"):
        GenerationSettings.model_validate({"engine": "transformers", "engine_args": {"seed": 1}})


def test_an_engine_is_given_no_key_and_no_port_that_others_reach(tmp_path: Path) -> None:
    command = vllm(tmp_path, "cpu").prepare("base", Path("/w"), "base", (0,)).command
    assert not {"--api-key", "--host", "--port"} & set(command)
    served = TransformersEngine(tmp_path, "cpu").prepare("base", tmp_path, "base", (0,))
    assert option(served.command, "--host") == "127.0.0.1"


def test_transformers_serves_a_link_of_the_served_name(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    engine = TransformersEngine(tmp_path / "slots", "cpu")
    launch = engine.prepare("slot-1", weights, "v1", (0,))
    assert (launch.folder / "v1").resolve() == weights
    assert launch.command[launch.command.index("serve") + 1] == "v1"
    assert launch.address.startswith("http://127.0.0.1:")
    assert engine.prepare("slot-1", weights, "v1", (0,)).folder == launch.folder


def test_vllm_counts_running_and_waiting_requests(tmp_path: Path) -> None:
    text = (
        "# TYPE vllm:num_requests_running gauge\n"
        'vllm:num_requests_running{engine="0",model_name="v1"} 3.0\n'
        'vllm:num_requests_waiting{engine="0",model_name="v1"} 2.0\n'
        'vllm:num_requests_waiting_by_reason{engine="0",model_name="v1",reason="capacity"} 9.0\n'
    )
    engine = vllm(tmp_path, "cpu")
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, text=text))
    with httpx.Client(transport=transport, base_url="http://slot") as client:
        assert engine.unfinished_requests(client) == 5


@pytest.mark.parametrize(
    ("cores", "serve_base", "groups"),
    [
        ((0,), True, CoreGroups((0,), (0,), (0,))),
        ((0, 1), True, CoreGroups(live=(0,), base=(1,), spare=(1,))),
        ((0, 1), False, CoreGroups(live=(0,), base=(1,), spare=(1,))),
        ((4, 5, 6), True, CoreGroups(live=(4,), base=(5,), spare=(6,))),
        (tuple(range(8)), True, CoreGroups(live=(0, 1, 2), base=(3, 4, 5), spare=(6, 7))),
        (tuple(range(8)), False, CoreGroups(live=(0, 1, 2, 3), base=(4, 5, 6, 7), spare=(4, 5, 6, 7))),
    ],
)
def test_live_never_shares_cores_where_there_are_two(
    cores: tuple[int, ...], serve_base: bool, groups: CoreGroups
) -> None:
    assert divide(cores, serve_base) == groups


def test_no_core_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="no processor core"):
        divide((), True)


def test_the_engine_is_vllm_where_it_is_installed_unless_settings_say_otherwise() -> None:
    assert GenerationSettings(engine="transformers").chosen_engine() == "transformers"
    assert GenerationSettings(engine="auto", device="cpu").chosen_device() == "cpu"
    assert os.environ.get("TANDEM_GENERATION_ENGINE") or GenerationSettings().chosen_engine() in {
        "vllm",
        "transformers",
    }
