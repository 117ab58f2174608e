"""General ability: short questions that need no document, each with an exact rule for a right answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.text.facts import stands_in
from training.errors import InvalidProbes

PROBES = Path(__file__).parent / "probes.jsonl"
_OUTER = " \t\n\"'\u201c\u201d*`."


@dataclass(frozen=True)
class Probe:
    """A question and its rule.

    With `pattern`, the whole answer must match it; quotes, asterisks and full stops around it are ignored. Otherwise
    the answer must contain one of `accepted` as whole words; case does not matter.
    """

    prompt: str
    accepted: tuple[str, ...] = ()
    pattern: str = ""

    def passes(self, answer: str) -> bool:
        if self.pattern:
            return re.fullmatch(self.pattern, answer.strip(_OUTER)) is not None
        return any(stands_in(answer, words) for words in self.accepted)


def parse_probes(data: bytes) -> tuple[Probe, ...]:
    """Read probes, one JSON object a line: `prompt` and either `pattern` or `accepted`.

    Raises InvalidProbes, which names the line.
    """
    lines = enumerate(data.decode("utf-8").split("\n"), start=1)
    return tuple(_probe(number, line) for number, line in lines if line.strip())


def _probe(number: int, line: str) -> Probe:
    try:
        row: Mapping[str, Any] = json.loads(line)
        probe = Probe(str(row["prompt"]), tuple(map(str, row.get("accepted", ()))), str(row.get("pattern", "")))
        re.compile(probe.pattern)
    except (ValueError, KeyError, TypeError, re.error) as error:
        raise InvalidProbes(f"Line {number} of the probes is not a probe: {error!r}.") from error
    if bool(probe.pattern) == bool(probe.accepted):
        raise InvalidProbes(f"Line {number} of the probes needs either `pattern` or `accepted`.")
    return probe
