from __future__ import annotations

import json
from pathlib import Path

import pytest

import training
from training.errors import InvalidProbes
from training.judging.probes import PROBES, Probe, parse_probes

GENERAL = Path(training.__path__[0]) / "data" / "general.jsonl"


def prompts(path: Path) -> set[str]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {" ".join(row["messages"][-2]["content"].lower().split()) for row in rows}


def test_no_packaged_probe_is_trained_on() -> None:
    probes = parse_probes(PROBES.read_bytes())
    asked = {" ".join(probe.prompt.lower().split()) for probe in probes}
    assert len(asked) == len(probes) == 40
    assert not asked & prompts(GENERAL)


@pytest.mark.parametrize("probe", parse_probes(PROBES.read_bytes()), ids=lambda probe: probe.prompt)
def test_every_packaged_probe_fails_its_own_question_and_silence(probe: Probe) -> None:
    assert not probe.passes("")
    assert not probe.passes(probe.prompt)
    assert not probe.passes("I do not know what to say.")


def test_an_accepted_word_stands_whole_in_the_answer_in_capitals_or_not() -> None:
    probe = Probe("What is 4 + 5?", ("9", "nine"))
    assert probe.passes("4 + 5 = 9.")
    assert probe.passes("Nine")
    assert not probe.passes("19")


def test_a_pattern_is_of_the_whole_answer_but_for_quotes_and_a_full_stop() -> None:
    probe = Probe("Repeat: lantern", pattern="(?i:lantern)")
    assert probe.passes('"Lantern."')
    assert not probe.passes("The word is lantern.")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("no json", "Line 2 of the probes is not a probe"),
        ('{"prompt": "x", "pattern": "("}', "Line 2 of the probes is not a probe"),
        ('{"prompt": "x"}', "Line 2 of the probes needs either"),
        ('{"prompt": "x", "pattern": "a", "accepted": ["a"]}', "Line 2 of the probes needs either"),
    ],
)
def test_a_line_that_is_no_probe_is_named(line: str, words: str) -> None:
    with pytest.raises(InvalidProbes, match=words):
        parse_probes(f'{{"prompt": "a?", "accepted": ["a"]}}\n{line}\n'.encode())


def test_a_probe_ends_at_the_end_of_its_line_and_at_no_other_separator() -> None:
    line = '{"prompt": "a\u2028b?", "accepted": ["c"]}'
    assert [probe.prompt for probe in parse_probes(f"{line}\r\n{line}\n".encode())] == ["a\u2028b?", "a\u2028b?"]
