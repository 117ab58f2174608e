"""The four modes on the sample's kept-out questions, through the gateway: facts, citations, style, refusals.

    python -m benchmarks.modes        (a platform with the sample's documents and a tuned version is up: TANDEM_HOME)

Also asks rag and hybrid without any guard, and hybrid with the right passages taken away. Whole answers are kept in
`modes.jsonl` under the platform's home.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from openai import OpenAI

from benchmarks.four_modes import MODES, print_table
from harness.figures import report
from harness.machine import describe_machine
from harness.platform import api_key
from harness.sample import sample_questions
from services.contracts.generation import RoutingTable
from services.database.engine import open_sessions
from services.database.tables import Version
from services.kit.http import client
from services.kit.settings import Platform
from services.worker.fine_tuning.ports import LiveRetriever, SlotAnswerer
from services.worker.retrieval_client import RetrievalWriter
from training.config import EvaluationSettings
from training.judging.evaluation import ask, make_trials
from training.judging.scoring import Outcome, Standards, Trial, measure
from training.judging.style import StyleProfile
from training.model import Completion, Metrics
from training.weights.candidate import STYLE_FILE

GROUNDED = ("rag", "hybrid")
CLIENTS = 8
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
    served: dict[str, Any] = {"top_k": platform.top_k, "min_answerability": platform.min_answerability}
    served |= {"guarded": platform.guarded, "max_tokens": platform.max_answer_tokens}
    settings = EvaluationSettings(removed=1000, **served)
    trials = make_trials(sample_questions(), retriever, settings)
    asked, removed = [t for t in trials if not t.removed], [t for t in trials if t.removed]
    generation = client(platform.generation_url, platform.service_token)
    slots = RoutingTable.model_validate_json(generation.get("/routing").raise_for_status().content)
    tuned, base = slots.live["default"], slots.base
    live = openai.chat.completions.create(model="tandem/tuned", messages=[{"role": "user", "content": "Hello"}])
    with sessions() as session:
        version = session.get_one(Version, live.versions["weights"])  # type: ignore[attr-defined]
    style = StyleProfile.from_json(json.loads((Path(version.path) / STYLE_FILE).read_text()))
    outcomes = {mode: through_gateway(openai, mode, asked) for mode in modes}
    unguarded = replace(settings, guarded=False, min_answerability=0.0)
    for mode, route in (("rag", base), ("hybrid", tuned)):
        if mode in modes and route is not None:
            outcomes[f"{mode}, guard off"] = ask(asked, SlotAnswerer(route), unguarded, lambda: False)
    outcomes[REMOVED] = ask(removed, SlotAnswerer(tuned), settings, lambda: False)
    keep(platform.home / "modes.jsonl", outcomes)
    return {name: measure(found, Standards(style)) for name, found in outcomes.items()}


def through_gateway(openai: OpenAI, mode: str, trials: Sequence[Trial]) -> list[Outcome]:
    def one(trial: Trial) -> Outcome:
        answer = openai.chat.completions.create(
            model=f"tandem/{mode}", messages=[{"role": "user", "content": trial.question.question}]
        )
        choice, usage = answer.choices[0], answer.usage
        completion = Completion(
            choice.message.content or "", choice.finish_reason, usage.completion_tokens if usage else 0
        )
        return Outcome(trial if mode in GROUNDED else replace(trial, passages=()), completion)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(one, trials))


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
