"""Register, submit, watch, read the board, open a trace, download it: as a person does it."""

from __future__ import annotations

import gzip
import json
import time

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import LiveSite, Scored

BOARD = "/boards/toy-world-5/"


def wait_for_board(page: Page) -> None:
    """The board is published by the worker a moment after the run is scored."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        page.goto(BOARD)
        if page.locator("#board-table").count():
            return
        page.wait_for_timeout(500)
    raise AssertionError("the board was not published within 90 s")


def test_a_scored_run_leads_to_the_board_and_the_board_back_to_the_trace(page: Page, scored: Scored) -> None:
    wait_for_board(page)
    page.locator("#board-table").get_by_role("link", name="Constant refusal").click()
    expect(page.get_by_role("heading", name="Constant refusal")).to_be_visible()
    page.get_by_role("link", name=scored.public_run).first.click()
    expect(page.locator("#run-status")).to_have_attribute("data-state", "SCORED")
    page.get_by_role("link", name="Browse the trace").click()
    first = page.locator(".probe").first
    expect(first.get_by_text("Before")).to_be_visible()
    expect(first.get_by_text("I don't know.").first).to_be_visible()
    page.get_by_label("Refusal").select_option("no")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No probe matches").or_(page.locator(".probe").first)).to_be_visible()


def test_both_files_of_a_trace_can_be_downloaded(page: Page, scored: Scored) -> None:
    page.goto(f"/runs/{scored.public_run}/")
    with page.expect_download() as packed:
        page.get_by_role("link", name="JSONL.gz").click()
    with page.expect_download() as table:
        page.get_by_role("link", name="Parquet").click()
    with gzip.open(packed.value.path()) as lines:
        rows = [json.loads(line) for line in lines]
    assert len(rows) == pq.read_table(table.value.path()).num_rows > 0
    assert all(bool(row["prompt"]) == (row["kind"] != "text") for row in rows), "a neutral text has no question"


def test_the_hidden_run_withholds_its_texts(page: Page, scored: Scored, live_site: LiveSite) -> None:
    page.goto(f"/runs/{scored.public_run}/trace/")
    page.goto(f"/runs/{scored.hidden_run}/trace/")
    expect(page.get_by_text("Withheld.")).to_be_visible()
    assert page.get_by_text("withheld", exact=True).count() > 0
    with page.expect_download() as table:
        page.get_by_role("link", name="Parquet").click()
    columns = pq.read_table(table.value.path()).to_pydict()
    for name in ("prompt", "reference", "response", "base_response"):
        assert set(columns[name]) == {None}


def test_the_receipt_can_be_downloaded(page: Page, scored: Scored) -> None:
    page.goto(f"/runs/{scored.public_run}/")
    with page.expect_download() as file:
        page.get_by_role("link", name="receipt.json").click()
    receipt = json.loads(file.value.path().read_text())
    assert receipt["run_id"] == scored.public_run
    assert receipt["signature"]


def test_the_plot_is_drawn_in_both_themes(page: Page, scored: Scored) -> None:
    wait_for_board(page)
    plot = page.locator("[data-figure]")
    plot.scroll_into_view_if_needed()
    expect(plot).to_have_attribute("data-state", "drawn", timeout=30_000)
    expect(plot.locator(".main-svg").first).to_be_visible()

    def ink() -> str:
        return str(plot.locator(".xtitle").evaluate("node => getComputedStyle(node).fill"))

    before = ink()
    page.get_by_role("button", name="Dark theme").click()
    page.wait_for_function("document.documentElement.dataset.bsTheme === 'dark'")
    page.wait_for_timeout(500)
    assert ink() != before


def test_filters_write_the_address_and_going_back_undoes_them(page: Page, scored: Scored) -> None:
    wait_for_board(page)
    page.get_by_label("Method").fill("nobody")
    page.wait_for_url("**q=nobody**")
    expect(page.get_by_text("No entry matches.")).to_be_visible()
    page.get_by_role("link", name="Clear the filters").first.click()
    expect(page.locator("#board-table").get_by_role("link", name="Constant refusal")).to_be_visible()
    page.locator("#board-table thead").get_by_role("link", name="Forgetting").click()
    page.wait_for_url("**sort=forgetting**")
    page.go_back()
    expect(page.locator("#board-table").get_by_role("link", name="Constant refusal")).to_be_visible()


def test_the_help_of_a_column_opens_by_keyboard(page: Page, scored: Scored) -> None:
    wait_for_board(page)
    button = page.get_by_role("button", name="What is Forgetting?")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#help-forgetting")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help-forgetting")).to_be_hidden()


def test_everything_is_there_without_scripts(browser: object, live_site: LiveSite, scored: Scored) -> None:
    context = browser.new_context(base_url=live_site.url, java_script_enabled=False)  # type: ignore[attr-defined]
    page = context.new_page()
    page.goto(BOARD + "?sort=-forgetting")
    expect(page.locator("#board-table").get_by_role("link", name="Constant refusal")).to_be_visible()
    page.get_by_label("Division").select_option("weights")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No entry matches.")).to_be_visible()
    assert "sort=-forgetting" in page.url
    assert "division=weights" in page.url
    context.close()


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_no_page_is_wider_than_the_screen(page: Page, scored: Scored, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for path in (
        "/",
        BOARD,
        "/methods/",
        f"/runs/{scored.public_run}/",
        f"/runs/{scored.hidden_run}/trace/",
        "/contract/",
    ):
        page.goto(path)
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, path
