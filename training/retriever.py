"""The port to retrieval: rows are made, and candidates are asked, with the passages of the live retriever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from retrieval.model import Passage


class Retriever(Protocol):
    """The live retriever, as the server asks it."""

    def passages(
        self, question: str, top_k: int, document: str | None = None, history: Sequence[str] = ()
    ) -> list[Passage]:
        """The best passages, best first; only those of the file `document` if it is given.

        `history` are the user's turns before the question, oldest first. Raises whatever goes wrong: an empty result
        means that no passages exist.
        """
        ...
