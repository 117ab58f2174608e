"""The figures of a model: of each prompt, and of the whole question set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Share:
    """A count out of a total. `value` is None if there was nothing to count."""

    hits: float
    of: int

    @property
    def value(self) -> float | None:
        return self.hits / self.of if self.of else None

    def __str__(self) -> str:
        return f"{self.hits / self.of:.0%} of {self.of}" if self.of else "nothing to measure"


NOTHING = Share(0, 0)


@dataclass(frozen=True)
class PromptScore:
    """What the answer to one prompt reached, by figure, each in 0..1; `removed` as in Trial.

    A figure that does not apply to this prompt is absent. If the question failed, all figures are absent.
    """

    prompt: str
    values: Mapping[str, float] = field(default_factory=dict)
    removed: bool = False


@dataclass(frozen=True)
class Metrics:
    """A model on a question set. Failed questions are counted in `failed` and in no other figure.

    `style` has the four traits and `overall`, over answers that do not refuse. `facts` counts answers with every
    required fact, `fact_recall` the required facts that the answers have; `token_f1` is against the reference.
    `citation_recall` counts answerable questions with a supported citation of the right document, `citation_precision`
    citations that the check supports. `model_made` counts citations whose marker the model wrote, `marked` the grounded
    answers with such a marker; `marker_precision` is the share of an answer's own markers that the check supports.
    `refused_unanswerable` and `refused_removed` (the right passage taken away) should be high, `refused_answerable`
    low; `decided` counts the questions of all three kinds where the model rightly refused or rightly answered.
    `general` counts the probes passed, `repeated` the answers that repeat training text; `judged` is an external
    judge's mark; `longest_repeat` is in words. `scores` has one entry a prompt in the order asked, so that two models
    asked the same prompts can be compared in pairs.

    `sourced` counts the answerable questions that a document answers, `voiced` those that no document answers. The
    latter are asked without passages and judged as a voice: they have only style, `stopped`, `repeated`, `judged`,
    `refused_answerable` and `decided`, and facts if the data set names them.
    """

    questions: int
    failed: int
    failures: tuple[str, ...]
    style: Mapping[str, Share]
    facts: Share
    token_f1: Share
    citation_recall: Share
    citation_precision: Share
    model_made: Share
    refused_unanswerable: Share
    refused_removed: Share
    refused_answerable: Share
    stopped: Share
    fact_recall: Share = NOTHING
    marked: Share = NOTHING
    marker_precision: Share = NOTHING
    decided: Share = NOTHING
    general: Share = NOTHING
    repeated: Share = NOTHING
    judged: Share = NOTHING
    longest_repeat: int = 0
    judge_error: str = ""
    sourced: int = 0
    voiced: int = 0
    scores: tuple[PromptScore, ...] = ()

    def figures(self) -> dict[str, Any]:
        """Plain values, rounded; None where there was nothing to measure."""
        plain: dict[str, Any] = {"questions": self.questions, "failed": self.failed, "failures": list(self.failures)}
        plain["style"] = {name: _rounded(share) for name, share in self.style.items()}
        plain |= {name: _rounded(getattr(self, name)) for name in SHARES}
        plain |= {"sourced": self.sourced, "voiced": self.voiced}
        return plain | {"longest_repeat": self.longest_repeat, "judge_error": self.judge_error}


SHARES = (
    "facts", "fact_recall", "token_f1", "citation_recall", "citation_precision", "model_made", "marked",
    "marker_precision", "refused_unanswerable", "refused_removed", "refused_answerable", "decided", "stopped",
    "general", "repeated", "judged",
)  # fmt: skip


def _rounded(share: Share) -> float | None:
    return None if share.value is None else round(share.value, 4)
