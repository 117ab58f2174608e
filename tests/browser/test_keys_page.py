"""A person who makes and revokes keys at the page, in a real browser."""

from __future__ import annotations

import pytest
from openai import AuthenticationError
from playwright.sync_api import Locator, Page, expect

from harness.platform import RunningPlatform
from tests.browser.conftest import sign_in

HTML = "<img src=x onerror=document.title='run'>"


def open_keys(page: Page, key: str) -> None:
    sign_in(page, key)
    page.get_by_role("link", name="Keys").click()
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has_text=name)


def make(page: Page, name: str, *scopes: str) -> str:
    """A new key, and its secret as the page shows it."""
    page.get_by_role("button", name="New key").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name").fill(name)
    for scope in scopes:
        form.get_by_role("checkbox", name=scope).click()
    form.get_by_role("button", name="Make").click()
    return taken(page)


def taken(page: Page) -> str:
    """The secret that is shown once, copied with the button."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    secret = page.get_by_label("Secret").input_value()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_label("Secret")).to_have_count(0)
    assert secret not in page.content()
    return secret


def test_a_person_makes_a_key_sees_it_once_and_revokes_it(page: Page, platform: RunningPlatform) -> None:
    open_keys(page, platform.key)
    expect(row(page, "first key")).to_be_visible()
    secret = make(page, HTML, "knowledge")
    made = row(page, HTML)
    expect(made).to_contain_text("ask, knowledge")
    expect(made).to_contain_text("works")
    assert page.title() == "Tandem: keys"
    assert platform.openai(secret).models.list().data
    made.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(made).to_contain_text("works")
    made.get_by_role("button", name="Revoke").click()
    page.get_by_role("button", name="Revoke it").click()
    expect(made).to_contain_text("revoked")
    expect(page.get_by_role("status").first).to_contain_text("is revoked.")
    expect(made.get_by_role("button")).to_have_count(0)
    with pytest.raises(AuthenticationError):
        platform.openai(secret).models.list()


def test_what_is_refused_is_told_and_the_dialog_stays(page: Page, platform: RunningPlatform) -> None:
    open_keys(page, platform.key)
    page.get_by_role("button", name="New key").click()
    page.get_by_role("button", name="Make").click()
    expect(page.get_by_role("alert")).to_have_text("Give it a name.")
    page.get_by_role("button", name="Cancel").click()
    row(page, "first key").get_by_role("button", name="Revoke first key").click()
    page.get_by_role("button", name="Revoke it").click()
    expect(page.get_by_role("alert")).to_contain_text("last key here that can make")


def test_a_person_makes_a_workspace_whose_key_sees_only_its_own(page: Page, platform: RunningPlatform) -> None:
    open_keys(page, platform.key)
    page.get_by_role("button", name="New workspace").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Legal")
    page.get_by_role("dialog").get_by_role("button", name="Make").click()
    secret = taken(page)
    expect(page.get_by_label("Workspace")).to_have_value("Legal")
    make(page, "for legal")
    expect(row(page, "for legal")).to_be_visible()
    page.context.clear_cookies()
    page.goto(platform.dashboard_url)
    open_keys(page, secret)
    expect(row(page, "for legal")).to_be_visible()
    expect(page.get_by_role("button", name="New workspace")).to_have_count(0)
    names = [key["name"] for key in platform.json("keys", "list")]
    assert "for legal" not in names


def test_whoever_signed_in_with_a_key_that_was_revoked_since_is_asked_for_another(
    page: Page, platform: RunningPlatform
) -> None:
    made = platform.json("keys", "create", "short-lived", "--scope", "ask")
    sign_in(page, made["secret"])
    expect(page.get_by_label("Ask a question")).to_be_visible()
    platform.tandem("keys", "revoke", made["id"])
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()
