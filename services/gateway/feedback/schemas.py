"""The body of POST /v1/feedback."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from services.gateway.examples.schemas import LONGEST_TEXT, Text
from services.gateway.http.bodies import Body


class FeedbackCreate(Body):
    """For a wrong citation, `correct_file_id` says which file should have been cited, `correct_quote` which words of
    it.
    """

    answer_id: str
    rating: Literal["up", "down"]
    reason: Literal["wrong_fact", "wrong_citation", "wrong_tone", "unsafe", "other"] | None = None
    correction: str | None = Field(default=None, max_length=LONGEST_TEXT)
    correct_file_id: str | None = None
    correct_quote: Text | None = None

    @model_validator(mode="after")
    def _names_what_was_wrong(self) -> FeedbackCreate:
        if self.correct_file_id is not None and self.reason != "wrong_citation":
            raise ValueError("correct_file_id goes with the reason 'wrong_citation' only")
        if self.correct_quote is not None and self.correct_file_id is None:
            raise ValueError("correct_quote needs the correct_file_id that it stands in")
        return self
