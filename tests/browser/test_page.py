"""A person at the page, in a real browser."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from harness.platform import RunningPlatform
from tests.browser.conftest import sign_in


def test_a_wrong_key_is_refused_in_words(page: Page) -> None:
    sign_in(page, "sk-wrong")
    expect(page.get_by_text("unknown or revoked")).to_be_visible()


def test_a_person_asks_and_sees_the_citations(page: Page, platform: RunningPlatform) -> None:
    sign_in(page, platform.key)
    question = page.get_by_label("Ask a question")
    question.fill("How many days does a customer have to return a purchased bike under the 2026 refund policy?")
    question.press("Enter")
    expect(page.get_by_text(re.compile(r"\.(md|html|txt|pdf).*supported"))).not_to_have_count(0, timeout=60_000)
    page.get_by_role("button", name="Good answer").click()
    expect(page.get_by_text("it is in the journal")).to_be_visible()


def test_a_person_sees_that_no_passage_supports_an_answer(page: Page, platform: RunningPlatform) -> None:
    """Asked of the base weights: what tuned ones answer differs from one training to the next."""
    sign_in(page, platform.key)
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="tandem/rag").click()
    question = page.get_by_label("Ask a question")
    question.fill("What is the share price of the Apple company today?")
    question.press("Enter")
    said = "No passage supports this answer|no passage supports it|no passage is near the question"
    expect(page.get_by_text(re.compile(said))).to_be_visible(timeout=60_000)


def test_re_indexing_shows_its_progress_to_the_end(page: Page, platform: RunningPlatform) -> None:
    sign_in(page, platform.key)
    page.get_by_role("button", name="Re-index").click()
    expect(page.get_by_text(re.compile(r"embedding|building|switching|queued|started")).first).to_be_visible(
        timeout=30_000
    )
    expect(page.get_by_text(re.compile(r"done: \d+ chunks"))).to_be_visible(timeout=180_000)
    found = platform.openai().vector_stores.search(platform.default_store(), query="return a purchased bike")
    assert found.data
