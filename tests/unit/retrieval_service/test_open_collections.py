from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.errors import UnknownCollection
from retrieval.index.edge import EdgeEngine
from retrieval.index.port import CollectionRef
from services.retrieval.index.collections import OpenCollections

REFS = [CollectionRef("w1", "s1", f"col_{number}") for number in range(4)]


@pytest.fixture
def collections(tmp_path: Path) -> OpenCollections:
    return OpenCollections(EdgeEngine(tmp_path), dimension=4, max_open=2)


def touch(collections: OpenCollections, ref: CollectionRef) -> None:
    with collections.use_or_create(ref) as index:
        index.count()


def test_the_collection_unused_for_longest_is_closed(collections: OpenCollections, tmp_path: Path) -> None:
    for ref in REFS[:2]:
        touch(collections, ref)
    touch(collections, REFS[0])
    touch(collections, REFS[2])
    assert len(collections) == 2
    EdgeEngine(tmp_path).open(REFS[1]).close()  # the engine refuses a second opener, so this one was closed
    collections.close_all()


def test_a_collection_in_use_is_never_closed(collections: OpenCollections) -> None:
    with collections.use_or_create(REFS[0]) as first, collections.use_or_create(REFS[1]) as second:
        touch(collections, REFS[2])
        touch(collections, REFS[3])
        assert (first.count(), second.count()) == (0, 0)
    collections.close_all()
    assert len(collections) == 0


def test_nothing_is_made_unless_asked_for(collections: OpenCollections) -> None:
    with pytest.raises(UnknownCollection), collections.use(REFS[0]):
        pass


def test_a_dropped_collection_is_gone(collections: OpenCollections) -> None:
    touch(collections, REFS[0])
    collections.drop(REFS[0])
    with pytest.raises(UnknownCollection), collections.use(REFS[0]):
        pass
