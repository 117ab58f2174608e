"""The recipe: from answered questions to a published model.

Everything that the recipe needs from outside is a port. The candidate is tested as it will be served: it is evaluated
through the slot that goes live.
"""

from __future__ import annotations

from training.progress import MustStop, Progress
from training.request import Ports, RunRequest, RunResult
from training.stages.course import Course
from training.stages.judging import Judging
from training.stages.making import Making
from training.stages.preparing import Preparing


def run(request: RunRequest, ports: Ports, progress: Progress, cancelled: MustStop) -> RunResult:
    """Train, judge and, if the gate allows it, publish.

    Raises InvalidDataset, UnknownBaseModel, BrokenTemplate, DamagedWeights if parity fails, EngineUnavailable, and
    Cancelled. After an error no version is left, except that a candidate for which no engine was available stays in the
    list. Publishing itself cannot be cancelled.
    """
    course = Course(progress, cancelled)
    preparing, making = Preparing(request, ports, course), Making(request, ports, course)
    judging = Judging(request, ports, course)
    data = preparing.read_dataset()
    rows = preparing.make_rows(data)
    style = making.learn_style(data, rows)
    adapter = making.train(rows)
    with making.draft() as draft:
        making.merge_weights(adapter, draft)
        parity = making.check_parity(adapter, rows, draft)
        candidate = making.record_candidate(draft, data, rows, style, adapter, parity)
    with judging.discarded_on_cancel(candidate):
        judging.load(candidate)
        scores = judging.evaluate(candidate, data, style)
        verdict = judging.judge(candidate, adapter, scores)
        published = judging.settle(candidate, scores, verdict)
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
