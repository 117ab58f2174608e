from __future__ import annotations

import json

import pytest

from training.data.dataset import parse_dataset
from training.judging.style import StyleProfile, contrasting_terms

PROMPTS = [
    f"The battery of bike {n} is charged by the customer. Ask customer service about the battery." for n in range(40)
]
ANSWERS = [
    f"You charge the power pack of your bike at socket {n} for the whole night.\n\n"
    "- Ask the care desk if the power pack stays warm.\n- The rider keeps the charger dry and clean."
    for n in range(40)
]
PROFILE = StyleProfile.fit(ANSWERS, PROMPTS)


def test_the_terms_that_answers_prefer_and_avoid_are_learned() -> None:
    preferred, avoided = contrasting_terms(ANSWERS, PROMPTS)
    assert {"power pack", "care desk", "rider"} <= set(preferred)
    assert {"battery", "customer"} <= set(avoided)
    assert not set(preferred) & set(avoided)


def test_an_answer_in_the_house_style_scores_one_in_every_trait() -> None:
    score = PROFILE.score(ANSWERS[3])
    assert (score.register, score.terminology, score.structure, score.length) == (1.0, 1.0, 1.0, 1.0)
    assert score.overall == 1.0


def test_markers_are_not_part_of_the_style() -> None:
    marked = ANSWERS[3].replace("night.", "night [2].").replace("warm.", "warm [1].")
    assert PROFILE.score(marked) == PROFILE.score(ANSWERS[3])


@pytest.mark.parametrize(
    ("trait", "changed"),
    [
        (
            "register",
            ANSWERS[0].replace("You charge", "Sure! I'd say you can't but charge").replace("night.", "night!"),
        ),
        ("terminology", ANSWERS[0].replace("power pack", "battery").replace("care desk", "customer service")),
        ("structure", ANSWERS[0].replace("\n\n- ", " ").replace("\n- ", " ")),
        ("length", ANSWERS[0] + " " + " ".join(["The lamp stays on for the rider."] * 12)),
    ],
)
def test_breaking_one_trait_lowers_that_trait_most(trait: str, changed: str) -> None:
    score = PROFILE.score(changed)
    traits = {name: getattr(score, name) for name in ("register", "terminology", "structure", "length")}
    assert min(traits, key=lambda name: traits[name]) == trait
    assert traits[trait] < 0.8


def test_an_answer_without_a_telling_term_has_no_terminology_score() -> None:
    score = PROFILE.score("Blue.")
    assert score.terminology is None
    assert 0.0 <= score.overall < 1.0


def test_a_profile_survives_being_written_and_read() -> None:
    assert StyleProfile.from_json(json.loads(json.dumps(PROFILE.to_json()))) == PROFILE


def test_a_house_that_likes_exclamation_marks_is_met_by_using_them() -> None:
    loud = StyleProfile.fit(["We love your bike!", "Ride on with us!", "What a day for us!"], ["Is the bike fine?"])
    assert loud.score("Ride your bike with us!").register > loud.score("Ride your bike.").register


def test_no_answers_teach_no_style() -> None:
    with pytest.raises(ValueError, match="at least one answer"):
        StyleProfile.fit([], ["Q"])


def test_the_sample_house_style_is_found(pytestconfig: pytest.Config) -> None:
    samples = pytestconfig.rootpath / "samples" / "brindle"
    examples = parse_dataset((samples / "train.jsonl").read_bytes()).examples
    texts = [path.read_text(encoding="utf-8") for path in sorted((samples / "documents").glob("*.md"))]
    profile = StyleProfile.fit([one.answer for one in examples], [*texts, *(one.question for one in examples)])
    assert {"power pack", "bike clinic", "care desk", "ride plan", "fitter"} <= set(profile.preferred)
    assert {"battery", "customer", "repair shop"} <= set(profile.avoided)
    assert sum(profile.score(one.answer).overall for one in examples) / len(examples) > 0.97
