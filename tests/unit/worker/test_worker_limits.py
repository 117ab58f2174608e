"""The limits of reading a file are settings of the worker, under the names that a refusal gives."""

from __future__ import annotations

from dataclasses import fields

from retrieval.documents.formats.limits import Limits
from retrieval.documents.parser import ParsingLimits
from services.worker.settings import WorkerSettings


def test_every_limit_is_a_setting_of_the_same_name_and_default() -> None:
    settings = WorkerSettings()
    for limits in (Limits(), ParsingLimits()):
        for one in fields(limits):
            if one.name != "of_file":
                assert getattr(settings, one.name) == getattr(limits, one.name)


def test_what_is_set_reaches_the_parser() -> None:
    settings = WorkerSettings(
        max_pages=7,
        max_characters=5000,
        max_unpacked_bytes=1 << 21,
        max_parse_seconds=3.0,
        max_parse_memory=1 << 29,
    )
    assert settings.parsing_limits() == ParsingLimits(1 << 29, 3.0, Limits(7, 5000, 1 << 21))
