"""axe finds nothing serious on any page, in light and in dark, wide and narrow."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import Scored, register


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{item['id']}: {item['help']} {[node['target'] for node in item['nodes']][:4]}"
        for item in found
        if item["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_have_no_serious_violation(page: Page, scored: Scored, theme: str, width: int) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 900})
    paths = [
        "/",
        "/boards/",
        "/boards/toy-world-5-public/",
        "/boards/toy-world-5/?controls=off",
        "/methods/",
        "/methods/constant-refusal/",
        f"/submissions/{scored.submission}/",
        f"/runs/{scored.public_run}/",
        f"/runs/{scored.public_run}/trace/",
        f"/runs/{scored.hidden_run}/trace/",
        "/runs/",
        "/compare/",
        "/methodology/",
        "/contract/",
        "/accounts/login/",
        "/accounts/signup/",
        "/no/such/page/",
    ]
    faults = {}
    for path in paths:
        page.goto(path)
        assert page.evaluate("document.documentElement.dataset.bsTheme") == theme
        if found := serious(page):
            faults[path] = found
    assert faults == {}


def test_the_pages_of_a_person_have_no_serious_violation(page: Page) -> None:
    register(page, "grace")
    faults = {}
    for path in ("/me/", "/me/tokens/", "/submit/", "/accounts/password/change/", "/accounts/email/"):
        page.goto(path)
        if found := serious(page):
            faults[path] = found
    page.goto("/submit/")
    page.get_by_role("button", name="Submit").click()
    if found := serious(page):
        faults["/submit/ refused"] = found
    assert faults == {}
