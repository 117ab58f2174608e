"""Runs one after the other on a real database and frozen data sets, with a stand-in for the tuned weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from harness.places import BRINDLE
from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import DataSet, File, LivePointer, Version, Workspace
from services.domain.data_sets import FrozenSets
from services.domain.jobs import new_job
from services.worker.data_sets.data_sets import RunDataSets
from services.worker.data_sets.sides import PastRuns
from services.worker.fine_tuning.ports import VersionList
from tests.support.training.fakes import (
    FunctionAnswerer,
    MemorySlots,
    WordRetriever,
    example,
    jsonl,
    passage,
    preferences,
)
from tests.support.training.tiny_tokenizer import tiny_tokenizer
from training.config import ExampleSettings, MixSettings
from training.data.dataset import Dataset, canonical, parse_dataset
from training.data.former_split import former_sides
from training.data.splitting import KEYS, Known, group_key, keep_out, part
from training.errors import InvalidDataset
from training.model import Example
from training.progress import RunProgress
from training.request import Ports, RunRequest, Settings
from training.stages.course import Course
from training.stages.judging import Judging
from training.stages.making import Making
from training.stages.preparing import Preparing, SplitData
from training.tuning.results import LoraResult
from training.weights.parity_report import ParityReport

SETTINGS = ExampleSettings()
SAMPLE = parse_dataset((BRINDLE / "train.jsonl").read_bytes()).examples
FEW = SAMPLE[:40]
PARITY = ParityReport(True, 0.0, 1.0, 0.0, 1, "")


@dataclass(frozen=True)
class Stages:
    preparing: Preparing
    making: Making
    judging: Judging


@dataclass
class Runs:
    """A workspace's runs. `heard` are the questions of the gate, a list a run, each question once."""

    sessions: Sessions
    folder: Path
    heard: list[set[str]] = field(default_factory=list)
    told: list[RunProgress] = field(default_factory=list)

    @property
    def frozen(self) -> FrozenSets:
        return FrozenSets(self.sessions, f"file://{self.folder}/files")

    def begin(
        self, examples: Sequence[Example], name: str, from_version: str | None = None, **asked: Any
    ) -> tuple[Stages, SplitData]:
        job = new_job("one", "fine_tuning", {"suffix": "s", "seed": 1, "from_version": from_version}, 60.0)
        with self.sessions.begin() as session:
            session.add(job)
        file = File(id="file-1", workspace_id="one", filename="a.jsonl", purpose="", bytes=1, sha256="", path="")
        past = PastRuns(self.sessions, self.frozen, "one", from_version)
        heard = FunctionAnswerer(self._hear)
        slots = MemorySlots(heard, heard, spare=name)
        retriever = WordRetriever([passage("bikes.md", "Bikes may be returned to the shop within 30 days.")])
        data_sets = RunDataSets(self.frozen, "one", file, past)
        ports = Ports(retriever, VersionList(self.sessions, job), slots, data_sets=data_sets)
        data = asked.pop("data", None) or jsonl(examples)
        request = RunRequest(
            name, data, self.folder / "base", "tiny", self.folder / f"work-{name}", self.folder, **asked
        )
        self.told = []
        course = Course(self.told.append, lambda: False)
        stages = Stages(
            Preparing(request, ports, course), Making(request, ports, course), Judging(request, ports, course)
        )
        return stages, stages.preparing.read_dataset()

    def finish(self, stages: Stages, data: SplitData) -> None:
        rows = stages.preparing.make_rows(data)
        style = stages.making.learn_style(data, rows)
        adapter = LoraResult(self.folder, 2.0, 1.0, (), 1, 10, 1.0)
        with stages.making.draft() as draft:
            save_file({"a": np.ones(3, np.float32)}, draft / "model.safetensors")
            tiny_tokenizer().save_pretrained(draft)
            candidate = stages.making.record_candidate(draft, data, rows, style, adapter, PARITY)
        self.heard.append(set())
        scores = stages.judging.evaluate(candidate, data, style)
        stages.judging.settle(candidate, scores, stages.judging.judge(candidate, adapter, scores))

    def run(self, examples: Sequence[Example], name: str, **asked: Any) -> SplitData:
        stages, data = self.begin(examples, name, **asked)
        self.finish(stages, data)
        return data

    def go_live(self, version_id: str) -> None:
        with self.sessions.begin() as session:
            session.merge(LivePointer(workspace_id="one", version_id=version_id))

    def version(self, version_id: str) -> Version:
        with self.sessions() as session:
            return session.get_one(Version, version_id)

    def kept_to_judge(self, examples: Sequence[Example], name: str = "exam") -> None:
        self.frozen.freeze("one", some(examples), [], name, use="evaluation")

    def _hear(self, prompt: str) -> str:
        self.heard[-1].add(prompt)
        return "Yes."


def some(examples: Sequence[Example]) -> Dataset:
    return parse_dataset(canonical(examples), ExampleSettings(min_examples=1))


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    tiny_tokenizer().save_pretrained(tmp_path / "base")
    url = f"sqlite:///{tmp_path}/tandem.db"
    migrate(url)
    sessions = open_sessions(url)
    with sessions.begin() as session:
        session.add(Workspace(id="one", name="one"))
    return Runs(sessions, tmp_path)


def learned(asked: Sequence[Example], trained: Sequence[Example]) -> list[Example]:
    return keep_out(asked, trained, SETTINGS)[1]


def heard_of(runs: Runs, examples: Sequence[Example]) -> list[str]:
    """Of these examples' questions those that were heard in the last run."""
    return [one.question for one in examples if any(one.question in prompt for prompt in runs.heard[-1])]


def test_when_twelve_examples_come_nothing_is_asked_that_the_live_version_was_trained_on(runs: Runs) -> None:
    first = runs.run(SAMPLE[:200], "v1")
    runs.go_live("v1")
    second = runs.run(SAMPLE, "v2")
    assert learned(second.asked.examples, first.trained) == []
    assert heard_of(runs, first.trained) == []
    assert set(heard_of(runs, second.asked.examples)) == {one.question for one in second.asked.examples}
    assert (len(first.asked.held_out), len(second.asked.held_out)) == (19, 22)
    assert runs.version("v2").metrics["asked"] == {"held_out": 22, "validation": 0, "evaluation": 0}


def test_a_small_set_keeps_what_its_first_run_held_out(runs: Runs) -> None:
    """None of these is held out by its key, so the memory alone can know."""
    few = [one for one in FEW if group_key([one]) / KEYS > SETTINGS.share_held_out][:12]
    held_out = runs.run(few, "v1").asked.held_out
    more = [*few, *SAMPLE[100:130]]
    by_key = part(more, Known(), SETTINGS).held_out
    assert not {one.question for one in held_out} & {more[place].question for place in by_key}
    assert {one.question for one in held_out} <= set(map(question, runs.run(more, "v2").asked.held_out))


def test_evaluation_data_sets_are_asked_less_what_the_live_version_learned(runs: Runs) -> None:
    first = runs.run(FEW, "v1")
    runs.go_live("v1")
    exam = [example("Who painted the sign over the door?", "Ann."), first.trained[0], SAMPLE[150]]
    runs.kept_to_judge(exam)
    second = runs.run(FEW, "v2")
    assert [one.question for one in second.asked.evaluation] == [exam[0].question, exam[2].question]
    assert set(heard_of(runs, exam)) == {exam[0].question, exam[2].question}
    event = next(step for step in runs.told if "asked" in step.data)
    assert event.data["asked"] == {"held_out": len(second.asked.held_out), "validation": 0, "evaluation": 2}
    assert event.data["left_out_lines"] == {"exam, version 1": [2]}
    assert "1 of the evaluation data set 'exam, version 1' are not asked" in event.message
    assert "2 of the evaluation data sets" in event.message
    assert runs.version("v2").metrics["asked"]["evaluation"] == 2
    assert any(step.message.endswith("and 2 of the evaluation data sets") for step in runs.told)


def test_a_general_question_that_the_live_version_learned_is_not_asked(runs: Runs) -> None:
    general = [example("What is the capital of France?", "Paris."), example("Who wrote Hamlet?", "Shakespeare.")]
    settings = Settings(mix=MixSettings(share_general=1.0))
    runs.run(FEW, "v1", general=jsonl(general), settings=settings)
    runs.go_live("v1")
    runs.kept_to_judge([example("What's the capital of France?", "Paris."), SAMPLE[150]])
    second = runs.begin(FEW, "v2", general=jsonl(general))[1]
    assert list(map(question, second.asked.evaluation)) == [SAMPLE[150].question]
    assert runs.version("v1").lineage["general"] == ["What is the capital of France?", "Who wrote Hamlet?"]


def test_so_many_evaluation_questions_are_asked_and_none_twice(runs: Runs) -> None:
    runs.kept_to_judge(SAMPLE[100:120])
    runs.kept_to_judge(SAMPLE[100:130])
    settings = Settings(dataset=ExampleSettings(max_validation=25))
    assert len(runs.begin(FEW, "v1")[1].asked.evaluation) == 30
    assert len(runs.begin(FEW, "v2", settings=settings)[1].asked.evaluation) == 25


def test_a_validation_file_is_asked_less_what_the_version_begun_with_or_one_before_it_learned(runs: Runs) -> None:
    first = runs.run(FEW, "v1")
    runs.run(SAMPLE[40:60], "v2", from_version="v1")
    validation = [first.trained[3], *SAMPLE[100:105]]
    third = runs.begin(SAMPLE[60:90], "v3", from_version="v2", validation=jsonl(validation))[1]
    assert [one.question for one in third.asked.validation] == [one.question for one in SAMPLE[100:105]]
    assert "1 of the validation file are not asked" in runs.told[-1].message
    assert runs.told[-1].data["left_out_lines"] == {"validation": [1]}
    unrelated = runs.begin(SAMPLE[60:90], "v4", validation=jsonl(validation))[1]
    assert len(unrelated.asked.validation) == 6, "neither live nor begun with"


def test_a_version_from_before_sides_were_kept_is_known_by_how_its_run_parted_them(runs: Runs) -> None:
    parted = forget_sides(runs, "v1")
    runs.go_live("v1")
    second = runs.run(SAMPLE, "v2")
    assert learned(second.asked.examples, parted) == []
    assert len(second.asked.held_out) >= 20


def test_where_that_cannot_be_told_all_of_its_data_set_counts_as_trained_on(runs: Runs) -> None:
    forget_sides(runs, "v1", trained=170)
    runs.go_live("v1")
    second = runs.run(SAMPLE, "v2")
    assert second.asked.held_out
    assert learned(second.asked.held_out, SAMPLE[:200]) == []
    with pytest.raises(InvalidDataset, match="None of the 200 examples can judge the result"):
        runs.begin(SAMPLE[:200], "v3")
    runs.kept_to_judge([example("Who painted the sign over the door?", "Ann.")])
    assert len(runs.begin(SAMPLE[:200], "v4")[1].asked.evaluation) == 1


def test_preference_pairs_keep_their_sides_too(runs: Runs) -> None:
    first = runs.run([], "v1", data=preferences(40), method="dpo")
    runs.go_live("v1")
    second = runs.run([], "v2", data=preferences(60), method="dpo")
    assert learned(second.asked.examples, first.trained) == []
    assert set(map(question, first.asked.held_out)) <= set(map(question, second.asked.held_out))
    assert all(one.rejected for one in second.measured)


def test_without_a_pair_to_hold_out_preferences_are_not_trained_on(runs: Runs) -> None:
    runs.run([], "v1", data=preferences(40), method="dpo", validation=preferences(50).split(b"\n", 40)[-1])
    runs.go_live("v1")
    runs.kept_to_judge([example("Who painted the sign over the door?", "Ann.")])
    with pytest.raises(InvalidDataset, match="No preference pair is held out"):
        runs.begin([], "v2", data=preferences(40), method="dpo")


def forget_sides(runs: Runs, name: str, **report: int) -> tuple[Example, ...]:
    """A version on the first 200 as earlier releases recorded it. What it was trained on."""
    runs.run(SAMPLE[:200], name)
    settings = {"share_held_out": 0.1, "max_held_out": 24, "near_duplicate": 0.5, "seed": 13}
    counted = {"trained": 180, "held_out": 20, **report}
    with runs.sessions.begin() as session:
        version = session.get_one(Version, name)
        version.lineage = {key: value for key, value in version.lineage.items() if key != "sides"}
        about = {**version.settings["dataset"], **counted}
        version.settings = {**version.settings, "dataset": about, "settings": {"dataset": settings}}
    sides = former_sides(SAMPLE[:200], {"trained": 180, "held_out": 20}, settings)
    assert sides
    return sides.trained(SAMPLE[:200])


def test_what_a_version_learned_of_a_deleted_data_set_is_said_to_be_unknown(runs: Runs) -> None:
    runs.run(FEW, "v1")
    runs.go_live("v1")
    with runs.sessions() as session:
        row = session.query(DataSet).one()
    runs.frozen.delete(row)
    runs.begin(SAMPLE[100:130], "v2")
    assert "What ft:tiny:s:1 was trained on is not kept any more" in runs.told[-1].message
    assert runs.told[-1].data["unknown"] == ["ft:tiny:s:1"]


def test_a_validation_file_that_was_learned_judges_nothing(runs: Runs) -> None:
    first = runs.run(FEW, "v1")
    runs.go_live("v1")
    with pytest.raises(InvalidDataset, match="All 2 questions of the validation file, or near-copies, were learned"):
        runs.begin(SAMPLE[60:90], "v2", validation=jsonl(first.trained[:2]))


def test_a_refused_version_that_had_a_validation_file_takes_nothing_from_what_judges_later_ones(runs: Runs) -> None:
    runs.run(FEW, "v1", validation=jsonl(SAMPLE[100:110]))
    assert runs.begin(FEW, "v2")[1].asked.held_out
    runs.go_live("v1")
    with pytest.raises(InvalidDataset, match="None of the 40 examples can judge the result"):
        runs.begin(FEW, "v3")


def test_a_later_try_has_the_sides_of_the_first_whatever_went_live_meanwhile(runs: Runs) -> None:
    stages, first = runs.begin(FEW, "v1")
    rows = stages.preparing.make_rows(first)
    runs.kept_to_judge([first.trained[0], SAMPLE[150]])
    again, second = runs.begin(FEW, "v1")
    assert second.trained == first.trained
    assert again.preparing.make_rows(second) == rows
    assert [one.question for one in second.asked.evaluation] == [SAMPLE[150].question]


def test_a_run_that_was_paused_before_sides_were_kept_has_those_of_its_rows(runs: Runs) -> None:
    stages, data = runs.begin(FEW, "v1")
    rows = stages.preparing.make_rows(data)
    (runs.folder / "work-v1" / "sides.json").unlink()
    again, second = runs.begin(FEW, "v1")
    assert second.trained == data.trained
    assert second.asked == data.asked
    assert again.preparing.make_rows(second) == rows


def test_what_a_version_learned_that_went_live_during_the_run_is_not_asked(runs: Runs) -> None:
    learned_one = runs.run(SAMPLE[60:101], "v1").trained[-1]
    exam = [learned_one, *SAMPLE[120:125]]
    runs.kept_to_judge(exam)
    stages, data = runs.begin(FEW, "v2")
    assert list(map(question, data.asked.evaluation)) == list(map(question, exam))
    runs.go_live("v1")
    runs.finish(stages, data)
    assert heard_of(runs, exam) == list(map(question, exam[1:]))
    assert any("1 questions are not asked any more" in step.message for step in runs.told)
    assert runs.version("v2").metrics["asked"]["evaluation"] == 5


def question(one: Example) -> str:
    return one.question
