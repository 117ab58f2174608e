"""Bodies of the calls on sources. Unknown fields are refused: a mistyped pattern must not widen what is read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from retrieval.sources.port import Kind
from services.gateway.http.bodies import Strict
from services.gateway.http.fields import Finite
from services.kit.cron import check_cron, check_time_zone

SETTINGS = ("include", "exclude", "hosts", "max_file_bytes", "attributes", "url_prefix")
Pattern = Annotated[str, Field(min_length=1, max_length=500)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
AttributeName = Annotated[str, Field(min_length=1, max_length=64)]
AttributeValue = Annotated[str, Field(max_length=512)] | bool | Finite


class Schedule(Strict):
    """Five cron fields, in the wall-clock time of a time zone."""

    cron: Annotated[str, AfterValidator(check_cron), Field(max_length=200)]
    time_zone: Annotated[str, AfterValidator(check_time_zone), Field(max_length=64)] = "UTC"


class SourceUpdate(Strict):
    """`include` and `exclude` are patterns for a document's path or URL. `hosts` are further hosts of a site.
    `url_prefix` and a document's path together are the address that citations of a folder's documents link to.
    """

    name: Name | None = None
    include: list[Pattern] | None = Field(default=None, max_length=100)
    exclude: list[Pattern] | None = Field(default=None, max_length=100)
    hosts: list[Name] | None = Field(default=None, max_length=100)
    max_file_bytes: int | None = Field(default=None, ge=1)
    attributes: dict[AttributeName, AttributeValue] | None = Field(default=None, max_length=16)
    url_prefix: str | None = Field(default=None, max_length=1000, pattern=r"^https?://")
    schedule: Schedule | None = None
    enabled: bool | None = None

    def columns(self, before: dict[str, Any] | None = None) -> dict[str, Any]:
        """The columns that the body names, on top of the settings so far; null removes a setting."""
        given = self.model_dump(exclude_unset=True)
        found = {name: given[name] for name in ("name", "enabled") if given.get(name) is not None}
        if "schedule" in given:
            found |= self.schedule.model_dump() if self.schedule else {"cron": None, "time_zone": "UTC"}
        named = {name: given[name] for name in SETTINGS if name in given}
        if named or before is None:
            settings = {**(before or {}), **named}
            found["settings"] = {name: value for name, value in settings.items() if value is not None}
        return found


class SourceCreate(SourceUpdate):
    """`location` is an absolute path, a site map's or site's URL, or a bucket's URL, by `kind`."""

    kind: Kind
    location: str = Field(min_length=1, max_length=2000)
    vector_store_id: str | None = None

    def title(self) -> str:
        return self.name or self.location[:200]


class SourceSync(Strict):
    """`full` reads every document again, `confirm` allows any number of removals."""

    full: bool = False
    confirm: bool = False
