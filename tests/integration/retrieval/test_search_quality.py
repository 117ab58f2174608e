"""The search's quality on public question sets stays above a floor, through the real index and the real embedder."""

from __future__ import annotations

import pytest

from harness.places import SHARED_DATA
from harness.retrieval_sets import reported_sets
from harness.search_quality import BARS, measure, open_embedder
from tests.support.notes import note

FLOORS = {"SciFact": 0.72, "MedQuAD plain": 0.92, "MedQuAD synonym": 0.60, "NPL": 0.51, "LIMIT-small": 0.975}


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the public question sets are not at ../shared/data")
@pytest.mark.parametrize("corpus", ["limit_small", "medquad", "npl", "scifact"])
def test_ndcg_stays_above_its_floor(corpus: str, pytestconfig: pytest.Config) -> None:
    assert pytestconfig.cache is not None
    sets = [one for one in reported_sets() if one.corpus == corpus]
    figures = measure(sets, open_embedder(pytestconfig.cache.mkdir("quality-vectors")))
    for name, rows in figures.items():
        alone = f"dense {rows['dense']:.3f}, BM25 {rows['BM25']:.3f}"
        note(f"nDCG@10 {name}: {rows['in use']:.3f}, to reach {BARS[name]}; {alone}")
        assert rows["in use"] >= FLOORS[name]
