"""Turns a request of either API shape into a question: which weights answer it, and which stores it searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool

from retrieval.answers.conversation import Conversation, Role
from retrieval.filters import Filter
from services.domain.jobs import Jobs
from services.gateway.answering.models import GROUNDED, Choice, UnloadedVersion, choose, still_loading
from services.gateway.answering.turn import Question
from services.gateway.http.access import Scope, lacks
from services.gateway.http.callers import Caller
from services.gateway.settings import GatewaySettings
from services.gateway.stores.stores import Stores
from services.gateway.upstream.slots import Slots
from services.gateway.versions.versions import Versions
from services.kit.errors import ApiError
from services.kit.settings import Platform

LOADERS: tuple[Scope, ...] = ("voice", "operate")
"""Only a caller with one of these scopes may load a version that no slot serves by asking it a question."""


@dataclass(frozen=True)
class Asked:
    """A request of either shape. `said` is the conversation, oldest first; the last entry is the user's question.

    `sampling` has what the client set, in vLLM's words. With `keep_history`, a conversation that does not fit the
    context is refused, and no turn is left out. `place` is the field of the request that `said` comes from.
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


class Asking:
    """Turns requests into questions. The settings decide what a request leaves open."""

    def __init__(
        self,
        platform: Platform,
        settings: GatewaySettings,
        stores: Stores,
        versions: Versions,
        jobs: Jobs,
        slots: Slots,
    ) -> None:
        self._platform, self._settings = platform, settings
        self._stores, self._versions, self._jobs, self._slots = stores, versions, jobs, slots

    async def question(self, asked: Asked, caller: Caller) -> Question:
        """Raises ApiError: 400 for a question that is too long, 404 for a model or a store that this workspace does not
        have, 503 for weights that are still loading.
        """
        platform, settings = self._platform, self._settings
        _check_length(asked, settings.max_question_characters)
        choice = await self._resolve(asked, caller)
        store_ids: tuple[str, ...] = ()
        if choice.mode in GROUNDED:
            store_ids = await run_in_threadpool(self._stores.resolve, caller.workspace_id, asked.store_ids)
        said = Conversation.of(asked.said)
        return Question(
            workspace_id=caller.workspace_id,
            text=said.question,
            history=said.history,
            choice=choice,
            store_ids=store_ids,
            top_k=asked.max_num_results or platform.top_k,
            sampling={
                "temperature": settings.temperature,
                **asked.sampling,
                "max_tokens": asked.max_tokens or platform.max_answer_tokens,
            },
            system=said.system or None,
            answer_unsourced=settings.answer_unsourced,
            min_answerability=platform.min_answerability,
            guarded=platform.guarded,
            keep_history=asked.keep_history,
            filters=asked.filters,
            score_threshold=asked.score_threshold,
            place=asked.place,
        )

    async def _resolve(self, asked: Asked, caller: Caller) -> Choice:
        """The choice behind a model name. If no slot serves the version, it is loaded for a caller who may load
        versions, and the answer is 503; any other caller gets 403.

        The version may take the spare slot from another version loaded this way, but not from a training or a canary.
        """
        name, workspace_id, table = asked.model, caller.workspace_id, await self._slots.table()
        versions = await run_in_threadpool(self._versions.names, workspace_id) if ":" in name else {}
        opening = next((text for role, text in asked.said if role == "user"), "")
        conversation, with_stores = f"{caller.key_id}:{opening}", bool(asked.store_ids)
        try:
            return choose(name, table, workspace_id, self._settings.model_aliases, versions, with_stores, conversation)
        except UnloadedVersion as unloaded:
            if caller.scopes.isdisjoint(LOADERS):
                raise lacks(LOADERS, f"No slot serves '{name}' now, and loading it") from unloaded
            training = await run_in_threadpool(self._jobs.training_now)
            replace = not training and not table.canaries
            await self._slots.load(workspace_id, unloaded.version_id, replace=replace)
            raise still_loading(name) from unloaded


def _check_length(asked: Asked, most: int) -> None:
    length = len(asked.said[-1][1])
    if length > most:
        message = f"The question has {length} characters; {most} are the most (`gateway.max_question_characters`). "
        message += "Put long texts into a vector store, and ask about them."
        raise ApiError(400, message, code="question_too_long", param=asked.place)
