"""`tandem ingest`: puts files and folders into a store; a bad file does not stop the others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from services.command.api import Api, Refused
from services.command.errors import Misuse
from services.command.output import Bar
from services.kit.texts import mended

ASK_EVERY_S = 0.5
Outcome = Literal["added", "replaced", "unchanged", "failed"]


@dataclass(frozen=True)
class Source:
    """A file on this machine, and its name in the store: relative to the folder that was named, with U+FFFD for bytes
    that are not UTF-8, which occur in old archives.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class Result:
    """The outcome for one file. `reason` is in words, for a failed one."""

    name: str
    outcome: Outcome
    file_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Pending:
    """A file that is being indexed, and the files of the same name that it replaces."""

    name: str
    file_id: str
    replaces: tuple[str, ...]
    is_new: bool = True


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """The named files, and the files in the named folders, without hidden ones; each once.

    Raises Misuse for a path that does not exist and if nothing is found.
    """
    found = {(source.path.resolve(), source.name): source for path in paths for source in _walk(path)}
    if not found:
        raise Misuse(f"No files in {', '.join(map(str, paths))}.")
    return list(found.values())


def _walk(path: Path) -> Iterator[Source]:
    if path.is_file():
        yield Source(path, mended(path.name))
        return
    if not path.is_dir():
        raise Misuse(f"{path} does not exist.")
    for file in sorted(path.rglob("*")):
        inside = file.relative_to(path)
        if file.is_file() and not any(part.startswith(".") for part in inside.parts):
            yield Source(file, mended(inside.as_posix()))


def ingest(api: Api, store_id: str, sources: Sequence[Source], bar: Bar) -> list[Result]:
    """Upload what is new or changed, wait until it is indexed, then remove what it replaces."""
    files = f"/v1/vector_stores/{store_id}/files"
    held = _held(api.every(files))
    results: list[Result] = []
    pending: list[Pending] = []
    seen: set[str] = set()
    for number, source in enumerate(sources):
        bar.show(0.5 * number / len(sources), source.name)
        sent = _refuse_twin(source, seen) or _send(api, files, source, held.get(source.name, []))
        (pending if isinstance(sent, Pending) else results).append(sent)  # type: ignore[arg-type]
    results += _await_all(api, files, pending, bar)
    order = {source.name: number for number, source in enumerate(sources)}
    return sorted(results, key=lambda result: order[result.name])


def as_json(store_id: str, results: Sequence[Result]) -> dict[str, Any]:
    counts = {name: sum(r.outcome == name for r in results) for name in ("added", "replaced", "unchanged", "failed")}
    return {"vector_store_id": store_id, **counts, "files": [asdict(result) for result in results]}


def _held(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["filename"], []).append(row)
    return by_name


def _refuse_twin(source: Source, seen: set[str]) -> Result | None:
    if source.name in seen:
        return Result(
            source.name, "failed", reason=f"{mended(str(source.path))}: another file of this name came before it"
        )
    seen.add(source.name)
    return None


def _send(api: Api, files: str, source: Source, held: list[dict[str, Any]]) -> Result | Pending:
    try:
        digest = _sha256(source.path)
    except OSError as error:
        return Result(source.name, "failed", reason=str(error))
    same = next((row for row in held if row["sha256"] == digest), None)
    others = tuple(row["id"] for row in held if row is not same)
    if same and same["status"] == "completed":
        for file_id in others:
            api.delete(f"/v1/files/{file_id}")
        return Result(source.name, "unchanged", same["id"])
    try:
        file_id = same["id"] if same else _upload(api, source)
        api.post(files, {"file_id": file_id})
    except (Refused, OSError) as error:
        return Result(source.name, "failed", reason=str(error))
    return Pending(source.name, file_id, others, is_new=same is None)


def _upload(api: Api, source: Source) -> str:
    with source.path.open("rb") as content:
        return str(api.upload(source.name, content, "assistants")["id"])


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _await_all(api: Api, files: str, pending: Sequence[Pending], bar: Bar) -> list[Result]:
    results: list[Result] = []
    waiting = {item.file_id: item for item in pending}
    while waiting:
        rows = {row["id"]: row for row in api.every(files)}
        for file_id, item in list(waiting.items()):
            row = rows.get(file_id)
            if row is None or row["status"] != "in_progress":
                results.append(_settle(api, item, row))
                del waiting[file_id]
        done = len(pending) - len(waiting)
        bar.show(0.5 + 0.5 * done / len(pending), f"{done} of {len(pending)} indexed")
        if waiting:
            api.pause(ASK_EVERY_S)
    return results


def _settle(api: Api, item: Pending, row: dict[str, Any] | None) -> Result:
    """When the file is indexed, remove what it replaces. If it failed, remove the file itself and keep the
    earlier one."""
    if row is not None and row["status"] == "completed":
        for old in item.replaces:
            api.delete(f"/v1/files/{old}")
        return Result(item.name, "replaced" if item.replaces else "added", item.file_id)
    if row is not None:
        api.delete(f"/v1/files/{item.file_id}")
    error = (row or {}).get("last_error") or {}
    return Result(item.name, "failed", reason=error.get("message") or "it was removed from the store meanwhile")
