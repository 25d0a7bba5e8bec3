"""An image archive goes through the submission page, with the connection lost and the page reloaded on the way."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import LiveSite, register
from tests.browser.test_accessibility import serious
from tests.evaluator.sandbox.archives import oci_files, sha256, tar

MANIFEST = """contract = 1
name = "Uploaded through the page"
version = "1"
kind = "editing"
division = "weights"
authors = ["Mary"]
"""
PIECES = "**/api/v1/uploads/u*/"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real OCI archive of 30 MB: four pieces."""
    layer = tar([("run", b"#!/bin/true\n"), ("ballast", random.Random(7).randbytes(30_000_000))])
    path = tmp_path_factory.mktemp("archive") / "my image.tar"
    path.write_bytes(tar(oci_files([layer]).items()))
    return path


def choose(page: Page, path: Path) -> None:
    page.get_by_label("As a file, uploaded from this machine").check()
    page.get_by_label("Image archive").set_input_files(path)


def test_an_archive_is_uploaded_over_a_lost_connection_and_a_reload_and_submitted(
    page: Page, live_site: LiveSite, archive: Path
) -> None:
    register(page, "mary")
    page.goto("/submit/")
    sent: list[str] = []

    def line(route: Route) -> None:
        """The second piece is lost once; the fourth stands still until the page is left."""
        if route.request.method != "PATCH":
            return route.continue_()
        sent.append(route.request.headers["upload-offset"])
        if len(sent) == 2:
            return route.abort("connectionfailed")
        return None if len(sent) == 5 else route.continue_()

    page.route(PIECES, line)
    choose(page, archive)
    expect(page.locator("[data-part=state]")).to_have_text("Waiting for the connection")
    expect(page.locator("[data-part=figures]")).to_contain_text("83 %", timeout=20_000)
    assert sent[1] == sent[2] == str(8 << 20), "the lost piece is sent again"
    assert page.locator("[data-upload] progress").evaluate("bar => bar.value") >= 24 << 20
    page.reload()

    expect(page.get_by_label("As a file, uploaded from this machine")).to_be_checked()
    expect(page.get_by_text("choose the same file to go on")).to_be_visible()
    with page.expect_request(lambda request: request.method == "PATCH") as first:
        page.get_by_label("Image archive").set_input_files(archive)
    assert first.value.headers["upload-offset"] == str(24 << 20), "nothing is sent twice"
    assert first.value.headers["upload-checksum"].startswith("sha256 ")
    reference = f"archive@sha256:{sha256(archive.read_bytes())}"
    expect(page.locator("[data-part=state]")).to_have_text("Uploaded", timeout=30_000)
    expect(page.locator("#id_image")).to_have_value(reference)
    assert (live_site.home / "uploads" / f"{sha256(archive.read_bytes())}.tar").read_bytes() == archive.read_bytes()

    page.get_by_label("Manifest", exact=True).fill(MANIFEST)
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/submissions/*/")
    expect(page.locator("dl.facts").first).to_contain_text(reference)
    page.locator("#submission-status[data-state=ACCEPTED]").wait_for(timeout=120_000)


def test_pausing_discarding_and_submitting_too_early(page: Page, archive: Path) -> None:
    register(page, "joan")
    page.goto("/submit/")
    page.route(PIECES, lambda route: None if route.request.method == "PATCH" else route.continue_())
    choose(page, archive)
    state, live = page.locator("[data-part=state]"), page.locator("[data-part=live]")
    expect(state).to_have_text("Uploading")
    assert serious(page) == []
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("[data-part=problem]")).to_contain_text("not finished yet")
    assert page.url.endswith("/submit/")
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    expect(state).to_have_text("Paused")
    expect(live).to_have_text("Paused")
    page.get_by_role("button", name="Go on").click()
    expect(state).to_have_text("Uploading")
    page.get_by_role("button", name="Discard", exact=True).click()
    expect(page.locator("[data-part=progress]")).to_be_hidden()
    assert page.evaluate("fetch('/api/v1/uploads/').then(answer => answer.json())") == []


def test_what_is_no_archive_is_told_at_once(page: Page, tmp_path: Path) -> None:
    register(page, "kate")
    page.goto("/submit/")
    (tmp_path / "image.tar").write_bytes(b"\x1f\x8b" + bytes(5_000))
    choose(page, tmp_path / "image.tar")
    expect(page.locator("[data-part=problem]")).to_contain_text("is packed with gzip")
    expect(page.locator("[data-part=state]")).to_have_text("Stopped")


def test_without_scripts_the_page_points_to_the_command(browser: Browser, live_site: LiveSite) -> None:
    context = browser.new_context(base_url=live_site.url, java_script_enabled=False)
    page = context.new_page()
    register(page, "anne")
    page.goto("/submit/")
    expect(page.get_by_text("palimpsest submit FOLDER --archive FILE")).to_be_visible()
    expect(page.get_by_label("Image reference")).to_be_visible()
    expect(page.get_by_label("As a file, uploaded from this machine")).to_be_hidden()
    context.close()
