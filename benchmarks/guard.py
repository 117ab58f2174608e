"""Both guards on sets that neither was made on: how often each refuses what is answered, and what is not.

    python -m benchmarks.guard [--scores-only] [--weights FOLDER]

First retrieval's scores (`min_answerability`), by threshold. Then the first sentence: the base weights, or those of a
version in FOLDER, served by this machine's engine, answer the handbooks, the sample company and SQuAD 2, and
`retrieval/answers/guard.py` reads what they say; `of these right` counts refused answers that had the fact asked for.
Last what holding the first sentence back costs, one client asking: milliseconds to the first token, and to the first
sentence that is let through.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from harness.figures import percentile, report
from harness.guard_cases import Case, found
from harness.guard_sets import handbooks, sample, shared_sets, squad
from harness.machine import describe_machine
from harness.serving import served
from retrieval.answers.grounding import grounded_messages
from retrieval.answers.guard import first_statement, opens_supported
from retrieval.embedding.runtime import make_embedder
from services.contracts.generation import Route
from services.gateway.upstream.slots import Slots
from services.kit.http import async_client
from services.kit.settings import Platform
from services.worker.fine_tuning.ports import SlotAnswerer
from training.weights.base import materialize

THRESHOLDS = (0.01, 0.02, 0.03, 0.05, 0.1, 0.5)
CLIENTS, TOKENS, TIMED = 16, 160, 40


@dataclass(frozen=True)
class Answered:
    case: Case
    text: str

    @property
    def refused(self) -> bool:
        return not opens_supported(self.text, self.case.passages)

    @property
    def right(self) -> bool:
        facts = self.case.asked.facts
        return bool(facts) and all(fact.casefold() in self.text.casefold() for fact in facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores-only", action="store_true")
    parser.add_argument("--weights", type=Path)
    wanted = parser.parse_args()
    print(describe_machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        embedder = make_embedder("all-minilm-l6-v2", "openvino", Path(folder), threads=1)
        asked = [*handbooks(), sample(), squad()] if not wanted.scores_only else []
        sets = chain(handbooks(), [sample()], shared_sets())
        figures = scores_table([found(one, embedder) for one in sets])
        if asked:
            cases = [case for one in asked for case in found(one, embedder)]
            figures |= first_sentences(cases, wanted.weights, Path(folder))
    report("guard", figures)


def scores_table(sets: Sequence[Sequence[Case]]) -> dict[str, float]:
    """Refused of what is answered / of what is not, by threshold."""
    print(f"\n{'refused by scores below':<27}{''.join(f'{threshold:>22}' for threshold in THRESHOLDS)}")
    together = [case for one in sets for case in one]
    for name, cases in [*((one[0].name, one) for one in sets), ("all", together)]:
        print(f"{name:<27}{''.join(f'{_shares(cases, threshold):>22}' for threshold in THRESHOLDS)}", flush=True)
    answered = [case.score for case in together if case.asked.answerable]
    return {f"wrongly_{one}": sum(score < one for score in answered) / len(answered) for one in THRESHOLDS}


def _shares(cases: Sequence[Case], threshold: float) -> str:
    sides = [[case.score < threshold for case in cases if case.asked.answerable is wanted] for wanted in (True, False)]
    return " / ".join(f"{sum(side)} of {len(side)}" for side in sides)


def first_sentences(cases: Sequence[Case], weights: Path | None, folder: Path) -> dict[str, float]:
    """Ask the weights, and print what the guard makes of their first sentences and what it costs."""
    weights = weights or materialize(Platform().base_model, folder / "models")
    with served(weights, folder) as answerer:
        answers = asked_all(cases, answerer)
        waits = asyncio.run(waited(cases[:: max(1, len(cases) // TIMED)][:TIMED], answerer.route))
    print(
        f"\n{'refused by first sentence':<27}{'answered':>22}{'of these right':>22}{'off topic':>22}{'near miss':>22}"
    )
    for name in [*dict.fromkeys(case.name for case in cases), "all"]:
        rows = [one for one in answers if name in (one.case.name, "all")]
        print(f"{name:<27}{''.join(f'{cell:>22}' for cell in _row(rows))}")
    first, sentence = ([wait[place] for wait in waits] for place in (0, 1))
    print(f"\nmilliseconds, {len(waits)} questions, one client{'p50':>12}{'p95':>10}")
    for name, values in (("first token", first), ("first sentence let through", sentence)):
        print(f"{name:<36}{percentile(values, 0.5):>12.0f}{percentile(values, 0.95):>10.0f}")
    wrongly = [one.refused for one in answers if one.case.asked.answerable]
    rightly = [one.refused for one in answers if not one.case.asked.answerable]
    costs = {"first_token_p50_ms": percentile(first, 0.5), "guarded_p50_ms": percentile(sentence, 0.5)}
    return {"wrongly_first": sum(wrongly) / len(wrongly), "rightly_first": sum(rightly) / len(rightly), **costs}


def _row(rows: Sequence[Answered]) -> Iterator[str]:
    answered = [one for one in rows if one.case.asked.answerable]
    yield f"{sum(one.refused for one in answered)} of {len(answered)}"
    right = [one for one in answered if one.right]
    yield f"{sum(one.refused for one in right)} of {len(right)}"
    for near_miss in (False, True):
        others = [one for one in rows if not one.case.asked.answerable and one.case.asked.near_miss is near_miss]
        yield f"{sum(one.refused for one in others)} of {len(others)}"


def asked_all(cases: Sequence[Case], answerer: SlotAnswerer) -> list[Answered]:
    def one(case: Case) -> Answered:
        return Answered(case, answerer.answer(grounded_messages(case.asked.question, case.passages), TOKENS).text)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(one, cases))


async def waited(cases: Sequence[Case], route: Route) -> list[tuple[float, float]]:
    """Milliseconds to the first token, and to where the guard lets the first sentence through or refuses it."""
    slots = Slots(async_client("http://127.0.0.1:1", "", 1.0), 1e9, 300.0)
    waits = []
    for case in cases:
        messages = [vars(message) for message in grounded_messages(case.asked.question, case.passages)]
        began, text, first, passed = time.perf_counter(), "", 0.0, 0.0
        async for piece in slots.stream(route, {"messages": messages, "max_tokens": TOKENS, "temperature": 0.0}):
            text += piece.text
            first = first or time.perf_counter()
            if not passed and first_statement(text, ended=piece.finish_reason is not None) is not None:
                opens_supported(text, case.passages)
                passed = time.perf_counter()
        waits.append(((first - began) * 1000, ((passed or time.perf_counter()) - began) * 1000))
    await slots.close()
    return waits


if __name__ == "__main__":
    main()
