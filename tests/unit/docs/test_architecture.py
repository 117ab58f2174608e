"""The page of the architecture names every room."""

from __future__ import annotations

import re

import pytest

from harness.places import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FLOORS = ("retrieval", "training", "services/gateway", "services/worker", "services/generation", "services/retrieval",
          "services/command", "services")  # fmt: skip
MOST_FILES = 18


def folders(floor: str) -> list[str]:
    return [path.parent.relative_to(ROOT).as_posix() for path in sorted((ROOT / floor).glob("*/__init__.py"))]


ROOMS = [room for floor in FLOORS for room in folders(floor) if room not in FLOORS]


def rooms_with_a_row() -> set[str]:
    """`services/gateway/chat`, `responses` in the first column are two rooms of one floor."""
    rows = re.findall(r"^\| (`[^|]+`) \|", PAGE.split("## Rooms")[1].split("\n## ")[0], re.MULTILINE)
    found = set[str]()
    for row in rows:
        floor = ""
        for name in re.findall(r"`([^`]+)`", row):
            floor = name.rpartition("/")[0] or floor
            found.add(f"{floor}/{name.rpartition('/')[2]}")
    return found


def test_every_room_has_a_row_and_every_row_a_room() -> None:
    assert rooms_with_a_row() == set(ROOMS)


@pytest.mark.parametrize("floor", ["retrieval", "training", "services"])
def test_no_folder_has_more_files_than_one_can_take_in(floor: str) -> None:
    folders = {path.parent for path in (ROOT / floor).rglob("*.py") if "migrations" not in path.parts}
    assert {str(one): count for one in folders if (count := len(list(one.glob("*.py")))) > MOST_FILES} == {}
