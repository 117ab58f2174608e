"""The recipe: answered questions in, a published model out.

Everything that the recipe needs from outside comes in as a port. What is tested is what serves: the candidate is
evaluated through the slot that goes live.
"""

from __future__ import annotations

from training.progress import MustStop, Progress
from training.request import Ports, RunRequest, RunResult
from training.stages import Stages


def run(request: RunRequest, ports: Ports, progress: Progress, cancelled: MustStop) -> RunResult:
    """Train, judge and, where the gate allows it, publish.

    Raises InvalidDataset, UnknownBaseModel, BrokenTemplate, DamagedWeights where parity fails, EngineUnavailable, and
    Cancelled; no version is left then, except that a candidate which no engine could be had for stays in the list.
    Publishing itself is not cancelled.
    """
    stages = Stages(request, ports, progress, cancelled)
    data = stages.read_dataset()
    rows = stages.make_rows(data)
    style = stages.learn_style(data, rows)
    adapter = stages.train(rows)
    with stages.draft() as draft:
        stages.merge_weights(adapter, draft)
        parity = stages.check_parity(adapter, rows, draft)
        candidate = stages.record_candidate(draft, data, rows, style, adapter, parity)
    with stages.discarded_on_cancel(candidate):
        stages.load(candidate)
        scores = stages.evaluate(candidate, data, style)
        verdict = stages.judge(candidate, adapter, scores)
        published = stages.settle(candidate, scores, verdict)
    return RunResult(
        candidate.version_id,
        published,
        data.report,
        rows.report,
        adapter,
        parity,
        scores.candidate,
        scores.baseline,
        verdict,
    )
