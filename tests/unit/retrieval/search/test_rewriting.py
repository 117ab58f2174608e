from __future__ import annotations

import pytest

from retrieval.search.rewriting import search_terms


@pytest.mark.parametrize(
    ("asked", "searched"),
    [
        ("Hello, could you please tell me about the refund policy? Thanks!", "the refund policy?"),
        ("Hi! I was wondering whether brakes squeal in winter", "brakes squeal in winter"),
        ("can you tell us if\nbatteries freeze, please", "batteries freeze"),
        ("How long do refunds take?", "How long do refunds take?"),
        ("Hibiscus tea", "Hibiscus tea"),
        ("please", "please"),
        ("Thank you!", "Thank you!"),
        ("Show me the way to return a bike", "the way to return a bike"),
    ],
)
def test_courtesy_goes_and_the_matter_stays(asked: str, searched: str) -> None:
    assert search_terms(asked) == searched
