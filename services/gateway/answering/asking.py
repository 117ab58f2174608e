"""What a request of either shape asks for, made into a question: the weights behind its model name, its stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool

from retrieval.answers.conversation import Conversation, Role
from retrieval.filters import Filter
from services.gateway.answering.models import GROUNDED, Choice, UnloadedVersion, choose, still_loading
from services.gateway.answering.turn import Question
from services.gateway.http.access import Scope, lacks
from services.gateway.http.callers import Caller
from services.kit.errors import ApiError

LOADERS: tuple[Scope, ...] = ("voice", "operate")
"""The scopes by which a question may move weights: load a version that no slot serves."""


@dataclass(frozen=True)
class Asked:
    """A request, whatever its shape. `said` is the conversation, oldest first; the last entry is the user's question.

    `sampling` has what the client set, in vLLM's words. `keep_history`: what does not fit the context is refused
    rather than left out. `place` is the field of the request that `said` comes from.
    """

    model: str
    said: Sequence[tuple[Role, str]]
    store_ids: Sequence[str] | None = None
    max_num_results: int | None = None
    sampling: dict[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    filters: Filter | None = None
    score_threshold: float = 0.0
    keep_history: bool = False
    place: str = "messages"


async def to_question(asked: Asked, caller: Caller, state: Any) -> Question:
    """Raises ApiError: 400 for a question that is too long, 404 for a model or a store that this workspace does not
    have, 503 for weights that load."""
    settings, workspace_id = state.settings, caller.workspace_id
    _check_length(asked, settings.max_question_characters)
    opening = next((text for role, text in asked.said if role == "user"), "")
    conversation = f"{caller.key_id}:{opening}"
    choice = await resolve(asked.model, caller, bool(asked.store_ids), state, conversation)
    store_ids: tuple[str, ...] = ()
    if choice.mode in GROUNDED:
        store_ids = await run_in_threadpool(state.stores.resolve, workspace_id, asked.store_ids)
    said = Conversation.of(asked.said)
    return Question(
        workspace_id=workspace_id,
        text=said.question,
        history=said.history,
        choice=choice,
        store_ids=store_ids,
        top_k=asked.max_num_results or state.top_k,
        sampling={
            "temperature": settings.temperature,
            **asked.sampling,
            "max_tokens": asked.max_tokens or state.max_answer_tokens,
        },
        system=said.system or None,
        answer_unsourced=settings.answer_unsourced,
        min_answerability=state.min_answerability,
        guarded=state.guarded,
        keep_history=asked.keep_history,
        filters=asked.filters,
        score_threshold=asked.score_threshold,
        place=asked.place,
    )


def _check_length(asked: Asked, most: int) -> None:
    length = len(asked.said[-1][1])
    if length > most:
        message = f"The question has {length} characters; {most} are the most (`gateway.max_question_characters`). "
        message += "Put long texts into a vector store, and ask about them."
        raise ApiError(400, message, code="question_too_long", param=asked.place)


async def resolve(name: str, caller: Caller, with_stores: bool, state: Any, conversation: str) -> Choice:
    """The choice behind a model name. A version that no slot serves is loaded for a caller who may have that done, and
    answered with 503; for another it is a 403.

    The spare slot is taken for it from another such version, but from no training and no canary.
    """
    workspace_id, table = caller.workspace_id, await state.slots.table()
    versions = await run_in_threadpool(state.versions.names, workspace_id) if ":" in name else {}
    try:
        return choose(name, table, workspace_id, state.settings.model_aliases, versions, with_stores, conversation)
    except UnloadedVersion as unloaded:
        if caller.scopes.isdisjoint(LOADERS):
            raise lacks(LOADERS, f"No slot serves '{name}' now, and loading it") from unloaded
        training = await run_in_threadpool(state.jobs.training_now)
        await state.slots.load(workspace_id, unloaded.version_id, replace=not training and not table.canaries)
        raise still_loading(name) from unloaded
