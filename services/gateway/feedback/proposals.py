"""What feedback proposes as examples. Every proposal waits for a reviewer, unless a setting says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.database.tables import Example, Feedback, Turn
from services.gateway.examples.texts import new_example_id, plain, without_markers


@dataclass(frozen=True)
class Proposing:
    """`praised`: answers rated up are proposed unchanged. `ratings`: each rated answer is proposed with its rating.
    `reviewed`: proposals wait for a reviewer.
    """

    praised: bool = False
    ratings: bool = False
    reviewed: bool = True


def proposals(turn: Turn, feedback: Feedback, document: str | None, wanted: Proposing) -> list[Example]:
    """The examples that a verdict on an answer proposes; none from an unsafe answer.

    A correction becomes an example. A correction of the tone is also preferred to the answer. Markers are removed from
    every text, because training adds its own. `document` is the name of the file that should have been cited.
    """
    if feedback.reason == "unsafe":
        return []
    answer, correction = plain(turn.answer), plain(feedback.correction or "")
    made: list[dict[str, Any]] = []
    if correction:
        made.append({"kind": "supervised", "answer": correction})
    elif wanted.praised and feedback.rating == "up" and feedback.reason is None:
        made.append({"kind": "supervised", "answer": answer})
    if feedback.reason == "wrong_tone" and correction not in ("", answer):
        made.append({"kind": "preference", "answer": correction, "rejected": answer})
    if wanted.ratings:
        made.append({"kind": "rating", "answer": answer, "label": feedback.rating == "up"})
    status, details = "proposed" if wanted.reviewed else "approved", {"document": document} if document else {}
    return [
        Example(
            id=new_example_id(),
            workspace_id=turn.workspace_id,
            status=status,
            origin="feedback",
            prompt=prompt(turn),
            details=details,
            turn_id=turn.id,
            feedback_id=feedback.id,
            **fields,
        )
        for fields in made
        if fields["answer"] and fields.get("rejected") != ""
    ]


def prompt(turn: Turn) -> list[dict[str, str]]:
    """The conversation before the question, as the model saw it, and the question without its passages."""
    said = [(one["role"], one["content"]) for one in turn.messages[:-1] if one["role"] != "system"]
    return without_markers([*({"role": role, "content": content} for role, content in said),
                            {"role": "user", "content": turn.question}])  # fmt: skip
