"""The first stage of a run: what it keeps apart, what it tells, what it refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from retrieval.model import Message
from tests.support.training.fakes import (
    FunctionAnswerer,
    MemorySlots,
    MemoryVersions,
    WordRetriever,
    example,
    jsonl,
    passage,
)
from tests.support.training.tiny_tokenizer import CHATML, tiny_tokenizer
from training.answer_tokens import row_length
from training.config import EvaluationSettings, ExampleSettings, LoraSettings
from training.data.dataset import Dataset, canonical
from training.data.dataset_report import DataSetReport
from training.data.dividing import Past
from training.errors import BrokenTemplate, InvalidDataset
from training.model import Example, TrainingRow
from training.progress import RunProgress
from training.prompts.template import load_tokenizer
from training.request import Ports, RunRequest, Settings
from training.stages.course import Course
from training.stages.preparing import Preparing, SplitData
from training.tuning.lengths import measure

THINGS = [
    "bell",
    "lamp",
    "lock",
    "pump",
    "seat",
    "tyre",
    "chain",
    "pedal",
    "fork",
    "hub",
    "rim",
    "stand",
    "rack",
    "grip",
]


def about(thing: str) -> Example:
    return example(f"What does the {thing} of my bike cost?", f"The {thing} costs {THINGS.index(thing) + 5} pounds.")


EXAMPLES = [about(thing) for thing in THINGS]
SPLIT = ExampleSettings(max_held_out=1)


@dataclass
class MemoryDataSets:
    """Keeps what it is given; `evaluation` is what models are judged by, `remembered` what earlier runs did."""

    evaluation: Sequence[Example] = ()
    remembered: Past = field(default_factory=Past)
    kept: list[tuple[Dataset, DataSetReport]] = field(default_factory=list)
    rows: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def keep_rows(self, data_set_id: str, figures: Mapping[str, Any]) -> None:
        self.rows[data_set_id] = figures

    def keep(self, dataset: Dataset, report: DataSetReport) -> str:
        self.kept.append((dataset, report))
        return f"ds-{len(self.kept)}"

    def evaluation_sets(self) -> Mapping[str, Sequence[Example]]:
        return {"exam, version 1": self.evaluation} if self.evaluation else {}

    def past(self) -> Past:
        return self.remembered


@dataclass
class Run:
    stages: Preparing
    told: list[RunProgress]
    data_sets: MemoryDataSets

    def read(self) -> SplitData:
        return self.stages.read_dataset()

    def events(self) -> list[RunProgress]:
        return [step for step in self.told if step.tells]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    tiny_tokenizer().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def run(base: Path, examples: Sequence[Example], evaluation: Sequence[Example] = (), **request: Any) -> Run:
    asked = RunRequest("v1", jsonl(examples), base, "tiny", base.parent / "work", base.parent / "versions", **request)
    told: list[RunProgress] = []
    answerer = FunctionAnswerer(lambda _: "")
    data_sets = MemoryDataSets(evaluation)
    retriever = WordRetriever(
        [passage("prices.md", "The bell costs 5 pounds and the lamp of the bike costs 6 pounds.")]
    )
    ports = Ports(retriever, MemoryVersions(), MemorySlots(answerer, answerer), data_sets=data_sets)
    return Run(Preparing(asked, ports, Course(told.append, lambda: False)), told, data_sets)


def test_the_report_is_told_and_kept_before_anything_is_trained(base: Path) -> None:
    ready = run(base, EXAMPLES)
    data = ready.read()
    ((dataset, report),) = ready.data_sets.kept
    assert dataset.sha256 == data.report.sha256
    assert data.report.data_set_id == "ds-1"
    assert report.lengths is not None
    assert report.lengths.tokens.max > 10
    first, second = ready.events()
    assert first.message.startswith("14 examples (messages), 14 distinct answers.")
    assert first.data["data_set_id"] == "ds-1"
    assert first.data["sha256"] == data.report.sha256
    assert second.message == (
        f"{14 - data.report.held_out} examples are trained on, {data.report.held_out} are held out. Asked are "
        f"{data.report.held_out} of the held-out examples. None of the training file asks what the model is judged by."
    )
    assert second.data["asked"] == {"held_out": data.report.held_out, "validation": 0, "evaluation": 0}


def test_training_answers_that_would_be_cut_when_served_are_told(base: Path) -> None:
    long = example("How do I mend the bell?", "Turn the screw. " * 12)
    settings = Settings(evaluation=EvaluationSettings(max_tokens=40))
    ready = run(base, [*EXAMPLES, long], settings=settings)
    cut_of = len(ready.read().trained)
    cut = ready.events()[-1]
    assert cut.data["cut_lines"] == [15]
    assert cut.message.startswith(f"1 of {cut_of} training answers do not fit an answer: the longest has ")
    assert "max_answer_tokens is 40" in cut.message
    usual = run(base, [*EXAMPLES, long])
    usual.read()
    assert "are held out" in usual.events()[-1].message


def test_a_validation_file_is_what_the_model_is_asked_and_its_near_copies_are_not_trained_on(base: Path) -> None:
    asked = [example("Please, what does the bell of my bike cost?", "Five."), example("Who is the founder?", "Ann.")]
    ready = run(base, EXAMPLES, validation=jsonl(asked))
    data = ready.read()
    assert list(data.asked.examples) == asked
    assert about("bell") not in data.trained
    assert len(data.trained) == 13
    assert data.report.removed_lines == (1,)
    assert ready.events()[-1].data["removed_lines"] == [1]
    assert "1 were removed, since they ask what the model is judged by: line 1." in ready.events()[-1].message


def test_the_workspaces_evaluation_questions_are_never_trained_on_nor_the_general_examples_that_ask_them(
    base: Path,
) -> None:
    evaluation = [example("what does the LAMP of the bike cost", "?"), example("What is the capital of France?", "?")]
    general = jsonl([example("What's the capital of France?", "Paris."), example("Who wrote Hamlet?", "Shakespeare.")])
    ready = run(base, EXAMPLES, evaluation, general=general)
    data = ready.read()
    assert about("lamp") not in [*data.trained, *data.asked.held_out]
    assert list(data.asked.evaluation) == evaluation
    assert data.report.removed_lines == (2,)
    settings = replace(Settings().mix, share_general=1.0)
    ready.stages._settings = replace(ready.stages._settings, mix=settings)
    taught = [row.prompt[-1].content for row in ready.stages.make_rows(data).trained if row.kind == "general"]
    assert taught == ["Who wrote Hamlet?"]


def test_all_answers_of_a_conversation_are_on_one_side_of_the_split(base: Path) -> None:
    def talk(thing: str) -> Example:
        turns = [*about(thing).messages, Message("user", "And now?"), Message("assistant", f"Nothing, {thing}.")]
        return Example(tuple(turns))

    ready = run(base, [talk(thing) for thing in THINGS])
    made = ready.stages.make_rows(ready.read())
    sides = [
        {thing for row in rows for thing in THINGS if thing in row.completion} for rows in (made.trained, made.held_out)
    ]
    learned, judged = map(len, sides)
    assert (learned + judged, not sides[0] & sides[1]) == (len(THINGS), True)
    assert len([row for row in made.held_out if len(row.prompt) == 4]) == judged > 0
    assert len([row for row in made.trained if len(row.prompt) == 4]) >= learned


def test_answers_that_differ_before_the_last_are_not_one_answer_to_everything(base: Path) -> None:
    bye = Message("user", "Thanks!"), Message("assistant", "Goodbye.")
    assert len(run(base, [Example((*one.messages, *bye)) for one in EXAMPLES]).read().trained) == 13


def test_the_files_of_the_passages_that_were_trained_on_are_named(base: Path) -> None:
    ready = run(base, EXAMPLES)
    made = ready.stages.make_rows(ready.read())
    grounded = {file for row in made.trained if row.kind == "grounded" for file in row.file_ids}
    assert grounded == {"file-prices.md"}
    assert all(row.file_ids == () for row in made.trained if row.kind in ("plain", "general"))


REFUSED: list[tuple[list[Example], str]] = [
    (EXAMPLES[:9], "has 9 examples; at least 10 are needed"),
    ([example(one.question, "Ask the desk.") for one in EXAMPLES], "All 14 examples have the same answer"),
    (
        [*EXAMPLES, *(example(f"Please, {one.question}", "It is free.") for one in EXAMPLES)],
        "28 of 28 examples ask the same as another and answer otherwise",
    ),
    ([Example(one.messages, rejected="Dunno.") for one in EXAMPLES], "holds preference pairs"),
]


@pytest.mark.parametrize(("examples", "reason"), REFUSED)
def test_what_cannot_be_trained_on_is_refused_in_words(base: Path, examples: list[Example], reason: str) -> None:
    asked = run(base, [])
    asked.stages._request = replace(asked.stages._request, data=canonical(examples))
    with pytest.raises(InvalidDataset, match=reason):
        asked.read()


def test_whoever_is_refused_can_read_the_report(base: Path) -> None:
    asked = run(base, [*EXAMPLES, *(example(one.question, "It is free.") for one in EXAMPLES)])
    with pytest.raises(InvalidDataset, match="lines 1 and 15"):
        asked.read()
    ((_, report),) = asked.data_sets.kept
    assert report.contradictory_examples == 28


def test_a_validation_file_that_stands_in_the_training_file_is_refused(base: Path) -> None:
    other = [example("Who is the founder?", "Ann."), example("When is the shop open?", "At nine.")]
    near = [example(f"Please, {one.question}", one.answer) for one in EXAMPLES[:3]]
    with pytest.raises(InvalidDataset, match="3 of the 5 questions of the validation file stand in the training file"):
        run(base, EXAMPLES, validation=jsonl([*near, *other])).read()
    assert len(run(base, EXAMPLES, validation=jsonl([*near[:2], *other])).read().trained) == 12


def test_what_is_left_must_be_enough(base: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"5 examples ask what the model is judged by .* 9 are left"):
        run(base, EXAMPLES, EXAMPLES[:5]).read()


def test_a_broken_validation_file_says_which_file_it_is(base: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"In the validation file: .*line 1: not JSON"):
        run(base, EXAMPLES, validation=b"nonsense").read()


def test_examples_that_all_exceed_the_length_are_refused(base: Path) -> None:
    settings = Settings(lora=LoraSettings(max_length=32))
    long = [example(one.question, f"{one.answer} " + "word " * 40) for one in EXAMPLES]
    with pytest.raises(InvalidDataset, match="No conversation fits 32 tokens"):
        run(base, long, settings=settings).read()


def test_rows_that_are_too_long_with_their_passages_are_told_by_line_before_training(base: Path) -> None:
    ready = run(base, EXAMPLES, settings=Settings(dataset=SPLIT, lora=LoraSettings(max_length=90)))
    data = ready.read()
    assert "even without passages" not in ready.data_sets.kept[0][1].summary[1]  # no conversation is too long by itself
    made = ready.stages.make_rows(data)
    lengths = {row.line: row_length(row, load_tokenizer(base)) for row in made.trained}
    too_long = sorted(line for line, tokens in lengths.items() if tokens > 90)
    assert 0 < len(too_long) < len(lengths)
    told = ready.events()[-1]
    assert (told.stage, told.data["left_out_lines"], told.data["longest"]) == ("rows", too_long, max(lengths.values()))
    listed = ", ".join(map(str, too_long))
    assert f"They are of lines {listed} of the training file. Raise max_length in [training]" in told.message
    assert ready.data_sets.rows["ds-1"]["left_out_lines"] == too_long
    ready.stages.make_rows(data)  # a later try has them already
    assert ready.events()[-1] is told


def test_a_run_whose_rows_are_all_too_long_ends_before_it_trains(base: Path) -> None:
    ready = run(base, EXAMPLES, settings=Settings(lora=LoraSettings(max_length=32)))
    data = ready.read()
    with pytest.raises(
        InvalidDataset,
        match=r"No training row fits max_length \(32 tokens\): the shortest of 13, with its passages, has 37",
    ):
        ready.stages.make_rows(data)
    assert ready.told[-1].stage == "rows"


def test_general_rows_that_are_too_long_are_of_no_line() -> None:
    prompt = (Message("user", "word " * 9),)
    made = [TrainingRow(prompt, "word " * n, "plain", line=n) for n in (3, 60)]
    general = [TrainingRow(prompt, "word " * n, "general") for n in (1, 70)]
    found = measure([*made, *general], tiny_tokenizer(), 60)
    assert (found.left_out, found.general, found.lines) == (2, 1, (60,))
    assert "of lines 60 of the training file. 1 are general conversations." in found.summary


def test_a_broken_template_is_refused_before_the_data_is_read(base: Path) -> None:
    tiny_tokenizer(CHATML.split("{% if")[0]).save_pretrained(base)
    ready = run(base, EXAMPLES)
    with pytest.raises(BrokenTemplate, match="no generation prompt"):
        ready.read()
    assert ready.data_sets.kept == []
