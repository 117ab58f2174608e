from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from training.config import GateSettings, LoraSettings, MixSettings
from training.errors import OutOfRange
from training.gate import judge
from training.model import LoraResult, Metrics, Share

LORA = LoraResult(Path("adapter"), 2.0, 0.5, (2.0, 0.5), 2, 100, 1.0)
NONE = Share(0, 0)


def metrics(style: float, recall: float = 0.9, stopped: float = 1.0, failed: int = 0) -> Metrics:
    return Metrics(
        questions=20,
        failed=failed,
        failures=("TimeoutError: no answer",) if failed else (),
        style={"overall": Share(style * 20, 20)},
        facts=NONE,
        token_f1=NONE,
        citation_recall=Share(recall * 20, 20),
        citation_precision=NONE,
        model_made=NONE,
        refused_unanswerable=NONE,
        refused_removed=NONE,
        refused_answerable=NONE,
        stopped=Share(stopped * 20, 20),
    )


BASE = metrics(0.5, recall=0.4)
GOOD = metrics(0.9)


def test_a_better_candidate_passes_every_check() -> None:
    report = judge(LORA, GOOD, BASE, False, GateSettings())
    assert report.passed
    assert [check.name for check in report.checks] == ["loss", "style", "citations", "stops", "answers"]
    assert report.summary == "The candidate passed all 5 checks."


@pytest.mark.parametrize(
    ("name", "lora", "candidate", "words"),
    [
        ("loss", replace(LORA, loss_after=2.1), GOOD, "did not fall: 2.000 before training, 2.100 after"),
        ("loss", replace(LORA, loss_after=float("nan")), GOOD, "did not fall"),
        ("style", LORA, metrics(0.51), "0.510 against 0.500 of the base weights (wanted 0.520)"),
        ("citations", LORA, metrics(0.9, recall=0.2), "are worse: the right document on 20% of 20, before 40% of 20"),
        ("stops", LORA, metrics(0.9, stopped=0.9), "does not always stop by itself: 90% of 20"),
        ("answers", LORA, metrics(0.9, failed=5), "5 of 20 questions failed: TimeoutError"),
    ],
)
def test_one_fault_refuses_and_is_said_in_words(name: str, lora: LoraResult, candidate: Metrics, words: str) -> None:
    report = judge(lora, candidate, BASE, False, GateSettings())
    assert not report.passed
    assert [check.name for check in report.checks if not check.passed] == [name]
    assert words in report.summary


def test_against_a_tuned_version_style_may_stay_as_it_is_but_not_fall() -> None:
    assert judge(LORA, GOOD, GOOD, True, GateSettings()).passed
    assert not judge(LORA, metrics(0.8), GOOD, True, GateSettings()).passed


def test_a_candidate_without_a_scored_answer_is_refused() -> None:
    silent = replace(GOOD, style={"overall": NONE})
    assert "No answer of the candidate could be scored" in judge(LORA, silent, BASE, False, GateSettings()).summary


def test_a_setting_out_of_range_is_named_with_its_range() -> None:
    with pytest.raises(OutOfRange, match=r"share_general is 1\.5; it must lie between 0\.0 and 1\.0"):
        MixSettings(share_general=1.5)
    with pytest.raises(OutOfRange, match="lora_r is 0"):
        LoraSettings(lora_r=0)
