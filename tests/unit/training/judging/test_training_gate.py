from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tests.support.training.fakes import metrics_of
from training.config import GateSettings, LoraSettings, MixSettings
from training.errors import OutOfRange
from training.judging.figures import Metrics
from training.judging.gate import Evidence, judge
from training.judging.paired import difference
from training.judging.verdict import GateReport

LOSSES = (2.0, 0.5)
CHECKS = [
    "template", "loss", "answers", "stops", "style", "facts", "wording", "citations", "markers", "refusals", "general",
    "cites", "repetition",
]  # fmt: skip
WELL = {
    "style": 0.9, "fact_recall": 0.8, "token_f1": 0.6, "citation_recall": 0.9, "marker_precision": 0.9, "decided": 0.9,
    "general": 0.5, "marked": 1.0, "stopped": 1.0, "repeated": 0.0,
}  # fmt: skip
QUESTIONS = 40


def model(questions: int = QUESTIONS, **figures: float | Sequence[float]) -> Metrics:
    """Metrics of a model that reaches a figure on each of the questions alike, or as listed."""
    values: Mapping[str, float | Sequence[float]] = {**WELL, **figures}
    return metrics_of(
        [
            {name: value if isinstance(value, float) else value[place] for name, value in values.items()}
            for place in range(questions)
        ]
    )


GOOD = model()
BASE = model(style=0.5, fact_recall=0.4, token_f1=0.2, citation_recall=0.4, marked=0.1, stopped=0.7, general=0.55)
ACCEPTED = Evidence(*LOSSES, GOOD, BASE, False, "abc", "abc")


def verdict(evidence: Evidence, settings: GateSettings | None = None) -> GateReport:
    return judge(evidence, settings or GateSettings())


def failed(report: GateReport) -> list[str]:
    return [check.name for check in report.checks if not check.passed]


def test_a_better_candidate_passes_every_check() -> None:
    report = verdict(ACCEPTED)
    assert report.passed
    assert [check.name for check in report.checks] == CHECKS
    assert report.summary == "The candidate passed all 13 checks."


@pytest.mark.parametrize(
    ("name", "changed", "words"),
    [
        ("template", {"template": "xyz"}, "The chat template differs from that of the base weights (xyz and abc)."),
        ("loss", {"loss_after": 2.1}, "did not fall: 2.000 before training, 2.100 after"),
        ("loss", {"loss_after": float("nan")}, "did not fall"),
        (
            "style",
            {"candidate": model(style=0.51)},
            "Style did not rise enough: 0.510 against 0.500 of the base weights",
        ),
        (
            "facts",
            {"candidate": model(fact_recall=0.2)},
            "Required facts fell: 0.200 against 0.400 of the base weights",
        ),
        ("wording", {"candidate": model(token_f1=0.0)}, "(token F1) fell: 0.000 against 0.200"),
        ("citations", {"candidate": model(citation_recall=0.2)}, "the right document fell: 0.200 against 0.400"),
        ("markers", {"candidate": model(marker_precision=0.5)}, "the markers that it writes fell: 0.500 against 0.900"),
        ("refusals", {"candidate": model(decided=0.5)}, "and only that fell: 0.500 against 0.900"),
        ("general", {"candidate": model(general=0.1)}, "General ability fell: 0.100 against 0.550"),
        ("stops", {"candidate": model(stopped=0.9)}, "does not always stop by itself: 90% of 40 answers (wanted 95%)"),
        ("cites", {"candidate": model(marked=0.2)}, "cites too seldom: 20% of 40 grounded answers bear a marker"),
        (
            "repetition",
            {"candidate": replace(model(repeated=0.3), longest_repeat=31)},
            "repeats training text: 30% of 40 answers, longest run 31 words (allowed 10%)",
        ),
        (
            "answers",
            {"candidate": replace(GOOD, failed=5, failures=("TimeoutError: no answer",))},
            "5 of 40 asked of the candidate and 0 of 40 asked of the base weights: TimeoutError: no answer",
        ),
        ("answers", {"baseline": replace(BASE, failed=40)}, "40 of 40 asked of the base weights"),
    ],
)
def test_one_fault_refuses_and_is_said_in_words(name: str, changed: dict[str, object], words: str) -> None:
    report = verdict(replace(ACCEPTED, **changed))  # type: ignore[arg-type]
    assert failed(report) == [name]
    assert report.summary.startswith("The candidate was refused: ")
    assert words in report.summary


def test_against_a_tuned_version_style_may_stay_as_it_is_but_not_fall() -> None:
    same = replace(ACCEPTED, baseline=GOOD, baseline_is_tuned=True)
    assert verdict(same).passed
    worse = verdict(replace(same, candidate=model(style=0.8)))
    assert failed(worse) == ["style"]
    assert "Style fell: 0.800 against 0.900 of the live version" in worse.summary


def test_a_rise_of_style_that_rests_on_a_few_questions_is_no_rise() -> None:
    uneven = [0.9, 0.9, 0.9] + [0.47] * 17
    report = verdict(replace(ACCEPTED, candidate=model(20, style=uneven), baseline=model(20, style=0.5)))
    assert failed(report) == ["style"]
    assert report.checks[4].figures["difference"] > GateSettings().style_gain


def test_a_fall_beyond_the_margin_that_the_interval_confirms_is_refused() -> None:
    live = replace(ACCEPTED, baseline=GOOD, baseline_is_tuned=True)
    report = verdict(replace(live, candidate=model(fact_recall=[0.72] * QUESTIONS)))
    assert failed(report) == ["facts"]
    figures = next(check.figures for check in report.checks if check.name == "facts")
    assert figures["difference"] == pytest.approx(-0.08)
    assert figures["high"] < 0
    assert figures["pairs"] == QUESTIONS


def test_a_fall_beyond_the_margin_that_few_questions_do_not_confirm_passes_and_says_so() -> None:
    before, after = [1.0] * 15 + [0.0, 1.0, 0.0, 1.0, 1.0], [1.0] * 15 + [1.0, 0.0, 0.0, 0.0, 0.0]
    evidence = Evidence(
        *LOSSES, model(20, citation_recall=after), model(20, citation_recall=before), True, "abc", "abc"
    )
    report = verdict(evidence)
    assert report.passed
    assert "may have fallen, which so few questions do not confirm" in report.checks[7].sentence
    assert report.checks[7].figures["difference"] == pytest.approx(-0.1)


def test_a_clear_fall_is_refused_even_where_the_interval_confirms_nothing() -> None:
    before, after = [1.0, 1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0, 0.0]
    evidence = Evidence(*LOSSES, model(5, decided=after), model(5, decided=before), True, "abc", "abc")
    report = verdict(evidence)
    assert failed(report) == ["refusals"]
    figures = next(check.figures for check in report.checks if check.name == "refusals")
    assert figures["high"] >= 0 > figures["difference"]


def test_a_small_fall_within_the_margin_passes_however_sure_it_is() -> None:
    live = replace(ACCEPTED, baseline=GOOD, baseline_is_tuned=True)
    assert verdict(replace(live, candidate=model(token_f1=0.58))).passed


def test_a_candidate_that_refuses_everything_is_refused() -> None:
    silent = metrics_of([{"decided": 0.0, "stopped": 1.0, "citation_recall": 0.0}] * QUESTIONS)
    report = verdict(replace(ACCEPTED, candidate=silent))
    assert failed(report) == ["style", "citations", "refusals"]
    assert "No answer of the candidate could be scored" in report.summary


def test_what_neither_was_asked_is_not_compared() -> None:
    bare = metrics_of([{"style": 0.9, "stopped": 1.0}] * 4)
    report = verdict(replace(ACCEPTED, candidate=bare, baseline=metrics_of([{"style": 0.4, "stopped": 1.0}] * 4)))
    assert report.passed
    assert "nothing to compare" in next(check.sentence for check in report.checks if check.name == "general")


@pytest.mark.parametrize(("marked", "refused"), [(4, []), (5, ["markers"])])
def test_support_for_markers_is_compared_from_five_questions_on(marked: int, refused: list[str]) -> None:
    unmarked = {name: figure for name, figure in WELL.items() if name != "marker_precision"}
    base = metrics_of(
        [{**unmarked, "style": 0.5, "marker_precision": 1.0}] * marked + [{**unmarked, "style": 0.5}] * 35
    )
    candidate = model(questions=marked + 35, marker_precision=0.5)
    report = verdict(replace(ACCEPTED, candidate=candidate, baseline=base))
    assert failed(report) == refused
    if not refused:
        said = next(check.sentence for check in report.checks if check.name == "markers")
        assert "of the questions, 4 gave a figure for both versions, too few to compare (wanted 5)" in said


def test_models_that_were_asked_different_prompts_are_never_compared() -> None:
    with pytest.raises(ValueError, match="not asked the same prompts"):
        verdict(replace(ACCEPTED, baseline=replace(BASE, scores=BASE.scores[::-1])))


def test_the_interval_is_the_same_for_the_same_seed_and_narrows_with_questions() -> None:
    few, many = ([model(count, general=[0.0, 1.0] * (count // 2)).scores for _ in range(2)] for count in (8, 200))
    base = {count: model(count, general=0.5).scores for count in (8, 200)}
    first, again = (difference(one, base[8], "general", 0.9, 1000, 3) for one in few)
    wide = difference(many[0], base[200], "general", 0.9, 1000, 3)
    assert first is not None
    assert wide is not None
    assert first == again
    assert first.low <= first.mean <= first.high
    assert wide.high - wide.low < (first.high - first.low) / 2
    assert difference(few[0], base[8], "unknown", 0.9, 1000, 3) is None


def test_a_setting_out_of_range_is_named_with_its_range() -> None:
    with pytest.raises(OutOfRange, match=r"share_general is 1\.5; it must lie between 0\.0 and 1\.0"):
        MixSettings(share_general=1.5)
    with pytest.raises(OutOfRange, match="lora_r is 0"):
        LoraSettings(lora_r=0)
    with pytest.raises(OutOfRange, match=r"general_margin is 2\.0"):
        GateSettings(general_margin=2.0)
