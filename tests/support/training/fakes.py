"""Stand-ins for what a training run reaches: a retriever over a few passages, versions and slots in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retrieval.model import Chunk, FileRef, Message, Passage
from retrieval.text.words import content_words
from training.errors import Cancelled
from training.judging.figures import SHARES, Metrics, PromptScore, Share
from training.judging.questions import Completion
from training.judging.verdict import GateReport
from training.model import Example
from training.weights.candidate import Candidate


def passage(filename: str, text: str, title: str = "", score: float = 1.0) -> Passage:
    """A passage that is its document's only chunk."""
    source = FileRef("workspace", "store", f"file-{filename}", 1)
    chunk = Chunk(f"chunk-{filename}", source, 0, text, filename, title or filename, (), None, 0, len(text))
    return Passage(chunk, score)


def example(question: str, answer: str, **metadata: Any) -> Example:
    return Example((Message("user", question), Message("assistant", answer)), metadata)


def jsonl(examples: Sequence[Example]) -> bytes:
    """A data set as it is uploaded."""
    rows = [
        {
            "messages": [{"role": one.role, "content": one.content} for one in example.messages],
            "metadata": dict(example.metadata),
        }
        for example in examples
    ]
    return "\n".join(json.dumps(row) for row in rows).encode()


def preferences(count: int) -> bytes:
    """A file of preferences in OpenAI's format."""

    def row(number: int) -> dict[str, Any]:
        said, other = f"Yes, for {number} days.", f"Well, you see, for {number} days, yes."
        return {
            "input": {"messages": [{"role": "user", "content": f"Is offer {number} open?"}]},
            "preferred_output": [{"role": "assistant", "content": said}],
            "non_preferred_output": [{"role": "assistant", "content": other}],
        }

    return "\n".join(json.dumps(row(number)) for number in range(count)).encode()


class WordRetriever:
    """Ranks passages by the words that they share with the question and, half as much, with the turns before it."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages

    def passages(
        self, question: str, top_k: int, document: str | None = None, history: Sequence[str] = ()
    ) -> list[Passage]:
        asked, before = content_words(question), content_words(" ".join(history))

        def shared(one: Passage) -> float:
            words = content_words(one.chunk.text)
            return len(asked & words) + len(before & words) / 2

        open_ones = [one for one in self._passages if document in (None, one.chunk.filename)]
        return sorted(open_ones, key=lambda one: -shared(one))[:top_k]


class FunctionAnswerer:
    """Answers with a function of the prompt. Safe for several threads."""

    def __init__(self, answer: Callable[[str], str], finish_reason: str = "stop") -> None:
        self._answer = answer
        self._finish_reason = finish_reason
        self._lock = threading.Lock()
        self.asked = 0

    def answer(self, messages: list[Message], max_tokens: int) -> Completion:
        with self._lock:
            self.asked += 1
        text = self._answer(messages[-1].content)
        return Completion(text, self._finish_reason, min(max_tokens, len(text.split())))


@dataclass
class MemoryVersions:
    """The list of versions, as a dictionary of states."""

    status: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def candidate(self, candidate: Candidate) -> None:
        self.status[candidate.version_id] = "candidate"

    def judged(self, version_id: str, metrics: Mapping[str, Any], gate: GateReport) -> None:
        self.metrics[version_id] = metrics
        self.status[version_id] = "candidate" if gate.passed else "refused"

    def published(self, version_id: str) -> None:
        self.status[version_id] = "published"

    def discard(self, version_id: str) -> None:
        self.status.pop(version_id, None)


@dataclass
class MemorySlots:
    """One spare and a live pointer. Every version answers with `candidate`, what is live with `live_answers`."""

    candidate: FunctionAnswerer
    live_answers: FunctionAnswerer
    live: str | None = None
    spare: str | None = None
    on_load: Callable[[], object] = lambda: None

    def load(self, version_id: str, cancelled: Callable[[], bool]) -> None:
        self.spare = version_id
        self.on_load()
        if cancelled():
            raise Cancelled("Cancelled while loading.")

    def answerer(self, version_id: str) -> FunctionAnswerer:
        assert self.spare == version_id
        return self.candidate

    def baseline(self) -> tuple[FunctionAnswerer, bool]:
        return self.live_answers, self.live is not None

    def publish(self, version_id: str) -> None:
        assert self.spare == version_id
        self.live, self.spare = version_id, None

    def unload(self, version_id: str) -> None:
        if self.spare == version_id:
            self.spare = None


def metrics_of(values: Sequence[Mapping[str, float]]) -> Metrics:
    """The metrics of a model that reached these figures, prompt by prompt."""
    scores = tuple(PromptScore(f"question {number}", one) for number, one in enumerate(values))

    def share(figure: str) -> Share:
        found = [score.values[figure] for score in scores if figure in score.values]
        return Share(sum(found), len(found))

    shares: dict[str, Any] = {name: share(name) for name in SHARES}
    style = {"overall": share("style")}
    return Metrics(questions=len(scores), failed=0, failures=(), style=style, **shares, scores=scores)
