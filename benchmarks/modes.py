"""The four modes on the sample's kept-out questions, through the gateway: facts, citations, style, refusals.

    python -m benchmarks.modes        (a platform with the sample's documents and a tuned version is up: TANDEM_HOME)

Also asks rag and hybrid without any guard, and hybrid with the right passages taken away. Whole answers are kept in
`modes.jsonl` under the platform's home.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from openai import OpenAI

from benchmarks.four_modes import MODES, print_table
from harness.figures import report
from harness.machine import describe_machine
from harness.platform import api_key
from harness.sample import sample_questions
from retrieval.model import Message
from services.contracts.generation import RoutingTable
from services.database.engine import open_sessions
from services.database.tables import Version
from services.kit.http import client
from services.kit.settings import Platform
from services.worker.fine_tuning.ports import LiveRetriever, SlotAnswerer
from services.worker.retrieval_client import RetrievalWriter
from services.worker.settings import TrainingSettings
from training.config import EvaluationSettings
from training.judging.evaluation import ask, make_trials
from training.judging.figures import Metrics
from training.judging.questions import Completion
from training.judging.scoring import Outcome, Standards, Trial, measure
from training.judging.style import StyleProfile
from training.weights.candidate import STYLE_FILE

GROUNDED = ("rag", "hybrid")
REMOVED = "hybrid, right passages removed"
ROWS = (
    "facts", "token_f1", "citation_recall", "citation_precision", "model_made", "refused_unanswerable",
    "refused_answerable", "stopped",
)  # fmt: skip


def main() -> None:
    figures = measured(Platform(), MODES)
    show(figures)
    report("modes", {name: metrics.figures() for name, metrics in figures.items()})


def measured(platform: Platform, modes: Sequence[str]) -> dict[str, Metrics]:
    """The modes through the gateway, guarded as it is set; grounded ones also without any guard, asked of the slots."""
    openai = OpenAI(base_url=f"{platform.gateway_url}/v1", api_key=api_key(platform.home), timeout=300.0)
    sessions = open_sessions(platform.database_url)
    retriever = LiveRetriever(
        sessions, RetrievalWriter(client(platform.retrieval_url, platform.service_token)), "default"
    )
    settings = replace(TrainingSettings().as_served(platform)[1], removed=1000)
    trials = make_trials(sample_questions(), retriever, settings)
    asked, removed = [t for t in trials if not t.removed], [t for t in trials if t.removed]
    generation = client(platform.generation_url, platform.service_token)
    slots = RoutingTable.model_validate_json(generation.get("/routing").raise_for_status().content)
    tuned, base = slots.live["default"], slots.base
    live = openai.chat.completions.create(model="tandem/tuned", messages=[{"role": "user", "content": "Hello"}])
    with sessions() as session:
        version = session.get_one(Version, live.versions["weights"])  # type: ignore[attr-defined]
    style = StyleProfile.from_json(json.loads((Path(version.path) / STYLE_FILE).read_text()))
    outcomes = {mode: through_gateway(openai, mode, asked, settings) for mode in modes}
    unguarded = replace(settings, guarded=False, min_answerability=0.0)
    for mode, route in (("rag", base), ("hybrid", tuned)):
        if mode in modes and route is not None:
            outcomes[f"{mode}, guard off"] = ask(asked, SlotAnswerer(route), unguarded, never)
    outcomes[REMOVED] = ask(removed, SlotAnswerer(tuned), settings, never)
    keep(platform.home / "modes.jsonl", outcomes)
    return {name: measure(found, Standards(style)) for name, found in outcomes.items()}


class GatewayMode:
    """A mode of the gateway as a model that is asked: it makes prompt and guard itself, so it gets the question."""

    def __init__(self, openai: OpenAI, mode: str) -> None:
        self._openai, self._model = openai, f"tandem/{mode}"

    def answer(self, messages: list[Message], max_tokens: int) -> Completion:
        answer = self._openai.chat.completions.create(
            model=self._model, max_tokens=max_tokens, messages=[{"role": "user", "content": messages[-1].content}]
        )
        choice, usage = answer.choices[0], answer.usage
        return Completion(choice.message.content or "", choice.finish_reason, usage.completion_tokens if usage else 0)


def through_gateway(openai: OpenAI, mode: str, trials: Sequence[Trial], settings: EvaluationSettings) -> list[Outcome]:
    """The mode's answers; a grounded one's with the passages that the gateway is taken to have found."""
    plain = [replace(trial, passages=()) for trial in trials]
    outcomes = ask(plain, GatewayMode(openai, mode), settings, never)
    if failed := [outcome.error for outcome in outcomes if outcome.error]:
        raise SystemExit(f"{len(failed)} of {len(trials)} questions to {mode} failed: {failed[0]}")
    if mode not in GROUNDED:
        return outcomes
    return [replace(outcome, trial=trial) for outcome, trial in zip(outcomes, trials, strict=True)]


def never() -> bool:
    return False


def keep(path: Path, outcomes: dict[str, list[Outcome]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for mode, found in outcomes.items():
            for outcome in found:
                question, completion = outcome.trial.question, outcome.completion
                row = {"mode": mode, "question": question.question, "document": question.document}
                passages = [passage.chunk.filename for passage in outcome.trial.passages]
                text = completion.text if completion else outcome.error
                file.write(json.dumps({**row, "passages": passages, "answer": text}, ensure_ascii=False) + "\n")


def show(figures: dict[str, Metrics]) -> None:
    print(f"\n{describe_machine()}")
    print_table(figures, ROWS)
    print(f"{'refused when removed':24}{figures[REMOVED].refused_removed}")


if __name__ == "__main__":
    main()
