"""What the versions of a workspace were trained on, and what their runs held out, read from their frozen data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from services.database.engine import Sessions
from services.database.tables import DataSet, LivePointer, Version
from services.domain.data_sets import FrozenSets
from training.data.dividing import Past, asking_these
from training.data.former_split import former_sides
from training.data.sides import Sides
from training.data.splitting import Known
from training.errors import InvalidDataset
from training.model import Example


@dataclass(frozen=True)
class _Taught:
    """A version's data set. `sides` are None if its run kept none and they cannot be worked out."""

    examples: tuple[Example, ...]
    sides: Sides | None

    @property
    def trained(self) -> tuple[Example, ...]:
        """What the version was trained on; the whole data set if the sides are not known."""
        return (self.sides or Sides()).trained(self.examples)

    @property
    def held_out(self) -> tuple[Example, ...]:
        return tuple(self.examples[place] for place in self.sides.held_out) if self.sides else ()


class PastRuns:
    """The past of a run that begins with the version `begun_with`, or with the base weights."""

    def __init__(self, sessions: Sessions, frozen: FrozenSets, workspace_id: str, begun_with: str | None) -> None:
        self._sessions, self._frozen = sessions, frozen
        self._workspace_id, self._begun_with = workspace_id, begun_with

    def read(self) -> Past:
        """A run that held nothing of its data set out, since it had a validation file, decided no sides, nor is it
        known what one decided that kept none: what these trained on counts where their version is live, is begun with,
        or came before one of those."""
        versions, live = self._versions()
        ancestors = set(_with_ancestors(versions, (live, self._begun_with)))
        unknown = [version_id for version_id in ancestors if version_id not in versions]
        read: dict[str, tuple[Example, ...] | None] = {}
        trained, held_out, learned = (dict[str, Example]() for _ in range(3))
        for version in versions.values():
            if version.id not in ancestors and not version.lineage.get("sides"):
                continue
            taught = self._taught(version, read)
            if version.id in ancestors:
                unknown += [version.name] if taught is None else []
                learned |= _by_question(taught.trained if taught else ())
                learned |= _by_question(asking_these(version.lineage.get("general") or ()))
            if taught and taught.held_out:
                trained |= _by_question(taught.trained)
                held_out |= _by_question(taught.held_out)
        known = Known(tuple((trained | learned).values()), tuple(held_out.values()))
        return Past(known, tuple(learned.values()), tuple(sorted(unknown)))

    def _versions(self) -> tuple[Mapping[str, Version], str | None]:
        mine = select(Version).where(Version.workspace_id == self._workspace_id).order_by(Version.created_at)
        with self._sessions() as session:
            pointer = session.get(LivePointer, self._workspace_id)
            found = {version.id: version for version in session.scalars(mine)}
        return found, pointer.version_id if pointer else None

    def _taught(self, version: Version, read: dict[str, tuple[Example, ...] | None]) -> _Taught | None:
        """None if the data set was not kept, or is deleted. `read` has the data sets of earlier versions, by id."""
        report, settings = version.settings.get("dataset", {}), version.settings.get("settings", {}).get("dataset", {})
        data_set_id = report.get("data_set_id") or ""
        if data_set_id not in read:
            read[data_set_id] = self._examples(data_set_id)
        examples = read[data_set_id]
        if examples is None:
            return None
        kept = version.lineage.get("sides")
        return _Taught(examples, Sides.of(kept) if kept else former_sides(examples, report, settings))

    def _examples(self, data_set_id: str) -> tuple[Example, ...] | None:
        with self._sessions() as session:
            row = session.get(DataSet, data_set_id)
        try:
            return self._frozen.examples(row) if row else None
        except InvalidDataset:
            return None


def _with_ancestors(versions: Mapping[str, Version], begun: Sequence[str | None]) -> Iterator[str]:
    """The versions, and every version that one of them began with."""
    for version_id in begun:
        seen = set[str]()
        while version_id and version_id not in seen:
            yield version_id
            seen.add(version_id)
            version_id = versions[version_id].lineage.get("from_version") if version_id in versions else None


def _by_question(examples: Sequence[Example]) -> dict[Any, Example]:
    """One example for each question: the data sets of a workspace share most of their questions."""
    return {one.messages[:-1]: one for one in examples}
