from __future__ import annotations

import pytest

from retrieval.model import Chunk, FileRef, Point, SparseVector
from retrieval.search.expansion import ExpansionSettings, expanded_dense, expanded_sparse

CHUNK = Chunk("c", FileRef("w1", "s1", "f1", 1), 0, "text", "a.md", "A", (), None, 0, 4)


def point(**terms: float) -> Point:
    indices = tuple(int(name[1:]) for name in terms)
    return Point(CHUNK, (0.0, 1.0), SparseVector(indices, tuple(terms.values())))


def test_the_dense_question_moves_towards_the_passages_and_keeps_its_length() -> None:
    moved = expanded_dense((1.0, 0.0), [point(), point()], 1.0)
    assert moved == pytest.approx((0.7071, 0.7071), abs=1e-4)
    assert expanded_dense((1.0, 0.0), [point()], 0.0) == (1.0, 0.0)


def test_terms_that_passages_share_are_added_the_heaviest_at_its_share() -> None:
    question = SparseVector((1,), (1.0,))
    found = expanded_sparse(question, [point(t1=1.0, t2=2.0, t3=1.0, t4=9.0), point(t2=2.0, t3=1.0)], 0.5, 20)
    assert dict(zip(found.indices, found.values, strict=True)) == {1: 1.0, 2: 0.5, 3: 0.25}


def test_no_more_terms_are_added_than_asked_for() -> None:
    many = {f"t{number}": 1.0 + number for number in range(30)}
    found = expanded_sparse(SparseVector((), ()), [point(**many), point(**many)], 0.5, 3)
    assert found.indices == (29, 28, 27)


def test_without_passages_the_question_stays_as_it_is() -> None:
    assert expanded_dense((1.0, 0.0), [], 0.5) == (1.0, 0.0)
    assert expanded_sparse(SparseVector((1,), (1.0,)), [], 0.5, 20) == SparseVector((1,), (1.0,))


@pytest.mark.parametrize("settings", [{"passages": -1}, {"dense_share": -0.1}, {"terms": -1}])
def test_settings_below_zero_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expansion"):
        ExpansionSettings(**settings)
