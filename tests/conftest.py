"""Fixtures that several kinds of tests share: base weights, and one running platform, then with a tuned version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from harness.places import BRINDLE, ROOT
from harness.platform import RunningPlatform, start, stop
from tests.support.notes import FIGURES, note
from training.weights.base import materialize

MEASURED = "measured"
HEAVY = "pytestmark = pytest.mark.heavy"
EVERY = 2  # every second example: enough for the form of an answer; `make demo` and the benchmarks take all
PUBLISH_SECONDS = 300.0
OTHER_MODEL = "gpt-4o-mini-2024-07-18"  # as a script written for OpenAI's fine-tuning names it
ALIASES = {OTHER_MODEL: "tandem/base"}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """What a test measured goes with its report to the process that prints the summary."""
    if call.when == "teardown":
        item.user_properties += [(MEASURED, figure) for figure in FIGURES]
        FIGURES.clear()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests measured."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    ended = [report for report in reports if getattr(report, "when", None) == "teardown"]
    figures = [value for report in ended for name, value in report.user_properties if name == MEASURED]
    if figures:
        terminalreporter.section("measured")
        for figure in figures:
            terminalreporter.write_line(str(figure))


class HeavyTogether(LoadFileScheduling):  # type: ignore[misc]
    """Tests for several workers (`-n 2`): a file's tests stay together, and those that are marked heavy too, so that
    no two of them hold a model's weights at the same time."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return HEAVY if HEAVY in (ROOT / file).read_text(encoding="utf-8") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> HeavyTogether:
    return HeavyTogether(config, log)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """A platform that has indexed the sample documents."""
    running = start(tmp_path_factory.mktemp("tandem"), GATEWAY_MODEL_ALIASES=json.dumps(ALIASES))
    try:
        running.tandem("ingest", str(BRINDLE / "documents"), timeout=240.0)
        yield running
    finally:
        stop(running)


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training file: half of the sample's examples, refusals among them."""
    lines = (BRINDLE / "train.jsonl").read_text(encoding="utf-8").splitlines()
    path = tmp_path_factory.mktemp("examples") / "examples.jsonl"
    path.write_text("\n".join(lines[::EVERY]), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tuning_job(platform: RunningPlatform, examples: Path) -> str:
    """The id of a fine-tuning job that ran to its end through dataset, training, evaluation and gate."""
    client = platform.openai()
    with examples.open("rb") as data:
        file = client.files.create(file=data, purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model=OTHER_MODEL, training_file=file.id, suffix="brindle")
    done = platform.wait_for_job(job.id, seconds=1200)
    events = [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=100)]
    assert done["status"] == "succeeded", json.dumps([done, events], indent=1)
    note(f"{done['finished_at'] - done['created_at']:.0f} s from job to verdict: {events[0]}")
    return job.id


@pytest.fixture(scope="session")
def tuned(platform: RunningPlatform, tuning_job: str) -> str:
    """The name of the live version that the job made.

    Half of the examples makes a version that the gate may well refuse; an operator can publish such a one by hand,
    and so does this fixture.
    """
    result = platform.wait_for_job(tuning_job, seconds=1)["result"]
    if not result["live"]:
        platform.tandem("publish", result["version"], "--override", "a test needs one", timeout=PUBLISH_SECONDS)
    return str(result["version"])


@pytest.fixture(scope="session")
def base_weights(pytestconfig: pytest.Config) -> Path:
    """The packaged base model as safetensors, converted once (26 s) and kept in pytest's cache."""
    assert pytestconfig.cache is not None
    return materialize("smollm2-135m-instruct", pytestconfig.cache.mkdir("base-weights"))
