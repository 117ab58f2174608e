"""Weights served by the engine of this machine, without a platform."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from services.contracts.generation import Route
from services.generation.engines.cores import allowed_cores
from services.generation.service import choose_engine
from services.generation.settings import GenerationSettings
from services.generation.slots.starting import EngineStarter, Weights
from services.kit.settings import Platform
from services.worker.fine_tuning.ports import SlotAnswerer

START_SECONDS = 1200.0  # other work on the machine slows a start that takes 30 s


@contextmanager
def served(weights: Path, folder: Path) -> Iterator[SlotAnswerer]:
    """The weights behind an engine that ends with the context; `folder` is its home."""
    settings = GenerationSettings()
    engine = choose_engine(Platform(home=folder), settings)
    start = EngineStarter(engine, folder, START_SECONDS, settings.stop_timeout_seconds)
    process = start("slot", Weights(weights), allowed_cores(), Event())
    try:
        yield SlotAnswerer(Route(slot="slot", address=process.address, model="base"))
    finally:
        process.stop(settings.stop_timeout_seconds)
