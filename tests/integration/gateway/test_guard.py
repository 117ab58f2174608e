"""The guard's default on documents that it was not made on: pages in six languages, and SQuAD's paragraphs."""

from __future__ import annotations

import pytest

from harness.guard_cases import Case, found
from harness.guard_sets import handbooks, sample, squad
from harness.places import SHARED_DATA
from retrieval.embedding.embedder import Embedder
from retrieval.embedding.runtime import make_embedder
from services.kit.settings import Platform

MOST_REFUSED = 0.02


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    return make_embedder("all-minilm-l6-v2", "openvino", tmp_path_factory.mktemp("converted"), threads=1)


def refused(cases: list[Case]) -> float:
    """The share of the answerable questions that the server would refuse before a model is asked."""
    answered = [case for case in cases if case.asked.answerable]
    assert len(answered) >= 40
    return sum(case.score < Platform().min_answerability for case in answered) / len(answered)


def test_of_what_pages_in_six_languages_answer_next_to_nothing_is_refused(embedder: Embedder) -> None:
    cases = [case for one in handbooks() for case in found(one, embedder)]
    assert len({case.name for case in cases}) == 6
    assert refused(cases) <= MOST_REFUSED
    assert refused(found(sample(), embedder)) <= MOST_REFUSED


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="shared/data is not beside this checkout")
def test_of_what_paragraphs_of_squad_answer_next_to_nothing_is_refused(embedder: Embedder) -> None:
    assert refused(found(squad(), embedder)) <= MOST_REFUSED
